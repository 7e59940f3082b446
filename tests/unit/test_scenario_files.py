"""Finding and opening scenario files, and what a file's place says about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.scenario.loading import discover, load_file, load_text
from sim.scenario.problems import ScenarioError

GOOD = "title: t\nworkspaces: {ann: }\nsteps: [list: {of: ann}]\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("crash/b.yaml", "crash/a.yml", "ack/lost.yaml", "ack/notes.txt", ".hidden/x.yaml", "ack/.y.yaml"):
        (tmp_path / "scenarios" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scenarios" / name).write_text(GOOD)
    return tmp_path / "scenarios"


def message_of(path: Path) -> tuple[str, str | None]:
    with pytest.raises(ScenarioError) as caught:
        load_file(path)
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (str(path), 0)
    return problem.message, problem.suggestion


def test_a_file_is_loaded_with_name_and_family_from_its_path(tree: Path) -> None:
    scenario = load_file(tree / "ack" / "lost.yaml")
    assert (scenario.path, scenario.family, scenario.name) == (str(tree / "ack" / "lost.yaml"), "ack", "lost")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("scenarios/crash/x.yaml", "crash"),
        ("scenarios/crash/deep/x.yaml", "crash/deep"),
        ("tests/scenarios/old/scenarios/crash/x.yaml", "crash"),
        ("scenarios/x.yaml", ""),
        ("elsewhere/mine/x.yaml", "mine"),
        ("x.yaml", ""),
    ],
)
def test_the_family(path: str, family: str) -> None:
    assert load_text(GOOD, path).family == family


def test_folders_give_their_files_by_name_and_each_once(tree: Path) -> None:
    found = discover([tree / "crash" / "b.yaml", tree, tree / "crash"])
    assert [str(path.relative_to(tree)) for path in found] == ["crash/b.yaml", "ack/lost.yaml", "crash/a.yml"]
    assert discover([tree / "ack" / "notes.txt"]) == [tree / "ack" / "notes.txt"]
    assert discover([]) == []


def test_every_missing_path_is_named_with_the_nearest_one_there_is(tree: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        discover([tree / "ack" / "lsot.yaml", tree, tree / "crsh" / "a.yml", tree / "crash" / "b", tree / "zzz"])
    assert [(problem.message, problem.suggestion) for problem in caught.value.problems] == [
        ("no such file or folder", str(tree / "ack" / "lost.yaml")),
        (f"no such file: there is no folder {tree / 'crsh'}", str(tree / "crash")),
        ("no such file or folder", str(tree / "crash" / "b.yaml")),
        ("no such file or folder", None),
    ]


def test_files_that_cannot_be_opened(tree: Path) -> None:
    assert message_of(tree / "ack" / "lst.yaml") == ("no such file or folder", str(tree / "ack" / "lost.yaml"))
    assert message_of(tree / "ack") == ("a folder, not a scenario file", None)
    assert message_of(tree / "ack" / "lost.yaml" / "x") == ("cannot be read: Not a directory", None)
    assert message_of(tree / ("x" * 300)) == ("cannot be read: File name too long", None)


def test_a_missing_file_in_the_current_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "ack")
    assert message_of(Path("lots.yaml")) == ("no such file or folder", "lost.yaml")


def test_a_file_larger_than_allowed_is_not_read_to_its_end() -> None:
    with pytest.raises(ScenarioError, match="larger than 256 KiB: split the scenario"):
        load_file(Path(os.devnull).with_name("zero"))


def test_bytes_that_are_no_text(tree: Path) -> None:
    (tree / "bad.yaml").write_bytes(b"title: \xe4")
    with pytest.raises(ScenarioError) as caught:
        load_file(tree / "bad.yaml")
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (1, 8)
