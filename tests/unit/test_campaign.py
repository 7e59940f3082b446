"""Runs spread over processes: every job is answered once, whoever plays it, and a worker that fails is told."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim import interrupts
from sim.campaign import CampaignBroken, Job, described, runs, working
from sim.scenario.loading import load_text
from sim.worlds.components.postgres import EmbeddedPostgres, embedded_postgres
from sim.worlds.components.processes import ComponentFailed

from .fumble_process import GOOD, WRONG

GOOD_STORY, WRONG_STORY = load_text(GOOD, "good.yaml"), load_text(WRONG, "wrong.yaml")
JOBS = [Job(story, seed) for story in (GOOD_STORY, WRONG_STORY) for seed in (1, 2, 3)]


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of one's own: workers name their databases after their numbers."""
    with embedded_postgres() as started:
        yield started


@pytest.mark.parametrize("processes", [1, 4])
def test_every_job_is_answered_once_under_its_own_number(processes: int, server: EmbeddedPostgres) -> None:
    with working(JOBS, runs(server), processes=processes, ahead=2) as reports:
        answers = list(reports)
    assert sorted(number for number, _ in answers) == list(range(len(JOBS)))
    for number, report in answers:
        assert (report.path, report.seed) == (JOBS[number].scenario.path, JOBS[number].seed)
        assert report.verdict == ("failed" if JOBS[number].scenario is WRONG_STORY else "passed")
    assert multiprocessing.active_children() == []


def test_who_stops_listening_leaves_no_worker(server: EmbeddedPostgres) -> None:
    with pytest.raises(ZeroDivisionError), working(JOBS, runs(server), processes=2, ahead=2) as reports:
        next(reports)
        assert len(multiprocessing.active_children()) == 2
        raise ZeroDivisionError
    assert multiprocessing.active_children() == []


def test_a_worker_that_cannot_begin_says_why(server: EmbeddedPostgres) -> None:
    server.create_database("fumble_0")
    with working(JOBS, runs(server), processes=1, ahead=2) as reports, pytest.raises(CampaignBroken) as broken:
        list(reports)
    assert "SqlError" in str(broken.value) and "already exists" in str(broken.value)
    assert "create_database" in broken.value.trace


# --- benches of other commands -------------------------------------------------------------------------------------


def appears(file: Path) -> bool:
    """Whether a file is there, or is within the time that a busy machine may take."""
    deadline = time.monotonic() + 30
    while not file.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_jobs_are_done_at_the_same_time(tmp_path: Path) -> None:
    """Each ends only after the other has begun."""

    def bench(number: int) -> Callable[[str], bool]:
        def meet(other: str) -> bool:
            (tmp_path / str(number)).touch()
            return appears(tmp_path / other)

        return meet

    with working(["1", "0"], bench, processes=2, ahead=1) as results:
        assert sorted(results) == [(0, True), (1, True)]


def test_no_job_waits_for_a_worker_that_is_busy(tmp_path: Path) -> None:
    """The first ends only after all others, which the other worker has to do."""
    last = tmp_path / "3"

    def bench(number: int) -> Callable[[int], bool]:
        def do(job: int) -> bool:
            (tmp_path / str(job)).touch()
            return appears(last) if job == 0 else True

        return do

    with working(range(4), bench, processes=2, ahead=1) as results:
        *first, one, other = results
        # The first ends when the last has begun.
        assert first == [(1, True), (2, True)] and {one, other} == {(3, True), (0, True)}


def test_what_a_component_says_of_itself_is_told_as_it_is() -> None:
    def bench(number: int) -> Callable[[str], None]:
        raise ComponentFailed("Toxiproxy is gone\nfix: start it")

    with working(["a"], bench, processes=1, ahead=1) as results, pytest.raises(ComponentFailed) as failed:
        list(results)
    assert str(failed.value) == "Toxiproxy is gone\nfix: start it"


def test_a_bench_can_put_away_what_it_had_out(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"

    def bench(number: int) -> Callable[[str], bool]:
        interrupts.by_parent()

        def do(job: str) -> bool:
            if job == "looks":
                return appears(out)
            out.touch()
            try:
                time.sleep(60)
            finally:
                out.rename(away)
            return True

        return do

    with working(["takes out", "looks"], bench, processes=2, ahead=1) as results:
        assert next(results) == (1, True)
    assert list(tmp_path.iterdir()) == [away]
    assert multiprocessing.active_children() == []


def test_an_unexpected_error_is_one_line_with_its_place() -> None:
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        line = described(error)
    assert line.startswith("ValueError: first line (") and line.endswith(
        "in test_an_unexpected_error_is_one_line_with_its_place)"
    )
