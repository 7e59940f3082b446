"""From a file to an adapter, with everything that is wrong with it at once."""

from __future__ import annotations

from sim.adapter.format import ADAPTER
from sim.adapter.model import Adapter
from sim.scenario.loading import read_text
from sim.scenario.names import Names
from sim.scenario.reader import Reading, Rejected
from sim.scenario.source import parse

_LEAST = "an adapter says where a broker differs; without one, leave --adapter out"


def load_adapter(path: str) -> Adapter:
    """The adapter in a file; raises `ScenarioError` with all its mistakes, also when the file cannot be read."""
    return load_text(read_text(path), path)


def load_text(text: str, path: str) -> Adapter:
    """The adapter that a text describes; raises `ScenarioError` with all its mistakes."""
    source, root = parse(text, path, noun="adapter", least=_LEAST)
    try:
        adapter = ADAPTER.read(root, Reading(source, Names(())))
    except Rejected:
        raise source.error() from None
    if source.problems:
        raise source.error()
    return adapter
