"""Histories made by hand: each piece of work as a correct broker leaves it, to be spoiled by a test.

A `Run` collects entries and rows; `history()` puts them in order of time. Everything stays a plain mutable dict or
list until then, so that a test spoils exactly one thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sim.history import (
    Broadcast,
    Contact,
    Entry,
    FaultBegan,
    FaultEnded,
    Final,
    Flags,
    History,
    Invoke,
    Member,
    ModeRead,
    Ok,
    message_id_of,
    recorded_id_of,
)
from sim.scenario.model import Delegate, Expectation, Fault, Scenario, Step, Workspace

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FINAL_S = 4000.0
DEADLINE_S = 6 * 3600.0


def at(seconds: float) -> datetime:
    """A time of the run on the broker's clock."""
    return EPOCH + timedelta(seconds=seconds)


def workspace_id(name: str) -> str:
    """The id that the runs here give to a workspace."""
    return f"00000000-0000-4000-8000-{name.encode().hex():0>12}"


@dataclass
class Run:
    """A run with `ann` and `cid`, who poll, and `bob` and `dee`, who are pushed to."""

    flags: Flags = field(default_factory=Flags)
    entries: list[Entry] = field(default_factory=list)
    activity: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    queue: list[dict[str, Any]] = field(default_factory=list)
    heard: dict[str, datetime] = field(default_factory=dict)
    inbox: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    listing: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    has_final: bool = True
    has_rows: bool = True
    contacts: int = 0

    @property
    def members(self) -> dict[str, Member]:
        """The four workspaces."""
        return {
            name: Member(name, workspace_id(name), "poll" if name in ("ann", "cid") else "push", self.parents.get(name))
            for name in ("ann", "bob", "cid", "dee")
        }

    # --- what clients, agents and watchers see -----------------------------------------------------------------

    def asked(
        self,
        op: str,
        *,
        at_s: float = 0.0,
        source: str = "ann",
        target: str = "bob",
        key: str | None = None,
        answer: tuple[int, dict[str, Any]] | None = None,
        answered_s: float | None = None,
    ) -> None:
        """A delegate operation, answered 10 ms later unless `answer` is None."""
        arguments = {"target": target, "task": f"work of {op}" if key is None else "keyed work", "key": key}
        self.entries.append(Invoke(at_s, op, "delegate", source, arguments))
        if answer is not None:
            self.entries.append(Ok(at_s + 0.01 if answered_s is None else answered_s, op, *answer))

    def contact(
        self,
        delegation_id: str | None,
        *,
        at_s: float,
        agent: str = "bob",
        status: int | None = 200,
        body_bytes: int = 120,
        text: str | None = "done",
        restarting: bool = False,
        delivered: bool = True,
        mode: str | None = "push",
    ) -> None:
        """A request to an agent, with the delivery mode read before it; `status` None means that it never answered."""
        self.contacts += 1
        number = self.contacts
        if mode is not None:
            self.entries.append(ModeRead(at_s - 0.005, workspace_id(agent), mode))
        self.entries.append(Contact(at_s, agent, number, "opened", delegation_id, delegation_id))
        if not delivered:
            self.entries.append(Contact(at_s + 0.001, agent, number, "aborted"))
            return
        self.entries.append(Contact(at_s + 0.001, agent, number, "delivered", delegation_id, delegation_id))
        ended = Contact(
            at_s + 0.002,
            agent,
            number,
            "answered" if status is not None else "cut",
            delegation_id,
            delegation_id,
            status,
            body_bytes if status is not None else 0,
            restarting,
            False,
            text,
        )
        self.entries.append(ended)

    def listed(self, op: str, *, at_s: float, entries: list[dict[str, Any]], of: str = "ann") -> None:
        """A listing that a client read."""
        self.entries += [Invoke(at_s, op, "list", of, {}), Ok(at_s + 0.01, op, 200, entries)]

    def polled(
        self, op: str, *, at_s: float, since: str | None, given: list[int], of: str = "ann", status: int = 200
    ) -> None:
        """A poll of an inbox; the rows that it was given are numbers of `activity`; ids are `row-<number>`."""
        rows = [{"id": f"row-{number}", "workspace_id": self.activity[number]["workspace_id"]} for number in given]
        self.entries.append(Invoke(at_s, op, "inbox", of, {"cursor": None, "since": since}))
        self.entries.append(Ok(at_s + 0.01, op, status, rows if status == 200 else {"error": "no"}))

    def fault(self, fault: str, *, where: str, at_s: float, until_s: float) -> None:
        """A fault's span."""
        self.entries += [FaultBegan(at_s, fault, f"a fault on {where}", where), FaultEnded(until_s, fault)]

    def beat(self, op: str, *, at_s: float, active_tasks: int, of: str = "bob", answer: int | None = 200) -> None:
        """A heartbeat, and the event that tells of it."""
        self.entries.append(Invoke(at_s, op, "heartbeat", of, {"active_tasks": active_tasks}))
        if answer is not None:
            self.entries.append(Ok(at_s + 0.01, op, answer, {"status": "ok"}))
        told = {"event_type": "WORKSPACE_HEARTBEAT", "workspace_id": workspace_id(of), "payload": {}}
        self.events.append(told | {"created_at": at(at_s)})

    # --- what the broker keeps ---------------------------------------------------------------------------------

    def stored(
        self,
        delegation_id: str,
        *,
        task: str,
        status: str,
        source: str = "ann",
        target: str = "bob",
        key: str | None = None,
        at_s: float = 0.005,
        ended_s: float = 1.0,
        text: str = "done",
        detail: str = "the agent answered 500",
    ) -> None:
        """All rows, the events, the inbox and the listing of a delegation in `status`."""
        ids = {"workspace_id": workspace_id(source), "source_id": workspace_id(source)}
        targeted = ids | {"target_id": workspace_id(target)}
        error = detail if status == "failed" else None
        ended = status in ("completed", "failed")
        body = {"delegation_id": delegation_id}
        row = {"error_detail": None, "request_body": None, "response_body": None, "idempotency_key": None}
        self.activity.append(
            row
            | targeted
            | {"activity_type": "delegation", "method": "delegate", "status": status, "created_at": at(at_s)}
            | {"request_body": {"task": task} | body, "error_detail": error, "idempotency_key": key}
        )
        self.ledger.append(
            {
                "delegation_id": delegation_id,
                "caller_id": workspace_id(source),
                "callee_id": workspace_id(target),
                "status": {"pending": "queued"}.get(status, status),
                "last_heartbeat": None,
                "deadline": at(at_s + DEADLINE_S),
                "updated_at": at(ended_s if ended else at_s),
                "result_preview": text if status == "completed" else None,
                "error_detail": error,
                "idempotency_key": key,
            }
        )
        listed = {"delegation_id": delegation_id, "status": status, "_ledger": True}
        self.listing.setdefault(source, []).append(listed)
        if not ended:
            return
        answer = body | ({"text": text} if status == "completed" else {})
        result = row | {"error_detail": error, "response_body": answer, "created_at": at(ended_s)}
        self.activity.append(
            result | targeted | {"activity_type": "delegation", "method": "delegate_result", "status": status}
        )
        told = {"activity_type": "a2a_receive", "method": "delegate_result", "target_id": None, "request_body": body}
        inbox_row = result | ids | told | {"status": "ok" if status == "completed" else "error"}
        self.activity.append(inbox_row)
        self.inbox.setdefault(source, []).append(dict(inbox_row))
        event = "DELEGATION_COMPLETE" if status == "completed" else "DELEGATION_FAILED"
        payload = body | {"target_id": workspace_id(target)}
        self.events.append({"event_type": event, "payload": payload, "created_at": at(ended_s)})
        self.entries.append(Broadcast(ended_s + 0.01, event, workspace_id(source), payload))

    def inbound(self, message_id: str, *, target: str = "bob", source: str = "ann") -> None:
        """The row of a message for `target`."""
        self.activity.append(
            {
                "activity_type": "a2a_receive",
                "method": "message/send",
                "workspace_id": workspace_id(target),
                "source_id": workspace_id(source),
                "target_id": workspace_id(target),
                "status": "ok",
                "request_body": {"params": {"message": {"messageId": message_id}}},
                "response_body": None,
                "error_detail": None,
                "idempotency_key": None,
                "created_at": at(0.02),
            }
        )

    def item(self, message_id: str, status: str, *, at_s: float, **more: Any) -> None:
        """An item of the queue."""
        body = {"params": {"message": {"messageId": message_id}}}
        row = {"body": body, "status": status, "priority": 50, "attempts": 1, "last_error": None, "expires_at": None}
        self.queue.append(row | {"enqueued_at": at(at_s)} | more)

    # --- whole pieces of work ----------------------------------------------------------------------------------

    def completed(self, op: str = "d1", **who: Any) -> Run:
        """A delegation that the agent answered at its first request."""
        start_s = who.pop("at_s", 0.0)
        answer = (202, {"delegation_id": f"id-{op}", "status": "delegated"})
        self.asked(op, at_s=start_s, answer=answer, **who)
        target = who.get("target", "bob")
        self.contact(f"id-{op}", at_s=start_s + 0.1, agent=target)
        self.inbound(f"id-{op}", target=target)
        self._keep(op, "completed", start_s, who)
        return self

    def failed(self, op: str = "d1", **who: Any) -> Run:
        """A delegation that the agent answered 500."""
        start_s = who.pop("at_s", 0.0)
        self.asked(op, at_s=start_s, answer=(202, {"delegation_id": f"id-{op}", "status": "delegated"}), **who)
        self.contact(f"id-{op}", at_s=start_s + 0.1, status=500, text=None)
        self._keep(op, "failed", start_s, who)
        return self

    def left_to_poll(self, op: str = "d1") -> Run:
        """A delegation for `cid`, who polls and has not reported yet."""
        self.asked(op, target="cid", answer=(202, {"delegation_id": f"id-{op}", "status": "delegated"}))
        self.inbound(f"id-{op}", target="cid")
        self.stored(f"id-{op}", task=f"work of {op}", status="queued", target="cid")
        return self

    def recorded(self, op: str = "r1", *, status: str = "dispatched", text: str = "done") -> Run:
        """A delegation that `ann`'s agent sent to `bob` by itself; ended by a report if `status` says so."""
        delegation_id = recorded_id_of(op)
        arguments = {"target": "bob", "task": f"work of {op}", "id": None}
        self.entries.append(Invoke(0.0, op, "record", "ann", arguments))
        self.entries.append(Ok(0.01, op, 202, {"delegation_id": delegation_id, "status": "recorded"}))
        self.stored(delegation_id, task=f"work of {op}", status=status, text=text, detail=text)
        if status in ("completed", "failed"):
            self.reported("u1", of=op, status=status, text=text, at_s=0.9)
        return self

    def reported(
        self,
        op: str,
        *,
        of: str,
        by: str = "bob",
        status: str = "completed",
        text: str = "done",
        at_s: float,
        answer: tuple[int, dict[str, Any]] = (200, {}),
    ) -> None:
        """A report on `of`, answered 200 ms later."""
        arguments = {"delegation": of, "status": status, "text": text}
        self.entries += [Invoke(at_s, op, "report", by, arguments), Ok(at_s + 0.2, op, *answer)]

    def sent(self, op: str = "s1", *, target: str = "bob", answer: dict[str, Any] | None = None) -> Run:
        """A message through the proxy, answered by its agent."""
        self.entries.append(Invoke(0.0, op, "send", "ann", {"target": target, "text": "hello"}))
        self.entries.append(Ok(0.5, op, 200, answer or {"result": {"parts": [{"kind": "text", "text": "hi"}]}}))
        self.contacts += 1
        self.entries.append(ModeRead(0.05, workspace_id(target), "push"))
        for stage, at_s, status in (("opened", 0.1, None), ("delivered", 0.11, None), ("answered", 0.12, 200)):
            seen = Contact(at_s, target, self.contacts, stage, message_id_of(op))  # type: ignore[arg-type]
            self.entries.append(replace(seen, status=status, body_bytes=80 if status else 0))
        self.inbound(message_id_of(op), target=target)
        return self

    def drained(self, op: str = "d1", *, at_s: float = 1.0, sent_s: float = 60.0) -> Run:
        """A delegation for `bob`, who had said that he is busy, and took it from the queue once he was free."""
        self.beat(f"{op}-busy", at_s=at_s - 0.5, active_tasks=1)
        self.asked(op, at_s=at_s, answer=(202, {"delegation_id": f"id-{op}", "status": "delegated"}))
        self.item(f"id-{op}", "completed", at_s=at_s + 0.02)
        self.beat(f"{op}-free", at_s=sent_s - 0.1, active_tasks=0)
        self.contact(f"id-{op}", at_s=sent_s)
        self.inbound(f"id-{op}")
        self.stored(f"id-{op}", task=f"work of {op}", status="completed", at_s=at_s, ended_s=sent_s + 1)
        return self

    def _keep(self, op: str, status: str, start_s: float, who: dict[str, Any]) -> None:
        task = f"work of {op}" if who.get("key") is None else "keyed work"
        keep = {key: value for key, value in who.items() if key in ("source", "target", "key")}
        self.stored(f"id-{op}", task=task, status=status, at_s=start_s + 0.005, ended_s=start_s + 1.0, **keep)

    # --- spoiling ----------------------------------------------------------------------------------------------

    def row(self, kind: str, index: int = 0) -> dict[str, Any]:
        """The nth activity row of a kind: `delegate`, `result`, `inbox` or `inbound`."""
        return self.rows(kind)[index]

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The activity rows of a kind."""
        kinds = {
            "delegate": ("delegation", "delegate"),
            "result": ("delegation", "delegate_result"),
            "inbox": ("a2a_receive", "delegate_result"),
            "inbound": ("a2a_receive", "message/send"),
        }
        return [row for row in self.activity if (row["activity_type"], row["method"]) == kinds[kind]]

    def settle_as(self, status: str, op: str = "d1") -> None:
        """Give the delegate row, the ledger row and the listing of `op` another state."""
        for row in self.rows("delegate"):
            if row["request_body"]["delegation_id"] == f"id-{op}":
                row["status"] = status
        for entry in (*self.ledger, *(entry for entries in self.listing.values() for entry in entries)):
            if entry["delegation_id"] == f"id-{op}":
                entry["status"] = status

    def without(self, kind: type[Entry]) -> None:
        """Forget all entries of a kind."""
        self.entries = [entry for entry in self.entries if not isinstance(entry, kind)]

    # --- results -----------------------------------------------------------------------------------------------

    def history(self) -> History:
        """The history, in order of time; entries of one instant keep the order in which they were added."""
        history = History(self.members, self.flags, sorted(self.entries, key=lambda entry: entry.at_s), EPOCH, True)
        if self.has_final:
            rows = {
                "activity_logs": [
                    {"id": f"row-{number}", "seq": number} | row for number, row in enumerate(self.activity)
                ],
                "delegations": self.ledger,
                "structure_events": self.events,
                "a2a_queue": self.queue,
                "workspaces": [
                    {"id": member.workspace_id, "last_heartbeat_at": self.heard.get(name)}
                    for name, member in self.members.items()
                ],
            }
            inbox = {"ann": [], "cid": []} | self.inbox
            listing = {"ann": [], "bob": [], "cid": [], "dee": []} | self.listing
            final = Final(FINAL_S, rows, inbox, listing) if self.has_rows else Final(FINAL_S, None, None, None)
            history.add(final)
        return history


def scenario(*, expect: tuple[Expectation, ...] = (), faults: tuple[Fault, ...] = ()) -> Scenario:
    """A scenario with the workspaces of `Run`."""
    return Scenario(
        path="scenarios/family/name.yaml",
        family="family",
        name="name",
        title="A title",
        covers=(),
        workspaces=tuple(Workspace(name=name) for name in ("ann", "bob", "cid", "dee")),
        steps=(Step(does=Delegate(op="d1", source="ann", target="bob")),),
        faults=faults,
        expect=expect,
    )
