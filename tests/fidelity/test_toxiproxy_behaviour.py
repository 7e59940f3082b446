"""What each toxic does to live and to new connections: the same on our server and on Toxiproxy's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from .test_toxiproxy_conformance import KINDS
from .toxiproxy_links import FIN, OPEN, PATIENCE_S, RESET, Connection, Link, Stopwatch, link
from .toxiproxy_servers import Server, running

LONG_MS = 600_000
SHORT_S = 0.3
"""Long enough for what comes at once to have come."""
_LOOK_S = 0.05

Check = Callable[[Link], Awaitable[None]]


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param, "-proxy-metrics") as server:
        yield server


@pytest.fixture(params=["new", "live"])
def age(request: pytest.FixtureRequest) -> str:
    """Whether the connection is made after the toxic was added, or before."""
    made: str = request.param
    return made


def play(server: Server, check: Check, *, name: str = "") -> None:
    async def run() -> None:
        async with asyncio.timeout(6 * PATIENCE_S), link(server, name) as made:
            await check(made)

    asyncio.run(run())


async def connected(made: Link, age: str, add: Callable[[], Awaitable[None]]) -> tuple[Connection, Connection]:
    """Both ends of a connection of this age, with the toxic in place."""
    if age == "new":
        await add()
        return await made.connect()
    client, upstream = await made.connect()
    client.send(b"?")
    assert await upstream.receive(1) == b"?"
    upstream.send(b"!")
    assert await client.receive(1) == b"!"
    await add()
    return client, upstream


def test_bytes_pass_in_order_both_ways_at_once(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await made.connect()
        there, back = bytes(range(256)) * 4000, bytes(range(255, -1, -1)) * 4000
        client.send(there)
        upstream.send(back)
        assert await asyncio.gather(upstream.receive(len(there)), client.receive(len(back))) == [there, back]

    play(server, check)


def test_an_end_of_either_side_ends_the_other(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await made.connect()
        client.send(b"last words")
        client.close()
        assert await upstream.rest() == (b"last words", FIN)
        client, upstream = await made.connect()
        upstream.send(b"last words")
        upstream.close()
        assert await client.rest() == (b"last words", FIN)

    play(server, check)


def test_a_dead_upstream_is_accepted_then_ended(server: Server) -> None:
    async def check(made: Link) -> None:
        assert (await made.ask("PATCH", "", {"upstream": "127.0.0.1:1"})).status == 200
        client = await made.client()
        assert (await client.rest())[0] == b""

    play(server, check)


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_latency_delays_one_stream(server: Server, age: str, stream: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("latency", stream, latency=300))
        slow, fast = (client, upstream) if stream == "upstream" else (upstream, client)
        watch = Stopwatch()
        fast.send(b"fast")
        slow.send(b"slow")
        assert await slow.receive(4) == b"fast"
        assert await fast.receive(4) == b"slow"
        assert watch.at_least(0.3)

    play(server, check)


def test_latency_keeps_order_and_lets_chunks_wait_side_by_side(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("latency", latency=500, jitter=100)
        client, upstream = await made.connect()
        watch = Stopwatch()
        for number in range(40):
            upstream.send(bytes([number]))
            await asyncio.sleep(0.005)
        assert await client.receive(40) == bytes(range(40))
        assert watch.at_least(0.4)
        # One after the other they would need 16 s at least.

    play(server, check)


def test_latency_taken_off_or_shortened_lets_a_held_chunk_go(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("latency", latency=LONG_MS))
        upstream.send(b"one")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.update("latency_downstream", attributes={"latency": LONG_MS - 1})
        assert await client.receive(3) == b"one"
        upstream.send(b"two")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.remove("latency_downstream")
        assert await client.receive(3) == b"two"
        upstream.send(b"three")
        assert await client.receive(5) == b"three"

    play(server, check)


def test_a_new_latency_holds_for_the_chunks_that_waited_in_line(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("latency", latency=LONG_MS))
        watch = Stopwatch()
        for chunk in (b"one", b"two"):
            upstream.send(chunk)
            await asyncio.sleep(SHORT_S)
        await made.update("latency_downstream", attributes={"latency": 1500})
        assert await client.receive(3) == b"one"
        assert await client.receive(3) == b"two"
        assert watch.at_least(1.5)

    play(server, check)


def test_bandwidth_limits_the_rate(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("bandwidth", rate=100))
        watch = Stopwatch()
        upstream.send(bytes(60_000))
        await client.receive(60_000)
        assert watch.at_least(0.5)

    play(server, check)


def test_bandwidth_of_nothing_stalls_until_taken_off(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("bandwidth", rate=0))
        upstream.send(b"stalled")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.remove("bandwidth_downstream")
        assert await client.receive(7) == b"stalled"

    play(server, check)


def test_a_changed_bandwidth_lets_the_chunk_under_way_go(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("bandwidth", rate=1))
        upstream.send(bytes(20_000))
        assert len((await client.rest(SHORT_S))[0]) < 20_000
        await made.update("bandwidth_downstream", attributes={"rate": 2})
        received, ending = await client.rest(3)  # by its rate it would be 10 s
        assert ending == OPEN
        assert len(received) > 15_000

    play(server, check)


def test_slow_close_delays_the_end_only(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("slow_close", delay=500))
        watch = Stopwatch()
        upstream.send(b"bye")
        upstream.close()
        assert await client.receive(3) == b"bye"
        assert await client.rest() == (b"", FIN)
        assert watch.at_least(0.5)

    play(server, check)


def test_slow_close_taken_off_ends_at_once(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("slow_close", delay=LONG_MS))
        upstream.close()
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.remove("slow_close_downstream")
        assert await client.rest() == (b"", FIN)

    play(server, check)


def test_timeout_swallows_and_ends_after_silence(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("timeout", timeout=600))
        await asyncio.sleep(0.2)
        watch = Stopwatch()
        upstream.send(b"swallowed")  # and the time begins again
        assert await client.rest() == (b"", FIN)
        assert watch.at_least(0.6 - 0.05)
        assert (await upstream.rest())[1] == FIN

    play(server, check)


def test_timeout_0_swallows_for_ever_and_taking_it_off_ends_the_connection(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("timeout", "upstream", timeout=0))
        client.send(b"swallowed")
        assert await upstream.rest(SHORT_S) == (b"", OPEN)
        upstream.send(b"passes")
        assert await client.receive(6) == b"passes"
        await made.remove("timeout_upstream")
        assert await upstream.rest() == (b"", FIN)
        assert await client.rest() == (b"", FIN)

    play(server, check)


def test_a_changed_timeout_ends_nothing_by_itself(server: Server) -> None:
    async def check(made: Link) -> None:
        client, _ = await connected(made, "live", lambda: made.add("timeout", timeout=LONG_MS))
        await made.update("timeout_downstream", attributes={"timeout": LONG_MS + 1})
        assert await client.rest(SHORT_S) == (b"", OPEN)
        watch = Stopwatch()
        await made.update("timeout_downstream", attributes={"timeout": 300})
        assert await client.rest() == (b"", FIN)
        assert watch.at_least(0.3)

    play(server, check)


@pytest.mark.parametrize("timeout_ms", [0, 300])
@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_reset_peer_resets_both_ends_after_the_first_chunk(server: Server, stream: str, timeout_ms: int) -> None:
    async def check(made: Link) -> None:
        await made.add("reset_peer", stream, timeout=timeout_ms)
        client, upstream = await made.connect()
        sender, receiver = (client, upstream) if stream == "upstream" else (upstream, client)
        assert await receiver.rest(SHORT_S) == (b"", OPEN)
        receiver.send(b"passes")
        assert await sender.receive(6) == b"passes"
        watch = Stopwatch()
        sender.send(b"dropped")
        assert await receiver.rest() == (b"", RESET)
        assert watch.at_least(timeout_ms / 1000)
        assert (await sender.rest())[1] == RESET

    play(server, check)


def test_reset_peer_taken_off_before_the_first_chunk_leaves_the_connection_whole(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "new", lambda: made.add("reset_peer", timeout=0))
        await made.remove("reset_peer_downstream")
        upstream.send(b"whole")
        assert await client.receive(5) == b"whole"

    play(server, check)


def test_slicer_cuts_into_pieces_with_pauses(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(
            made, age, lambda: made.add("slicer", average_size=100, size_variation=20, delay=20_000)
        )
        watch = Stopwatch()
        upstream.send(bytes(range(250)) * 4)
        sizes = await client.pieces(1000)
        assert len(sizes) >= 4  # pieces that were late together arrive as one
        assert watch.at_least(0.02 * (1000 / 120 - 1))

    play(server, check)


@pytest.mark.parametrize("limit", [0, 50])
def test_limit_data_lets_so_many_bytes_pass(server: Server, age: str, limit: int) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, age, lambda: made.add("limit_data", bytes=limit))
        upstream.send(bytes(120))
        assert await client.rest() == (bytes(limit), FIN)
        assert (await upstream.rest())[0] == b""

    play(server, check)


def test_limit_data_counts_what_passed_before_it_was_changed(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("limit_data", bytes=10))
        upstream.send(b"abcdef")
        assert await client.receive(6) == b"abcdef"
        await made.update("limit_data_downstream", attributes={"bytes": 8})
        upstream.send(b"ghijkl")
        assert await client.rest() == (b"gh", FIN)

    play(server, check)


def test_toxicity_strikes_a_share_of_the_connections(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("limit_data", toxicity=0.5, bytes=0)
        struck = 0
        for _ in range(60):
            client, upstream = await made.connect()
            upstream.send(b"x")
            upstream.close()
            struck += (await client.rest())[0] == b""
        assert 10 <= struck <= 50  # 1 in 2 million otherwise

    play(server, check)


def test_toxicity_can_be_changed_on_a_live_connection(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("timeout", toxicity=0, timeout=0))
        upstream.send(b"passes")
        assert await client.receive(6) == b"passes"
        await made.update("timeout_downstream", toxicity=1)
        upstream.send(b"swallowed")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        await made.update("timeout_downstream", toxicity=0)
        upstream.send(b"passes")
        assert await client.receive(6) == b"passes"

    play(server, check)


def test_toxics_stand_in_the_order_in_which_they_were_added(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        async def add() -> None:
            await made.add("slow_close", delay=LONG_MS)
            await made.add("limit_data", bytes=5)

        client, upstream = await connected(made, age, add)
        upstream.send(b"five.six")
        assert await client.rest() == (b"five.", FIN)  # the limit comes after the slow close, which holds nothing up

    play(server, check)


def test_the_other_order_is_another_outcome(server: Server, age: str) -> None:
    async def check(made: Link) -> None:
        async def add() -> None:
            await made.add("limit_data", bytes=5)
            await made.add("slow_close", delay=LONG_MS)

        client, upstream = await connected(made, age, add)
        upstream.send(b"five.six")
        assert await client.rest(1.0) == (b"five.", OPEN)

    play(server, check)


def test_a_toxic_in_the_middle_can_be_taken_off(server: Server) -> None:
    async def check(made: Link) -> None:
        async def add() -> None:
            for type_, attributes in (("latency", 100), ("timeout", 0), ("slow_close", 100)):
                await made.add(type_, "upstream", **{"delay" if type_ == "slow_close" else type_: attributes})
            await made.update("timeout_upstream", toxicity=0)

        client, upstream = await connected(made, "live", add)
        await made.remove("slow_close_upstream")
        client.send(b"passes")
        assert await upstream.receive(6) == b"passes"

    play(server, check)


def test_disabling_ends_live_connections_refuses_new_ones_and_keeps_the_port(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await made.connect()
        await made.add("latency", latency=1)
        await made.enable(False)
        assert await client.rest() == (b"", FIN)
        assert await upstream.rest() == (b"", FIN)
        with pytest.raises(ConnectionRefusedError):
            await made.client()
        await made.enable(True)
        client, upstream = await made.connect()
        upstream.send(b"back")
        assert await client.receive(4) == b"back"
        assert len((await made.ask("GET", "/toxics")).json()) == 1

    play(server, check)


def test_another_listen_address_ends_live_connections_and_keeps_toxics(server: Server) -> None:
    async def check(made: Link) -> None:
        client, _ = await made.connect()
        await made.add("limit_data", bytes=3)
        moved = (await made.ask("PATCH", "", {"listen": "127.0.0.1:0"})).json()
        assert await client.rest() == (b"", FIN)
        made.port = int(moved["listen"].rpartition(":")[2])
        client, upstream = await made.connect()
        upstream.send(b"four")
        assert await client.rest() == (b"fou", FIN)

    play(server, check)


def test_reset_takes_toxics_off_live_connections(server: Server) -> None:
    async def check(made: Link) -> None:
        client, upstream = await connected(made, "live", lambda: made.add("latency", latency=LONG_MS))
        upstream.send(b"held")
        assert await client.rest(SHORT_S) == (b"", OPEN)
        assert (await asyncio.to_thread(server.ask, "POST", "/reset")).status == 204
        assert await client.receive(4) == b"held"

    play(server, check)


def test_bytes_are_counted_by_proxy_and_direction(server: Server) -> None:
    async def check(made: Link) -> None:
        await made.add("limit_data", bytes=3)
        client, upstream = await made.connect()
        client.send(b"12345")
        assert await upstream.receive(5) == b"12345"
        upstream.send(b"123456")
        assert await client.rest() == (b"123", FIN)
        await upstream.rest()
        expected = {
            ("received", "upstream"): 5,
            ("sent", "upstream"): 5,
            ("received", "downstream"): 6,
            ("sent", "downstream"): 3,
        }
        for _ in range(round(PATIENCE_S / _LOOK_S)):
            if await asyncio.to_thread(counted, made) == expected:
                return
            await asyncio.sleep(_LOOK_S)
        assert counted(made) == expected

    play(server, check)


def counted(made: Link) -> dict[tuple[str, str], int]:
    """The counters of this proxy."""
    found = {}
    for line in made.server.ask("GET", "/metrics").body.decode().splitlines():
        if f'proxy="{made.name}"' in line:
            name, _, value = line.rpartition(" ")
            assert f'listener="127.0.0.1:{made.port}"' in name and f'upstream="127.0.0.1:{made.upstream_port}"' in name
            what = name.removeprefix("toxiproxy_proxy_").partition("_")[0]
            direction = "upstream" if 'direction="upstream"' in name else "downstream"
            found[what, direction] = int(float(value))
    return found
