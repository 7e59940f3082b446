"""What a person reads: one line a scenario, a block for each that did not pass, colour only where it is wanted."""

from __future__ import annotations

import io

import pytest

from reports import terminal
from reports.model import Summary
from reports.plain import width

from .reports_made import failed, hostile, inconclusive, run, three


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_a_scenario_with_verdict_name_seeds_and_virtual_time() -> None:
    assert terminal.table(three(), columns=100).splitlines() == [
        "failed        lost_ack      1/2  25.0 s  The acknowledgement of the outcome is lost",
        "passed        all_well      1/1  12.5 s  The acknowledgement of the outcome is lost",
        "inconclusive  never_struck  0/1  12.5 s  The acknowledgement of the outcome is lost",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(columns: int) -> None:
    wide = Summary((run("a_scenario_with_a_long_name_" * 4, title="猫" * 80), hostile()))
    for line in terminal.table(wide, columns=columns).splitlines():
        assert width(line) <= columns


def test_a_block_has_sentence_and_evidence_and_ends_with_the_replay_command() -> None:
    lines = terminal.block(failed(seed=2)).splitlines()
    assert lines[0] == "FAILED lost_ack, seed 2: The acknowledgement of the outcome is lost"
    assert lines[2:4] == ["  INV-30 d1 ended twice", "    #3  1.000000s  d1  d1 ended twice"]
    assert lines[-1] == "  replay: fumble run scenarios/terminal/lost_ack.yaml --seed 7"


def test_an_inconclusive_run_says_why() -> None:
    assert "  inconclusive: fault f1 never began" in terminal.block(inconclusive()).splitlines()


def test_only_what_did_not_pass_has_a_block_and_the_counts_come_last() -> None:
    text = terminal.render(three())
    assert "FAILED lost_ack, seed 2" in text and "INCONCLUSIVE never_struck" in text and "PASSED" not in text
    assert text.splitlines()[-1] == (
        "4 runs of 3 scenarios: 2 passed, 1 failed, 1 inconclusive (50.0 s of virtual time in 0.2 s of work)"
    )


def test_what_was_not_observed_is_named_for_passed_runs_too() -> None:
    blind = ("INV-10", "INV-31")
    lines = terminal.render(Summary((run(not_observed=blind), run("all_well")))).splitlines()
    assert lines[-3] == "not observed in 1 of 2 runs: INV-10, INV-31"
    lines = terminal.render(Summary((run(not_observed=blind), run(not_observed=("INV-10", "INV-20"))))).splitlines()
    assert lines[-5:-2] == [
        "not observed, so not judged: INV-10",
        "also not observed in 1 of 2 runs: INV-31",
        "also not observed in 1 of 2 runs: INV-20",
    ]
    assert "  not observed, so not judged: INV-10, INV-31" in terminal.block(failed(not_observed=blind)).splitlines()


def test_nothing_played_is_said() -> None:
    assert terminal.render(Summary(())) == "nothing was played\n"


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    text = terminal.render(Summary((hostile(),)))
    assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text and "\r" not in text
    assert "\\x1b[31mred" in text
    assert not any(line.startswith("next line") for line in text.splitlines())
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("stream", "environment", "wanted"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(stream: io.StringIO, environment: dict[str, str], wanted: bool) -> None:
    assert terminal.colour_wanted(stream, environment) is wanted


def test_colour_changes_no_word() -> None:
    coloured = terminal.render(three(), colour=True)
    assert "\x1b[31;1m" in coloured
    for code in ("32", "31;1", "33", "2", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == terminal.render(three())


@pytest.mark.parametrize(("seconds", "said"), [(8.25, "8.2 s"), (1860.0, "31.0 min"), (9000.0, "2.5 h")])
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert terminal.duration(seconds) == said
