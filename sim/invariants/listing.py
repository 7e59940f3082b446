"""The listing (INV-42): whoever delegated can see all of it, each delegation once, as it stands."""

from __future__ import annotations

from collections.abc import Iterator

from sim.invariants.delegations import View
from sim.invariants.liveness import LISTED_MAX
from sim.invariants.violation import Violation


def caller_sees_every_delegation(view: View) -> Iterator[Violation]:
    """INV-42; a caller with more delegations than a listing holds is not judged."""
    listing = (view.final.listing if view.final else None) or {}
    own: dict[str, int] = {}
    for each in view.delegations.values():
        if each.source is not None:
            own[each.source] = own.get(each.source, 0) + 1
    for each in view.delegations.values():
        if each.source is None or each.source not in listing or own[each.source] > LISTED_MAX:
            continue
        if not each.delegate_rows and each.ledger is None:
            continue
        statuses = [
            str(entry.get("status")) for entry in listing[each.source] if str(entry.get("delegation_id")) == each.id
        ]
        # The ledger may say it in its own words, which must agree with the row's (INV-38).
        ledger = each.ledger["status"] if each.ledger is not None else each.status
        if statuses not in ([each.status], [ledger]):
            said = f"lists it as {', '.join(statuses)}" if statuses else "does not list it"
            yield Violation(
                "INV-42",
                f"{each.label} is {each.status}, but {each.source}'s listing {said}",
                view.evidence(each, final=True),
                each.name,
            )
