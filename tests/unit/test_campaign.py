"""Runs spread over processes: every job is answered once, whoever plays it, and a worker that fails is told."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest

from sim.campaign import CampaignBroken, Job, described, runs, working
from sim.scenario.loading import load_text
from sim.worlds.components.postgres import EmbeddedPostgres, embedded_postgres

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


def test_an_unexpected_error_is_one_line_with_its_place() -> None:
    try:
        raise ValueError("first line\nsecond line")
    except ValueError as error:
        line = described(error)
    assert line.startswith("ValueError: first line (") and line.endswith(
        "in test_an_unexpected_error_is_one_line_with_its_place)"
    )
