"""What a file declares, seen before anything is read: workspaces, operations, faults, and what each is called.

The theory: a reference is best judged where it stands, while its place is at hand. So names are gathered first, and
tolerantly: a workspace with a mistake inside is still a workspace, and naming it elsewhere is no second mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.scenario.problems import closest, quoted
from sim.scenario.source import Mapping, Node, Place, Scalar, Sequence, Source

CLIENT_LINK = "client-broker"
DATABASE_LINK = "broker-database"
AGENT_LINK = "broker-agent:"
BROKER_NODE = "broker"
AGENT_NODE = "agent:"

# YAML's own words for other things are no names: an editor would take `true` for a boolean.
NAME_PATTERN = "(?!(?:true|false|null)$)[a-z][a-z0-9_-]{0,39}"

OPERATION_PREFIXES = {
    "delegate": "d",
    "mcp": "t",
    "check": "c",
    "record": "r",
    "send": "m",
    "report": "u",
    "inbox": "i",
    "list": "l",
    "heartbeat": "h",
    "register": "g",
}
_STEP_KEYS = (*OPERATION_PREFIXES, "at", "wait", "together")


@dataclass(frozen=True, slots=True)
class DeclaredOperation:
    """An operation's verb, the number of its step from 0, and where its name stands."""

    verb: str
    step: int
    place: Place


@dataclass(frozen=True, slots=True)
class Names:
    """What is declared; by the identity of a node, `of_node` names what stands there and `step_of` its step."""

    workspaces: tuple[str, ...]
    operations: dict[str, DeclaredOperation] = field(default_factory=dict)
    of_node: dict[int, str] = field(default_factory=dict)
    step_of: dict[int, int] = field(default_factory=dict)

    @property
    def links(self) -> tuple[str, ...]:
        """Every link of the run."""
        return (CLIENT_LINK, DATABASE_LINK, *(AGENT_LINK + name for name in self.workspaces))

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every machine that can be killed or paused."""
        return (BROKER_NODE, *(AGENT_NODE + name for name in self.workspaces))


def gather(root: Node, source: Source) -> Names:
    """The names that a file declares; an operation's name that is taken already is noted as a mistake."""
    names = Names(tuple(key.text for key, _ in _entries(root, "workspaces")))
    for section in ("workspaces", "expect"):
        names.of_node.update((id(value), key.text) for key, value in _entries(root, section))
    names.of_node.update((id(fault), f"f{number}") for number, fault in enumerate(_items(root, "faults"), start=1))
    count = dict.fromkeys(OPERATION_PREFIXES, 0)
    for step, verb, operation in _operations(root):
        count[verb] += 1
        chosen = operation.get("as") if isinstance(operation, Mapping) else None
        name = chosen.text if isinstance(chosen, Scalar) else f"{OPERATION_PREFIXES[verb]}{count[verb]}"
        names.of_node[id(operation)] = name
        names.step_of[id(operation)] = step
        place = chosen.place if chosen is not None else operation.place
        if name in names.operations:
            first = names.operations[name].place.line
            source.mistake(place, f"an operation named {quoted(name)} is in line {first} already: choose another 'as'")
        else:
            names.operations[name] = DeclaredOperation(verb, step, place)
    return names


def _operations(root: Node) -> Iterator[tuple[int, str, Node]]:
    """Step, verb and node of each operation; a misspelt verb counts, so that the default names after it stay right."""
    for number, step in enumerate(_items(root, "steps")):
        for holder in (step, *_items(step, "together")):
            for key, value in holder.entries if isinstance(holder, Mapping) else ():
                verb = key.text if key.text in _STEP_KEYS else closest(key.text, _STEP_KEYS)
                if verb in OPERATION_PREFIXES:
                    yield number, verb, value


def _entries(node: Node, key: str) -> tuple[tuple[Scalar, Node], ...]:
    section = node.get(key) if isinstance(node, Mapping) else None
    return section.entries if isinstance(section, Mapping) else ()


def _items(node: Node, key: str) -> tuple[Node, ...]:
    section = node.get(key) if isinstance(node, Mapping) else None
    return section.items if isinstance(section, Sequence) else ()
