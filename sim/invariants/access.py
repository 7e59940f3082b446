"""Who may be sent to (INV-15): what the hierarchy denies reaches nobody and leaves nothing.

Ancestors, descendants and siblings may talk, and two roots are siblings. A workspace that the broker does not know may
talk to nobody. Both are facts of the scenario, so the broker's own opinion of them is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sim.history import Member
from sim.invariants.delegations import View
from sim.invariants.messages import Message
from sim.invariants.violation import Violation


def denied_leaves_nothing(view: View) -> Iterator[Violation]:
    """INV-15."""
    for message in view.messages():
        if not _is_denied(view, message) or not (message.requests or message.inbound_rows):
            continue
        yield Violation(
            "INV-15",
            f"{message.label} is denied by the hierarchy, and yet there are {len(message.requests)} requests at "
            f"{message.target} and {len(message.inbound_rows)} rows for it",
            view.evidence(message, final=bool(message.inbound_rows)),
            message.name,
        )


def may_be_refused(view: View, message: Message) -> bool:
    """Whether a broker may, or must, refuse the message for who sends it, who gets it, or what that one has spent."""
    member = view.history.members.get(message.target or "")
    unknown_once = member is not None and member.delivery == "none"
    return unknown_once or (member is not None and member.budget_cents is not None) or _is_denied(view, message)


def _is_denied(view: View, message: Message) -> bool:
    members = view.history.members
    source, target = message.source or "", message.target or ""
    if source not in members or target not in members or source == target:
        return False
    # One that registers is a root from then on, and what it was asked before or after cannot always be told apart.
    if any(members[name].delivery == "none" and _registers(view, name) for name in (source, target)):
        return False
    above_source, above_target = _line(members, source), _line(members, target)
    if not above_source or not above_target:
        return True
    return not (source in above_target or target in above_source or above_source[1:2] == above_target[1:2])


def _line(members: Mapping[str, Member], name: str) -> list[str]:
    """The workspace, its parent, and so on; empty if the broker does not know it."""
    line: list[str] = []
    above = name
    while above in members and members[above].delivery != "none" and above not in line:
        line.append(above)
        above = members[above].parent or ""
    return line


def _registers(view: View, name: str) -> bool:
    return any(call.invoke.workspace == name for call in view.calls_of("register"))
