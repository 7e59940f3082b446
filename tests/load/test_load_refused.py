"""`fumble load` with a mistake of its user's: said before anything is played, or not taken for a load."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import cli
from sim.worlds.load import locust
from tests.load.few_seconds import LOCUSTFILE
from tests.unit.fumble_process import fumble


def test_a_wrong_use_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    for arguments, code, said in (
        (("load", "steps.yaml"), 4, "has steps and no load"),
        (("load", "nothing.yaml"), 4, "no such file"),
        (("load", "load.yaml", "--duration", "3"), 4, "3 has no unit: write 3s"),
        (("load", "load.yaml", "--duration", "0s"), 4, "no time at all"),
        (("load", "blip.yaml", "--duration", "2s"), 4, "strike later, the first at 2 s"),
        (("load", "spike.yaml", "--duration", "2s"), 4, "the spike ends later, at 2.5 s"),
        (("load", "soak.yaml", "--duration", "2s"), 4, "once in each 3 s, so there would be none"),
        (("load", "load.yaml", "--workers", "0"), 4, "not a whole number"),
        (("load", "load.yaml"), 3, "--locustfile"),
        (("run", "load.yaml"), 5, "fumble load"),
        (("live", "load.yaml"), 5, "fumble load"),
    ):
        ended, told = code_of(*arguments), capsys.readouterr().err
        assert ended == code and said in told, (arguments, ended, told)


def code_of(*arguments: str) -> object:
    """How the command ends; it is played here, because it only refuses."""
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return ended.code


def test_run_plays_the_others(folder: Path) -> None:
    done = fumble("run", "steps.yaml", "load.yaml", "--seeds", "1", folder=folder)
    assert done.returncode == 0 and "1 scenarios with a load" in done.stderr and "steps" in done.stdout


def test_without_locust_it_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locust.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["load", str(folder / "load.yaml")]) == 3
    said = capsys.readouterr().err
    assert "load needs Locust, which is not installed for" in said and "pip install 'fumble[load]'" in said


def test_a_locustfile_with_a_mistake_is_shown(folder: Path) -> None:
    (folder / "locustfile.py").write_text("import nonsense_that_is_not_there\n")
    done = fumble("load", "load.yaml", folder=folder)
    assert done.returncode == 3 and "nonsense_that_is_not_there" in done.stderr


def test_users_with_a_mistake_are_no_load(folder: Path) -> None:
    """A user that fails by itself asks for nothing: the load was not what the scenario says."""
    (folder / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(LOCUSTFILE).parent)!r})\nfrom locustfile import *\n"
        "from fumble_users.closed import Canvas\nCanvas.caller = lambda self: 1 / 0\n"
    )
    done = fumble("load", "load.yaml", "--duration", "2s", "--locustfile", "mine.py", folder=folder)
    assert done.returncode == 2 and "failed by itself: ZeroDivisionError" in done.stdout, done.stdout + done.stderr
