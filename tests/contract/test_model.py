"""Random sequences of requests against the broker, in virtual time, beside a small model of what it promises.

The model is a list of delegations. What it leaves open, how long an answer takes on the network, is waited out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sim.scenario.behaviours import Reply, Status
from tests.contract.virtual import Base, virtual_broker
from tests.contract.world import ANN, BOB, NOBODY, POLLY

EVE = "00000000-0000-4000-8000-00000000000e"
REPLY_AFTER_S, MARGIN_S = 5.0, 1.0
MEMBERS = {ANN: None, POLLY: None, BOB: Reply(text="done", after_s=REPLY_AFTER_S), EVE: Status(500)}
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
    """`shared` is set by the test that runs this."""

    shared: Base

    def __init__(self) -> None:
        super().__init__()
        self.promised: list[Promised] = []
        self.inboxes: dict[str, list[dict[str, Any]]] = {ANN: [], POLLY: []}

    @initialize()
    def start(self) -> None:
        self._opened = virtual_broker(self.shared, MEMBERS)
        self.broker = self._opened.__enter__()

    def teardown(self) -> None:
        if hasattr(self, "broker"):
            try:
                self.broker.wait(60)
                for workspace in self.inboxes:
                    self.list_all(workspace)
                    self.read_inbox(workspace)
                sent = [each.id for each in self.promised if each.target in (BOB, EVE)]
                assert sorted(map(str, self.broker.deliveries)) == sorted(sent)
            finally:
                self._opened.__exit__(None, None, None)

    def now(self) -> float:
        """The time, when nothing is about to change."""
        while any(each.is_about_to_change(self.broker.now_s) for each in self.promised):
            self.broker.wait(MARGIN_S)
        return self.broker.now_s

    # What clients do

    @rule(source=CALLERS, callee=TARGETS, key=st.sampled_from([None, "k1", "k2"]))
    def delegate(self, source: str, callee: str, key: str | None) -> None:
        now_s = self.now()
        body = {"target_id": callee, "task": "write the tests"} | ({"idempotency_key": key} if key else {})
        answer = self.broker.ask("POST", f"/workspaces/{source}/delegate", body)
        holder = next(
            (each for each in self.promised if key and (each.source, each.key) == (source, key)
             and each.status(now_s) != "failed"), None
        )  # fmt: skip
        assert isinstance(answer.body, dict)
        if source == callee:
            assert answer.status == 400
        elif holder is None:
            assert answer.status == 202
            accepted = answer.body["delegation_id"]
            assert accepted not in [each.id for each in self.promised]
            self.promised.append(Promised(str(accepted), source, callee, key, now_s))
            self.broker.wait(SETTLE_S)
        elif holder.target != callee:
            assert answer.status == 409
        else:
            assert (answer.status, answer.body) == (
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
        answer = self.broker.ask("POST", f"/workspaces/{party}/delegations/{each.id}/update", {"status": status})
        if party not in (each.source, each.target):
            assert answer.status == 404
        elif each.is_terminal(now_s):
            assert answer.status == (200 if each.status(now_s) == status else 409)
        else:
            assert answer.status == 200
            each.reported = status

    @rule(body=st.sampled_from([{"status": "completed"}, {"status": "queued"}]))
    def update_what_is_unknown(self, body: dict[str, str]) -> None:
        answer = self.broker.ask("POST", f"/workspaces/{ANN}/delegations/{NOBODY}/update", body)
        assert answer.status == (404 if body["status"] == "completed" else 400)

    @rule(workspace=CALLERS)
    def list_all(self, workspace: str) -> None:
        now_s = self.now()
        answer = self.broker.ask("GET", f"/workspaces/{workspace}/delegations")
        assert isinstance(answer.body, list)
        listed = [(entry["delegation_id"], entry["status"]) for entry in answer.body]
        sent = [(each.id, each.status(now_s)) for each in self.promised if each.source == workspace]
        assert listed == sent[:-51:-1]

    @rule(workspace=CALLERS)
    def read_inbox(self, workspace: str) -> None:
        """On from where the last reading ended: nothing twice, nothing skipped, in the order of its writing."""
        now_s = self.now()
        seen = self.inboxes[workspace]
        # Without a cursor the newest come first, so the first reading begins with a row of the past.
        path = f"/workspaces/{workspace}/activity?type=a2a_receive&limit=500"
        answer = self.broker.ask("GET", path + (f"&since_id={seen[-1]['id']}" if seen else ""))
        assert isinstance(answer.body, list)
        seen += answer.body if seen else answer.body[::-1]
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
        self.broker.wait(duration_s)


def test_the_broker_does_what_the_model_promises(virtual_base: Base) -> None:
    machine = type("Machine", (Handoffs,), {"shared": virtual_base})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))
