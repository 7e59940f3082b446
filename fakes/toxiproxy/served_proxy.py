"""A proxy as the HTTP API shows it: addresses as text, whether it is enabled, toxics in force and toxics that wait.

Theory: `Proxy` is the machine; this is Toxiproxy's record of it. A disabled proxy has given its port back. A toxic with
a trigger is listed from the start, and put into the machine when the trigger fires.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fakes.toxiproxy.addresses import AddressError, bindable, joined, refusal, resolved, upstream_of
from fakes.toxiproxy.connection import Carried
from fakes.toxiproxy.go_json_writer import Float32, Json
from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import Stream, Toxic, ToxicExists, ToxicNotFound
from fakes.toxiproxy.trigger_json import trigger_json
from fakes.toxiproxy.triggers import TrafficProtocol, Trigger, Watch

Counters = Callable[[str, str, str], Mapping[Stream, Carried]]
"""(name, listen, upstream) of a proxy -> where a connection counts its bytes."""


class CannotListen(Exception):
    """A proxy cannot be started, in Go's words."""


@dataclass(slots=True)
class ListedToxic:
    """A toxic of the list: as it is, with its stream as it was written, and what it waits for, if anything."""

    toxic: Toxic
    stream_text: str
    trigger: Trigger | None = None
    watch: Watch | None = None

    @property
    def waits(self) -> bool:
        """Whether its trigger is still to fire."""
        return self.watch is not None and not self.watch.fired

    def json(self) -> dict[str, Json]:
        """As the API shows it."""
        toxic = self.toxic
        shown: dict[str, Json] = {
            "attributes": dict(toxic.attributes),
            "name": toxic.name,
            "type": toxic.type,
            "stream": self.stream_text,
            "toxicity": Float32(toxic.toxicity),
        }
        if self.trigger is not None:
            shown["trigger"] = trigger_json(self.trigger, fired=not self.waits)
        return shown


class ServedProxy:
    """One proxy of the API. What its connections draw depends on `seed`, its name, and their number only."""

    def __init__(
        self,
        name: str,
        listen: str,
        upstream: str,
        *,
        protocol: TrafficProtocol | None,
        seed: int,
        counters: Counters,
    ) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self._protocol = protocol
        self._started = False
        self._toxics: dict[str, ListedToxic] = {}
        self._machine = Proxy(
            name,
            "",
            0,
            "",
            0,
            random=lambda number, stream: random.Random(f"{seed}/{name}/{number}/{stream}"),
            protocol=protocol,
            carried=lambda listen, _: counters(name, listen, self.upstream),
        )

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether it accepts connections."""
        return self._started and self._machine.enabled

    @property
    def toxics(self) -> list[ListedToxic]:
        """In Toxiproxy's order: those upstream first, the oldest first."""
        return sorted(self._toxics.values(), key=lambda listed: listed.toxic.stream != "upstream")

    def json(self) -> dict[str, Json]:
        """As the API shows it."""
        shown: dict[str, Json] = {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},  # a member that Toxiproxy shows by mistake; clients have learned to expect it
            "toxics": [listed.json() for listed in self.toxics],
        }
        return shown if self._protocol is None else {**shown, "protocol": self._protocol}

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether it would have to be started again to be at these addresses. Raises AddressError."""
        return self.listen != joined(*await resolved(listen)) or self.upstream != upstream

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept connections, and take off what holds the proxy down; `listen` then has the real port. Raises
        CannotListen."""
        for listed in self.toxics:
            if listed.toxic.type == "down" and not listed.waits:
                await self.remove(listed.toxic.name)
        if self._started:
            return
        try:
            host, port = await resolved(self.listen)
        except AddressError as error:
            raise CannotListen(f"listen tcp: {error}") from error
        self._machine.move(bindable(self.listen, host, port), upstream_of(self.upstream))
        try:
            await self._machine.start()
        except OSError as error:
            raise CannotListen(refusal(joined(host, port), error)) from error
        self._started = True
        self.listen = self._machine.listen

    async def stop(self) -> None:
        """End all connections and give the port back."""
        if self._started:
            self._started = False
            await self._machine.close()

    async def update(self, listen: str, upstream: str, *, enabled: bool) -> None:
        """Change what differs. Raises AddressError, CannotListen."""
        if await self.differs(listen, upstream):
            await self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled and not self.enabled:
            await self.start()
        elif not enabled:
            await self.stop()

    # --- toxics --------------------------------------------------------------------------------------------------

    def find(self, name: str) -> ListedToxic:
        """Raises ToxicNotFound."""
        if name not in self._toxics:
            raise ToxicNotFound(f"proxy {self.name}: no toxic {name!r}")
        return self._toxics[name]

    def add(self, listed: ListedToxic) -> None:
        """Let a toxic act, now or when its trigger fires. Raises ToxicExists, and ValueError for a trigger of another
        protocol than the proxy reads."""
        name = listed.toxic.name
        if name in self._toxics:
            raise ToxicExists(f"proxy {self.name}: toxic {name!r} already exists")
        if listed.trigger is None:
            self._machine.add_toxic(listed.toxic)
        else:
            listed.watch = self._machine.watch(listed.trigger, lambda: self._machine.add_toxic(listed.toxic))
        self._toxics[name] = listed

    def change(self, toxic: Toxic) -> ListedToxic:
        """Let the toxic of the same name be this one. Raises ToxicNotFound."""
        listed = self.find(toxic.name)
        listed.toxic = toxic
        if not listed.waits:
            self._machine.update_toxic(toxic)
        return listed

    async def remove(self, name: str) -> None:
        """Take a toxic off, whether it acts or waits. Raises ToxicNotFound, CannotListen."""
        listed = self.find(name)
        del self._toxics[name]
        if listed.waits and listed.watch is not None:
            self._machine.unwatch(listed.watch)
        else:
            self._machine.remove_toxic(name)
            if listed.toxic.type == "down" and self._started:
                try:
                    await self._machine.settled()
                except OSError as error:
                    raise CannotListen(refusal(self.listen, error)) from error
