"""What an operator watches: counters of one broker, in a registry of its own, so that many brokers fit in one process.

Every label has few values: routes as they are written in the router, never paths; an outcome, a result, a status.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)


class Metrics:
    """The metrics of one broker. Durations are seconds of the event loop's clock."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "broker_http_requests", "HTTP requests that have ended", ("method", "route", "status"), registry=registry
        )
        self.request_seconds = Histogram(
            "broker_http_request_seconds",
            "Time to the end of an answer",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.accepted = Counter("broker_delegations_accepted", "Delegations taken on", registry=registry)
        self.ended = Counter(
            "broker_delegations_ended", "Delegations by what became of them", ("outcome",), registry=registry
        )
        self.attempts = Counter(
            "broker_delivery_attempts", "Requests to agents by what is known of them", ("result",), registry=registry
        )
        self.database_retries = Counter(
            "broker_database_retries", "Work on the database that has to be tried again", registry=registry
        )
        self.watchers = Gauge("broker_watchers", "Connected WebSocket and SSE clients", registry=registry)
        self.executions = Gauge(
            "broker_executions_running", "Delegations in the hands of this process", registry=registry
        )

    def exposition(self) -> bytes:
        """All of them, in the text format of Prometheus."""
        return generate_latest(self._registry)
