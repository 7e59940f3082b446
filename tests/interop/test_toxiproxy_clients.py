"""Clients of Toxiproxy, as published, drive our server as they drive Toxiproxy's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chaostoxi.proxy import actions as chaos_proxy
from chaostoxi.proxy import probes as chaos_probes
from chaostoxi.toxic import actions as chaos_toxic
from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from tests.fidelity.test_toxiproxy_conformance import KINDS
from tests.fidelity.toxiproxy_servers import HOW_TO_GET, Server, real_program, running

CLI = real_program("cli")
PATIENCE_S = 20
needs_cli = pytest.mark.skipif(CLI is None, reason=HOW_TO_GET)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def upstream() -> Iterator[str]:
    """The address of a server that greets whoever connects, and ends; by the system's queue alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def toxiproxy(server: Server) -> Iterator[Toxiproxy]:
    client = Toxiproxy()
    client.update_api_consumer("127.0.0.1", server.port)
    yield client
    client.destroy_all()


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
        yield client


# --- toxiproxy-python --------------------------------------------------------------------------------------------


def test_python_creates_lists_and_destroys(toxiproxy: Toxiproxy, upstream: str) -> None:
    assert toxiproxy.running()
    assert json.loads(toxiproxy.version())["version"]
    made = toxiproxy.create(upstream=upstream, name="db")
    assert made.enabled and made.listen.startswith("127.0.0.1:")
    assert list(toxiproxy.proxies()) == ["db"]
    assert toxiproxy.get_proxy("db").upstream == upstream
    with pytest.raises(ProxyExists):
        toxiproxy.create(upstream=upstream, name="db")
    assert toxiproxy.destroy(made)
    assert toxiproxy.proxies() == {}
    with pytest.raises(NotFound):
        made.destroy()


def test_python_populates(toxiproxy: Toxiproxy, upstream: str) -> None:
    wanted = [{"name": "a", "upstream": upstream, "listen": "127.0.0.1:0"}, {"name": "b", "upstream": upstream}]
    assert [proxy.name for proxy in toxiproxy.populate(wanted)] == ["a", "b"]
    assert sorted(toxiproxy.proxies()) == ["a", "b"]


def test_python_adds_and_removes_toxics(toxiproxy: Toxiproxy, upstream: str) -> None:
    proxy = toxiproxy.create(upstream=upstream, name="db")
    proxy.add_toxic(type="limit_data", stream="upstream", attributes={"bytes": 0})
    proxy.add_toxic(type="latency", name="slow", toxicity=0.5, attributes={"latency": 10, "jitter": 5})
    assert sorted(proxy.toxics()) == ["limit_data_upstream", "slow"]
    slow = proxy.get_toxic("slow")
    assert (slow.type, slow.stream, slow.toxicity, slow.attributes) == (
        "latency",
        "downstream",
        0.5,
        {"latency": 10, "jitter": 5},
    )
    with pytest.raises(ProxyExists):
        proxy.add_toxic(type="latency", name="slow")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="lag")
    with connected(proxy.listen) as client:
        client.sendall(b"x")
        assert client.recv(1) == b""
    assert proxy.destroy_toxic("slow")
    assert toxiproxy.reset()
    assert proxy.toxics() == {}


def test_python_takes_a_proxy_down_for_a_while(toxiproxy: Toxiproxy, upstream: str) -> None:
    proxy = toxiproxy.create(upstream=upstream, name="db")
    with proxy.down():
        assert not toxiproxy.get_proxy("db").enabled
        with pytest.raises(ConnectionRefusedError), connected(proxy.listen):
            pass
    with connected(proxy.listen):
        assert toxiproxy.get_proxy("db").enabled


# --- chaostoolkit-toxiproxy --------------------------------------------------------------------------------------


def test_chaostoolkit(server: Server, toxiproxy: Toxiproxy, upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))  # it leaves the port there
    settings = {"toxiproxy_host": "127.0.0.1", "toxiproxy_port": server.port}
    host, _, port = upstream.rpartition(":")
    assert chaos_proxy.create_proxy("db", host, int(port), listen_host="127.0.0.1", configuration=settings)
    listen = f"127.0.0.1:{settings['db_PORT']}"
    assert chaos_probes.proxy_exist("db", configuration=settings)
    assert not chaos_probes.proxy_exist("other", configuration=settings)
    toxics = (
        lambda name: chaos_toxic.create_latency_toxic("db", name, latency=1, jitter=1, configuration=settings),
        lambda name: chaos_toxic.create_bandwith_degradation_toxic("db", name, rate=1000, configuration=settings),
        lambda name: chaos_toxic.create_slow_connection_close_toxic("db", name, delay=1, configuration=settings),
        lambda name: chaos_toxic.create_timeout_toxic("db", name, timeout=1, configuration=settings),
        lambda name: chaos_toxic.create_slicer_toxic(
            "db", name, average_size=10, size_variation=1, delay=1, configuration=settings
        ),
        lambda name: chaos_toxic.create_limiter_toxic("db", name, bytes_limit=0, configuration=settings),
    )
    for number, create in enumerate(toxics):
        assert create(f"toxic{number}")
    assert len(toxiproxy.get_proxy("db").toxics()) == len(toxics)
    assert chaos_toxic.delete_toxic("db", "toxic0", configuration=settings)
    assert chaos_proxy.disable_proxy("db", configuration=settings)
    assert chaos_probes.get_proxy_attribute("db", "enabled", configuration=settings) is False
    assert chaos_proxy.reset(configuration=settings)
    with connected(listen):
        assert toxiproxy.get_proxy("db").toxics() == {}
    chaos_proxy.delete_proxy("db", configuration=settings)
    assert toxiproxy.proxies() == {}


# --- toxiproxy-cli -----------------------------------------------------------------------------------------------


@needs_cli
def test_cli(server: Server, toxiproxy: Toxiproxy, upstream: str) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        ended = subprocess.run(
            [str(CLI), "--host", f"http://127.0.0.1:{server.port}", *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert ended.returncode == code, (arguments, ended)
        return ended.stdout + ended.stderr

    assert "Created new proxy db" in run("create", "--listen", "127.0.0.1:0", "--upstream", upstream, "db")
    assert "proxy already exists" in run("create", "-l", "127.0.0.1:0", "-u", upstream, "db", code=1)
    added = run(
        "toxic", "add", "-t", "latency", "-n", "slow", "--tox", "0.5", "-a", "latency=10", "-a", "jitter=1", "db"
    )
    assert "Added downstream latency toxic 'slow' on proxy 'db'" in added
    assert "invalid toxic type" in run("toxic", "add", "-t", "lag", "db", code=1)
    assert "Updated toxic 'slow' on proxy 'db'" in run("toxic", "update", "-n", "slow", "-a", "latency=20", "db")
    inspected = run("inspect", "db")
    assert "latency=20" in inspected and "jitter=1" in inspected
    assert upstream in run("list")
    assert "is now disabled" in run("toggle", "db")
    assert not toxiproxy.get_proxy("db").enabled
    assert "Removed toxic 'slow' on proxy 'db'" in run("toxic", "remove", "-n", "slow", "db")
    assert "toxic not found" in run("toxic", "remove", "-n", "slow", "db", code=1)
    assert "Deleted proxy db" in run("delete", "db")
