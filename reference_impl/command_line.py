"""The command line of the service: every setting as a flag, and the help that names them all.

A secret has no flag, because everybody on the machine can read the command lines of its processes.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import Field, fields
from typing import Any

from reference_impl.config import Config, ConfigError, default_text, is_secret

_USAGE = """usage: python -m reference_impl [--SETTING VALUE]...

The reference delegation broker. Each setting is a flag, or a variable of the environment; the flag wins, an empty
value means the default. Durations are seconds. "Original" is the name in the modelled system, where it differs.

{settings}

Examples:
  python -m reference_impl --port 0 --broker-migrate 1
  BROKER_ENV=development python -m reference_impl --broker-allow-loopback 1 --delegation-retry-delay 0.5
  DATABASE_URL=postgres://user:password@db.example:5432/broker ADMIN_TOKEN=... python -m reference_impl

SIGTERM and SIGINT stop it: it accepts nothing more, gives running executions their grace, and ends.
Exit codes: 0 stopped, 1 could not start, 4 invalid setting or argument."""


def usage() -> str:
    """The `--help` text."""
    return _USAGE.format(settings="\n".join(_entry(setting) for setting in fields(Config)))


def read_flags(arguments: Sequence[str]) -> dict[str, str]:
    """What `--name value` and `--name=value` set, by the setting's name in the environment. Raises `ConfigError`."""
    settings = {_flag(setting): setting for setting in fields(Config)}
    given: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        setting = settings.get(flag)
        if setting is None:
            near = difflib.get_close_matches(flag, settings, 1)
            raise ConfigError(f"unknown argument {flag!r}; {f'did you mean {near[0]}?' if near else 'leave it out'}")
        name = setting.metadata["name"]
        if is_secret(setting):
            raise ConfigError(f"{flag}: everybody can read a command line; set {name} in the environment instead")
        if not equals and (value := next(rest, "--")).startswith("--"):
            raise ConfigError(f"{flag}: the value is missing; write {flag}=VALUE [{setting.metadata['unit']}]")
        if name in given:
            raise ConfigError(f"{flag}: given twice; leave one out")
        given[name] = value
    return given


def _flag(setting: Field[Any]) -> str:
    name: str = setting.metadata["name"]
    return "--" + name.lower().replace("_", "-")


def _entry(setting: Field[Any]) -> str:
    facts = setting.metadata
    names = facts["name"] if is_secret(setting) else f"{_flag(setting)}, {facts['name']}"
    original = f"; original: {facts['original']}" if facts["original"] else ""
    return f"  {names}\n      {facts['meaning']} [{facts['unit']}] (default: {default_text(setting)}{original})"
