"""Readers of names that the file declares elsewhere, and the checks that need more than one part of the file.

The theory: a mistake that no run could survive (a link that does not exist, a report of a delegation that comes later)
is found here, before the run, at the place where it was written. When a section is missing as a whole, its names are
not judged: that one mistake is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sim.scenario.durations import DurationError, parse_duration, spoken
from sim.scenario.fields import Found
from sim.scenario.names import AGENT_LINK, AGENT_NODE, BROKER_NODE, CLIENT_LINK, DATABASE_LINK, NAME_PATTERN, Names
from sim.scenario.problems import quoted, with_article
from sim.scenario.reader import Reader, Reading, Schema, written
from sim.scenario.source import Mapping, Node, Scalar, Sequence, Source

Carries: TypeAlias = Literal["anything", "http", "database"]

_LINKS: dict[Carries, tuple[str, ...]] = {
    "anything": (CLIENT_LINK, DATABASE_LINK, AGENT_LINK),
    "http": (CLIENT_LINK, AGENT_LINK),
    "database": (DATABASE_LINK,),
}
_WHY: dict[Carries, str] = {
    "anything": "",
    "http": "requests, responses and statuses pass on HTTP links only",
    "database": "queries and commits pass on the database link only",
}


@dataclass(frozen=True, slots=True)
class WorkspaceName(Reader[str]):
    """The name of a workspace of this file."""

    def read(self, node: Node, reading: Reading) -> str:
        return _known(node, reading, "workspace", reading.names.workspaces)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return _pattern(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class OperationName(Reader[str]):
    """The name of an operation of this file; of one of these kinds, if `verbs` are given."""

    verbs: tuple[str, ...] = ()

    def read(self, node: Node, reading: Reading) -> str:
        known = reading.names.operations
        options = tuple(name for name, operation in known.items() if not self.verbs or operation.verb in self.verbs)
        name = _known(node, reading, "operation", tuple(known))
        if name in known and name not in options:
            is_a = with_article(quoted(known[name].verb))
            wanted = " or ".join(with_article(quoted(verb)) for verb in self.verbs)
            reading.reject(node.place, f"{quoted(name)} is {is_a}, and {wanted} is needed here", allowed=options)
        return name

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return _pattern(NAME_PATTERN)


@dataclass(frozen=True, slots=True)
class LinkName(Reader[str]):
    """A link of this file that carries what is needed."""

    carries: Carries = "anything"

    def read(self, node: Node, reading: Reading) -> str:
        links = reading.names.links
        fitting = tuple(link for link in links if link.startswith(_LINKS[self.carries]))
        text = written(node, reading, "the name of a link").text
        if text in links and text not in fitting:
            reading.reject(node.place, f"{_WHY[self.carries]}, not on {quoted(text)}", allowed=fitting)
        if not reading.names.workspaces and text.startswith(AGENT_LINK):
            return text
        return _known(node, reading, "link", fitting)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return _pattern("|".join(link + NAME_PATTERN if link == AGENT_LINK else link for link in _LINKS[self.carries]))


@dataclass(frozen=True, slots=True)
class NodeName(Reader[str]):
    """A machine of this file that can be killed or paused."""

    def read(self, node: Node, reading: Reading) -> str:
        text = written(node, reading, "the name of a node").text
        if not reading.names.workspaces and text.startswith(AGENT_NODE):
            return text
        return _known(node, reading, "node", reading.names.nodes)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return _pattern(f"{BROKER_NODE}|{AGENT_NODE}{NAME_PATTERN}")


def check_report_order(found: Found) -> None:
    """A report needs a delegation that was answered in an earlier step."""
    known = found.reading.names
    reported = known.operations.get(found.values.get("delegation", ""))
    own_step = known.step_of.get(id(found.node))
    if reported is not None and own_step is not None and reported.step >= own_step:
        name, line = quoted(found.values["delegation"]), reported.place.line
        when = "in the same step" if reported.step == own_step else "later"
        found.mistake_at("delegation", f"{name} starts {when}, in line {line}: report it in a step after that one")


def check_steps(root: Mapping, names: Names, source: Source) -> None:
    """Steps do something, and their times do not run backwards. Broken times are left to their reader."""
    steps = root.get("steps")
    if not isinstance(steps, Sequence):
        return
    if steps.items and not names.operations:
        source.mistake(steps.place, "no step does anything: a run without an operation proves nothing")
    latest_s = 0.0
    for step in steps.items:
        at = step.get("at") if isinstance(step, Mapping) else None
        if not isinstance(at, Scalar):
            continue
        try:
            at_s = float(parse_duration(at.text))
        except DurationError:
            continue
        if at_s < latest_s:
            source.mistake(at.place, f"a step before this one starts at {spoken(latest_s)}: order steps by time")
        latest_s = max(latest_s, at_s)


def _known(node: Node, reading: Reading, what: str, options: tuple[str, ...]) -> str:
    word = written(node, reading, f"the name of {with_article(what)}")
    if options and word.text not in options:
        reading.reject_word(word, f"unknown {what} {quoted(word.text)}", options)
    return word.text


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}
