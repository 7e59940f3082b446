"""The virtual-time event loop: asyncio's own selector loop with its clock, its selector and its dispatch replaced.

Theory. A run is a sequence of instants. In one instant the ready queue is emptied first in, first out, as asyncio
documents; then the clock, an integer of nanoseconds, jumps to the next instant at which a timer is due or a segment
arrives. What asyncio leaves open is drawn from the seed: the order of timers of *different* nodes that fall due in the
same instant, and when an executor call completes. Timers of one node keep their order.

Transports, servers, streams and `sock_*` calls are the standard library's, on `SimSocket`s (see `readiness`). What
cannot be simulated raises `NotSimulated` at the call.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import heapq
import logging
import socket as real_socket
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from sim.kernel.entropy import Streams
from sim.kernel.errors import Deadlock, HorizonReached, Livelock, NotSimulated, OutsideFailure
from sim.kernel.futures import SimFuture, SimTask
from sim.kernel.handles import SimHandle, SimTimer
from sim.kernel.nodes import RUNNING, Incarnation, owner_of
from sim.kernel.readiness import ReadinessLoop
from sim.kernel.sockets import where
from sim.kernel.trace import Trace
from sim.kernel.unfinished import close_quietly, waits_at

ROUNDS_PER_INSTANT = 1_000_000
INSTANTS_PER_COLLECTION = 50_000
"""Garbage is collected at fixed counts, because when objects die is behaviour too (weak references, `__del__`)."""

EXECUTOR_LATENCY_NS = 2_000_000
_TIMERS_TO_SWEEP = 100
_new_handle = SimHandle.__new__


class SimLoop(ReadinessLoop):
    """An asyncio event loop whose time is virtual and whose network is in memory."""

    # Of the base classes; not in the type stubs.
    _ready: Any
    _stopping: bool
    _closed: bool
    _thread_id: int | None
    _transports: Any
    _asyncgens: Any
    _task_factory: Any

    def __init__(self, streams: Streams, *, start_ns: int, horizon_ns: int) -> None:
        super().__init__()
        self.streams = streams
        self.now_ns = start_ns
        self.start_ns = start_ns
        self.horizon_ns = start_ns + horizon_ns
        self.trace = Trace()
        self._instants = 0
        self._heap: list[Any] = []
        self._sequence = 0
        self._serial = 0
        self._cancelled_timers = 0
        self._screening = False
        self._zombies: list[object] = []
        self._due: list[SimTimer] = []

    # --- the clock and the queue ---------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_ns * 1e-9

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """First in, first out."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        # Without a constructor of its own, whose call would cost more than all the rest of this.
        handle = _new_handle(SimHandle)
        handle._callback = callback
        handle._args = args
        handle._context = copy_context() if context is None else context
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """`call_soon`; from another thread it fails, because a thread's timing is not simulated."""
        if threading.get_ident() != self._thread_id and self._thread_id is not None:
            raise NotSimulated("call_soon_threadsafe from another thread")
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call at an absolute virtual time, in seconds."""
        if when is None:
            raise TypeError("when cannot be None")
        if self._closed:
            raise RuntimeError("Event loop is closed")
        when_ns = int(when * 1e9)
        if when_ns * 1e-9 < when:
            when_ns += 1  # never early: who looks at the clock when it fires must see at least `when`
        return self._timer(when_ns, callback, args, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Call after `delay` virtual seconds."""
        if delay is None:
            raise TypeError("delay must not be None")
        if self._closed:
            raise RuntimeError("Event loop is closed")
        return self._timer(self.now_ns + int(delay * 1e9 + 0.5), callback, args, context)

    def create_future(self) -> Any:
        """A future with a stable hash."""
        return SimFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None, **options: Any
    ) -> Any:
        """A task with a stable hash, unless the program has a task factory of its own."""
        if self._task_factory is not None:
            return super().create_task(coro, name=name, context=context, **options)
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if context is not None:
            owner_of(context)
        return SimTask(coro, loop=self, name=name, context=context, **options)

    def next_serial(self) -> int:
        """A number that no other future of this loop has."""
        self._serial += 1
        return self._serial

    def _timer(
        self,
        when_ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> SimTimer:
        timer = SimTimer(when_ns, callback, args, self, context)
        owner = timer._context.get(RUNNING) or owner_of(timer._context)
        # Equal on one node, so that its timers keep their order; drawn anew for each instant between nodes.
        tie = 0 if owner is None else (owner.salt * (when_ns | 1) >> 24) & 0xFFFF
        self._sequence = sequence = self._sequence + 1
        heapq.heappush(self._heap, (when_ns, tie, sequence, timer))
        if when_ns <= self.now_ns:
            self._attention = True
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled_timers += 1
        if self._cancelled_timers > _TIMERS_TO_SWEEP and self._cancelled_timers * 2 > len(self._heap):
            kept = [entry for entry in self._heap if type(entry[3]) is not SimTimer or not entry[3].cancelled()]
            self._heap[:] = kept
            heapq.heapify(self._heap)
            self._cancelled_timers = 0

    # --- events of the machine room: they belong to no node -------------------------------------------------------

    def deliver(
        self, at_ns: int, way: int, kind: int, payload: bytes, event: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        """At `at_ns` a segment arrives: it goes into the trace, then `event(*args)` happens."""
        self._sequence = sequence = self._sequence + 1
        heapq.heappush(self._heap, (at_ns, 0, sequence, event, args, way, kind, payload))

    def after_ns(self, delay_ns: int, event: Callable[..., None], *args: Any) -> None:
        """Let `event(*args)` happen after a while, on no node's behalf."""
        self._sequence = sequence = self._sequence + 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, 0, sequence, event, args, 0, 0, None))

    def after(self, delay_s: float, event: Callable[..., None], *args: Any) -> None:
        """Like `after_ns`, in seconds."""
        self.after_ns(int(delay_s * 1e9 + 0.5), event, *args)

    # --- dispatch ------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Run until the loop is stopped (the base class calls this in an endless loop)."""
        ready = self._ready
        take = ready.popleft
        rounds = 0
        while True:
            if self._attention:
                self._attend()
            waiting = len(ready)
            if not waiting:
                if self._stopping:
                    return
                self._advance()
                rounds = 0
                waiting = len(ready)
            # One round: what is ready now. What these callbacks make ready belongs to the next round.
            for _ in range(waiting):
                handle = take()
                callback = handle._callback
                if callback is None or (self._screening and not self._may_run(handle)):
                    continue
                try:
                    handle._context.run(callback, *handle._args)
                except (KeyboardInterrupt, OutsideFailure):
                    raise
                except SystemExit as error:
                    owner = handle._context.get(RUNNING)
                    if owner is None or owner.node.on_exit is None:
                        raise
                    owner.node.on_exit(error)
                except BaseException as error:
                    self._callback_failed(handle, error)
            if self._stopping:
                return
            rounds += 1
            if rounds >= ROUNDS_PER_INSTANT:
                raise Livelock(
                    f"more than {ROUNDS_PER_INSTANT:,} rounds of callbacks ran at virtual time "
                    f"{self.elapsed_s():.6f} s without letting time pass; something polls with sleep(0).\n"
                    f"{self.waiting()}"
                )

    def _attend(self) -> None:
        """Before a round: sockets that changed, and timers that were set for now or earlier."""
        self._attention = False
        if self._heap and self._heap[0][0] <= self.now_ns:
            self._fire()
        elif self._watched:
            self._poll()

    def _advance(self) -> None:
        """Jump to the next instant."""
        heap = self._heap
        while heap:
            what = heap[0][3]
            if type(what) is not SimTimer or what._callback is not None:
                break
            heapq.heappop(heap)
            self._cancelled_timers -= 1
        else:
            raise Deadlock(
                f"deadlock at virtual time {self.elapsed_s():.6f} s: nothing is ready, no timer is armed, "
                f"no segment is under way.\n{self.waiting()}"
            )
        now_ns = heap[0][0]
        if now_ns > self.horizon_ns:
            horizon_s = (self.horizon_ns - self.start_ns) * 1e-9
            raise HorizonReached(
                f"the run is not over at its horizon of {horizon_s:g} virtual seconds.\n{self.waiting()}"
            )
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        self._instants = instants = self._instants + 1
        if instants % INSTANTS_PER_COLLECTION == 0:
            gc.collect()
        self._fire()

    def _fire(self) -> None:
        """Make everything happen that is due now: segments first, as a selector reports them before timers."""
        heap = self._heap
        now_ns = self.now_ns
        due = self._due
        segment = self.trace.segment
        while heap and heap[0][0] <= now_ns:
            entry = heapq.heappop(heap)
            what = entry[3]
            if type(what) is SimTimer:
                what._scheduled = False
                if what._callback is None:
                    self._cancelled_timers -= 1
                else:
                    due.append(what)
            else:
                _, _, _, event, args, way, kind, payload = entry
                if payload is not None:
                    segment(now_ns, way, kind, payload)
                event(*args)
        if self._watched:
            self._poll()
        if due:
            self._ready.extend(due)
            due.clear()

    def _callback_failed(self, handle: Any, error: BaseException) -> None:
        self.call_exception_handler(
            {"message": f"Exception in callback {handle._callback!r}", "exception": error, "handle": handle}
        )

    # --- nodes ---------------------------------------------------------------------------------------------------

    def new_salt(self) -> int:
        """A random odd number, for the order of timers between nodes."""
        return self.streams["schedule"].getrandbits(32) | 1

    def screen(self) -> None:
        """From now on ask of every callback whether its node may act."""
        self._screening = True

    def bury(self, dead: Incarnation) -> None:
        """Keep what a dead incarnation left behind alive but still, so that no destructor and no `finally` runs."""
        self.screen()
        self._zombies.extend(asyncio.all_tasks(self))
        self._zombies.extend(dead.parked)
        self._zombies.extend((socket, socket.reader, socket.writer) for socket in dead.sockets)
        self._zombies.extend(self._transports.values())
        self._zombies.extend(self._asyncgens)

    def _may_run(self, handle: Any) -> bool:
        owner = handle._context.get(RUNNING)
        if owner is None or not (owner.dead or owner.paused):
            return True
        if owner.dead:
            self._zombies.append((handle, handle._callback, handle._args))
        else:
            owner.parked.append(handle)
        return False

    def unpark(self, owner: Incarnation) -> None:
        """A pause is over."""
        self._ready.extend(owner.parked)
        owner.parked.clear()
        self._attention = True

    # --- names and executors -------------------------------------------------------------------------------------

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """Resolve a node's name, after a latency."""
        await asyncio.sleep(self.streams["network"].random() * 1e-3)
        return self.resolve(host, port, family, type, proto, flags)

    async def _ensure_resolved(self, address: Any, *, loop: Any, **hints: Any) -> list[Any]:
        """As in the base class, which would first ask of every name whether it can be read as an address."""
        host, port = address[:2]
        known = where.network.known(host)
        if known is None:
            return await super()._ensure_resolved(address, loop=loop, **hints)  # type: ignore[misc,no-any-return]
        return self.resolve(host, port) if known == host else await self.getaddrinfo(host, port, **hints)

    def resolve(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """`socket.getaddrinfo` over the simulated names: one IPv4 address each."""
        address = where.network.resolve(host, RUNNING.get().node.address)
        number = int(port) if port else 0
        return [(real_socket.AF_INET, real_socket.SOCK_STREAM, real_socket.IPPROTO_TCP, "", (address, number))]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        """Call at once, on this thread; the result arrives after a drawn latency, so that it can race."""
        future = self.create_future()
        try:
            finish, value = future.set_result, func(*args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            finish, value = future.set_exception, error
        delay_ns = int(self.streams["schedule"].random() * EXECUTOR_LATENCY_NS)
        self.call_later(delay_ns * 1e-9, lambda: None if future.done() else finish(value))
        return future

    # --- the end -------------------------------------------------------------------------------------------------

    def elapsed_s(self) -> float:
        """Virtual seconds since the run began."""
        return (self.now_ns - self.start_ns) * 1e-9

    def waiting(self) -> str:
        """Where the living tasks wait: what a hang message has to tell."""
        lines = sorted(f"  {task.get_name()} waits at {waits_at(task)}" for task in asyncio.all_tasks(self))
        return "Tasks:\n" + "\n".join(lines) if lines else "There are no tasks."

    def discard(self) -> None:
        """End the world: whatever still waits is closed where it stands, without a word and without a clock.

        Coroutines do run their `finally` here, after the run was judged; with a closed loop they cannot act.
        """
        left = [*asyncio.all_tasks(self)]
        self.set_exception_handler(lambda loop, context: None)
        for transport in list(self._transports.values()):
            transport._sock = None  # else its destructor warns of an unclosed transport
        self._heap.clear()
        self._watched.clear()
        self.close()
        # What their `finally` logs is of no run: it would look like the program's own failure.
        silenced_below = logging.root.manager.disable
        logging.disable()
        for task in (*left, *(thing for thing in self._zombies if isinstance(thing, asyncio.Task))):
            close_quietly(task)
        logging.disable(silenced_below)
        self._zombies.clear()
        for socket in self.sockets.values():
            # Whoever still holds it may close it at any time, also while another world runs.
            socket.closed = True
        self.sockets.clear()
