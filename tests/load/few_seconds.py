"""A load of a few seconds with everything in it, and variants of it, as files; and the command that plays them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.fumble_process import REPOSITORY, fumble

SCENARIO = """title: A few seconds of nearly everything
workspaces:
  ann: {delivery: poll}
  abe: {delivery: poll}
  bob: {agent: {reply: done}}
  pat: {delivery: poll}
broker: {retry_delay: 500ms}
load:
  duration: 3s
  users:
    - delegator: {count: 2, think: 100ms}
    - mcp_client: {count: 1, think: 300ms, targets: bob}
    - inbox_poller: {think: 300ms}
    - poll_agent: {think: 300ms, targets: pat}
    - canvas: {count: 1, think: 200ms, targets: bob}
    - leaver: {count: 2, think: 100ms, share: 50%}
    - duplicator: {count: 1, think: 200ms}
  arrivals:
    - ramp: {from: 5/s, to: 20/s}
"""
RAMP = "- ramp: {from: 5/s, to: 20/s}"
HEART = "- heart: {targets: bob, busy: 1s, free: 1s}\n"
"""It fills the queue, which takes six seconds more to come to rest."""
BLIP = """faults:
  - at: 1s
    down: broker-database
    for: 500ms
  - at: 2s
    kill: agent:bob
    restart_after: 500ms
"""
STEPS = "title: t\nworkspaces:\n  ann:\nsteps:\n  - list: {of: ann}\n"
LOCUSTFILE = str(REPOSITORY / "scenarios" / "load" / "locustfile.py")


def write_loads(folder: Path) -> None:
    """Put them all there."""
    (folder / "load.yaml").write_text(SCENARIO)
    (folder / "everything.yaml").write_text(SCENARIO.replace("  arrivals:", f"    {HEART}  arrivals:"))
    (folder / "blip.yaml").write_text(SCENARIO + BLIP)
    (folder / "spike.yaml").write_text(SCENARIO.replace(RAMP, "- spike: {rate: 1/s, peak: 9/s, at: 2s, for: 500ms}"))
    (folder / "soak.yaml").write_text(SCENARIO + "  random_faults: {every: 3s, for: 1s}\n")
    (folder / "steps.yaml").write_text(STEPS)


def load(folder: Path, *arguments: str, **more: Any) -> Any:
    """The command, and what it said as JSON."""
    done = fumble("load", *arguments, "--locustfile", LOCUSTFILE, "--output", "json", folder=folder, **more)
    return done, json.loads(done.stdout) if done.stdout else None
