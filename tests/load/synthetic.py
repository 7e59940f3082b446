"""A load that never was: its records, contacts and rows, as a correct broker would have left them, however many.

Half of the delegations are made by `/delegate`, a few of them twice under a key; the others by an MCP tool, with two
checks. Each is delivered, completed, told in the inbox, and read there by its caller's poller.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sim.history import Contact, Flags, Member
from sim.worlds.load import rows as tables
from sim.worlds.load.conclude import Evidence
from sim.worlds.load.contacts import ContactFile
from sim.worlds.load.locust import Began
from sim.worlds.load.records import FORMAT, SUFFIX, Recorder, machine

CALLERS = [f"caller{number}" for number in range(8)]
AGENTS = [f"agent{number}" for number in range(8)]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_SPACE = uuid.UUID(int=7)
_GAP_S = 0.001
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Work:
    """One delegation of the synthetic load."""

    number: int
    id: str
    caller: str
    agent: str
    tool: bool
    key: str | None
    at_s: float

    @property
    def op(self) -> str:
        """The operation that asked for it."""
        return f"w1-{self.number}"

    @property
    def task(self) -> str:
        """What is to be done."""
        return f"[{self.op}] write the tests"


def members() -> dict[str, Member]:
    """All workspaces."""
    found = {name: Member(name, str(uuid.uuid5(_SPACE, name)), "poll") for name in CALLERS}
    return found | {name: Member(name, str(uuid.uuid5(_SPACE, name)), "push") for name in AGENTS}


MEMBERS = members()


def works(count: int) -> Iterator[Work]:
    """The delegations, in the order in which they are asked for."""
    for number in range(count):
        yield Work(
            number,
            str(uuid.uuid5(_SPACE, str(number))),
            CALLERS[number % 8],
            AGENTS[number // 8 % 8],
            tool=number % 2 == 1,
            key=f"key-{number}" if number % 10 == 0 else None,
            at_s=number * _GAP_S,
        )


def write_records(folder: Path, count: int, workers: int) -> int:
    """The files of all workers, among whom the callers are shared out; the number of their operations."""
    return sum(_write_worker(folder, count, f"w{one + 1}", CALLERS[one::workers]) for one in range(workers))


def _write_worker(folder: Path, count: int, name: str, callers: Sequence[str]) -> int:
    operations = 0
    with (folder / f"{name}{SUFFIX}").open("w") as file:

        def put(*record: Any) -> None:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")

        put(FORMAT, name, 0.0, 0.0, machine())
        for work in works(count):
            if work.caller not in callers:
                continue
            at_s = work.at_s
            if work.tool:
                arguments = {"target": work.agent, "tool": "delegate_task_async", "task": work.task}
                put("b", work.op, at_s, at_s, "mcp", work.caller, arguments)
                put("o", work.op, at_s + 0.002, 200, _tool(work, "queued"))
                for number, (after_s, status) in enumerate(((0.004, "queued"), (0.5, "delivered"))):
                    op = f"{work.op}-check{number}"
                    put(
                        "b",
                        op,
                        at_s + after_s,
                        at_s + after_s,
                        "check",
                        work.caller,
                        {"delegation": work.op, "about": work.id},
                    )
                    put("o", op, at_s + after_s + 0.001, 200, _tool(work, status))
                operations += 3
                continue
            arguments = {"target": work.agent, "task": work.task, "key": work.key}
            put("b", work.op, at_s, at_s, "delegate", work.caller, arguments)
            answer = {"delegation_id": work.id, "status": "delegated", "target_id": MEMBERS[work.agent].workspace_id}
            put("o", work.op, at_s + 0.002, 202, answer)
            operations += 1
            if work.key is not None:
                put("b", f"{work.op}-again", at_s + 0.003, at_s + 0.003, "delegate", work.caller, arguments)
                put("o", f"{work.op}-again", at_s + 0.004, 200, {**answer, "status": "pending", "idempotent_hit": True})
                operations += 1
        operations += _write_polls(put, count, callers)
        put("end", operations)
    return operations


def _write_polls(put: Any, count: int, callers: Sequence[str]) -> int:
    """Each caller reads its inbox to the end, some rows at a time."""
    polls = 0
    for caller in callers:
        since = None
        mine = [work for work in works(count) if work.caller == caller]
        for start in range(0, len(mine), 50):
            rows = [
                {
                    "id": _row_id(work, "inbox"),
                    "workspace_id": MEMBERS[caller].workspace_id,
                    "method": "delegate_result",
                    "delegation_id": work.id,
                }
                for work in mine[start : start + 50]
            ]
            op, at_s = f"w1-poll-{caller}-{start}", mine[min(start + 50, len(mine)) - 1].at_s + 1.0
            put("b", op, at_s, at_s, "inbox", caller, {"since": since})
            put("o", op, at_s + 0.001, 200, rows[::-1] if since is None else rows)
            since, polls = rows[-1]["id"], polls + 1
    return polls


def write_contacts(file: Path, count: int) -> ContactFile:
    """What the agents saw."""
    contacts = ContactFile(file)
    seen = dict.fromkeys(AGENTS, 0)
    for work in works(count):
        seen[work.agent] += 1
        number, at_s = seen[work.agent], work.at_s + 0.01
        contacts.add(Contact(at_s, work.agent, number, "opened"))
        contacts.add(Contact(at_s, work.agent, number, "delivered", work.id, work.id))
        contacts.add(Contact(at_s + 0.01, work.agent, number, "answered", work.id, work.id, 200, 120, text="done"))
    contacts.close()
    return contacts


class Rows:
    """The database of a broker that did everything right; its answers lie in files: giving them costs little."""

    def __init__(self, count: int, folder: Path) -> None:
        self._count = count
        self._folder = folder
        self._answers: dict[str, Path] = {}

    def prepare(self, query: str) -> None:
        """Write the answer to a query down."""
        self._answers[query] = file = self._folder / f"answer-{len(self._answers)}"
        with file.open("w") as lines:
            for row in self._rows(query):
                lines.write("\t".join("" if value is None else value for value in row) + "\n")

    async def stream(self, query: str) -> AsyncIterator[Sequence[Any]]:
        """Answers the queries of `rows`."""
        if query not in self._answers:
            self.prepare(query)
        with self._answers[query].open() as lines:
            while batch := [line.rstrip("\n").split("\t") for line in islice(lines, BATCH)]:
                yield batch

    async def ask(self, query: str, *arguments: object) -> Sequence[Any]:
        """Nothing by the second."""
        return []

    def prepare_all(self) -> None:
        """Write all answers down."""
        for query in (tables.DELEGATE_ROWS, *(query for _, query in tables.OTHER_ROWS)):
            self.prepare(query)
        for member in MEMBERS.values():
            self.prepare(tables.INBOX_ROWS.format(member.workspace_id))

    def _rows(self, query: str) -> Iterator[Any]:
        if query == tables.WORKSPACES:
            yield from (
                (json.dumps({"id": each.workspace_id, "last_heartbeat_at": None}),) for each in MEMBERS.values()
            )
        elif query in (tables.ANNOUNCED, tables.HEARTBEATS):
            return
        elif query == tables.DELEGATE_ROWS:
            for work in works(self._count):
                yield work.id, MEMBERS[work.caller].workspace_id, work.key, work.task, _delegate_row(work)
        elif "FROM delegations" in query:
            yield from ((work.id, _ledger_row(work)) for work in works(self._count))
        elif "FROM structure_events" in query:
            yield from ((work.id, _event_row(work)) for work in works(self._count))
        elif "FROM a2a_queue" in query:
            return
        elif "json_build_object" in query:
            yield from (
                (_inbox_place(work),) for work in works(self._count) if MEMBERS[work.caller].workspace_id in query
            )
        else:
            for work in works(self._count):
                yield from ((work.id, row) for row in _activity_rows(work))


async def no_more(recorder: Recorder, name: str, cursor: str | None) -> bool:
    """Every inbox has been read to its end already."""
    return True


def evidence(folder: Path, count: int, *, workers: int = 1) -> tuple[Evidence, int]:
    """A load of so many delegations, and the number of its operations."""
    operations = write_records(folder, count, workers)
    found = Evidence(
        folder=folder,
        began=Began(0.0, 0.0),
        members=MEMBERS,
        flags=Flags(),
        epoch=EPOCH,
        duration_s=count * _GAP_S,
        ended_s=count * _GAP_S + 20,
        spans=(),
        contacts=write_contacts(folder / "agents.contacts", count),
        workers=workers,
        aftermath_s=0.0,
    )
    return found, operations


def _tool(work: Work, status: str) -> Any:
    task = {"task_id": work.id, "status": status, "target_id": MEMBERS[work.agent].workspace_id}
    return {"jsonrpc": "2.0", "id": work.op, "result": {"content": [{"type": "text", "text": json.dumps(task)}]}}


def _row_id(work: Work, kind: str) -> str:
    return str(uuid.uuid5(_SPACE, f"{work.number}/{kind}"))


def _time(work: Work, after_s: float) -> str:
    return (EPOCH + timedelta(seconds=work.at_s + after_s)).isoformat()


def _activity(work: Work, kind: str, after_s: float, seq: int, **columns: Any) -> str:
    return json.dumps(
        {
            "id": _row_id(work, kind),
            "workspace_id": MEMBERS[work.caller].workspace_id,
            "activity_type": "delegation",
            "source_id": MEMBERS[work.caller].workspace_id,
            "target_id": MEMBERS[work.agent].workspace_id,
            "method": "delegate_result",
            "summary": "delegation",
            "request_body": None,
            "response_body": None,
            "duration_ms": None,
            "status": "completed",
            "error_detail": None,
            "created_at": _time(work, after_s),
            "idempotency_key": None,
            "tool_trace": None,
            "message_id": None,
            "delegation_id": work.id,
            "recorded": False,
            "seq": work.number * 4 + seq,
            **columns,
        }
    )


def _delegate_row(work: Work) -> str:
    asked = {"task": work.task, "delegation_id": work.id}
    key = work.key
    return _activity(work, "delegate", 0.001, 0, method="delegate", request_body=asked, idempotency_key=key)


def _activity_rows(work: Work) -> Iterator[str]:
    told = {"text": "done", "delegation_id": work.id}
    named = {"delegation_id": work.id}
    message = {"params": {"message": {"messageId": work.id, "parts": [{"kind": "text", "text": work.task}]}}}
    at_agent = MEMBERS[work.agent].workspace_id
    receive: dict[str, Any] = {"activity_type": "a2a_receive", "status": "ok"}
    yield _activity(
        work, "inbound", 0.008, 1, method="message/send", request_body=message, workspace_id=at_agent, **receive
    )
    yield _activity(work, "result", 0.025, 2, request_body=named, response_body=told)
    yield _activity(work, "inbox", 0.025, 3, request_body=named, response_body=told, **receive)


def _inbox_place(work: Work) -> str:
    return json.dumps(
        {
            "id": _row_id(work, "inbox"),
            "workspace_id": MEMBERS[work.caller].workspace_id,
            "activity_type": "a2a_receive",
            "created_at": _time(work, 0.025),
            "seq": work.number * 4 + 3,
            "method": "",
            "request_body": None,
        }
    )


def _ledger_row(work: Work) -> str:
    return json.dumps(
        {
            "delegation_id": work.id,
            "caller_id": MEMBERS[work.caller].workspace_id,
            "callee_id": MEMBERS[work.agent].workspace_id,
            "task_preview": work.task,
            "status": "completed",
            "last_heartbeat": None,
            "deadline": _time(work, 21600.0),
            "result_preview": "done",
            "error_detail": None,
            "retry_count": 0,
            "created_at": _time(work, 0.001),
            "updated_at": _time(work, 0.025),
            "idempotency_key": work.key,
        }
    )


def _event_row(work: Work) -> str:
    return json.dumps(
        {
            "id": _row_id(work, "event"),
            "event_type": "DELEGATION_COMPLETE",
            "workspace_id": MEMBERS[work.caller].workspace_id,
            "agent_id": None,
            "target_id": MEMBERS[work.agent].workspace_id,
            "payload": {"delegation_id": work.id},
            "created_at": _time(work, 0.025),
            "seq": work.number,
        }
    )
