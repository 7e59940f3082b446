"""A fault proxy in the program's own event loop, with the words of Toxiproxy: name, listen, upstream, enabled, toxics.

Unlike the original it draws from a seeded generator, checks attributes, keeps half-closed connections open, sends a
real RST on live connections too, and can act on the nth message (`triggers`). It runs on any asyncio loop. Whoever
calls it, its work runs in the context in which it was started, because on a simulated loop the context says whose
machine sockets and timers belong to.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ParamSpec, TypeAlias, TypeVar

from fakes.toxiproxy.addresses import joined
from fakes.toxiproxy.connection import Carried, Connection, Side
from fakes.toxiproxy.draws import Drawing, Draws, always
from fakes.toxiproxy.frames import Framer
from fakes.toxiproxy.http_frames import http_framers
from fakes.toxiproxy.postgres_frames import postgres_framers
from fakes.toxiproxy.toxics import STREAMS, Stream, Toxic, ToxicExists, ToxicNotFound
from fakes.toxiproxy.triggers import Tap, TrafficProtocol, Trigger, Watch

P = ParamSpec("P")
T = TypeVar("T")

BACKLOG = 4096
"""Connections that wait to be accepted: as many as Linux allows by default, and as Go asks for."""

_FRAMERS: Mapping[TrafficProtocol, Callable[[], tuple[Framer, Framer]]] = {
    "http": http_framers,
    "postgres": postgres_framers,
}


def _uncounted(listen: str, upstream: str) -> Mapping[Stream, Carried]:
    return {stream: Carried() for stream in STREAMS}


Observer: TypeAlias = Callable[[bool, bytes], None]
"""Is told of all bytes that pass, in order: whether they belong to a reply, and the bytes."""


class Proxy:
    """One listening address that leads to one upstream, with toxics on the way.

    `random` draws which connections a toxic strikes, jitter and slices; where connections race each other, give a
    function instead: the generator for the nth connection and one of its streams. With `listen_port=0` the system picks
    the port, which then stays the same through `disable` and `enable`. `protocol` is what its traffic is read as, from
    the first connection on; without it, the first trigger says so, and earlier connections pass unread. `carried` says
    what a new connection counts its bytes in, by `listen` and `upstream`. `observe` makes an observer for each
    connection whose traffic is read.
    """

    def __init__(
        self,
        name: str,
        listen_host: str,
        listen_port: int,
        upstream_host: str,
        upstream_port: int | str,
        *,
        random: random.Random | Draws,
        protocol: TrafficProtocol | None = None,
        carried: Callable[[str, str], Mapping[Stream, Carried]] = _uncounted,
        observe: Callable[[], Observer] | None = None,
    ) -> None:
        self.name = name
        self.port = listen_port
        self._listen_host = listen_host
        self._upstream: tuple[str, int | str] = (upstream_host, upstream_port)
        self._draws = random if callable(random) else always(random)
        self._toxics: dict[str, Toxic] = {}
        self._protocol = protocol
        self._observe = observe
        self._watches: list[Watch] = []
        self._triggered = False
        self._connections: dict[Connection, Drawing] = {}
        self._connection_count = 0
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._wanted = False
        self._enabling: asyncio.Task[None] | None = None
        self._home = contextvars.copy_context()
        self._carried = carried

    # --- state, in Toxiproxy's words -----------------------------------------------------------------------------

    @property
    def listen(self) -> str:
        """Where clients connect, as `host:port`."""
        return joined(self._listen_host, self.port)

    @property
    def upstream(self) -> str:
        """Where connections lead, as `host:port`."""
        return joined(*self._upstream)

    @property
    def enabled(self) -> bool:
        """Whether connections are accepted, or will be as soon as the listener is up."""
        return self._wanted

    @property
    def toxics(self) -> Sequence[Toxic]:
        """The toxics in place, in the order in which they were added."""
        return tuple(self._toxics.values())

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. Raises OSError if the address cannot be had."""
        self._home = contextvars.copy_context()
        self._reserve()
        await self.enable()

    async def close(self) -> None:
        """Stop listening, end all connections and give the port back."""
        self.disable()
        if self._enabling is not None:
            self._enabling.cancel()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    async def settled(self) -> None:
        """Return when a listener that is coming up is up. Raises OSError if it cannot."""
        if self._enabling is not None:
            await self._enabling

    def disable(self) -> None:
        """Refuse new connections and end the live ones, by FIN. The port stays ours."""
        self._at_home(self._disable)

    def _disable(self) -> None:
        self._wanted = False
        if self._server is not None:
            self._server.close()
            self._server = None
            self._reserve()
        for connection in tuple(self._connections):
            connection.finish("close")

    async def enable(self) -> None:
        """Accept connections again, on the same port."""
        await asyncio.get_running_loop().create_task(self._enable(), context=self._home.copy())

    async def _enable(self) -> None:
        self._wanted = True
        if self._reserved is None:
            return
        reserved, self._reserved = self._reserved, None
        try:
            server = await asyncio.get_running_loop().create_server(self._accept, sock=reserved, backlog=BACKLOG)
        except OSError:
            self._wanted = False
            reserved.close()
            raise
        self._server = server
        if not self._wanted:
            self.disable()

    def move(self, listen: tuple[str, int], upstream: tuple[str, int | str]) -> None:
        """Listen elsewhere, or lead elsewhere, from the next `start` on; the proxy has to be closed."""
        self._listen_host, self.port = listen
        self._upstream = upstream

    # --- toxics --------------------------------------------------------------------------------------------------

    def add_toxic(self, toxic: Toxic) -> None:
        """Let a toxic act, on live connections too. Raises ToxicExists."""
        if toxic.name in self._toxics:
            raise ToxicExists(f"proxy {self.name}: toxic {toxic.name!r} already exists; remove it or name the new one")
        self._toxics[toxic.name] = toxic
        if toxic.type == "down":
            self.disable()
            return
        self._at_home(self._strike_all, toxic)

    def update_toxic(self, toxic: Toxic) -> None:
        """Give the toxic of the same name, type and stream other attributes. Which live connections it strikes is drawn
        again. Raises ToxicNotFound."""
        self._find(toxic.name)
        self._toxics[toxic.name] = toxic
        self._at_home(self._update_all, toxic)

    def remove_toxic(self, name: str) -> None:
        """Take a toxic off; what it holds goes on at once. Raises ToxicNotFound."""
        toxic = self._find(name)
        del self._toxics[name]
        self._at_home(self._spare_all, name)
        if toxic.type == "down" and not any(other.type == "down" for other in self._toxics.values()):
            self._enabling = asyncio.get_running_loop().create_task(self.enable())

    def _find(self, name: str) -> Toxic:
        toxic = self._toxics.get(name)
        if toxic is None:
            present = ", ".join(self._toxics) or "none"
            raise ToxicNotFound(f"proxy {self.name}: no toxic {name!r}; it has: {present}")
        return toxic

    def _strike_all(self, toxic: Toxic) -> None:
        for connection, drawing in tuple(self._connections.items()):
            connection.add(toxic, drawing.of(toxic), strikes=drawing.strikes(toxic), first=self._triggered)

    def _update_all(self, toxic: Toxic) -> None:
        for connection, drawing in tuple(self._connections.items()):
            connection.update(toxic, drawing.of(toxic), strikes=drawing.strikes(toxic))

    def _spare_all(self, name: str) -> None:
        for connection in tuple(self._connections):
            connection.remove(name)

    # --- triggers ------------------------------------------------------------------------------------------------

    def watch(self, trigger: Trigger, callback: Callable[[], None]) -> Watch:
        """Call `callback` once, in the caller's context, when `trigger` happens from now on.

        It is looked for on connections whose traffic is read, which those made before the first trigger are only if
        the proxy was given its protocol. A toxic that `callback` adds strikes exactly from the place of the trigger on.
        Raises ValueError if the proxy reads another protocol.
        """
        if self._protocol not in (None, trigger.protocol):
            raise ValueError(
                f"proxy {self.name}: {trigger.describe()!r} needs {trigger.protocol} traffic, "
                f"but it reads {self._protocol}"
            )

        def strike() -> None:
            self._watches.remove(watch)
            self._triggered = True
            try:
                callback()
            finally:
                self._triggered = False

        watch = Watch(trigger, strike)
        self._protocol = trigger.protocol
        self._watches.append(watch)
        return watch

    def unwatch(self, watch: Watch) -> None:
        """Wait for this trigger no more."""
        if watch in self._watches:
            self._watches.remove(watch)

    def _at_home(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        # A copy, because a context cannot be entered twice and the caller may be in it already.
        return self._home.copy().run(work, *args, **kwargs)

    # --- connections ---------------------------------------------------------------------------------------------

    def _accept(self) -> Side:
        self._connection_count += 1
        connection = Connection(
            upstream=self._upstream,
            taps=self._taps(),
            carried=self._carried(self.listen, self.upstream),
            over=self._forget,
        )
        drawing = self._connections[connection] = Drawing(self._draws, self._connection_count)
        for toxic in self._toxics.values():
            if toxic.type != "down":  # which acts on the listener
                connection.add(toxic, drawing.of(toxic), strikes=drawing.strikes(toxic), first=False)
        if not self._wanted:  # the handshake was complete before the listener closed
            connection.finish("close")
        return connection.client

    def _taps(self) -> tuple[Tap, Tap] | None:
        if self._protocol is None:
            return None
        requests, responses = _FRAMERS[self._protocol]()
        number = self._connection_count
        observer = self._observe and self._observe()
        return (
            Tap(requests, self._watches, number, observer and partial(observer, False)),
            Tap(responses, self._watches, number, observer and partial(observer, True)),
        )

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def _reserve(self) -> None:
        """Bind the address without listening: connections are refused, and nobody else can take the port."""
        family = socket.AF_INET6 if ":" in self._listen_host else socket.AF_INET
        # Without IPPROTO_TCP asyncio would not switch Nagle's algorithm off on accepted connections.
        reserved = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        reserved.setblocking(False)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # "::" means every address, those of IPv4 too
            reserved.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            reserved.bind((self._listen_host, self.port))
        except OSError:
            reserved.close()
            raise
        self.port = reserved.getsockname()[1]
        self._reserved = reserved
