"""When a workspace certainly had no capacity, by what its own heartbeats said and the broker took note of.

A heartbeat that was not answered may count or not, and may be late; so a workspace is busy for certain only while
every heartbeat that may be its last word says so, and one of them was acknowledged.
"""

from __future__ import annotations

from sim.invariants.calls import Call
from sim.invariants.delegations import View

CAPACITY = 1
"""The tasks that a workspace of a run takes at once."""


def busy_since(view: View, workspace: str | None, at_s: float) -> float | None:
    """Since when `workspace` has certainly been without capacity at `at_s`; None if that is not certain."""
    beats = [
        call for call in view.heartbeats.get(workspace or "", ()) if call.invoke.at_s <= at_s and not call.had_no_effect
    ]
    known = [beat for beat in beats if beat.status == 200 and beat.end_s <= at_s]
    last_words = [beat for beat in beats if not _superseded(beat, known)]
    if not known or any(beat.invoke.arguments["active_tasks"] < CAPACITY for beat in last_words):
        return None
    return max(beat.end_s for beat in known)


def _superseded(beat: Call, known: list[Call]) -> bool:
    return beat.status == 200 and any(later.invoke.at_s >= beat.end_s for later in known if later is not beat)
