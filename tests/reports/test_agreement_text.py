"""What a person, or a program, is told of the agreement of two worlds."""

from __future__ import annotations

import json

from reports.agreement_text import Compared, render, render_json

RESULTS = [
    Compared(path="a.yaml", answer="agrees", time_scale=20.0, live_s=5.04),
    Compared(
        path="b.yaml",
        answer="differs",
        time_scale=1.0,
        live_s=60.0,
        differences=("d1 ends: failed simulated, completed live",),
        simulated="#3 0.1s d1 is answered 202",
        replay="fumble replay b.yaml --seed 1; fumble live b.yaml --time-scale 1",
    ),
    Compared(path="c.yaml", answer="undecided", time_scale=100.0, reason="differs at 100; --limit 1080 allows 20"),
    Compared(path="e.yaml", answer="agrees", left_open=("d1 ends: failed simulated, completed live",)),
    Compared(path="d\x1b[2J.yaml", answer="not played", reason="takes too long"),
]


def test_a_person_reads_one_line_a_scenario_and_a_block_a_difference() -> None:
    text = render(RESULTS)
    assert "agrees      a.yaml" in text and "5.0 s, 20 scenario seconds a second" in text
    assert "differs: b.yaml\n  d1 ends: failed simulated, completed live\n  the histories part here:" in text
    assert "    live       (nothing more of this actor)\n  both histories: fumble replay b.yaml" in text
    assert "differs at 100; --limit 1080 allows 20" in text
    assert text.endswith("5 scenarios: 2 agrees, 1 differs, 1 undecided, 1 not played\n")
    assert "; otherwise where it is left open: 1\n" in text
    assert "\x1b" not in text


def test_a_program_reads_the_same() -> None:
    report = json.loads(render_json(RESULTS, {"postgres": "18.4"}))
    assert (report["version"], report["components"]) == (1, {"postgres": "18.4"})
    assert [each["answer"] for each in report["scenarios"]] == [
        "agrees",
        "differs",
        "undecided",
        "agrees",
        "not played",
    ]
    assert report["scenarios"][1]["diverges"] == {"simulated": "#3 0.1s d1 is answered 202", "live": None}
