"""Playing a scenario: its steps, its faults, then healing, settling, and a last look. The same in every world.

The order of a run: arm the faults; do the steps; wait until every accepted delegation has come to rest (or the
scenario's bound is over), healing on the way what does not end by itself; let a quiet time pass in which late
duplicates would show; read the final state. Liveness is judged after healing, safety over everything.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf

from sim.history import Fail, History, Info, Invoke, Ok
from sim.scenario.model import Operation, Scenario, Step, Together, Wait
from sim.worlds.dialect import Dialect
from sim.worlds.faults import FaultEngine
from sim.worlds.http_client import Answer, Exchange, Unanswered
from sim.worlds.operations import Memory, NotPossible, request_for
from sim.worlds.world import World

OPERATION_TIMEOUT_S = 60.0
_AT_REST = {"completed", "failed", "delivered", "queued", "dropped"}


@dataclass(frozen=True, slots=True)
class Settling:
    """How to wait until nothing is under way any more, in scenario seconds.

    `quiet_s`: longer than the retry delay, any backoff and the patrol of the broker, so that what is still to come
    comes in this time. Looks at the broker begin `first_look_s` apart and end `last_look_s` apart. `longest_s`: no
    scenario's `settle` is waited for longer. `ask_again_s`: between tries to have the last look.
    """

    quiet_s: float = 90.0
    first_look_s: float = 4.0
    last_look_s: float = 60.0
    longest_s: float = inf
    ask_again_s: float = 5.0


class Player:
    """One run of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        history: History,
        world: World,
        *,
        dialect: Dialect | None = None,
        settling: Settling = Settling(),
    ) -> None:
        """`dialect`: how the broker is spoken to; None: as the contract says."""
        self._scenario = scenario
        self._history = history
        self._world = world
        self._settling = settling
        self._memory = Memory(history.members, world.agent_url, dialect=dialect or Dialect())
        self._exchanges: dict[str, Exchange] = {}
        self._faults = FaultEngine(scenario.faults, world, history, self._exchanges)

    async def play(self) -> None:
        """Play it all; the history then ends with a `Final`."""
        self._faults.arm()
        for step in self._scenario.steps:
            await self._do(step)
        await self._settle()
        self._faults.heal()
        callers = dict.fromkeys(
            entry.workspace
            for entry in self._history.entries
            if isinstance(entry, Invoke) and entry.action in ("delegate", "mcp", "record", "inbox")
        )
        self._history.add(await self._world.final(list(callers)))

    async def _do(self, step: Step) -> None:
        if step.at_s is not None and (early_s := step.at_s - self._world.now_s()) > 0:
            await asyncio.sleep(early_s)
        match step.does:
            case Wait(duration_s=duration_s):
                await asyncio.sleep(duration_s)
            case Together(operations=operations):
                await asyncio.gather(*(self._start(operation) for operation in operations))
            case operation:
                await self._start(operation)

    def _start(self, operation: Operation) -> asyncio.Task[None]:
        return self._world.start_client(self._operate(operation))

    async def _operate(self, operation: Operation) -> None:
        """One client operation, from its invocation to its outcome."""
        op, now_s, add = operation.op, self._world.now_s, self._history.add
        try:
            request = request_for(operation, self._memory)
        except NotPossible as reason:
            add(Fail(now_s(), op, str(reason)))
            return
        add(Invoke(now_s(), op, request.action, request.sender, {**_arguments(operation), **request.more}))
        exchange = self._exchanges[op] = Exchange(self._faults.reached(op))
        host, port = self._world.broker_address()
        try:
            async with asyncio.timeout(OPERATION_TIMEOUT_S):
                answer: Answer = await exchange.request(
                    host, port, request.method, request.path, headers=request.headers, body=request.body
                )
        except Unanswered as problem:
            if problem.sent:
                add(Info(now_s(), op, problem.reason, problem.status))
            else:
                add(Fail(now_s(), op, problem.reason))
        except TimeoutError:
            add(Info(now_s(), op, f"no answer within {OPERATION_TIMEOUT_S:g} s"))
        else:
            self._memory.learn(operation, request, answer)
            add(Ok(now_s(), op, answer.status, answer.body))
        finally:
            del self._exchanges[op]

    async def _settle(self) -> None:
        """Wait until nothing is under way any more, or the scenario's bound is over."""
        settling = self._settling
        give_up_s = self._world.now_s() + min(self._scenario.settle_s, settling.longest_s)
        look_s = settling.first_look_s
        while self._world.now_s() < give_up_s:
            await asyncio.sleep(look_s)
            look_s = min(look_s * 2, settling.last_look_s)
            if await self._at_rest():
                self._faults.heal()
                await asyncio.sleep(settling.quiet_s)
                if await self._at_rest():
                    return
            elif self._faults.overdue():
                self._faults.heal()

    async def _at_rest(self) -> bool:
        if self._faults.will_end():
            return False
        statuses = await self._world.statuses()
        accepted = self._memory.delegation_ids.values()
        return all(status in _AT_REST for status in statuses.values()) and all(
            delegation_id in statuses for delegation_id in accepted
        )


def _arguments(operation: Operation) -> dict[str, object]:
    return {name: getattr(operation, name) for name in operation.__dataclass_fields__ if name != "op"}
