"""`fumble doctor`: what is there, what is not and how to get it; it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.fumble_process import fumble

NO_PROGRAM = {"TOXIPROXY_SERVER": "", "XDG_CACHE_HOME": "/nowhere"}


def test_it_says_what_is_there_and_how_to_get_the_rest(tmp_path: Path) -> None:
    nothing = {
        **NO_PROGRAM,
        "PATH": str(tmp_path),
        "DOCKER_HOST": f"unix://{tmp_path}/no.sock",
        "XDG_STATE_HOME": str(tmp_path / "s"),
    }
    done = fumble("doctor", folder=tmp_path, environment=nothing)
    assert done.returncode == 0
    told = [line for line in done.stdout.splitlines() if line.startswith(("found", "missing"))]
    lines = {line[9:].partition("  ")[0]: line for line in told}
    assert lines["Python"].startswith("found")
    assert lines["Postgres, embedded"].startswith("found") and "18." in lines["Postgres, embedded"]
    assert lines["Toxiproxy, program"].startswith("missing") and "go install" in lines["Toxiproxy, program"]
    assert ".ci/toxiproxy" in lines["Toxiproxy, program"] and "TOXIPROXY_SERVER" in lines["Toxiproxy, program"]
    assert lines["Docker engine"].startswith("missing") and "No such file" in lines["Docker engine"]
    assert "nothing was left by killed runs" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_programs_can_read_it(tmp_path: Path) -> None:
    report = json.loads(fumble("doctor", "--json", folder=tmp_path).stdout)
    assert report["version"] == 1
    for component in report["components"]:
        assert component["found"] or component["fix"], component
        assert not (component["found"] and component["fix"]), component


def toxiproxy_told(folder: Path, environment: dict[str, str]) -> dict[str, object]:
    done = fumble("doctor", "--json", folder=folder, environment={**NO_PROGRAM, **environment})
    (told,) = (each for each in json.loads(done.stdout)["components"] if each["component"] == "Toxiproxy, program")
    assert isinstance(told, dict)
    return told


def test_a_program_on_the_path_is_found_with_its_version(tmp_path: Path) -> None:
    program = tmp_path / "toxiproxy-server"
    program.write_text("#!/bin/sh\necho toxiproxy-server version 9.8.7\n")
    program.chmod(0o755)
    told = toxiproxy_told(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (told["found"], told["version"], told["where"]) == (True, "9.8.7", str(program))


def test_a_variable_that_names_no_program_is_told(tmp_path: Path) -> None:
    told = toxiproxy_told(tmp_path, {"TOXIPROXY_SERVER": str(tmp_path / "gone")})
    assert told["found"] is False
    assert f"there is no program {tmp_path / 'gone'}, named in TOXIPROXY_SERVER" in str(told["fix"])
