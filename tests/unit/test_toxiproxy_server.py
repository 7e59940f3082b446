"""`python -m fakes.toxiproxy` as a process: flags, log, mistakes, signals, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fakes.toxiproxy.command_line import UsageError, read_flags

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "fakes.toxiproxy")
PATIENCE_S = 60


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)


@contextmanager
def serving(
    *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str, list[dict[str, Any]]]]:
    """A running server, its address, and what it logged until it listened."""
    process = subprocess.Popen(
        [*PROGRAM, "-port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        logged: list[dict[str, Any]] = []
        for line in process.stdout:
            logged.append(json.loads(line))
            if logged[-1]["message"] == "Starting Toxiproxy HTTP server":
                yield process, logged[-1]["address"], logged
                break
        else:
            pytest.fail(f"it ended: {process.communicate()[1]}")
    finally:
        process.kill()
        process.communicate()


def get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as response:
        return json.load(response)


def write(folder: Path, text: str) -> str:
    file = folder / "proxies.json"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_connections_open(tmp_path: Path, number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        port = upstream.getsockname()[1]
        config = write(tmp_path, f'[{{"name": "db", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:{port}"}}]')
        with serving("--config", config, "--seed=7") as (process, address, logged):
            assert [line["message"] for line in logged][:2] == ["Starting Toxiproxy", "Populated proxies from file"]
            assert logged[0]["seed"] == 7
            listen = get(address, "/proxies")["db"]["listen"]
            with socket.create_connection(tuple(listen.split(":")), timeout=PATIENCE_S) as client:
                client.sendall(b"x")
                with upstream.accept()[0] as server:
                    assert server.recv(1) == b"x"
                    process.send_signal(number)
                    _, errors = process.communicate(timeout=PATIENCE_S)
                    assert (process.returncode, errors) == (0, "")
                    assert client.recv(1) == b"" and server.recv(1) == b""
            for each in (address, listen):
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(tuple(each.split(":")), timeout=PATIENCE_S)


def test_the_api_is_on_loopback_only_unless_told_otherwise() -> None:
    with serving() as (_, address, _):
        assert address.startswith("127.0.0.1:")
        assert get(address, "/version") == {"version": "2.12.0"}


def test_log_level_says_how_much_is_logged() -> None:
    with serving(environment={"LOG_LEVEL": "loud"}) as (_, _, logged):
        assert (logged[0]["level"], logged[0]["message"]) == ("error", 'unknown LOG_LEVEL value: "loud"')
    with serving(environment={"LOG_LEVEL": "info"}) as (process, address, _):
        get(address, "/version")
        process.terminate()
        (last,) = (json.loads(line) for line in process.communicate(timeout=PATIENCE_S)[0].splitlines())
        assert last["message"] == "Shutdown started"
    with serving() as (process, address, _):
        get(address, "/version")
        process.terminate()
        asked, _ = (json.loads(line) for line in process.communicate(timeout=PATIENCE_S)[0].splitlines())
        assert (asked["level"], asked["method"], asked["url"], asked["status"]) == ("debug", "GET", "/version", 200)


def test_version_and_help() -> None:
    assert run("--version").stdout == "toxiproxy-server version 2.12.0\n"
    shown = run("-h")
    assert shown.returncode == 0 and "-proxy-metrics" in shown.stdout


def test_a_port_in_use_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("-port", str(port))
    assert ended.returncode == 4
    assert ended.stderr == (
        f"toxiproxy: cannot listen on localhost:{port}: Address already in use; give another one with -port\n"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"name": "x",\n oops}]', ":2:2: invalid character 'o' looking for beginning of object key string; write an"),
        ("", ":1:1: EOF; write an array of proxies in JSON"),
        ('{"name": "x"}', ": bad request body: json: cannot unmarshal object into Go value of type []struct"),
        ('[{"name": "x"}]', ": missing required field: upstream at proxy 1; write [{"),
        (
            '[{"name": "x", "listen": "nowhere", "upstream": "a:1"}]',
            ": proxy 'x': listen tcp: address nowhere: missing port in address; change its listen address",
        ),
    ],
)
def test_a_bad_config_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = write(tmp_path, text)
    ended = run("-port=0", "-config", file)
    assert ended.returncode == 4
    assert ended.stderr.startswith(f"toxiproxy: -config {file}{told}"), ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_missing_config_file_is_told() -> None:
    ended = run("-config", "/nowhere/proxies.json")
    assert ended.returncode == 4
    assert "-config /nowhere/proxies.json: No such file or directory; give a JSON file" in ended.stderr


def test_a_package_that_is_not_installed_is_told(tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ended = subprocess.run(PROGRAM, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 3
    assert "the Python package aiohttp is missing; install it: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-prot", "5"], "unknown argument '-prot'; did you mean -port?"),
        (["8474"], "unknown argument '8474'; use -host"),
        (["-port"], "-port: the value is missing"),
        (["--seed=x"], "-seed: 'x' is no whole number"),
        (["-proxy-metrics=maybe"], "-proxy-metrics: 'maybe' is neither true nor false"),
    ],
)
def test_a_wrong_flag_is_told(arguments: list[str], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_flags(arguments)
    assert str(caught.value).startswith(told)


def test_flags_are_read_as_go_reads_them() -> None:
    options = read_flags(["--host", "0.0.0.0", "-port=9", "-seed", "0x10", "--runtime-metrics=t", "-proxy-metrics"])
    assert (options.host, options.port, options.seed) == ("0.0.0.0", "9", 16)
    assert options.runtime_metrics and options.proxy_metrics and not options.version
    assert read_flags([]).seed != read_flags([]).seed
