"""The reference broker under load: its capacity against the bare floor, and what a database that blips costs it.

Everything is measured by `fumble load`. All that takes part shares the cores, so a capacity is that of broker, agents
and users together; the floor has clients and agent only. Both have a durable Postgres and nothing in between.

The load with blips is 70 % of the capacity in the same surroundings: Toxiproxy is between broker and database there,
and takes its part of the cores. Its Postgres is the one that `fumble load` starts, which does not flush: this is about
the blips that are meant, and a shared disk has others. The capacity is measured again afterwards, because hosts change
their speed: a share far from 70 % of the mean says that it was another load than was meant.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from string import Template
from typing import Any

from sim.worlds.components.postgres import FOR_CLIENTS, EmbeddedPostgres, embedded_postgres
from tests.benchmarks.broker import DURABLE, floor_round
from tests.benchmarks.figures import Figure

TITLE = "The reference broker under load: at its capacity, and at 70 % of it with a database that blips"

SHARE = 0.7
RECOVERED_WITHIN_S = 3
_WARM_S = 2
"""Seconds at the beginning of a load that are not measured: connections are made in them."""
_IN_A_ROW = 2
_ROOT = Path(__file__).parents[2]
_LOCUSTFILE = _ROOT / "scenarios" / "load" / "locustfile.py"
_GREEN_OR_RED = (0, 1)

_WORKSPACES = """
workspaces:
  ann: {delivery: poll}
  abe: {delivery: poll}
  ada: {delivery: poll}
  amy: {delivery: poll}
  bob: {agent: {reply: done}}
  bea: {agent: {reply: done}}
broker: {retry_delay: 1s}
"""
_AT_CAPACITY = Template("""title: Users ask again as soon as they are answered
$workspaces
load:
  duration: ${duration_s}s
  users:
    - delegator: {count: $users, think: 0s}
    - inbox_poller: {think: 1s}
$faults
""")
_HARMLESS = Template("""faults:
  - {at: ${at_s}s, toxic: {link: broker-database, type: latency, latency: 0s}, for: 1s}
""")
"""It brings Toxiproxy in between, that is all."""
_WITH_BLIPS = Template("""title: The database is away again and again, under a steady load
$workspaces
load:
  duration: ${duration_s}s
  users:
    - inbox_poller: {think: 1s}
    - duplicator: {count: 2, think: 500ms}
  arrivals:
    - constant: ${rate}/s
faults:
$faults
""")
_FAULT = Template("  - {at: ${at_s}s, down: broker-database, for: ${for_s}s}")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long what is measured lasts, in seconds. A blip of `blip_s` begins after `calm_s`, then every `every_s`."""

    capacity_s: int
    load_s: int
    calm_s: int
    """Its worst second says what a calm second can be: the more there are, the less is taken for a blip's doing."""
    every_s: int
    blip_s: int
    floor: int
    """Delegations that the floor is given."""
    users: int = 16
    """Who never pause; so many bring the broker to its capacity."""


FULL = Plan(capacity_s=20, load_s=80, calm_s=20, every_s=10, blip_s=2, floor=1500)
QUICK = Plan(capacity_s=3, load_s=6, calm_s=3, every_s=3, blip_s=1, floor=60, users=2)

Report = Mapping[str, Any]


def measure(quick: bool) -> Iterator[Figure]:
    """Capacity and its ratio to the floor; then lost, doubled, and p99 after each blip."""
    plan = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="fumble-bench-") as temporary:
        folder = Path(temporary)
        with embedded_postgres(listen_tcp=True, on_disk=True, settings=DURABLE) as server:
            floor = asyncio.run(floor_round(server, "floor", plan.floor))
            capacity = _capacity(plan, folder, server)
        with embedded_postgres(listen_tcp=True, on_disk=True, settings=FOR_CLIENTS) as server:
            before = _capacity(plan, folder, server, _HARMLESS.substitute(at_s=plan.capacity_s - 1))
            rate = max(round(SHARE * before), 1)
            faults = "\n".join(_FAULT.substitute(at_s=at_s, for_s=plan.blip_s) for at_s in _blips(plan))
            text = _WITH_BLIPS.substitute(workspaces=_WORKSPACES, duration_s=plan.load_s, rate=rate, faults=faults)
            report = _played(text, server.dsn(), folder)
            after = _capacity(plan, folder, server, _HARMLESS.substitute(at_s=plan.capacity_s - 1))
    yield Figure("bare floor: accepted and completed", floor.rate, "/s")
    yield Figure("broker under load: accepted and completed", capacity, "/s")
    yield Figure("broker under load against the bare floor", capacity / floor.rate, "times")
    yield Figure("where the blips are: capacity before them", before, "/s")
    yield Figure("where the blips are: capacity after them", after, "/s")
    yield Figure(f"load at {SHARE:.0%} of the first: arrivals", rate, "/s")
    yield Figure("that is, of the mean of both", 100 * rate / mean((before, after)), "%")
    for gate in ("lost", "duplicates"):
        name = {"duplicates": "doubled"}.get(gate, gate)
        yield Figure(f"{name}, of {report['accepted']:,} delegations", _gate(report, gate), at_most=0)
    limit_s = calm_p99_s(report["seconds"], plan.calm_s)
    yield Figure("p99 in the worst second before the blips", limit_s * 1e3, "ms")
    noise = noisy_share(report["seconds"], report["bands"], limit_s=limit_s)
    yield Figure("later seconds beside blips with a worse p99", 100 * noise, "%", note="what the machine does to it")
    for band in report["bands"]:
        until_s = min(int(band["to_s"]) + plan.every_s - plan.blip_s, plan.load_s)
        after_s, note = recovery_s(report["seconds"], from_s=int(band["to_s"]), until_s=until_s, limit_s=limit_s)
        name = f"p99 is back after the blip at {band['from_s']:.0f} s in"
        yield Figure(name, after_s, "s", at_most=RECOVERED_WITHIN_S, note=note)


def _capacity(plan: Plan, folder: Path, server: EmbeddedPostgres, faults: str = "") -> float:
    """Delegations a second that come to their end when users never pause."""
    text = _AT_CAPACITY.substitute(workspaces=_WORKSPACES, duration_s=plan.capacity_s, users=plan.users, faults=faults)
    return completed_a_second(_played(text, server.dsn(), folder))


def completed_a_second(report: Report) -> float:
    """Delegations that came to their end in a second. In the first half, the backlog grows to what it stays at."""
    seconds = [each for each in report["seconds"] if report["duration_s"] / 2 <= each["at_s"] < report["duration_s"]]
    return float(sum(each["completed"] for each in seconds) / len(seconds))


def calm_p99_s(seconds: Sequence[Report], until_s: int) -> float:
    """The p99 of the worst second before the first blip."""
    return max(each["p99_s"] for each in seconds if _WARM_S <= each["at_s"] < until_s and each["p99_s"] is not None)


def recovery_s(seconds: Sequence[Report], *, from_s: int, until_s: int, limit_s: float) -> tuple[int, str]:
    """Whole seconds from a blip's end until the p99 of two in a row is no worse than `limit_s`; and what to note.

    A second's p99 is that of the requests that were due in it.
    """
    p99_s = {each["at_s"]: each["p99_s"] for each in seconds}
    for second in range(from_s, until_s):
        following = [p99_s.get(each) for each in range(second, min(second + _IN_A_ROW, until_s))]
        if all(each is not None and each <= limit_s for each in following):
            return second - from_s, ""
    return until_s - from_s, "not before the next one"


def noisy_share(seconds: Sequence[Report], bands: Sequence[Report], *, limit_s: float) -> float:
    """Of the seconds that are neither in a blip nor soon after one, those with a p99 worse than `limit_s`."""
    beside = [
        each["p99_s"]
        for each in seconds
        if each["p99_s"] is not None
        and not any(int(b["from_s"]) <= each["at_s"] <= b["to_s"] + RECOVERED_WITHIN_S for b in bands)
    ]
    return sum(p99_s > limit_s for p99_s in beside) / len(beside) if beside else 0.0


def _blips(plan: Plan) -> range:
    return range(plan.calm_s, plan.load_s - plan.blip_s, plan.every_s)


def _gate(report: Report, name: str) -> float:
    (gate,) = (each for each in report["gates"] if each["gate"] == name)
    return float(gate["measured"])


def _played(scenario: str, postgres: str, folder: Path) -> Report:
    """The report of a load. Raises RuntimeError if it is incomplete: its figures would be of something else."""
    file = folder / "scenario.yaml"
    file.write_text(scenario)
    command = [sys.executable, "-m", "sim.cli", "load", str(file), "--locustfile", str(_LOCUSTFILE)]
    command += ["--postgres", postgres, "--html", str(folder / "report.html"), "--output", "json"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode not in _GREEN_OR_RED:
        raise RuntimeError(f"the load ended with exit code {done.returncode}: {done.stderr}\n{done.stdout}")
    report: Report = json.loads(done.stdout)
    if report["reasons"]:
        raise RuntimeError(f"the load is incomplete: {'; '.join(report['reasons'])}")
    return report
