"""The endpoints that take a body, with one that each accepts: what bad input and fuzzing begin with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.contract.world import BOB, POLLY

NEWCOMER = "00000000-0000-4000-8000-0000000000fe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An endpoint with a body. `body` is accepted; `refusal` is the error that is told of a body that is not.

    `uuids`: members that have to be UUIDs, with the error text for others. `texts` and `numbers`: members of other
    types; `free`: those that may be any text.
    """

    path: str
    body: dict[str, Any]
    refusal: Any
    accepted: int = 200
    guarded: bool = True
    uuids: dict[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


ENDPOINTS = (
    Endpoint(
        path="/workspaces/{id}/delegate",
        body={"target_id": POLLY, "task": "write the tests"},
        refusal="invalid delegation request",
        accepted=202,
        uuids={"target_id": "target_id must be a valid UUID"},
        texts=("task", "idempotency_key"),
        free=("task", "idempotency_key"),
        required=("target_id", "task"),
    ),
    Endpoint(
        path="/workspaces/{id}/delegations/{delegation_id}/update",
        body={"status": "completed", "response_preview": "done", "error": ""},
        refusal="invalid request body",
        texts=("status", "response_preview", "error"),
        free=("response_preview", "error"),
        required=("status",),
    ),
    Endpoint(
        path="/workspaces/{id}/a2a",
        body={"method": "message/send", "params": {"message": {"parts": []}}},
        refusal="invalid JSON",
        guarded=False,
    ),
    Endpoint(
        path="/registry/register",
        body={"id": NEWCOMER, "agent_card": {}, "url": "", "delivery_mode": "poll"},
        refusal="invalid registration request",
        guarded=False,
        uuids={"id": "invalid registration request"},
        texts=("url", "delivery_mode"),
        required=("id", "agent_card"),
    ),
    Endpoint(
        path="/registry/heartbeat",
        body={"workspace_id": BOB, "current_task": "x", "active_tasks": 1, "error_rate": 0.5, "monthly_spend": 1},
        refusal="invalid heartbeat request",
        guarded=False,
        uuids={"workspace_id": "invalid heartbeat request"},
        texts=("current_task", "runtime_state"),
        free=("current_task", "runtime_state"),
        required=("workspace_id",),
        numbers=("active_tasks", "error_rate", "monthly_spend"),
    ),
    Endpoint(
        path="/workspaces/{id}/activity",
        body={"activity_type": "agent_log", "summary": "thinking", "target_id": POLLY, "duration_ms": 7},
        refusal="invalid request body",
        uuids={"target_id": "target_id must be a valid UUID"},
        texts=("activity_type", "source_id", "method", "summary", "error_detail", "status"),
        free=("method", "summary", "error_detail", "status"),
        numbers=("duration_ms",),
    ),
    Endpoint(
        path="/workspaces/{id}/notify",
        body={"message": "hello"},
        refusal="message is required",
        texts=("message",),
        free=("message",),
        required=("message",),
    ),
    Endpoint(
        path="/workspaces/{id}/mcp",
        body={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
        refusal={"code": -32700, "message": "parse error"},
    ),
    Endpoint(
        path="/workspaces/{id}/delegations/record",
        body={"target_id": POLLY, "task": "write the tests", "delegation_id": "mine"},
        refusal="invalid request body",
        accepted=202,
        uuids={"target_id": "target_id must be a valid UUID"},
        texts=("task", "delegation_id"),
        free=("delegation_id",),
        required=("target_id", "task", "delegation_id"),
    ),
)
