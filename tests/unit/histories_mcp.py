"""Histories of MCP tasks made by hand; `CORRECT` are those that break no invariant."""

from __future__ import annotations

import json
from typing import Any

from sim.history import Contact, Invoke, ModeRead, Ok

from .histories import Run, workspace_id

ASYNC, SYNC = "delegate_task_async", "delegate_task"


def said(text: str) -> dict[str, Any]:
    """The JSON-RPC answer to a tool call."""
    return {"jsonrpc": "2.0", "id": "x", "result": {"content": [{"type": "text", "text": text}]}}


def refused(message: str) -> dict[str, Any]:
    """The JSON-RPC answer of a tool that could not do its work."""
    return {"jsonrpc": "2.0", "id": "x", "error": {"code": -32000, "message": message}}


def asked(run: Run, answer: dict[str, Any], *, tool: str = ASYNC, target: str = "bob") -> None:
    """The call `d1`, answered at once or, by the tool that waits, after two seconds."""
    run.entries.append(Invoke(0.0, "d1", "mcp", "ann", {"target": target, "tool": tool, "task": "work of d1"}))
    run.entries.append(Ok(0.01 if tool == ASYNC else 2.0, "d1", 200, answer))


def queued(*, status: str = "queued", target: str = "bob") -> dict[str, Any]:
    """The answer to a task that was handed out."""
    return said(json.dumps({"task_id": "id-d1", "status": status, "target_id": workspace_id(target)}))


def checked(run: Run, status: str, *, op: str = "c1", at_s: float = 2.0, by: str = "ann", task: str = "id-d1") -> Run:
    """A check of `d1`, and what it was told."""
    run.entries.append(Invoke(at_s, op, "check", by, {"delegation": "d1"}))
    run.entries.append(Ok(at_s + 0.01, op, 200, said(json.dumps({"task_id": task, "status": status}))))
    return run


def delivered(*, replied_s: float = 0.1, ended_s: float = 1.0) -> Run:
    """A task that was handed out and done."""
    run = Run()
    asked(run, queued())
    run.contact("id-d1", at_s=replied_s)
    run.inbound("id-d1")
    run.stored("id-d1", task="work of d1", status="completed", ended_s=ended_s)
    return run


def declined(detail: str = "http_status: 500", *, status: int | None = 500) -> Run:
    """A task that its agent answered with an error status; with None, with nothing at all."""
    run = Run()
    asked(run, queued())
    run.contact("id-d1", at_s=0.1, status=status, text=None)
    run.inbound("id-d1")
    run.stored("id-d1", task="work of d1", status="failed", detail=detail)
    return run


def delivered_and_checked() -> Run:
    run = checked(delivered(ended_s=3.0), "queued", op="c1", at_s=2.0)
    checked(run, "not_found", op="c2", at_s=2.5, by="dee")
    return checked(run, "delivered", op="c3", at_s=4.0)


def declined_and_checked() -> Run:
    return checked(declined(), "failed")


def offline() -> Run:
    run = declined("target_offline: failed to reach workspace agent")
    run.without(Contact)
    run.fault("f1", where="broker-agent:bob", at_s=0.0, until_s=9.0)
    return run


def answered_too_late() -> Run:
    """The agent's reply comes after the tool's budget, though well within that of an ordinary delegation."""
    run = declined("execution budget exhausted")
    run.without(Contact)
    run.without(ModeRead)
    run.contact("id-d1", at_s=9.0)
    run.entries.append(ModeRead(0.05, workspace_id("bob"), "push"))
    return run


def waited_for() -> Run:
    run = Run()
    asked(run, said("done"), tool=SYNC)
    run.contact("id-d1", at_s=0.1)
    run.inbound("id-d1")
    run.stored("id-d1", task="work of d1", status="completed")
    return run


def waited_for_in_vain() -> Run:
    run = declined()
    run.without(Invoke)
    run.without(Ok)
    asked(run, refused("http_status: 500"), tool=SYNC)
    return run


def left_to_a_poller() -> Run:
    run = Run()
    asked(run, queued(target="cid"), target="cid")
    run.inbound("id-d1", target="cid")
    run.stored("id-d1", task="work of d1", status="queued", target="cid")
    return checked(run, "queued")


CORRECT = (
    delivered_and_checked, declined_and_checked, offline, answered_too_late,
    waited_for, waited_for_in_vain, left_to_a_poller,
)  # fmt: skip
