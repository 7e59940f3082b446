"""The JSON Schema of adapter files, for editors, made of the same table that reads them.

`python -m sim.adapter.schema` writes `adapter.schema.json` anew. Draft 7: what yaml-language-server supports.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.adapter.format import ADAPTER
from sim.scenario.reader import Schema

FILE = Path(__file__).with_name("adapter.schema.json")


def as_text() -> str:
    """The schema as it stands in the file."""
    definitions: dict[str, Schema] = {}
    root = ADAPTER.schema(definitions)
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A fumble adapter: how to play against a broker of your own",
        **root,
        "definitions": dict(sorted(definitions.items())),
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(as_text(), encoding="utf-8")
