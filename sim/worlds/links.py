"""The links of a scenario and the fault proxies that stand in them: from a scenario's words to Toxiproxy's.

A link is named after its ends: `client-broker`, `broker-database`, `broker-agent:<workspace>`. Only a link that a fault
watches or strikes gets a proxy; the others are direct.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import Toxic
from fakes.toxiproxy.triggers import NthCommit, NthQuery, NthRequest, NthResponse, StatusSeen
from fakes.toxiproxy.triggers import Trigger as ProxyTrigger
from sim.scenario.model import (
    AddToxic,
    Down,
    OnCommit,
    OnQuery,
    OnRequest,
    OnResponse,
    OnStatus,
    Scenario,
    Trigger,
)

CLIENT_BROKER = "client-broker"
BROKER_DATABASE = "broker-database"
BROKER_AGENT = "broker-agent:"

Undo = Callable[[], None]


def links_of(scenario: Scenario) -> list[str]:
    """The links that need a proxy, in the order of the faults."""
    links: dict[str, None] = {}
    for fault in scenario.faults:
        if isinstance(fault.when, OnRequest | OnResponse | OnStatus | OnQuery | OnCommit):
            links[fault.when.link] = None
        if isinstance(fault.do, AddToxic | Down):
            links[fault.do.link] = None
    return list(links)


class Links:
    """The proxies of one run, by link."""

    def __init__(self, proxies: Mapping[str, Proxy]) -> None:
        self._proxies = proxies
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Let all proxies listen. Raises OSError."""
        for proxy in self._proxies.values():
            await proxy.start()

    def watch(self, trigger: Trigger, strike: Callable[[], None]) -> None:
        """Call `strike` when the trigger is reached."""
        link, what = watched(trigger)
        self._proxies[link].watch(what, strike)

    def add_toxic(self, action: AddToxic) -> Undo:
        """Put a toxic on its link; what is returned takes it off."""
        return self._add(
            action.link,
            Toxic(
                type=action.type,
                stream=action.stream,
                name=f"{action.type}-{next(self._numbers)}",
                toxicity=action.toxicity,
                attributes=action.attributes,
            ),
        )

    def cut(self, link: str) -> Undo:
        """Take a link down; what is returned brings it back."""
        return self._add(link, Toxic(type="down", name=f"down-{next(self._numbers)}"))

    def _add(self, link: str, toxic: Toxic) -> Undo:
        proxy = self._proxies[link]
        proxy.add_toxic(toxic)
        return lambda: proxy.remove_toxic(toxic.name)


def watched(trigger: Trigger) -> tuple[str, ProxyTrigger]:
    """The link of a trigger, and the trigger in a fault proxy's words."""
    match trigger:
        case OnRequest(link=link, nth=nth):
            return link, NthRequest(nth)
        case OnResponse(link=link, nth=nth, after_bytes=after_bytes):
            return link, NthResponse(nth, after_bytes)
        case OnStatus(link=link, status=status, nth=nth):
            return link, StatusSeen(status, nth)
        case OnQuery(link=link, nth=nth, containing=containing):
            return link, NthQuery(nth, containing)
        case OnCommit(link=link, nth=nth):
            return link, NthCommit(nth)
    raise TypeError(f"{trigger!r} is not a trigger of a link")
