"""The operations of a load: one request each, written down before and after, and told to Locust.

Latency counts from the moment at which an operation was due. For a closed user that is when it begins; for an arrival
it may have been earlier, and leaving that out would hide every stall of the broker (coordinated omission).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gevent
from gevent import GreenletExit

from fumble_users.http import Broker, NoAnswer, NotSent
from sim.worlds.load.plan import Plan
from sim.worlds.load.records import Recorder

_ENDED = "the load ended"


class Load:
    """What all users of one Locust process share."""

    def __init__(self, plan: Plan, environment: Any, recorder: Recorder, broker: Broker) -> None:
        self.plan = plan
        self.recorder = recorder
        self.broker = broker
        self._environment = environment
        self._dialect = plan.dialect()
        self._listed: dict[str, str] = {}

    # --- what users do -------------------------------------------------------------------------------------------

    def delegate(
        self, source: str, target: str, *, key: str | None = None, due_s: float | None = None
    ) -> dict[str, Any]:
        """Delegate; the answer's body, empty if there was none."""
        op = self.recorder.next_op()
        body = self._delegation(op, target, key)
        arguments = {"target": target, "task": body["task"], "key": key}
        return self._operate(op, "delegate", source, arguments, "POST", self._path("delegate", source), body, due_s)

    def delegate_at_once(self, source: str, target: str, *, key: str, times: int) -> None:
        """Ask several times for the same work, without waiting for an answer in between."""
        requests = [gevent.spawn(self.delegate, source, target, key=key) for _ in range(times)]
        try:
            gevent.joinall(requests)
        finally:
            # They would outlive a user who is stopped, and write into a closed file.
            gevent.killall(requests)

    def delegate_and_leave(self, source: str, target: str, *, after_s: float) -> None:
        """Delegate and hang up so much later, without reading an answer."""
        op = self.recorder.next_op()
        body = self._delegation(op, target, None)
        began_s = time.monotonic()
        arguments = {"target": target, "task": body["task"], "key": None}
        self.recorder.begin(op, "delegate", source, arguments, due_s=began_s)
        try:
            headers = self._dialect.shown_by(source)
            self.broker.leave_during("POST", self._path("delegate", source), body, headers, after_s=after_s)
        except NotSent as error:
            self._tell("delegate and leave", began_s, self.recorder.fail(op, str(error)), error)
        except NoAnswer as error:
            self._tell("delegate and leave", began_s, self.recorder.unknown(op, str(error)), None)
        except GreenletExit:
            self.recorder.unknown(op, _ENDED)
            raise
        else:
            self._tell("delegate and leave", began_s, self.recorder.unknown(op, "the client left"), None)

    def call_tool(self, source: str, target: str, tool: str) -> tuple[str, Any]:
        """Delegate by an MCP tool; the operation and its answer."""
        op = self.recorder.next_op()
        task = _task(op)
        arguments = {"target": target, "tool": tool, "task": task}
        call = _tool(op, tool, {"workspace_id": self.plan.members[target], "task": task})
        return op, self._operate(op, "mcp", source, arguments, "POST", self._path("mcp", source), call, None)

    def check_task(self, source: str, target: str, delegation: str, task_id: str) -> Any:
        """Ask how a task stands."""
        op = self.recorder.next_op()
        call = _tool(op, "check_task_status", {"workspace_id": self.plan.members[target], "task_id": task_id})
        arguments = {"delegation": delegation, "about": task_id}
        return self._operate(op, "check", source, arguments, "POST", self._path("mcp", source), call, None)

    def send(self, target: str) -> None:
        """A message of the canvas, which waits for the agent's own answer."""
        op = self.recorder.next_op()
        message = {"role": "user", "messageId": f"{op}-message", "parts": [{"kind": "text", "text": f"hello {op}"}]}
        body = {"jsonrpc": "2.0", "id": op, "method": "message/send", "params": {"message": message}}
        arguments = {"target": target, "text": "hello", "expires_in_s": None}
        self._operate(op, "send", "canvas", arguments, "POST", self._path("send", target), body, None)

    def report(self, workspace: str, delegation_id: str, delegation: str) -> None:
        """A party says that a delegation is completed."""
        op = self.recorder.next_op()
        body = {"status": "completed", "response_preview": "done"}
        arguments = {"delegation": delegation, "about": delegation_id, "status": "completed", "text": "done"}
        path = self._path("report", workspace, delegation=delegation_id)
        self._operate(op, "report", workspace, arguments, "POST", path, body, None)

    def read_inbox(self, workspace: str, since: str | None) -> list[dict[str, Any]] | None:
        """One poll past a row, or of a window of time; None if it was not answered with rows, [] if the row is gone."""
        place = "since_secs=600" if since is None else f"since_id={since}"
        path = self._path("inbox", workspace, query=f"type=a2a_receive&limit=500&{place}")
        op = self.recorder.next_op()
        rows = self._operate(op, "inbox", workspace, {"since": since}, "GET", path, None, None, keep=_kept_rows)
        return rows if isinstance(rows, list) else None

    def list_delegations(self, workspace: str) -> None:
        """Look at a caller's delegations."""
        op = self.recorder.next_op()
        self._operate(op, "list", workspace, {}, "GET", self._path("list", workspace), None, None, self._news)

    def heartbeat(self, workspace: str, active_tasks: int) -> None:
        """An agent says how busy it is."""
        op = self.recorder.next_op()
        body = {"workspace_id": self.plan.members[workspace], "active_tasks": active_tasks}
        arguments = {"active_tasks": active_tasks, "spend_cents": 0}
        self._operate(op, "heartbeat", workspace, arguments, "POST", self._path("heartbeat", workspace), body, None)

    # --- one operation -------------------------------------------------------------------------------------------

    def _operate(
        self,
        op: str,
        action: str,
        workspace: str,
        arguments: Mapping[str, Any],
        method: str,
        path: str,
        body: Any,
        due_s: float | None,
        keep: Any = None,
    ) -> Any:
        began_s = time.monotonic()
        due_s = began_s if due_s is None else due_s
        self.recorder.begin(op, action, workspace, arguments, due_s=due_s)
        try:
            status, answer = self.broker.request(method, path, body, self._dialect.shown_by(workspace))
        except NotSent as error:
            self._tell(action, due_s, self.recorder.fail(op, str(error)), error)
        except NoAnswer as error:
            self._tell(action, due_s, self.recorder.unknown(op, str(error), error.status), error)
        except GreenletExit:
            self.recorder.unknown(op, _ENDED)
            raise
        else:
            kept = answer if keep is None else keep(answer)
            problem = None if status < 500 else RuntimeError(f"answered {status}")
            self._tell(action, due_s, self.recorder.ok(op, status, kept), problem)
            return answer if status < 400 else {}
        return {}

    def _tell(self, name: str, due_s: float, end_s: float, problem: BaseException | None) -> None:
        self._environment.events.request.fire(
            request_type="fumble",
            name=name,
            response_time=(end_s - due_s) * 1e3,
            response_length=0,
            exception=problem,
            context={},
        )

    def _path(self, action: str, workspace: str, *, delegation: str = "", query: str = "") -> str:
        place = self.plan.members[workspace]
        return self._dialect.path(action, workspace=place, delegation=delegation, query=query)

    def _delegation(self, op: str, target: str, key: str | None) -> dict[str, str]:
        body = {"target_id": self.plan.members[target], "task": _task(op)}
        return body if key is None else {**body, "idempotency_key": key}

    def _news(self, entries: Any) -> Any:
        """Of a listing only what it says anew: a status that is told again tells nothing."""
        if not isinstance(entries, list):
            return entries
        if len(self._listed) > 100_000:
            self._listed.clear()
        news = []
        for entry in entries:
            identity, status = str(entry.get("delegation_id")), str(entry.get("status"))
            if self._listed.get(identity) != status:
                self._listed[identity] = status
                news.append({"delegation_id": identity, "status": status, "_ledger": entry.get("_ledger", False)})
        return news


def _task(op: str) -> str:
    """Names its operation, so that a row whose answer was lost is still known to be its."""
    return f"[{op}] write the tests"


def _tool(op: str, tool: str, arguments: Mapping[str, str]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": op, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def _kept_rows(rows: Any) -> Any:
    """Of an inbox which rows were given, and of which delegation they tell."""
    if not isinstance(rows, list):
        return rows
    return [
        {
            "id": row.get("id"),
            "workspace_id": row.get("workspace_id"),
            "method": row.get("method"),
            "delegation_id": _delegation_id_in(row),
        }
        for row in rows
    ]


def _delegation_id_in(row: Mapping[str, Any]) -> str | None:
    for column in ("request_body", "response_body"):
        body = row.get(column)
        if isinstance(body, dict) and body.get("delegation_id"):
            return str(body["delegation_id"])
    return None
