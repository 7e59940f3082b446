"""The links of a live world: what a scenario calls a link is a chain of up to three proxies on loopback.

    source ──▶ front tap ──▶ Toxiproxy ──▶ back tap ──▶ destination

Toxiproxy harms, and knows no triggers. The taps are proxies of our own, in this process, that harm nothing and see
every message before they pass it on: the front one what the source sends, the back one what the destination
answers. A trigger that fires there holds the message until Toxiproxy has confirmed the toxic, so the fault strikes that
very message, as in the simulated world. A link has only the parts that the scenario needs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from fakes.toxiproxy.proxy import Observer, Proxy
from fakes.toxiproxy.toxics import Toxic
from sim.scenario.model import AddToxic, Down, OnCommit, OnQuery, OnRequest, OnResponse, OnStatus, Scenario, Trigger
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.toxiproxy import Toxiproxy
from sim.worlds.links import BROKER_DATABASE, watched
from sim.worlds.world import Undo

_PASSED_ON_S = 0.05
"""Real time that the last byte before a fault has to get through Toxiproxy."""
_TIMES = {"latency", "jitter", "timeout", "delay"}


@dataclass(slots=True)
class _Chain:
    """One link; parts that the scenario does not need are None."""

    front: Proxy | None = None
    proxied: str | None = None
    """The proxy's name at Toxiproxy."""
    back: Proxy | None = None
    downs: set[str] = field(default_factory=set)


class Chains:
    """The links of one run. `entrances` says where each is entered."""

    def __init__(self, toxiproxy: Toxiproxy, *, prefix: str, time_scale: float) -> None:
        """`prefix`: begins the names of our proxies at a Toxiproxy that others may use too."""
        self._toxiproxy = toxiproxy
        self._prefix = prefix
        self._time_scale = time_scale
        self._chains: dict[str, _Chain] = {}
        self._count = 0
        self.entrances: dict[str, tuple[str, int]] = {}

    async def build(
        self,
        scenario: Scenario,
        ends: Mapping[str, tuple[str, int]],
        *,
        observe: Callable[[], Observer] | None,
        ports: Mapping[str, int],
    ) -> None:
        """Make every link that leads to one of `ends`. `observe`, if given, watches its database link.

        `ports`: where links have to begin; 0, or not there: anywhere. Raises ComponentFailed.
        """
        fronts = {
            fault.when.link for fault in scenario.faults if isinstance(fault.when, OnRequest | OnQuery | OnCommit)
        }
        backs = {fault.when.link for fault in scenario.faults if isinstance(fault.when, OnResponse | OnStatus)}
        toxic = {fault.do.link for fault in scenario.faults if isinstance(fault.do, AddToxic | Down)}
        for link, end in ends.items():
            chain = self._chains[link] = _Chain()
            if link in backs:
                chain.back = await _tap(link, end)
                end = ("127.0.0.1", chain.back.port)
            if link in toxic:
                chain.proxied = f"{self._prefix}{link}"
                end = ("127.0.0.1", self._toxiproxy.create(chain.proxied, upstream=end))
            watching = observe if link == BROKER_DATABASE else None
            if link in fronts or watching is not None or ports.get(link):
                chain.front = await _tap(link, end, watching, port=ports.get(link, 0))
                end = ("127.0.0.1", chain.front.port)
            self.entrances[link] = end

    async def close(self) -> None:
        """Take all of it down."""
        for chain in self._chains.values():
            for tap in (chain.front, chain.back):
                if tap is not None:
                    await tap.close()
        with ExitStack() as stack:
            for chain in self._chains.values():
                if chain.proxied is not None:
                    stack.callback(self._toxiproxy.delete, chain.proxied)

    def watch(self, trigger: Trigger, strike: Callable[[], None]) -> None:
        """Call `strike` when the trigger is reached, before what it is about goes on."""
        link, what = watched(trigger)
        chain = self._chains[link]
        tap = chain.back if isinstance(trigger, OnResponse | OnStatus) else chain.front
        assert tap is not None
        if isinstance(trigger, OnResponse) and trigger.after_bytes is not None:

            def strike_behind() -> None:
                time.sleep(_PASSED_ON_S)
                strike()

            tap.watch(what, strike_behind)
        else:
            tap.watch(what, strike)

    def add_toxic(self, action: AddToxic) -> Undo:
        """Put a toxic on its link, and return when it acts. What is returned takes it off. Raises ComponentFailed."""
        self._count += 1
        toxic = Toxic(
            type=action.type,
            stream=action.stream,
            name=f"{action.type}-{self._count}",
            toxicity=action.toxicity,
            attributes=hurried(action.attributes, self._time_scale),
        )
        proxied = self._proxied(action.link)
        self._toxiproxy.add_toxic(proxied, toxic)
        return lambda: self._toxiproxy.remove_toxic(proxied, toxic.name)

    def cut(self, link: str) -> Undo:
        """Take a link down: live connections end, new ones are refused. What is returned brings it back."""
        chain, proxied = self._chains[link], self._proxied(link)
        self._count += 1
        name = f"down-{self._count}"
        chain.downs.add(name)
        if chain.front is not None:
            chain.front.add_toxic(Toxic(type="down", name=name))
        self._toxiproxy.enable(proxied, False)

        def bring_back() -> None:
            chain.downs.discard(name)
            if not chain.downs:
                self._toxiproxy.enable(proxied, True)
            if chain.front is not None:
                chain.front.remove_toxic(name)

        return bring_back

    def _proxied(self, link: str) -> str:
        proxied = self._chains[link].proxied
        assert proxied is not None
        return proxied


def hurried(attributes: Mapping[str, int], time_scale: float) -> dict[str, int]:
    """The attributes of a toxic with its times in real units, and its rate for as many bytes in a scenario second."""
    changed = dict(attributes)
    for name, value in attributes.items():
        if name in _TIMES:
            # A time above zero stays above zero, which means "never" or "at once".
            changed[name] = max(round(value / time_scale), 1) if value else 0
        elif name == "rate":
            changed[name] = round(value * time_scale)
    return changed


async def _tap(
    link: str, end: tuple[str, int], observe: Callable[[], Observer] | None = None, *, port: int = 0
) -> Proxy:
    tap = Proxy(
        link,
        "127.0.0.1",
        port,
        *end,
        random=random.Random(0),
        protocol="postgres" if link == BROKER_DATABASE else "http",
        observe=observe,
    )
    try:
        await tap.start()
    except OSError as error:
        raise ComponentFailed(f"{link}: cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
    return tap
