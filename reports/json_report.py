"""Results as one JSON object, for programs. `version` changes when a reader of the old form would be misled."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from reports.model import RunReport, Summary

VERSION = 1
_PACKAGES = ("aiohttp", "asyncpg")


def components(*, postgres: str) -> Mapping[str, str]:
    """The versions that a run depends on; `postgres` is what the server says of itself."""
    return {**packages(), "postgres": postgres}


def packages() -> Mapping[str, str]:
    """The versions of Python and of the packages that a run depends on."""
    return {"python": platform.python_version(), **{package: metadata.version(package) for package in _PACKAGES}}


def render(summary: Summary) -> str:
    """The report, ASCII only, so that any text survives any channel. Ends with a newline."""
    report = {
        "version": VERSION,
        "components": dict(summary.components),
        "runs": [_run(run) for run in summary.runs],
    }
    return json.dumps(report, indent=2) + "\n"


def _run(run: RunReport) -> Mapping[str, Any]:
    return {
        "scenario": run.scenario,
        "family": run.family,
        "title": run.title,
        "seed": run.seed,
        "verdict": run.verdict,
        "trace_hash": run.trace_hash,
        "virtual_s": run.virtual_s,
        "cpu_ms": run.cpu_ms,
        "wall_ms": run.wall_ms,
        "violations": [
            {
                "invariant": finding.invariant,
                "subject": finding.subject,
                "sentence": finding.sentence,
                "history": list(finding.lines),
            }
            for finding in run.violations
        ],
        "reasons": list(run.reasons),
        "not_observed": list(run.not_observed),
        "replay": run.replay,
    }
