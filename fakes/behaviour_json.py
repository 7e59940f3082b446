"""Behaviours as JSON, for an agent that is told over a pipe what to do: `["Reply", {"text": "done", ...}]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, get_args

from sim.scenario.behaviours import Behaviour

Encoded = list[Any]
_KINDS = {kind.__name__: kind for kind in get_args(Behaviour)}


def encode(behaviours: Sequence[Behaviour]) -> list[Encoded]:
    """For `json.dumps`."""
    return [[type(behaviour).__name__, asdict(behaviour)] for behaviour in behaviours]


def decode(encoded: Sequence[Encoded]) -> list[Behaviour]:
    """What `encode` was given. Raises KeyError or TypeError for anything else."""
    return [_KINDS[kind](**arguments) for kind, arguments in encoded]
