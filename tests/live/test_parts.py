"""The parts of the live world by themselves: its clock, what is told to its processes, and the record of a run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.behaviour_json import decode, encode
from reference_impl.config import Config
from sim.scenario.behaviours import Behaviour, Busy, Cut, Hang, Partial, Reply, Slow, Status
from sim.worlds.components import run_record
from sim.worlds.components.processes import Child, ComponentFailed, Port
from sim.worlds.components.run_record import RunRecord, leftovers
from sim.worlds.live.agents import hurried as hurried_behaviour
from sim.worlds.live.broker_process import environment_of
from sim.worlds.live.broker_process import hurried as hurried_config
from sim.worlds.live.chains import hurried as hurried_attributes
from sim.worlds.live.clock import ScaledLoop


def test_a_scaled_loop_is_in_a_hurry() -> None:
    loop = ScaledLoop(50)
    began_s = time.monotonic()
    first_s = loop.time()
    loop.run_until_complete(asyncio.sleep(5))
    assert loop.time() - first_s >= 5
    assert 0.1 <= time.monotonic() - began_s < 5
    assert loop.at(began_s + 1) - loop.at(began_s) == pytest.approx(50)
    loop.close()


@given(
    st.lists(
        st.one_of(
            st.builds(Reply, text=st.text(), after_s=st.floats(0, 1e4)),
            st.builds(Slow, duration_s=st.floats(0, 1e4), pieces=st.integers(1, 9)),
            st.builds(Status, code=st.integers(200, 599), body=st.none() | st.text()),
            st.builds(Partial, body=st.integers(0, 99) | st.sampled_from(["half", "all"])),
            st.sampled_from([Busy(), Hang(), Cut()]),
        )
    )
)
def test_behaviours_survive_the_pipe(behaviours: list[Behaviour]) -> None:
    assert decode(json.loads(json.dumps(encode(behaviours)))) == behaviours


def test_only_durations_are_hurried() -> None:
    assert hurried_behaviour(Reply(text="x", after_s=3.0), 10) == Reply(text="x", after_s=0.3)
    assert hurried_behaviour(Status(503), 10) == Status(503)
    assert hurried_attributes({"latency": 200, "jitter": 0, "rate": 10}, 20) == {
        "latency": 10,
        "jitter": 0,
        "rate": 200,
    }
    assert hurried_attributes({"timeout": 5}, 100) == {"timeout": 1}, "above zero it stays above zero, which is special"
    assert hurried_attributes({"bytes": 100, "average_size": 7}, 20) == {"bytes": 100, "average_size": 7}
    config = hurried_config(Config(), 10)
    assert (config.retry_delay_s, config.activity_retention_days) == (0.8, 0.7)
    assert (config.database_pool_size, config.port) == (Config().database_pool_size, Config().port)


def test_a_broker_reads_from_its_environment_what_was_set() -> None:
    config = hurried_config(Config(ledger_write=False, port=1234), 7)
    again = Config.from_environment(environment_of(config))
    for field in fields(Config):
        value = getattr(config, field.name)
        assert getattr(again, field.name) == (pytest.approx(value) if isinstance(value, float) else value), field.name


# --- processes -----------------------------------------------------------------------------------------------------


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentFailed, match="the thing: cannot start no-such-program"):
        Child("the thing", ["no-such-program"], log=tmp_path / "log")


def test_a_program_that_ends_too_early_is_shown_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = Child("the thing", [sys.executable, "-c", "raise SystemExit('no licence')"], log=tmp_path / "log")
    port = Port()
    with pytest.raises(ComponentFailed, match=r"(?s)the thing ended with exit code 1 before it listened.*no licence"):
        asyncio.run(child.listening(port.number, within_s=20))
    port.release()


def test_a_reserved_port_refuses_until_somebody_listens() -> None:
    async def reached(port: int) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True

    async def play() -> None:
        port = Port()
        assert not await reached(port.number)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port.number)
        assert await reached(port.number)
        server.close()
        await server.wait_closed()
        assert not await reached(port.number)
        port.release()

    asyncio.run(play())


# --- the record of a run -------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "fumble" / "runs"


def test_a_run_that_goes_on_has_left_nothing(state: Path) -> None:
    record = run_record.record_of_this_process()
    with record.holding("database", "fumble_live_1 on db:5432"):
        assert [json.loads(file.read_text())["things"] for file in state.iterdir()] == [
            [["database", "fumble_live_1 on db:5432"]]
        ]
        assert leftovers() == []
    assert list(state.iterdir()) == []


def test_what_a_run_held_when_it_was_killed_is_left(state: Path) -> None:
    program = (
        "import os, signal\n"
        "from sim.worlds.components.run_record import record_of_this_process\n"
        "record = record_of_this_process()\n"
        "with record.holding('database', 'live_2 on db:5432'), record.holding('proxies', 'fumble-7-* on tp:8474'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert [str(left) for left in leftovers()] == [
        "database live_2 on db:5432 (drop it)",
        "proxies fumble-7-* on tp:8474 (delete those whose names begin so)",
    ]


def test_what_could_not_be_removed_stays_written_down(state: Path) -> None:
    record = RunRecord(state / "1.json")
    with pytest.raises(OSError), record.holding("container", "abc"):
        raise OSError("the engine is gone")
    assert json.loads((state / "1.json").read_text())["things"] == [["container", "abc"]]


def test_a_folder_that_somebody_removed_is_not_left(state: Path, tmp_path: Path) -> None:
    state.mkdir(parents=True)
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.mkdir()
    things = [["folder", str(there)], ["folder", str(gone)]]
    (state / "1.json").write_text(json.dumps({"pid": 1 << 22, "born": "1", "things": things}))
    assert [left.where for left in leftovers()] == [str(there)]


def test_a_record_that_cannot_be_read_is_no_trouble(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "12.json").write_text("{")
    assert leftovers() == []
