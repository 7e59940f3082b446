"""Whether two worlds that play one scenario come to the same outcome, and if not, where their ways part.

The simulated world plays several seeds: where a race decides, each of their outcomes is right. The live one agrees if
every fact of its outcome has a value that some seed gave it, or one of several that the scenario expressly leaves open:
a race that milliseconds decide may always end alike in virtual time. How often that was needed is told. A difference is
explained by the first observation, in time, that the live run made and the simulated run did not, or the other way
round, each actor taken by itself.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from reports.history_text import line
from sim.history import (
    Broadcast,
    Contact,
    Entry,
    Fail,
    FaultBegan,
    FaultEnded,
    Final,
    History,
    Info,
    Invoke,
    ModeRead,
    NodeChanged,
    Ok,
)
from sim.outcome import NOTHING, Fact, choices_of, outcome_of
from sim.worlds.run import Run


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that has another value in the live world; `simulated` are the values of the seeds."""

    fact: Fact
    simulated: tuple[str, ...]
    live: str

    def __str__(self) -> str:
        return f"{self.fact.subject} {self.fact.what}: {' or '.join(self.simulated)} simulated, {self.live} live"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first observation that the two runs do not share; a line of the history, or None where there is none more."""

    simulated: str | None
    live: str | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """The comparison of one scenario; without differences the worlds agree.

    `left_open`: what came out as in no simulated run, but as the scenario allows.
    """

    differences: tuple[Difference, ...]
    divergence: Divergence | None
    left_open: tuple[Difference, ...] = ()


def compare(simulated: Sequence[Run], live: Run) -> Agreement:
    """Lay a live run beside the simulated runs of the same scenario; there is at least one of these."""
    outcomes = [outcome_of(run) for run in simulated]
    lived = outcome_of(live)
    facts = sorted({fact for outcome in (lived, *outcomes) for fact in outcome})
    choices = choices_of(live.scenario)
    differences: list[Difference] = []
    left_open: list[Difference] = []
    for fact in facts:
        seen = sorted({outcome.get(fact, NOTHING) for outcome in outcomes})
        if (value := lived.get(fact, NOTHING)) not in seen:
            found = left_open if value in choices.get(fact, ()) else differences
            found.append(Difference(fact, tuple(seen), value))
    divergence = diverging(simulated[0].history, live.history) if differences else None
    return Agreement(tuple(differences), divergence, tuple(left_open))


def diverging(simulated: History, live: History) -> Divergence | None:
    """Where the histories part first; None if every actor does the same in both."""
    ours, theirs = _by_actor(simulated), _by_actor(live)
    partings: list[tuple[float, Divergence]] = []
    for actor in {**ours, **theirs}:
        left, right = ours.get(actor, []), theirs.get(actor, [])
        same = 0
        while same < min(len(left), len(right)) and left[same][0] == right[same][0]:
            same += 1
        if same < max(len(left), len(right)):
            one, other = left[same : same + 1], right[same : same + 1]
            at_s = min(history.entries[index].at_s for history, found in ((simulated, one), (live, other))
                       for _, index in found)  # fmt: skip
            partings.append((at_s, Divergence(_line(simulated, one), _line(live, other))))
    return min(partings, key=lambda parting: parting[0])[1] if partings else None


def _line(history: History, found: Sequence[tuple[Hashable, int]]) -> str | None:
    return line(history, found[0][1]) if found else None


def _by_actor(history: History) -> dict[str, list[tuple[Hashable, int]]]:
    """What each actor does, in its order: the deed without its time, and the entry's index."""
    ops = {
        entry.body["delegation_id"]: entry.op
        for entry in history.entries
        if isinstance(entry, Ok) and isinstance(entry.body, dict) and "delegation_id" in entry.body
    }
    deeds: dict[str, list[tuple[Hashable, int]]] = {}
    for index, entry in enumerate(history.entries):
        if (told := _deed(entry, ops)) is not None:
            actor, deed = told
            deeds.setdefault(actor, []).append((deed, index))
    return deeds


def _deed(entry: Entry, ops: dict[str, str]) -> tuple[str, Hashable] | None:
    match entry:
        case Invoke(op=op):
            return op, "calls"
        case Ok(op=op, status=status):
            return op, status
        case Fail(op=op) | Info(op=op):
            return op, type(entry).__name__
        case Contact(agent=agent, contact=contact, stage=stage, delegation_id=work, status=status):
            return f"agent {agent}", (contact, stage, ops.get(work or ""), status)
        case ModeRead(workspace_id=workspace_id, mode=mode):
            return f"mode of {workspace_id}", mode
        case FaultBegan(fault=fault):
            return fault, "begins"
        case FaultEnded(fault=fault):
            return fault, "ends"
        case NodeChanged(node=node, change=change):
            return node, change
        case Broadcast() | Final():
            return None
