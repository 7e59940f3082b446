"""Rows of `activity_logs` as a test expects them, one function for each kind of the contract's table (A1 to A10)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.contract.world import ANN, BOB, POLLY, World

NAMES = {ANN: "ann", BOB: "bob", POLLY: "polly"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of `activity_logs`. `whose`: workspace, source and target. Of a message's row, `request` is its id."""

    whose: tuple[str | None, str | None, str | None]
    kind: str
    method: str
    status: str
    request: Any
    response: Any
    summary: str
    error: str | None = None
    key: str | None = None


async def rows_of(it: World) -> list[Row]:
    found = []
    for row in await it.rows.fetch("SELECT * FROM activity_logs ORDER BY seq"):
        request, response = (row[name] and json.loads(row[name]) for name in ("request_body", "response_body"))
        if row["message_id"] is not None:
            assert request["params"]["message"]["messageId"] == row["message_id"]
            request = row["message_id"]
        ids = [row[name] and str(row[name]) for name in ("workspace_id", "source_id", "target_id")]
        whose = tuple(each and NAMES[each] for each in ids)
        found.append(
            Row(
                whose, row["activity_type"], row["method"], row["status"], request, response, row["summary"],  # type: ignore[arg-type]
                row["error_detail"], row["idempotency_key"],
            )
        )  # fmt: skip
    return found


def delegate(d: str, status: str, *, to: str = BOB, error: str | None = None, **more: Any) -> Row:
    """A1 to A3."""
    request = {"task": "write the tests", "delegation_id": d, **more.pop("request", {})}
    whose = ("ann", "ann", NAMES[to])
    return Row(whose, "delegation", "delegate", status, request, None, f"Delegating to {to}", error, **more)


def completed(d: str, text: str, *, to: str | None = "bob") -> Row:
    """A6 and A9, and from a report A7."""
    response = {"text": text, "delegation_id": d}
    whose = ("ann", "ann", to)
    return Row(whose, "delegation", "delegate_result", "completed", None, response, f"Delegation completed ({text})")


def failed(d: str, error: str, *, to: str | None = "bob") -> Row:
    """A4, and from a report A8."""
    whose, response = ("ann", "ann", to), {"delegation_id": d}
    return Row(whose, "delegation", "delegate_result", "failed", None, response, "Delegation failed", error)


def queued(d: str, summary: str, *, to: str = "bob") -> Row:
    """A5."""
    response = {"queued": True, "delegation_id": d}
    return Row(("ann", "ann", to), "delegation", "delegate_result", "queued", None, response, summary)


def inbox(d: str, *, text: str = "", error: str | None = None) -> Row:
    """A10."""
    request, response = {"delegation_id": d}, {"text": text, "delegation_id": d}
    status, summary = ("error", "Delegation failed") if error else ("ok", "Delegation result delivered")
    whose = ("ann", "ann", None)
    return Row(whose, "a2a_receive", "delegate_result", status, request, response, summary, error)


def message(
    message_id: str, summary: str, *, source: str | None = "ann", to: str = "bob", response: Any = None,
    error: str | None = None,
) -> Row:  # fmt: skip
    whose, status = (to, source, to), "error" if error else "ok"
    return Row(whose, "a2a_receive", "message/send", status, message_id, response, summary, error)
