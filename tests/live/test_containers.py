"""`fumble live` with Postgres and Toxiproxy in containers of a real Docker engine, which keeps none of them.

The engine is the one that DOCKER_HOST names, or the machine's; `.ci/docker` starts one. Images are made here.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException
from testcontainers.core.config import testcontainers_config

from sim.worlds.components import containers, live_postgres, toxiproxy
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import RunRecord
from tests.fidelity.toxiproxy_servers import HOW_TO_GET, real_program
from tests.live import local_images
from tests.live.test_live_command import HARD, HARD_PACE
from tests.unit.fumble_process import GOOD, fumble, started

BOTH = ("--postgres", "docker", "--toxiproxy", "docker")
NO_SUCH_IMAGE = "127.0.0.1:9/fumble/no-such-image:1"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env(timeout=30)
    except DockerException as error:
        pytest.skip(f"no Docker engine: {os.environ.get('FUMBLE_NO_DOCKER') or error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient) -> Iterator[dict[str, str]]:
    """An environment that names images which the engine has."""
    server = real_program()
    if server is None:
        pytest.skip(HOW_TO_GET)
    with local_images.postgres() as for_postgres, local_images.toxiproxy(Path(server)) as for_toxiproxy:
        yield {containers.POSTGRES.variable: for_postgres, containers.TOXIPROXY.variable: for_toxiproxy}


def ours(engine: docker.DockerClient, images: Mapping[str, str]) -> list[str]:
    """Names of the containers that there are of our images, running or not."""
    found = engine.containers.list(all=True, filters={"label": containers.OWNER_LABEL})
    return sorted(each.name for each in found if each.attrs["Config"]["Image"] in images.values())


def test_a_scenario_is_played_through_containers(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "hard.yaml").write_text(HARD)
    command = ("live", "good.yaml", "hard.yaml", *BOTH, "--time-scale", HARD_PACE, "--output", "json")
    done = fumble(*command, folder=tmp_path, environment=images)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert [run["verdict"] for run in report["runs"]] == ["passed", "passed"]
    assert report["components"]["postgres"].startswith("18.")
    assert report["components"]["postgres"].endswith(f"(container {images['FUMBLE_POSTGRES_IMAGE']})")
    assert report["components"]["toxiproxy"].endswith(f"(container {images['FUMBLE_TOXIPROXY_IMAGE']})")
    assert ours(engine, images) == []


def test_two_runs_do_not_meet_at_one_port(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUMBLE_TOXIPROXY_IMAGE", images["FUMBLE_TOXIPROXY_IMAGE"])
    record = RunRecord(tmp_path / "record.json")
    with toxiproxy.obtained("docker", folder=tmp_path, record=record) as first:
        assert first.version()
        with toxiproxy.obtained("docker", folder=tmp_path, record=record) as second:
            assert second.version() and second.address != first.address
            assert len(json.loads((tmp_path / "record.json").read_text())["things"]) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5, 3.0])
def test_an_interrupt_removes_the_containers(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str], after_s: float
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    environment = {**images, "XDG_STATE_HOME": str(tmp_path / "state")}
    with started(["live", "good.yaml", *BOTH], folder=tmp_path, environment=environment) as running:
        running.wait_until_it_catches_signals()
        time.sleep(after_s)  # anywhere between the start of the first container and the play
        running.process.send_signal(signal.SIGINT)
        _, stderr = running.process.communicate(timeout=30)
        assert running.process.returncode == 130, stderr
        running.assert_nothing_left(within_s=5.0)
    assert ours(engine, images) == []
    assert "nothing was left" in fumble("doctor", folder=tmp_path, environment=environment).stdout


def test_doctor_names_the_containers_of_a_killed_run(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    environment = {**images, "XDG_STATE_HOME": str(tmp_path / "state")}
    with started(["live", "good.yaml", *BOTH], folder=tmp_path, environment=environment) as running:
        assert "live: Postgres 18" in running.wait_for_progress()
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.communicate()
    left = ours(engine, images)
    try:
        pid = running.process.pid
        assert [name.rpartition("-")[0] for name in left] == [f"fumble-postgres-{pid}", f"fumble-toxiproxy-{pid}"]
        assert {engine.containers.get(name).labels[containers.OWNER_LABEL] for name in left} == {str(pid)}
        told = fumble("doctor", folder=tmp_path, environment=environment).stdout
        for name in left:
            assert f"left by a run that was killed: container {name} (docker rm -f)\n" in told
    finally:
        for name in left:
            engine.containers.get(name).remove(force=True, v=True)


def test_doctor_finds_the_engine(tmp_path: Path, engine: docker.DockerClient) -> None:
    told = json.loads(fumble("doctor", "--json", folder=tmp_path).stdout)
    (found,) = (each for each in told["components"] if each["component"] == "Docker engine")
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    assert (found["found"], found["version"], found["where"]) == (True, engine.version()["Version"], address)


# --- mistakes ------------------------------------------------------------------------------------------------------


def refused(tmp_path: Path, *arguments: str, environment: Mapping[str, str]) -> str:
    """What is said by a run that cannot take place."""
    (tmp_path / "good.yaml").write_text(GOOD)
    done = fumble("live", "good.yaml", *arguments, folder=tmp_path, environment=environment)
    assert (done.returncode, done.stdout) == (3, "")
    return done.stderr


@pytest.mark.parametrize("option", ["--postgres", "--toxiproxy"])
def test_without_the_package_it_says_what_to_install(tmp_path: Path, option: str) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "testcontainers.py").write_text("raise ModuleNotFoundError(name='testcontainers')\n")
    said = refused(tmp_path, option, "docker", environment={"PYTHONPATH": str(absent)})
    assert "needs the Python package testcontainers; fix: pip install 'fumble[containers]'" in said


@pytest.mark.parametrize("option", ["--postgres", "--toxiproxy"])
def test_without_an_engine_it_says_where_it_looked(tmp_path: Path, option: str) -> None:
    nowhere = f"unix://{tmp_path}/no.sock"
    said = refused(tmp_path, option, "docker", environment={"DOCKER_HOST": nowhere})
    assert f"needs a Docker engine, and none answers at {nowhere}" in said and "fix:" in said


def test_a_setting_that_testcontainers_does_not_take_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "--postgres", "docker", environment={"TESTCONTAINERS_CONNECTION_MODE": "by_pigeon"})
    assert "TESTCONTAINERS_CONNECTION_MODE" in said and "by_pigeon" in said and "fix:" in said


@pytest.mark.parametrize("part", [containers.POSTGRES, containers.TOXIPROXY], ids=["postgres", "toxiproxy"])
def test_an_image_that_cannot_be_pulled_is_named(
    tmp_path: Path, engine: docker.DockerClient, part: containers.Part
) -> None:
    said = refused(tmp_path, f"--{part.name.lower()}", "docker", environment={part.variable: NO_SUCH_IMAGE})
    assert f"pulling {NO_SUCH_IMAGE}" in said
    assert f"the image {NO_SUCH_IMAGE} of the {part.name} container cannot be had" in said
    assert f"name another by {part.variable}" in said


def test_a_container_that_ends_at_once_shows_its_log(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str]
) -> None:
    wrong = images["FUMBLE_POSTGRES_IMAGE"]
    said = refused(tmp_path, "--toxiproxy", "docker", environment={"FUMBLE_TOXIPROXY_IMAGE": wrong})
    assert f"the Toxiproxy container ({wrong}) ended with exit code 1; the end of its log:" in said
    assert "  | Error: superuser password is not specified" in said
    assert f"fix: see that {wrong} is an image of Toxiproxy" in said
    assert ours(engine, images) == []


def test_a_container_that_never_answers_shows_its_log(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = images["FUMBLE_TOXIPROXY_IMAGE"]
    monkeypatch.setenv("FUMBLE_POSTGRES_IMAGE", wrong)
    monkeypatch.setattr(live_postgres, "_START_WITHIN_S", 1.0)
    record = RunRecord(tmp_path / "record.json")
    with pytest.raises(ComponentFailed) as failed, live_postgres.obtained("docker", record=record):
        pass
    said = str(failed.value)
    assert f"the Postgres container ({wrong}) does not answer after 1 s; the end of its log:\n  | " in said
    assert f"\nfix: see that {wrong} is an image of Postgres" in said
    assert ours(engine, images) == []


def test_a_toxiproxy_in_a_container_needs_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    record = RunRecord(tmp_path / "record.json")
    with (
        pytest.raises(ComponentFailed, match="works on Linux only"),
        toxiproxy.obtained("docker", folder=tmp_path, record=record),
    ):
        pass


# --- what the user has set -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["true", "false"])
def test_the_users_word_on_the_reaper_counts(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str], said: str
) -> None:
    """Its image cannot be had here, so whether it is wanted shows in the outcome."""
    reaper = {"TESTCONTAINERS_RYUK_DISABLED": said, "RYUK_CONTAINER_IMAGE": NO_SUCH_IMAGE}
    (tmp_path / "good.yaml").write_text(GOOD)
    command = ("live", "good.yaml", "--toxiproxy", "docker", "--time-scale", "40")
    done = fumble(*command, folder=tmp_path, environment={**images, **reaper})
    assert done.returncode == (0 if said == "true" else 3), done.stderr
    assert ("the Toxiproxy container" in done.stderr and "does not start" in done.stderr) is (said == "false")
    assert ours(engine, images) == []


def test_the_users_word_on_the_address_counts(
    tmp_path: Path, engine: docker.DockerClient, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUMBLE_POSTGRES_IMAGE", images["FUMBLE_POSTGRES_IMAGE"])
    record, env = RunRecord(tmp_path / "record.json"), {"POSTGRES_PASSWORD": "secret"}
    with containers.running(containers.POSTGRES, ["postgres"], record=record, env=env, port=5432) as container:
        (first, port), _ = container.addresses(5432)
        assert first == "127.0.0.1"
        monkeypatch.setattr(testcontainers_config, "tc_host_override", "engine.example")
        assert container.addresses(5432) == [("engine.example", port)]
