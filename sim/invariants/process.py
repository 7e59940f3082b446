"""The broker's process (INV-08, INV-77): it answers until it is told to go, and when it is told, it goes in time.

An error in the background, of a drain or of anything else, must not take the process along. Standing still delays
whatever the broker does, so the time of a pause does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from sim.history import Fail, NodeChanged, Ok
from sim.invariants.calls import Call
from sim.invariants.delegations import View
from sim.invariants.faults import CLIENT_LINK, DATABASE
from sim.invariants.violation import Violation

BROKER = "broker"
SILENCE_S = 30.0
"""What does not wait for an agent is answered long before."""
STARTING_S = 60.0
"""So long after a disturbance the broker may still be starting."""
_WAITS_FOR_AGENTS = ("send", "mcp")


@dataclass(slots=True)
class _Stop:
    """The broker was asked to stop at `asked_s`; `gone_s` is infinite while it is there; it stood still `paused_s`."""

    asked_s: float
    entries: tuple[int, ...]
    gone_s: float = inf
    paused_s: float = 0.0


def stopped_within_its_grace(view: View) -> Iterator[Violation]:
    """INV-08; a broker that loses its power meanwhile is gone as well."""
    flags = view.history.flags
    seen_s = view.final.at_s if view.final is not None else 0.0
    for stop in _stops(view):
        took_s = min(stop.gone_s, seen_s) - stop.asked_s - stop.paused_s
        if took_s > flags.grace_s + flags.closing_s:
            when = f"was asked to stop at {stop.asked_s:.3f} s with a grace of {flags.grace_s:g} s"
            then = f"was gone {took_s:.1f} s later" if stop.gone_s < inf else f"was still there {took_s:.1f} s later"
            yield Violation("INV-08", f"The broker {when}, and {then}", stop.entries, BROKER)


def goes_on_answering(view: View) -> Iterator[Violation]:
    """INV-77; whether it answers is judged where nothing on the way to an answer was disturbed."""
    asked = False
    for index, entry in _changes(view):
        if entry.change == "stopped" and not asked:
            why = f": {entry.why}" if entry.why else ""
            sentence = f"The broker's process ended at {entry.at_s:.3f} s, and nobody had asked it to{why}"
            yield Violation("INV-77", sentence, (index,), BROKER)
        asked = entry.change == "stopping" or (asked and entry.change in ("paused", "resumed"))
    for call in view.calls.values():
        end = call.end
        if end is None or isinstance(end, Ok):
            continue
        # One connection that is lost says nothing of the process.
        silent = call.invoke.action not in _WAITS_FOR_AGENTS and call.end_s - call.invoke.at_s >= SILENCE_S
        if (isinstance(end, Fail) or silent) and view.broker_runs and not _disturbed(view, call):
            sentence = f"The broker did not answer {call.op}, though nothing had disturbed it: {end.reason}"
            yield Violation("INV-77", sentence, call.entries, call.op)


def _changes(view: View) -> Iterator[tuple[int, NodeChanged]]:
    """Those of the broker."""
    return ((index, entry) for index, entry in view.node_changes if entry.node == BROKER)


def _stops(view: View) -> list[_Stop]:
    stops: list[_Stop] = []
    going: _Stop | None = None
    paused_since_s: float | None = None
    for index, entry in _changes(view):
        if entry.change == "paused":
            paused_since_s = entry.at_s
        elif entry.change == "resumed":
            if going is not None and paused_since_s is not None:
                going.paused_s += entry.at_s - max(paused_since_s, going.asked_s)
            paused_since_s = None
        elif entry.change == "stopping":
            going = _Stop(entry.at_s, (index,))
            stops.append(going)
        elif going is not None:
            going.gone_s, going.entries = entry.at_s, (*going.entries, index)
            going = None
    if going is not None and view.final_index is not None:
        going.entries += (view.final_index,)
    return stops


def _disturbed(view: View, call: Call) -> bool:
    on_the_way = (BROKER, CLIENT_LINK, *DATABASE, call.op, "")
    from_s = call.invoke.at_s - STARTING_S
    return any(each.where in on_the_way and each.overlaps(from_s, call.end_s) for each in view.disturbances)
