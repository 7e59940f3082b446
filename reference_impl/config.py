"""Every setting of the broker, with its name in the environment, its default and its unit.

The dataclass is the table: `from_environment` and the command line are both read off its fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any


class ConfigError(ValueError):
    """A setting has a value that the broker refuses to start with; the message names the setting."""


def _text(raw: str) -> str:
    return raw


def _database_url(raw: str) -> str:
    if not raw.startswith(("postgres://", "postgresql://")):
        raise ValueError("must look like postgres://user:password@host:5432/name")
    return raw


def _switch(raw: str) -> bool:
    if raw not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return raw == "1"


def _count(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise ValueError("must be a whole number above zero")
    return int(raw)


def _port(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) > 65535:
        raise ValueError("must be a port number, 0 to 65535 (0 = any free port)")
    return int(raw)


def _above_zero(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise ValueError("must be a number above zero")
    return value


def _seconds(raw: str) -> float:
    try:
        return _above_zero(raw)
    except ValueError:
        raise ValueError("must be a number of seconds above zero") from None


def _setting(
    name: str, default: Any, parse: Callable[[str], Any], unit: str, meaning: str, *, original: str = ""
) -> Any:
    """`original`: what the modelled system calls it, if that is another name."""
    metadata = {"name": name, "parse": parse, "unit": unit, "meaning": meaning, "original": original}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one broker. Durations are seconds of the event loop's clock, sizes are bytes."""

    database_url: str = _setting(
        "DATABASE_URL", "postgres://dev:dev@localhost:5432/molecule", _database_url, "URL", "the Postgres database"
    )
    host: str = _setting("BROKER_HOST", "127.0.0.1", _text, "address", "where to listen")
    port: int = _setting("PORT", 8080, _port, "port", "where to listen; 0 picks a free port")
    environment: str = _setting(
        "BROKER_ENV",
        "production",
        _text,
        "name",
        "development (or dev), without ADMIN_TOKEN, lets requests without a token in, and any number",
        original="MOLECULE_ENV",
    )
    admin_token: str = _setting("ADMIN_TOKEN", "", _text, "secret", "opens every workspace; empty = none")
    rate_limit: int = _setting(
        "RATE_LIMIT", 600, _count, "requests/min", "what one client address may ask for; no limit in development"
    )
    mcp_rate_limit: int = _setting(
        "MCP_RATE_LIMIT", 120, _count, "requests/min", "what one token may ask of the MCP bridge; likewise"
    )
    allow_loopback: bool = _setting(
        "BROKER_ALLOW_LOOPBACK", False, _switch, "0 or 1", "agents may live on loopback and private addresses"
    )
    migrate: bool = _setting("BROKER_MIGRATE", False, _switch, "0 or 1", "apply schema.sql at start")
    ledger_write: bool = _setting(
        "DELEGATION_LEDGER_WRITE", True, _switch, "0 or 1", "keep the ledger (table delegations)"
    )
    ledger_deadline_s: float = _setting(
        "DELEGATION_LEDGER_DEADLINE",
        6 * 3600.0,
        _seconds,
        "s",
        "age at which the ledger ends what is still open",
        original="ledger deadline",
    )
    result_inbox_push: bool = _setting(
        "DELEGATION_RESULT_INBOX_PUSH", True, _switch, "0 or 1", "put results into the caller's inbox"
    )
    retry_delay_s: float = _setting(
        "DELEGATION_RETRY_DELAY",
        8.0,
        _seconds,
        "s",
        "wait before the one retry of what was not delivered",
        original="delegationRetryDelay",
    )
    execution_budget_s: float = _setting(
        "DELEGATION_BUDGET",
        1800.0,
        _seconds,
        "s",
        "time that one execution may take in all",
        original="delegation budget",
    )
    mcp_sync_budget_s: float = _setting(
        "MCP_SYNC_BUDGET", 30.0, _seconds, "s", "time that the tool delegate_task may take"
    )
    mcp_async_budget_s: float = _setting(
        "MCP_ASYNC_BUDGET", 8.0, _seconds, "s", "time that a task of delegate_task_async may take"
    )
    proxy_ceiling_s: float = _setting(
        "A2A_CEILING",
        1800.0,
        _seconds,
        "s",
        "time that one proxied call may take, whatever X-Timeout says",
        original="A2A ceiling",
    )
    idle_timeout_s: float = _setting(
        "A2A_IDLE_TIMEOUT_SECONDS",
        1800.0,
        _seconds,
        "s",
        "silence after which an agent that has a message is given up; it may set its own in a heartbeat",
    )
    connect_timeout_s: float = _setting(
        "A2A_CONNECT_TIMEOUT", 10.0, _seconds, "s", "name lookup and connection to an agent"
    )
    database_timeout_s: float = _setting(
        "DATABASE_TIMEOUT", 5.0, _seconds, "s", "one piece of work on the database, connecting included"
    )
    database_pool_size: int = _setting("DATABASE_POOL", 10, _count, "connections", "at most so many")
    queue_sweep_interval_s: float = _setting(
        "A2A_QUEUE_SWEEP_INTERVAL", 10.0, _seconds, "s", "pause between looks for queued messages that can be sent"
    )
    sweeper_interval_s: float = _setting(
        "DELEGATION_SWEEPER_INTERVAL_S", 300.0, _seconds, "s", "pause between sweeps for overdue and stuck delegations"
    )
    stuck_threshold_s: float = _setting(
        "DELEGATION_STUCK_THRESHOLD_S", 600.0, _seconds, "s", "silence of a target that makes its delegations stuck"
    )
    activity_cleanup_interval_hours: float = _setting(
        "ACTIVITY_CLEANUP_INTERVAL_HOURS",
        6.0,
        _above_zero,
        "h",
        "pause between looks for activity to prune; the first comes 4 minutes after the start",
    )
    activity_retention_days: float = _setting(
        "ACTIVITY_RETENTION_DAYS", 7.0, _above_zero, "d", "age at which activity is pruned"
    )
    recovery_interval_s: float = _setting(
        "RECOVERY_INTERVAL", 60.0, _seconds, "s", "pause between looks for delegations nobody executes, after a doubt"
    )
    liveness_s: float = _setting(
        "LIVENESS_TTL", 180.0, _seconds, "s", "a workspace not heard of for so long goes offline"
    )
    grace_s: float = _setting("BROKER_GRACE", 10.0, _seconds, "s", "time for running executions after SIGTERM")

    @property
    def fails_open(self) -> bool:
        """Whether requests without a bearer token are let in, and any number (development without an admin token)."""
        return not self.admin_token and self.environment in ("development", "dev")

    @property
    def ledger_s(self) -> float | None:
        """The age at which the ledger ends a delegation; None: there is no ledger."""
        return self.ledger_deadline_s if self.ledger_write else None

    @classmethod
    def from_environment(cls, env: Mapping[str, str], *, flags: Mapping[str, str] | None = None) -> Config:
        """Read the settings from `flags`, then `env`, by the same names. An empty value counts as absent.

        Raises `ConfigError`.
        """
        values: dict[str, Any] = {}
        for setting in fields(cls):
            name = setting.metadata["name"]
            place = "on the command line" if (flags or {}).get(name) else "in the environment"
            if not (raw := (flags or {}).get(name) or env.get(name)):
                continue
            try:
                values[setting.name] = setting.metadata["parse"](raw)
            except ValueError as error:
                shown = "the value" if is_secret(setting) or setting.metadata["unit"] == "URL" else repr(raw)
                fix = f"leave it out to get the default, {default_text(setting)}"
                raise ConfigError(f"{name}: {shown} {place} {error}; {fix}") from None
        return cls(**values)


def is_secret(setting: Field[Any]) -> bool:
    """Whether nobody may see the setting's value."""
    return bool(setting.metadata["unit"] == "secret")


def default_text(setting: Field[Any]) -> str:
    """The setting's default, as it would be written."""
    default = setting.default
    if isinstance(default, bool):
        return "1" if default else "0"
    return f"{default:g}" if isinstance(default, float) else str(default) or "none"
