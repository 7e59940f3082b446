"""YAML as bytes: broken, hostile or merely odd files end in one clear mistake, quickly, and execute nothing."""

from __future__ import annotations

import time

import pytest

from sim.scenario.loading import load_text
from sim.scenario.problems import ScenarioError
from sim.scenario.source import MAX_DEPTH, MAX_SIZE_BYTES, Mapping, Node, Scalar, Sequence, decode, parse


def only_mistake(text: str) -> tuple[int, int, str]:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "case.yaml")
    (problem,) = caught.value.problems
    return problem.line, problem.column, problem.message


TAB = "not valid YAML: while scanning for the next token, found character '\\t' that cannot start any token"


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "the file is empty: a scenario needs at least title, workspaces and steps"),
        ("# only a comment\n", 1, 1, "the file is empty: a scenario needs at least title, workspaces and steps"),
        ("a: b: c", 1, 5, "not valid YAML: mapping values are not allowed here"),
        ("a: [1\nb: 2", 2, 2, "not valid YAML: while parsing a flow sequence, expected ',' or ']', but got ':'"),
        ('a: "open', 1, 9, "not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a:\n\tb: c", 2, 1, TAB),
        ("a: \x00", 1, 4, "character U+0000 is not allowed in YAML"),
        ("one\ntwo: \x1b[31m", 2, 6, "character U+001B is not allowed in YAML"),
        ('a: "\\UFFFFFFFF"', 1, 7, "not valid YAML: an escape or a number that stands for nothing"),
        ("a: *nobody", 1, 4, "alias *nobody has no complete anchor &nobody before it"),
        ("a: &self [*self]", 1, 11, "alias *self has no complete anchor &self before it"),
        ("a: 1\n---\nb: 2", 2, 1, "a second document begins here: one file holds one scenario"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_tree(text: str, line: int, column: int, message: str) -> None:
    assert only_mistake(text) == (line, column, message)


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!str", "!mine"])
def test_tags_are_refused_and_never_executed(tag: str) -> None:
    text = f"title: {tag} [touch gone]\nworkspaces: {{ann: }}\nsteps: [list: {{of: ann}}]"
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "a.yaml")
    first = caught.value.problems[0]
    assert (first.line, first.column) == (1, 8)
    assert first.message.endswith("is not allowed: a scenario holds plain values only")


def test_a_key_that_is_no_word() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text("title: t\n[a, b]: c", "a.yaml")
    first = caught.value.problems[-1]
    assert (first.line, first.column, first.message) == (2, 1, "a key must be a word, not a list or a mapping")


def test_bytes_that_are_no_utf_8_are_named_with_their_place() -> None:
    with pytest.raises(ScenarioError) as caught:
        decode("title: t\n# ü ".encode() + b"\xff\n", "a.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 5)
    assert problem.message == "not UTF-8: byte 0xff; save the file as UTF-8"


def test_a_byte_order_mark_moves_no_column() -> None:
    assert only_mistake(decode(b"\xef\xbb\xbfa: b: c", "a.yaml")) == (
        1,
        5,
        "not valid YAML: mapping values are not allowed here",
    )
    with pytest.raises(ScenarioError, match="not UTF-8"):
        decode("title: t".encode("utf-16"), "a.yaml")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_counts_lines_alike(ending: str) -> None:
    lines = ["title: t", "workspaces: {ann: }", "steps: [list: {of: ann}]", "setle: 1h"]
    with pytest.raises(ScenarioError) as caught:
        load_text(ending.join(lines), "a.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.source_line) == (4, 1, "setle: 1h")


BOMBS = {
    "nine levels of nine aliases": "a0: &a0 [x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    "a chain of aliases": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000)),
    "nested lists": "a: " + "[" * 50_000,
    "nested lists on lines": "a:\n" + "".join(" " * n + "-\n" for n in range(1, 600)),
    "nested mappings": "{a: " * 10_000,
    "nested question marks": "? " * 10_000,
    "a hundred thousand values": "a: [" + "1," * 100_000 + "]",
    "thirty thousand keys": "".join(f"k{n}:\n" for n in range(30_000)),
    "a large file": "#" * (MAX_SIZE_BYTES + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_early_with_one_mistake(name: str) -> None:
    started = time.process_time()
    _, _, message = only_mistake(BOMBS[name])
    assert message.startswith(
        ("more than 10000 values", f"nested deeper than {MAX_DEPTH} levels", "larger than 256 KiB")
    )
    assert time.process_time() - started < 5.0


def test_a_key_decides_what_a_scalar_is_so_nothing_is_converted() -> None:
    _, root = parse("on: no\n010: 1e3\n~: 2001-01-01\n'q': 'no'", "a.yaml")
    assert isinstance(root, Mapping)
    read = [(key.text, value.text, value.plain) for key, value in root.entries if isinstance(value, Scalar)]
    assert read == [("on", "no", True), ("010", "1e3", True), ("~", "2001-01-01", True), ("q", "no", False)]


def test_every_node_knows_its_place_and_each_use_of_an_alias_is_a_node_of_its_own() -> None:
    _, root = parse("a: &x\n  - one\nb: [*x, *x]", "a.yaml")

    def flat(node: Node) -> list[Node]:
        match node:
            case Mapping():
                return [node, *(part for key, value in node.entries for part in (key, *flat(value)))]
            case Sequence():
                return [node, *(part for item in node.items for part in flat(item))]
            case Scalar():
                return [node]

    nodes = flat(root)
    assert len({id(node) for node in nodes}) == len(nodes) == 10
    assert [(node.place.line, node.place.column) for node in nodes if isinstance(node, Scalar)] == [
        (1, 1),
        (2, 5),
        (3, 1),
        (2, 5),
        (2, 5),
    ]
