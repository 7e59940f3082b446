"""The one table of what our server does unlike Toxiproxy 2.12 on purpose; each has a test, and is in the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """`test_<id>` in test_toxiproxy_differences.py shows both sides."""

    id: str
    topic: str
    original: str
    ours: str


DIFFERENCES: Sequence[Difference] = (
    Difference(
        "attribute_names",
        "unknown or misspelt attribute",
        "ignored; the toxic does nothing",
        "400 that names the attribute and those that there are",
    ),
    Difference(
        "attribute_ranges",
        "value out of range: negative, `toxicity` 5, a slicer without `average_size`",
        "accepted; that slicer kills the server at the first byte",
        "400 that names the attribute and its range",
    ),
    Difference(
        "refused_change",
        "a change of a toxic that is refused",
        "what stood before the mistake is changed all the same",
        "changes nothing",
    ),
    Difference(
        "seed",
        "`-seed`",
        "without effect",
        "toxicity, jitter and slices repeat, by connection and stream",
    ),
    Difference(
        "toxicity_drawn_once",
        "toxicity of a live connection",
        "drawn again whenever the toxic next to it comes or goes",
        "drawn once, and when the toxic itself is changed",
    ),
    Difference(
        "neighbours_undisturbed",
        "a toxic is added while the one before it holds a chunk",
        "the chunk goes on at once",
        "the chunk waits its time",
    ),
    Difference(
        "live_reset",
        "`reset_peer` added to a live connection",
        "ends it by FIN",
        "ends it by RST, as it does new ones",
    ),
    Difference(
        "spared_by_reset_peer",
        "a connection that `reset_peer` does not strike (`toxicity`)",
        "its ordinary end becomes a RST",
        "its ordinary end stays a FIN",
    ),
    Difference(
        "reset_under_way",
        "`reset_peer` deleted while its timeout runs",
        "the answer waits until the timeout is over",
        "resets and answers at once",
    ),
    Difference(
        "half_close",
        "one side sends a FIN and goes on reading",
        "the other direction is cut too",
        "the other direction stays open",
    ),
    Difference(
        "reset_passed_on",
        "one side resets the connection",
        "the other side sees a FIN",
        "the other side sees a RST",
    ),
    Difference(
        "default_listen",
        "proxy without `listen`",
        "a free port on all interfaces",
        "a free port on 127.0.0.1",
    ),
    Difference(
        "metrics_while_passing",
        "bytes in `/metrics`",
        "added when the connection is over",
        "counted while they pass",
    ),
    Difference(
        "runtime_metrics",
        "`-runtime-metrics`",
        "`process_*` and `go_*`",
        "`process_*` and `python_*`",
    ),
    Difference(
        "bad_config",
        "`-config` with a file that cannot be used",
        "logs it and serves without the proxies",
        "exit code 4, with place and cure",
    ),
    Difference(
        "port_in_use",
        "port of the API in use",
        "logs it and stays, without an API",
        "exit code 4, with cure",
    ),
    Difference(
        "wrong_flag",
        "wrong flag",
        "exit code 2 and all flags; what is no flag is ignored",
        "exit code 4 and the flag that was meant",
    ),
    Difference(
        "trigger",
        "`trigger` of a toxic",
        "ignored: the toxic acts at once",
        "the toxic acts when the trigger fires",
    ),
    Difference(
        "protocol",
        "`protocol` of a proxy",
        "ignored",
        "`http` or `postgres`: read for triggers from the first connection on",
    ),
    Difference(
        "down",
        "toxic `down`",
        "400 `invalid toxic type`",
        "ends all connections and refuses new ones, as `enabled: false`; for triggers",
    ),
)


def table() -> str:
    """The table in Markdown."""
    lines = ["| what | Toxiproxy 2.12 | here |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {each.topic} | {each.original} | {each.ours} |" for each in DIFFERENCES)])
