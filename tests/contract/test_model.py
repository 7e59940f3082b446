"""Random sequences of requests against the broker, in virtual time, beside a small model of what it promises.

The model is a list of delegations. What it leaves open, how long an answer takes on the network, is waited out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.contract.agents import Agent, after, answers, says
from tests.contract.database import Database
from tests.contract.virtual import stepped
from tests.contract.world import ANN, BOB, NOBODY, POLLY

EVE = "00000000-0000-4000-8000-00000000000e"
REPLY_AFTER_S, MARGIN_S = 5.0, 1.0
CALLERS, TARGETS = st.sampled_from([ANN, POLLY]), st.sampled_from([ANN, BOB, POLLY, EVE])
SETTLE_S = 1.0


@dataclass
class Promised:
    """A delegation as the broker should have it. Bob answers, Eve refuses, the others leave it lying."""

    id: str
    source: str
    target: str
    key: str | None
    accepted_s: float
    reported: str | None = None

    def status(self, now_s: float) -> str:
        if self.reported is not None:
            return self.reported
        if self.target == BOB:
            return "completed" if now_s > self.accepted_s + REPLY_AFTER_S else "dispatched"
        return "failed" if self.target == EVE else "queued"

    def is_terminal(self, now_s: float) -> bool:
        return self.status(now_s) in ("completed", "failed")

    def is_about_to_change(self, now_s: float) -> bool:
        return self.target == BOB and abs(now_s - self.accepted_s - REPLY_AFTER_S) < MARGIN_S


class Handoffs(RuleBasedStateMachine):
    """`database` is set by the test that runs this."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.promised: list[Promised] = []
        self.inboxes: dict[str, list[dict[str, Any]]] = {ANN: [], POLLY: []}

    @initialize()
    def start(self) -> None:
        self._opened = stepped(self.database, after(REPLY_AFTER_S, says("done")))
        there = self._opened.__enter__()
        self.it, self.run = there.it, there.run
        self.eve = Agent([answers(b"", status="500 Oops")])
        self.run(self.eve.start())
        columns, values = "id, name, status, url, delivery_mode", "$1, 'eve', 'online', $2, 'push'"
        insert = f"INSERT INTO workspaces ({columns}) VALUES ({values})"
        self.run(self.it.rows.execute(insert, EVE, self.eve.url))

    def teardown(self) -> None:
        if hasattr(self, "it"):
            try:
                self.wait_s(60)
                for workspace in self.inboxes:
                    self.list_all(workspace)
                    self.read_inbox(workspace)
                for agent, workspace in ((self.it.bob, BOB), (self.eve, EVE)):
                    given = [request["params"]["message"]["metadata"]["delegation_id"] for request in agent.requests]
                    assert given == [each.id for each in self.promised if each.target == workspace]
            finally:
                self._opened.__exit__(None, None, None)

    def wait_s(self, duration_s: float) -> None:
        self.run(asyncio.sleep(duration_s))

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, answer = self.run(self.it.get(path) if method == "GET" else self.it.post(path, body))
        return status, answer

    def now(self) -> float:
        """The time, when nothing is about to change."""
        while any(each.is_about_to_change(self.it.time_s) for each in self.promised):
            self.wait_s(MARGIN_S)
        return self.it.time_s

    # What clients do

    @rule(source=CALLERS, callee=TARGETS, key=st.sampled_from([None, "k1", "k2"]))
    def delegate(self, source: str, callee: str, key: str | None) -> None:
        now_s = self.now()
        body = {"target_id": callee, "task": "write the tests"} | ({"idempotency_key": key} if key else {})
        status, answer = self.ask("POST", f"/workspaces/{source}/delegate", body)
        holder = next(
            (each for each in self.promised if key and (each.source, each.key) == (source, key)
             and each.status(now_s) != "failed"), None
        )  # fmt: skip
        if source == callee:
            assert status == 400
        elif holder is None:
            assert status == 202
            accepted = answer["delegation_id"]
            assert accepted not in [each.id for each in self.promised]
            self.promised.append(Promised(str(accepted), source, callee, key, now_s))
            self.wait_s(SETTLE_S)
        elif holder.target != callee:
            assert status == 409
        else:
            assert (status, answer) == (
                200,
                {"delegation_id": holder.id, "status": holder.status(now_s), "target_id": callee,
                 "idempotent_hit": True},
            )  # fmt: skip

    @precondition(lambda self: self.promised)
    @rule(data=st.data(), status=st.sampled_from(["completed", "failed"]))
    def update(self, data: st.DataObject, status: str) -> None:
        now_s = self.now()
        each = data.draw(st.sampled_from(self.promised))
        party = data.draw(st.sampled_from([ANN, BOB, POLLY, EVE]))
        answered, _ = self.ask("POST", f"/workspaces/{party}/delegations/{each.id}/update", {"status": status})
        if party not in (each.source, each.target):
            assert answered == 404
        elif each.is_terminal(now_s):
            assert answered == (200 if each.status(now_s) == status else 409)
        else:
            assert answered == 200
            each.reported = status

    @rule(body=st.sampled_from([{"status": "completed"}, {"status": "queued"}]))
    def update_what_is_unknown(self, body: dict[str, str]) -> None:
        status, _ = self.ask("POST", f"/workspaces/{ANN}/delegations/{NOBODY}/update", body)
        assert status == (404 if body["status"] == "completed" else 400)

    @rule(workspace=CALLERS)
    def list_all(self, workspace: str) -> None:
        now_s = self.now()
        _, answer = self.ask("GET", f"/workspaces/{workspace}/delegations")
        listed = [(entry["delegation_id"], entry["status"]) for entry in answer]
        sent = [(each.id, each.status(now_s)) for each in self.promised if each.source == workspace]
        assert listed == sent[:-51:-1]

    @rule(workspace=CALLERS)
    def read_inbox(self, workspace: str) -> None:
        """On from where the last reading ended: nothing twice, nothing skipped, in the order of its writing."""
        now_s = self.now()
        seen = self.inboxes[workspace]
        # Without a cursor the newest come first, so the first reading begins with a row of the past.
        path = f"/workspaces/{workspace}/activity?type=a2a_receive&limit=500"
        _, answer = self.ask("GET", path + (f"&since_id={seen[-1]['id']}" if seen else ""))
        seen += answer if seen else answer[::-1]
        results = [row["response_body"]["delegation_id"] for row in seen if row["method"] == "delegate_result"]
        ended = [each.id for each in self.promised if each.source == workspace and each.is_terminal(now_s)]
        assert sorted(results) == sorted(ended)
        asked = [
            row["request_body"]["params"]["message"]["messageId"] for row in seen if row["method"] == "message/send"
        ]
        assert asked == [each.id for each in self.promised if each.target == workspace]
        assert [row["seq"] for row in seen] == sorted({row["seq"] for row in seen})

    @rule(duration_s=st.sampled_from([1.0, 3.0, 10.0]))
    def wait(self, duration_s: float) -> None:
        self.wait_s(duration_s)


def test_the_broker_does_what_the_model_promises(database: Database) -> None:
    machine = type("Machine", (Handoffs,), {"database": database})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
