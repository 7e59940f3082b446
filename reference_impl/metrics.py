"""What an operator watches: the counts of one broker.

They are plain numbers; Prometheus's objects are made of them when somebody asks. So counting costs next to nothing, and
many brokers fit in one process, as nothing is registered anywhere. Every label has few values: routes as they are
written in the router, never paths; an outcome, a result, a status.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BOUNDS_S = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)
_BOUND_LABELS = (*(str(bound_s) for bound_s in _BOUNDS_S), "+Inf")
_Counts = Mapping[tuple[str, ...], int]


class Metrics(Collector):
    """The metrics of one broker. Durations are seconds of the event loop's clock."""

    def __init__(self, *, watchers: Callable[[], int]) -> None:
        self._watchers = watchers
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._request_counts: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(_BOUND_LABELS))
        self._request_sums_s: defaultdict[str, float] = defaultdict(float)
        self._accepted = 0
        self._ended: Counter[tuple[str, ...]] = Counter()
        self._attempts: Counter[tuple[str, ...]] = Counter()
        self._database_retries = 0
        self.executions: Callable[[], int] = lambda: 0

    def request_ended(self, *, method: str, route: str, status: str, after_s: float) -> None:
        self._requests[method, route, status] += 1
        self._request_counts[route][bisect_left(_BOUNDS_S, after_s)] += 1
        self._request_sums_s[route] += after_s

    def delegation_accepted(self) -> None:
        self._accepted += 1

    def delegation_ended(self, outcome: str) -> None:
        self._ended[outcome,] += 1

    def attempt_ended(self, result: str) -> None:
        self._attempts[result,] += 1

    def database_retried(self) -> None:
        self._database_retries += 1

    def exposition(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus's registry asks for."""
        yield _counter("http_requests", "HTTP requests that have ended", ("method", "route", "status"), self._requests)
        yield self._durations()
        yield _counter("delegations_accepted", "Delegations taken on", (), {(): self._accepted})
        yield _counter("delegations_ended", "Delegations by what became of them", ("outcome",), self._ended)
        yield _counter("delivery_attempts", "Requests to agents by how they ended", ("result",), self._attempts)
        yield _counter("database_retries", "Tries that the database made necessary", (), {(): self._database_retries})
        yield GaugeMetricFamily("broker_watchers", "Connected WebSocket and SSE clients", self._watchers())
        yield GaugeMetricFamily("broker_executions_running", "Delegations in this process's hands", self.executions())

    def _durations(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily("broker_http_request_seconds", "Time to the end of an answer", labels=("route",))
        for route, counts in self._request_counts.items():
            buckets = list(zip(_BOUND_LABELS, map(float, accumulate(counts)), strict=True))
            family.add_metric((route,), buckets, self._request_sums_s[route])
        return family


def _counter(name: str, help: str, labels: Sequence[str], counts: _Counts) -> CounterMetricFamily:
    family = CounterMetricFamily(f"broker_{name}", help, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
