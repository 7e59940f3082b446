"""The JSON Schema of scenario files, for editors, made of the same tables that read them.

`python -m sim.scenario.schema` writes `scenario.schema.json` anew. Draft 7: what yaml-language-server supports.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.scenario.format_scenario import SCENARIO
from sim.scenario.reader import Schema

FILE = Path(__file__).with_name("scenario.schema.json")


def scenario_schema() -> Schema:
    """The schema; what it accepts may still be refused by the loader, which also knows names, units and times."""
    definitions: dict[str, Schema] = {}
    root = SCENARIO.schema(definitions)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A fumble scenario",
        **root,
        "definitions": dict(sorted(definitions.items())),
    }


def as_text() -> str:
    """The schema as it stands in the file."""
    return json.dumps(scenario_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
