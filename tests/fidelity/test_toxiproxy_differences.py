"""Every line of the table of differences: what the original does, and what ours does instead."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .test_toxiproxy_behaviour import LONG_MS, SHORT_S, connected, counted, play
from .test_toxiproxy_conformance import KINDS
from .toxiproxy_differences import DIFFERENCES, table
from .toxiproxy_links import FIN, OPEN, PATIENCE_S, RESET, Link, Stopwatch
from .toxiproxy_servers import Kind, Server, real_program, running

ROOT = Path(__file__).parents[2]
SWITCHES = 40


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, "-proxy-metrics") as server:
        yield server


def ours(server: Server) -> bool:
    return server.kind == "ours"


def test_every_difference_has_its_test_and_every_test_its_difference() -> None:
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    about = {"every_difference_has_its_test_and_every_test_its_difference", "the_table_of_the_readme_is_this_one"}
    assert [each.id for each in DIFFERENCES if each.id not in tests] == []
    assert tests - about - {each.id for each in DIFFERENCES} == set()


def test_the_table_of_the_readme_is_this_one() -> None:
    readme = (ROOT / "fakes/toxiproxy/README.md").read_text()
    assert table() in readme, f"copy this into fakes/toxiproxy/README.md:\n\n{table()}"


# --- the API -----------------------------------------------------------------------------------------------------


def test_attribute_names(server: Server) -> None:
    async def check(made: Link) -> None:
        answer = await made.ask("POST", "/toxics", {"type": "latency", "attributes": {"latancy": 5}})
        if ours(server):
            assert answer.status == 400
            assert answer.json()["error"] == "latency: unknown attribute 'latancy'; use latency, jitter"
        else:
            assert (answer.status, answer.json()["attributes"]) == (200, {"latency": 0, "jitter": 0})

    play(server, check)


@pytest.mark.parametrize(
    ("toxic", "named"),
    [
        ({"type": "slicer"}, "average_size"),
        ({"type": "bandwidth", "attributes": {"rate": -1}}, "rate"),
        ({"type": "slicer", "attributes": {"average_size": 5, "size_variation": 5}}, "size_variation"),
        ({"type": "noop", "toxicity": 5}, "toxicity"),
    ],
)
def test_attribute_ranges(server: Server, toxic: dict[str, object], named: str) -> None:
    async def check(made: Link) -> None:
        answer = await made.ask("POST", "/toxics", toxic)
        if ours(server):
            assert answer.status == 400
            assert named in answer.json()["error"]
        else:
            assert answer.status == 200

    play(server, check)


def test_refused_change(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("latency", latency=1, jitter=1)
        change = {"attributes": {"latency": 2, "jitter": "x"}}
        assert (await made.ask("PATCH", "/toxics/latency_downstream", change)).status == 400
        kept = (await made.ask("GET", "/toxics/latency_downstream")).json()["attributes"]
        assert kept == ({"latency": 1, "jitter": 1} if ours(server) else {"latency": 2, "jitter": 1})

    play(server, check)


def test_trigger(server: Server) -> None:
    async def check(made: Link) -> None:
        toxic = {"type": "limit_data", "attributes": {"bytes": 3}, "trigger": {"request": 2}}
        answer = (await made.ask("POST", "/toxics", toxic)).json()
        assert answer.get("trigger") == ({"request": 2, "fired": False} if ours(server) else None)
        client, upstream = await made.connect()
        for number in (1, 2):
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            await upstream.receive(18)
            upstream.send(b"HTTP/1.1 204 OK\r\n\r\n")
            if number == 1 and ours(server):
                assert await client.receive(19) == b"HTTP/1.1 204 OK\r\n\r\n"
            else:
                assert await client.rest() == (b"HTT", FIN)
                return

    play(server, check)


def test_protocol(server: Server) -> None:
    body = {"name": "x", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "protocol": "postgres"}
    answer = server.ask("POST", "/proxies", body)
    assert answer.status == 201
    assert answer.json().get("protocol") == ("postgres" if ours(server) else None)
    wrong = {"type": "latency", "trigger": {"request": 1}}
    assert server.ask("POST", "/proxies/x/toxics", wrong).status == (400 if ours(server) else 200)
    assert server.ask("DELETE", "/proxies/x").status == 204


def test_down(server: Server) -> None:
    async def check(made: Link) -> None:
        answer = await made.ask("POST", "/toxics", {"type": "down"})
        if ours(server):
            assert answer.status == 200
            with pytest.raises(ConnectionRefusedError):
                await made.client()
        else:
            assert (answer.status, answer.json()["error"]) == (400, "invalid toxic type")

    play(server, check)


def test_default_listen(server: Server) -> None:
    answer = server.ask("POST", "/proxies", {"name": "x", "upstream": "127.0.0.1:1"})
    assert answer.json()["listen"].rpartition(":")[0] in (["127.0.0.1"] if ours(server) else ["[::]", "0.0.0.0"])
    assert server.ask("DELETE", "/proxies/x").status == 204


# --- chance ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_seed(kind: Kind) -> None:
    async def struck(made: Link) -> list[bool]:
        await made.add("limit_data", toxicity=0.5, bytes=0)
        found = []
        for _ in range(40):
            client, upstream = await made.connect()
            upstream.send(b"x")
            upstream.close()
            found.append((await client.rest())[0] == b"")
        return found

    outcomes = []
    for seed in (7, 7, 8):

        async def check(made: Link) -> None:
            outcomes.append(await struck(made))

        with running(kind, "-seed", str(seed)) as server:
            play(server, check, name="db")
    assert outcomes[1] != outcomes[2]
    assert (outcomes[0] == outcomes[1]) is (kind == "ours")


def test_toxicity_drawn_once(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("timeout", toxicity=0.5, timeout=0)
        client, upstream = await made.connect()
        for number in range(SWITCHES):
            await made.add("noop")
            await made.remove("noop_downstream")
            upstream.send(bytes([number]))
            await asyncio.sleep(0.02)
        received, ending = await client.rest(1.0)
        assert ending == OPEN
        if not ours(server):
            assert 0 < len(received) < SWITCHES  # once in 2^39 they would all be the same
        elif received:
            await client.receive(SWITCHES - len(received))

    play(server, check)


# --- connections -------------------------------------------------------------------------------------------------


def test_neighbours_undisturbed(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("latency", latency=LONG_MS))
        upstream.send(b"held")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.add("noop")
        if ours(server):
            assert await client.rest(1.0) == (b"", OPEN)
        else:
            assert await client.receive(4) == b"held"

    play(server, check)


def test_live_reset(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("reset_peer", timeout=0))
        upstream.send(b"dropped")
        ending = RESET if ours(server) else FIN
        assert await client.rest() == (b"", ending)
        assert await upstream.rest() == (b"", ending)

    play(server, check)


def test_spared_by_reset_peer(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("reset_peer", toxicity=0, timeout=0)
        client, upstream = await made.connect()
        upstream.send(b"passes")
        assert await client.receive(6) == b"passes"
        upstream.close()
        assert await client.rest() == (b"", FIN if ours(server) else RESET)

    play(server, check)


def test_reset_under_way(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("reset_peer", timeout=4000)
        client, upstream = await made.connect()
        watch = Stopwatch()
        upstream.send(b"dropped")
        await asyncio.sleep(SHORT_S)
        await made.remove("reset_peer_downstream")
        assert watch.at_least(4.0) is not ours(server)
        assert await client.rest() == (b"", RESET)

    play(server, check)


def test_half_close(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await made.connect()
        client.send(b"question")
        client.half_close()
        assert await upstream.rest() == (b"question", FIN)
        if ours(server):
            upstream.send(b"answer")
            upstream.close()
            assert await client.rest() == (b"answer", FIN)
        else:
            assert await client.rest() == (b"", FIN)

    play(server, check)


def test_reset_passed_on(server: Server) -> None:
    async def check(made: Link) -> None:
        for first in (0, 1):
            ends = await made.connect()
            ends[first].send(b"x")
            assert await ends[1 - first].receive(1) == b"x"
            ends[first].reset()
            assert await ends[1 - first].rest() == (b"", RESET if ours(server) else FIN)

    play(server, check)


# --- metrics and the command line --------------------------------------------------------------------------------


def test_metrics_while_passing(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await made.connect()
        client.send(b"12345")
        await upstream.receive(5)
        upstream.send(b"!")
        await client.receive(1)
        shown = await asyncio.to_thread(counted, made)
        assert shown.get(("sent", "upstream")) == (5 if ours(server) else None)

    play(server, check)


@pytest.mark.parametrize("kind", KINDS)
def test_runtime_metrics(kind: Kind) -> None:
    with running(kind, "-runtime-metrics") as server:
        shown = server.ask("GET", "/metrics").body
    assert b"\nprocess_open_fds " in shown
    assert (b"\npython_info" in shown) is (kind == "ours")
    assert (b"\ngo_info" in shown) is (kind == "real")


@pytest.mark.parametrize("kind", KINDS)
def test_bad_config(kind: Kind, tmp_path: Path) -> None:
    file = tmp_path / "proxies.json"
    file.write_text('[{"name": "x"}]')
    if kind == "real":
        with running(kind, "-config", str(file)) as server:
            assert server.ask("GET", "/proxies").json() == {}
    else:
        ended = start(kind, "-config", str(file)).communicate(timeout=PATIENCE_S)[1]
        assert ended.startswith(f"toxiproxy: -config {file}: missing required field: upstream at proxy 1; write ")


@pytest.mark.parametrize("kind", KINDS)
def test_port_in_use(kind: Kind) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(kind, "-port", str(taken.getsockname()[1]))
        if kind == "ours":
            assert process.wait(PATIENCE_S) == 4
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(2)
            process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_flag(kind: Kind) -> None:
    process = start(kind, "-prot", "5")
    said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == (4 if kind == "ours" else 2)
    assert ("did you mean -port?" in said) is (kind == "ours")


def start(kind: Kind, *flags: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "fakes.toxiproxy"] if kind == "ours" else [str(real_program())]
    return subprocess.Popen([*program, *flags], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
