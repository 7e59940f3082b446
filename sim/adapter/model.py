"""What is known of a broker that is not ours: where its API differs from the contract's, and how it is handled.

An adapter that says nothing is the contract (§2) itself. Durations are the broker's own, in real seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sim.history import Flags

CONTRACT_PATHS: Mapping[str, str] = {
    "delegate": "/workspaces/{workspace}/delegate",
    "record": "/workspaces/{workspace}/delegations/record",
    "report": "/workspaces/{workspace}/delegations/{delegation}/update",
    "list": "/workspaces/{workspace}/delegations",
    "send": "/workspaces/{workspace}/a2a",
    "inbox": "/workspaces/{workspace}/activity",
    "mcp": "/workspaces/{workspace}/mcp",
    "heartbeat": "/registry/heartbeat",
    "register": "/registry/register",
    "events": "/ws",
}
"""By what is asked for. `send` names the target, everything else the workspace that asks."""

PLACEHOLDERS = ("id", "name", "url", "delivery", "parent", "budget_cents")
"""What the body of a workspace's creation may name."""

QUIET_BEYOND_RETRY_S = 2.0
_RETRIES = 1.25


@dataclass(frozen=True, slots=True)
class Auth:
    """The value of `header` on every request is in the environment variable `env`; for Authorization, as a bearer."""

    env: str
    header: str = "Authorization"


@dataclass(frozen=True, slots=True)
class Creation:
    """The request that makes a workspace known.

    `body`: JSON in which `{id}` and the other placeholders stand for the workspace's; what is `{parent}` or
    `{budget_cents}` alone is left out for a workspace that has none. `id_in`: the field of the answer with the id, by
    dots; empty: ids are ours. `token_in`: the field with the workspace's own token, if the answer has it.
    """

    method: str = "POST"
    path: str = CONTRACT_PATHS["register"]
    body: Mapping[str, Any] = field(
        default_factory=lambda: {
            "id": "{id}",
            "url": "{url}",
            "agent_card": {"name": "{name}"},
            "delivery_mode": "{delivery}",
        }
    )
    id_in: str = ""
    token_in: str = "auth_token"

    def names(self, placeholder: str) -> bool:
        """Whether the body names it."""
        return _names(self.body, f"{{{placeholder}}}")


@dataclass(frozen=True, slots=True)
class Adapter:
    """`paths`: where they differ; None: the broker has no such thing. `command`: how to start it, None: it runs.

    `agent_host`: under which name the broker reaches our agents, which listen on loopback. `database_listen`: the port
    of loopback on which the way to its database begins, None: it goes there by itself. `settle_s`: no run waits longer
    for the broker to come to rest. `quiet_s`: how long nothing must happen before a run is over, None: `quiet`.
    """

    paths: Mapping[str, str | None] = field(default_factory=dict)
    auth: Auth | None = None
    workspaces: Creation = field(default_factory=Creation)
    flags: Flags = field(default_factory=Flags)
    settle_s: float = 300.0
    quiet_s: float | None = None
    agent_host: str = "127.0.0.1"
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    database_listen: int | None = None

    @property
    def quiet(self) -> float:
        """Seconds in which a late second delivery would show."""
        if self.quiet_s is not None:
            return self.quiet_s
        return self.flags.retry_delay_s * _RETRIES + QUIET_BEYOND_RETRY_S


def _names(body: Any, placeholder: str) -> bool:
    if isinstance(body, Mapping):
        return any(_names(value, placeholder) for value in body.values())
    if isinstance(body, list):
        return any(_names(value, placeholder) for value in body)
    return isinstance(body, str) and placeholder in body
