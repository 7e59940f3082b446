"""`GET /metrics`: Toxiproxy's counters of bytes by proxy, and facts of the process.

Unlike the original, which adds a connection's bytes when it is over, these count while they pass. The facts of the
process are those of Python, not of Go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from fakes.toxiproxy.connection import Carried
from fakes.toxiproxy.toxics import STREAMS, Stream

_LABELS = ("direction", "proxy", "listener", "upstream")


class Traffic(Collector):
    """What all proxies have carried, also those that are gone."""

    def __init__(self) -> None:
        self._carried: dict[tuple[str, str, str], Mapping[Stream, Carried]] = {}

    def of(self, proxy: str, listen: str, upstream: str) -> Mapping[Stream, Carried]:
        """Where connections of a proxy at these addresses count their bytes."""
        return self._carried.setdefault((proxy, listen, upstream), {stream: Carried() for stream in STREAMS})

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Both counters, by direction and proxy."""
        received = CounterMetricFamily("toxiproxy_proxy_received_bytes_total", "", labels=_LABELS)
        sent = CounterMetricFamily("toxiproxy_proxy_sent_bytes_total", "", labels=_LABELS)
        for names, carried in self._carried.items():
            for stream in STREAMS:
                received.add_metric((stream, *names), carried[stream].received_bytes)
                sent.add_metric((stream, *names), carried[stream].sent_bytes)
        yield received
        yield sent


class Metrics:
    """What `/metrics` shows; nothing, and no such path, unless a flag asks for it."""

    def __init__(self, traffic: Traffic, *, proxies: bool, runtime: bool) -> None:
        self.enabled = proxies or runtime
        self._registry = CollectorRegistry()
        if proxies:
            self._registry.register(traffic)
        if runtime:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    async def answer(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        """In the format that the client asks for."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
