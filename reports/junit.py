"""Results as JUnit XML, for CI servers: a suite is a family, a test is a scenario, whatever the number of its seeds.

An inconclusive scenario is an `error`: most servers show `skipped` as green, and a run that showed nothing never is.
The properties of a test say which seed it stands for (the first of the worst) and which command plays that again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as xml

from reports import terminal
from reports.model import ScenarioResult, Summary
from reports.plain import printable
from sim.invariants.verdict import Verdict

_TAGS: Mapping[Verdict, str] = {"failed": "failure", "inconclusive": "error"}
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write, not even escaped."""


def render(summary: Summary) -> str:
    """The document, with its declaration. Ends with a newline."""
    families: dict[str, list[ScenarioResult]] = {}
    for result in summary.scenarios:
        families.setdefault(result.worst.family, []).append(result)
    root = xml.Element("testsuites", {"name": "fumble", **_counts(list(summary.scenarios))})
    for family, results in families.items():
        suite = xml.SubElement(root, "testsuite", {"name": legal(family), **_counts(results)})
        for result in results:
            _add_test(suite, result)
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, encoding="unicode") + "\n"


def legal(text: str) -> str:
    """The text with U+FFFD for every character that XML cannot hold."""
    return _ILLEGAL.sub("\ufffd", text)


def _add_test(suite: xml.Element, result: ScenarioResult) -> None:
    run = result.worst
    case = xml.SubElement(
        suite,
        "testcase",
        {"classname": legal(run.family), "name": legal(run.scenario), "time": _seconds([result])},
    )
    properties = xml.SubElement(case, "properties")
    facts = {
        "title": run.title,
        "seed": str(run.seed),
        "seeds_passed": f"{result.passed}/{len(result.runs)}",
        "trace_hash": run.trace_hash,
        "virtual_s": f"{run.virtual_s:.6f}",
        "not_observed": " ".join(run.not_observed),
        "replay": run.replay,
    }
    for name, value in facts.items():
        xml.SubElement(properties, "property", {"name": name, "value": legal(value)})
    if result.verdict in _TAGS:
        kind = run.violations[0].invariant if run.violations else "inconclusive"
        said = [finding.sentence for finding in run.violations] or list(run.reasons)
        problem = xml.SubElement(
            case, _TAGS[result.verdict], {"type": kind, "message": legal(printable(said[0] if said else kind))}
        )
        problem.text = legal(terminal.block(run, columns=200))


def _counts(results: list[ScenarioResult]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.verdict == "failed" for result in results)),
        "errors": str(sum(result.verdict == "inconclusive" for result in results)),
        "time": _seconds(results),
    }


def _seconds(results: list[ScenarioResult]) -> str:
    return f"{sum(run.wall_ms for result in results for run in result.runs) / 1000:.3f}"
