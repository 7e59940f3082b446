"""From files to scenarios: find them, read them, and say everything that is wrong with one at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from sim.scenario.format_scenario import SCENARIO
from sim.scenario.model import Scenario
from sim.scenario.names import gather
from sim.scenario.problems import Problem, ScenarioError, closest
from sim.scenario.reader import Reading, Rejected
from sim.scenario.references import check_steps
from sim.scenario.source import MAX_SIZE_BYTES, Mapping, decode, parse

SUFFIXES = (".yaml", ".yml")
ROOT_FOLDER = "scenarios"


def load_text(text: str, path: str) -> Scenario:
    """The scenario that a text describes, named after `path`; raises `ScenarioError` with all its mistakes."""
    source, root = parse(text, path)
    names = gather(root, source)
    try:
        values = SCENARIO.read(root, Reading(source, names))
    except Rejected:
        values = {}
    if isinstance(root, Mapping):
        check_steps(root, names, source)
    if source.problems:
        raise source.error()
    return Scenario(path=path, family=_family(Path(path)), name=Path(path).stem, **values)


def load_file(path: Path | str) -> Scenario:
    """The scenario in a file; raises `ScenarioError` with all its mistakes, also when the file cannot be read."""
    return load_text(read_text(path), str(path))


def read_text(path: Path | str) -> str:
    """What is in a file; raises `ScenarioError` if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_SIZE_BYTES + 4)
    except FileNotFoundError:
        raise ScenarioError([_missing(Path(path))]) from None
    except IsADirectoryError:
        raise ScenarioError([_whole(path, "a folder, not a scenario file")]) from None
    except OSError as error:
        raise ScenarioError([_whole(path, f"cannot be read: {error.strerror}")]) from None
    return decode(data, str(path))


def discover(paths: Iterable[Path | str]) -> list[Path]:
    """Files as they are and, of folders, every YAML file below them that is not hidden, by name; each file once.

    Raises `ScenarioError` with one problem for each path that does not exist.
    """
    found: dict[Path, None] = {}
    missing: list[Problem] = []
    for path in map(Path, paths):
        if os.path.isdir(path):
            found.update((file, None) for file in sorted(path.rglob("*")) if _is_scenario(file.relative_to(path), file))
        elif os.path.exists(path):
            found[path] = None
        else:
            missing.append(_missing(path))
    if missing:
        raise ScenarioError(missing)
    return list(found)


def _is_scenario(below: Path, file: Path) -> bool:
    hidden = any(part.startswith(".") for part in below.parts)
    return file.suffix in SUFFIXES and not hidden and file.is_file()


def _family(path: Path) -> str:
    """The folder below the last `scenarios` of the path; of a file that lies elsewhere, the folder it lies in."""
    folders = path.parent.parts
    if ROOT_FOLDER not in folders:
        return path.parent.name
    start = len(folders) - folders[::-1].index(ROOT_FOLDER)
    return "/".join(folders[start:])


def _missing(path: Path) -> Problem:
    """There is no such path: name the nearest one beside its first part that does not exist."""
    part = next((part for part in reversed(path.parents) if not os.path.exists(part)), path)
    beside = sorted(os.listdir(part.parent)) if os.access(part.parent, os.R_OK) else []
    with_suffix = [part.name + suffix for suffix in SUFFIXES if part.name + suffix in beside]
    near = with_suffix[0] if with_suffix else closest(part.name, beside)
    what = "no such file or folder" if part == path else f"no such file: there is no folder {part}"
    return _whole(path, what, suggestion=str(part.parent / near) if near else None)


def _whole(path: Path | str, message: str, suggestion: str | None = None) -> Problem:
    return Problem(path=str(path), line=0, column=0, message=message, suggestion=suggestion)
