"""The broker that the harness starts, and what a scenario's `broker:` section sets on it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields, replace

from reference_impl.config import Config
from sim.history import Flags
from sim.scenario.model import Scenario


class UnknownSetting(Exception):
    """A scenario sets something that the broker does not have, or gives it a wrong kind of value."""


_BY_THE_WORLD = {"database_url", "host", "port", "migrate"}
_NAMES: Mapping[str, str] = {
    field.name.removesuffix("_s"): field.name for field in fields(Config) if field.name not in _BY_THE_WORLD
}


def configured(base: Config, scenario: Scenario) -> Config:
    """`base` with the scenario's overrides. Raises `UnknownSetting`."""
    changes: dict[str, object] = {}
    for key, value in scenario.broker.items():
        name = _NAMES.get(key)
        if name is None:
            near = difflib.get_close_matches(key, _NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(_NAMES))}"
            raise UnknownSetting(f"{scenario.path}: broker: the broker has no setting {key!r}; {hint}")
        present = getattr(base, name)
        if isinstance(present, float) and isinstance(value, int | float) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(present):
            kind = "a duration, such as 8s" if isinstance(present, float) else f"a {type(present).__name__}"
            raise UnknownSetting(f"{scenario.path}: broker: {key} is {value!r}; it takes {kind}")
        changes[name] = value
    return replace(base, **changes) if changes else base  # type: ignore[arg-type]


def check_settings(scenario: Scenario) -> None:
    """Raises `UnknownSetting` for overrides that the reference broker does not understand."""
    configured(Config(), scenario)


def flags_of(config: Config) -> Flags:
    """What the invariants have to know of a configuration."""
    return Flags(
        ledger=config.ledger_write,
        inbox_push=config.result_inbox_push,
        retry_delay_s=config.retry_delay_s,
        execution_budget_s=config.execution_budget_s,
        mcp_sync_budget_s=config.mcp_sync_budget_s,
        mcp_async_budget_s=config.mcp_async_budget_s,
        sweeper_interval_s=config.sweeper_interval_s,
        grace_s=config.grace_s,
    )
