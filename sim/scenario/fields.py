"""Readers of mappings with known keys: a table of fields, and how to tell which table is meant."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Table
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from sim.scenario.problems import closest, quoted
from sim.scenario.reader import Reader, Reading, Rejected, Schema, T, attempt, kind_of, written
from sim.scenario.source import Mapping, Node, Scalar


@dataclass(frozen=True, slots=True)
class Field:
    """One key: `help` is its line in the schema, `into` the argument that it fills (the key itself if not given)."""

    key: str
    reader: Reader[Any]
    help: str
    into: str = ""
    required: bool = False

    @property
    def argument(self) -> str:
        """The keyword argument that receives the value."""
        return self.into or self.key


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one record, by argument, for a judgement that needs more than one key."""

    node: Mapping
    values: Table[str, Any]
    reading: Reading

    def mistake_at(self, key: str, message: str, *, allowed: tuple[str, ...] = ()) -> None:
        """Note a mistake about a key that is there."""
        value = self.node.get(key)
        self.reading.source.mistake(value.place if value is not None else self.node.place, message, allowed=allowed)


@dataclass(frozen=True, slots=True)
class Record(Reader[T]):
    """A mapping with known keys.

    `build` gets the values as keyword arguments, without those that were left out: defaults live in the model.
    `named`: the argument that receives the name which the file gives this node, unless a key filled it. `one_of`: keys
    of which exactly one must be there. `refused`: keys that do not belong here, and why. `judge`: notes mistakes that
    only several values together make. `may_be_empty`: writing nothing means no keys.
    """

    what: str
    build: Callable[..., T]
    fields: tuple[Field, ...]
    named: str = ""
    one_of: tuple[str, ...] = ()
    refused: Table[str, str] = field(default_factory=dict)
    judge: Callable[[Found], None] | None = None
    may_be_empty: bool = False

    def read(self, node: Node, reading: Reading) -> T:
        mapping = Mapping(node.place, ()) if self.may_be_empty and isinstance(node, Scalar) and node.is_null else node
        if not isinstance(mapping, Mapping):
            reading.reject(node.place, f"expected the keys of {self.what}, found {kind_of(node)}", allowed=self._keys)
        before = len(reading.source.problems)
        present = self._present(mapping, reading)
        values: dict[str, Any] = {self.named: reading.names.of_node.get(id(node), "")} if self.named else {}
        for item in self.fields:
            if item.key in present:
                values.update((item.argument, value) for value in attempt(item.reader, present[item.key], reading))
        if self.judge is not None:
            self.judge(Found(mapping, values, reading))
        if len(reading.source.problems) > before:
            raise Rejected
        return self.build(**values)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        made: Schema = {
            "type": ["object", "null"] if self.may_be_empty else "object",
            "properties": {
                item.key: {"description": item.help} | item.reader.schema(definitions) for item in self.fields
            },
            "required": [item.key for item in self.fields if item.required],
            "additionalProperties": False,
        }
        if self.one_of:
            made["oneOf"] = [{"required": [key]} for key in self.one_of]
        return made

    @property
    def _keys(self) -> tuple[str, ...]:
        return tuple(item.key for item in self.fields)

    def _present(self, node: Mapping, reading: Reading) -> dict[str, Node]:
        """The values by key; one under a misspelt key is read as well, so that its mistakes are not left for later.

        Unknown, refused, missing and competing keys are noted.
        """
        present = {key.text: value for key, value in node.entries if key.text in self._keys}
        for key, value in node.entries:
            if key.text in self.refused:
                reading.source.mistake(key.place, f"no {quoted(key.text)} in {self.what}: {self.refused[key.text]}")
            elif key.text not in self._keys:
                meant = closest(key.text, self._keys)
                message = f"unknown key {quoted(key.text)} in {self.what}"
                reading.source.mistake(key.place, message, allowed=self._keys, suggestion=meant)
                if meant is not None:
                    present.setdefault(meant, value)
        for item in self.fields:
            if item.required and item.key not in present:
                reading.source.mistake(node.place, f"{self.what} needs {quoted(item.key)}: {item.help}")
        if self.one_of and not present.keys() & set(self.one_of):
            reading.source.mistake(node.place, f"{self.what} needs one of {' or '.join(map(quoted, self.one_of))}")
        rivals = [key for key, _ in node.entries if key.text in self.one_of]
        for key in rivals[1:]:
            reading.source.mistake(key.place, f"{self.what} has {quoted(rivals[0].text)} already: keep one of the two")
        return present


@dataclass(frozen=True, slots=True)
class Variants(Reader[T]):
    """A mapping whose kind is told by which of the keys of `records` it has, or a lone word of `words`."""

    what: str
    records: Table[str, Record[T]]
    words: Table[str, Callable[[], T]] = field(default_factory=dict)

    def read(self, node: Node, reading: Reading) -> T:
        if isinstance(node, Mapping):
            return self._record(node, reading).read(node, reading)
        if not self.words or not isinstance(node, Scalar) or node.is_null:
            reading.reject(node.place, f"expected {self.what}, found {kind_of(node)}", allowed=self._options)
        if node.text in self.words:
            return self.words[node.text]()
        if node.text in self.records:
            reading.reject(node.place, f"{quoted(node.text)} needs a value: write {{{node.text}: ...}}")
        reading.reject_word(node, f"{quoted(node.text)} is not {self.what}", self._options)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        words: list[Schema] = [{"enum": list(self.words)}] if self.words else []
        return {"anyOf": [*words, *(record.schema(definitions) for record in self.records.values())]}

    @property
    def _options(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.records, *self.words)))

    def _record(self, node: Mapping, reading: Reading) -> Record[T]:
        """The table that is meant; without exactly one, rejected with the most helpful reason."""
        kinds = [key for key, _ in node.entries if key.text in self.records]
        if len(kinds) == 1:
            return self.records[kinds[0].text]
        if kinds:
            first, second = quoted(kinds[0].text), quoted(kinds[1].text)
            reading.reject(kinds[1].place, f"{first} and {second} in {self.what}: keep one of the two")
        known = {item.key for record in self.records.values() for item in record.fields}
        for key, _ in node.entries:
            if key.text in self.words:
                reading.reject(key.place, f"{quoted(key.text)} takes no value: write the word alone")
            if key.text not in known:
                self._reject_unknown(key, node, reading)
        reading.reject(node.place, f"{self.what} needs one of these keys", allowed=self._options)

    def _reject_unknown(self, key: Scalar, node: Mapping, reading: Reading) -> NoReturn:
        """A key that tells no kind; when it is only misspelt, the rest is read too, for its mistakes."""
        meant = closest(key.text, self._options)
        message = f"unknown key {quoted(key.text)} in {self.what}"
        reading.source.mistake(key.place, message, allowed=self._options, suggestion=meant)
        if meant is not None and meant in self.records:
            corrected = tuple(
                (replace(name, text=meant) if name is key else name, value) for name, value in node.entries
            )
            attempt(self.records[meant], replace(node, entries=corrected), reading)
        raise Rejected


@dataclass(frozen=True, slots=True)
class Tagged(Reader[T]):
    """A mapping whose kind is told by the value of the key `tag`."""

    what: str
    tag: str
    records: Table[str, Record[T]]

    def read(self, node: Node, reading: Reading) -> T:
        if not isinstance(node, Mapping):
            reading.reject(node.place, f"expected the keys of {self.what}, found {kind_of(node)}")
        tag = node.get(self.tag)
        if tag is None:
            options = tuple(self.records)
            reading.reject(node.place, f"{self.what} needs {quoted(self.tag)}", allowed=options)
        word = written(tag, reading, f"the {self.tag} of {self.what}")
        if word.text not in self.records:
            meant = closest(word.text, self.records)
            message = f"{quoted(word.text)} is not {self.what}"
            reading.source.mistake(word.place, message, allowed=tuple(self.records), suggestion=meant)
            if meant is not None:
                corrected = tuple(
                    (key, replace(word, text=meant) if value is tag else value) for key, value in node.entries
                )
                attempt(self.records[meant], replace(node, entries=corrected), reading)
            raise Rejected
        return self.records[word.text].read(node, reading)

    def schema(self, definitions: dict[str, Schema]) -> Schema:
        return {"anyOf": [record.schema(definitions) for record in self.records.values()]}
