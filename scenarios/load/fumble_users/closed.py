"""Closed users: each waits for its answer, thinks, and goes on. One class a kind; `KINDS` names them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import gevent
from locust import User, task

from fumble_users.operations import Load
from sim.mcp_answers import task_of

_TASK_ENDED = ("delivered", "completed", "failed")
_CHECKS_MAX = 20
_OPERATION = re.compile(r"^\[([^\]]+)\]")


class Closed(User):  # type: ignore[misc]
    """What they have in common: `told` is the entry of the plan, `load` what a process shares."""

    abstract = True
    told: ClassVar[Mapping[str, Any]]
    load: ClassVar[Load]
    _numbers: ClassVar[list[int]] = [0]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._numbers[0] += 1
        self.random = random.Random(f"{self.load.plan.seed}/{self.load.recorder.worker}/{self._numbers[0]}")

    def wait_time(self) -> float:
        """Between half and one and a half of the average."""
        think_s: float = self.told["think_s"]
        return think_s * self.random.uniform(0.5, 1.5)

    def caller(self) -> str:
        """One of those that it acts for."""
        return str(self.random.choice(self.told["callers"]))

    def target(self) -> str:
        """One of those that it delegates to."""
        return str(self.random.choice(self.told["targets"]))


class Delegator(Closed):
    """A workspace that delegates, to whoever is there."""

    abstract = True

    @task
    def delegate(self) -> None:
        """One delegation."""
        self.load.delegate(self.caller(), self.target())


class McpClient(Closed):
    """A language model: it delegates by a tool, then asks how the task stands until it has ended."""

    abstract = True

    @task
    def run_task(self) -> None:
        """One task, from the call to its end."""
        source, target = self.caller(), self.target()
        op, answer = self.load.call_tool(source, target, "delegate_task_async")
        task_id = task_of(answer).get("task_id") if isinstance(answer, dict) else None
        for _ in range(_CHECKS_MAX if task_id else 0):
            gevent.sleep(min(self.wait_time(), 1.0))
            if task_of(self.load.check_task(source, target, op, str(task_id))).get("status") in _TASK_ENDED:
                return


class InboxPoller(Closed):
    """Reads one caller's inbox past its cursor, as a workspace does that cannot be pushed to."""

    abstract = True
    cursor: str | None = None

    @task
    def poll(self) -> None:
        """One poll."""
        rows = self.load.read_inbox(self.told["callers"][0], self.cursor)
        if rows:
            self.cursor = str((rows[0] if self.cursor is None else rows[-1])["id"])


class PollAgent(Closed):
    """The agent of a workspace that polls: it reads what was left for it and reports that it is done."""

    abstract = True
    cursor: str | None = None

    @task
    def poll(self) -> None:
        """One poll, and a report on all that it gave."""
        workspace = self.told["targets"][0]
        rows = self.load.read_inbox(workspace, self.cursor)
        for row in rows or ():
            body = row.get("request_body") or {}
            message = (body.get("params") or {}).get("message") or {}
            delegation_id = (message.get("metadata") or {}).get("delegation_id")
            parts = message.get("parts") or [{}]
            asked = _OPERATION.match(str(parts[0].get("text", "")))
            if delegation_id and asked:
                self.load.report(workspace, str(delegation_id), asked[1])
        if rows:
            self.cursor = str((rows[0] if self.cursor is None else rows[-1])["id"])


class Canvas(Closed):
    """A person at the canvas: looks at what was delegated, and now and then says something to a workspace."""

    abstract = True

    @task(4)
    def look(self) -> None:
        """The delegations of one caller."""
        self.load.list_delegations(self.caller())

    @task(1)
    def speak(self) -> None:
        """A message."""
        self.load.send(self.target())


class Leaver(Closed):
    """Delegates, and on a share of its requests hangs up before the answer, or as it comes."""

    abstract = True

    @task
    def delegate(self) -> None:
        """One delegation."""
        if self.random.random() < self.told["share"]:
            self.load.delegate_and_leave(self.caller(), self.target(), after_s=self.random.expovariate(1 / 0.005))
        else:
            self.load.delegate(self.caller(), self.target())


class Duplicator(Closed):
    """Asks for the same work several times under one key, at once or one after the other."""

    abstract = True

    @task
    def delegate(self) -> None:
        """One key."""
        source, target = self.caller(), self.target()
        key = f"key-{self.load.recorder.worker}-{self.random.getrandbits(64):016x}"
        if self.random.random() < 0.5:
            self.load.delegate_at_once(source, target, key=key, times=2)
        else:
            for _ in range(2):
                self.load.delegate(source, target, key=key)
                gevent.sleep(min(self.wait_time(), 1.0))


class Heart(Closed):
    """The heart of an agent: busy for a while, then free, and so on; what waited for it is sent when it is free."""

    abstract = True
    _since_s = 0.0

    def wait_time(self) -> float:
        """Regular."""
        return min(float(self.told["busy_s"]), float(self.told["free_s"]), float(self.told["think_s"]))

    @task
    def beat(self) -> None:
        """One heartbeat."""
        cycle_s = self.told["busy_s"] + self.told["free_s"]
        self._since_s = (self._since_s + self.wait_time()) % cycle_s
        self.load.heartbeat(self.told["targets"][0], int(self._since_s < self.told["busy_s"]))


KINDS: Mapping[str, type[Closed]] = {
    "delegator": Delegator,
    "mcp_client": McpClient,
    "inbox_poller": InboxPoller,
    "poll_agent": PollAgent,
    "canvas": Canvas,
    "leaver": Leaver,
    "duplicator": Duplicator,
    "heart": Heart,
}
