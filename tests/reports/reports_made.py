"""Reports to render: of judged runs, and one full of text that tries to break out of its renderer."""

from __future__ import annotations

from reports.model import Finding, RunReport, Summary

HOSTILE = "]]> <failure/> & \"quoted\" 'single' \x1b[31mred\x1b[0m \x00 \x0b \ud800 \ufffe \u202e 猫\r\nnext line"


def run(scenario: str = "lost_ack", **changes: object) -> RunReport:
    """A passed run, or what `changes` make of it."""
    facts: dict[str, object] = {
        "scenario": scenario,
        "title": "The acknowledgement of the outcome is lost",
        "family": "terminal",
        "path": f"scenarios/terminal/{scenario}.yaml",
        "seed": 7,
        "verdict": "passed",
        "trace_hash": "c0ffee",
        "virtual_s": 12.5,
        "cpu_ms": 3.25,
        "wall_ms": 40.0,
        "violations": (),
        "reasons": (),
        "not_observed": (),
        "replay": f"fumble run scenarios/terminal/{scenario}.yaml --seed 7",
    }
    return RunReport(**(facts | changes))  # type: ignore[arg-type]


def failed(scenario: str = "lost_ack", text: str = "d1 ended twice", **changes: object) -> RunReport:
    """A run that broke INV-30."""
    finding = Finding(invariant="INV-30", subject="d1", sentence=text, lines=(f"#3  1.000000s  d1  {text}",))
    return run(scenario, verdict="failed", violations=(finding,), **changes)


def inconclusive(scenario: str = "never_struck", **changes: object) -> RunReport:
    """A run whose fault never began."""
    return run(scenario, verdict="inconclusive", reasons=("fault f1 never began",), **changes)


def three() -> Summary:
    """Two seeds of a scenario of which one failed, one scenario that passed, one that is inconclusive."""
    runs = (run(seed=1), failed(seed=2), run("all_well", family="happy"), inconclusive())
    return Summary(runs, {"python": "3.11.9", "aiohttp": "3.14.0", "asyncpg": "0.32.0", "postgres": "16.2"})


def hostile() -> RunReport:
    """A failure whose every text is hostile."""
    return failed(HOSTILE, HOSTILE, title=HOSTILE, family=HOSTILE, replay=f"fumble replay '{HOSTILE}'")
