"""Each toxic on real loopback sockets, against what Toxiproxy 2.12 was observed to do.

Durations have lower bounds only: a loaded machine can be late, never early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fakes.reset import reset
from fakes.toxiproxy.proxy import Proxy
from fakes.toxiproxy.toxics import InvalidToxic, Toxic, ToxicExists, ToxicNotFound
from fakes.toxiproxy.window import apply_for

from .toxiproxy_world import Upstream, connect, elapsed_s, read_to_end, world

CLOCK_S = 0.001
RESET = "ConnectionResetError"

Check = Callable[[Proxy, Upstream], Awaitable[None]]


def play(check: Check, *, seed: int = 1) -> None:
    async def run() -> None:
        async with world(seed=seed) as (proxy, upstream):
            await check(proxy, upstream)

    asyncio.run(run())


def toxic(type_: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> Toxic:
    return Toxic(type_, stream, toxicity=toxicity, attributes=attributes)  # type: ignore[arg-type]


def test_without_toxics_bytes_and_half_close_pass() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        writer.write_eof()
        assert await read_to_end(reader) == (b"hellobye", "fin")
        assert upstream.endings == ["fin"]

    play(check)


def test_latency_delays_but_keeps_order() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("latency", latency=200))
        reader, writer = await connect(proxy)
        writer.write(b"one")
        assert await elapsed_s(reader.readexactly(3)) >= 0.2 - CLOCK_S
        for number in range(20):
            writer.write(bytes([number]))
            await asyncio.sleep(0.001)
        assert await reader.readexactly(20) == bytes(range(20))

    play(check)


def test_latency_with_jitter_never_reorders_and_is_seeded() -> None:
    gaps: list[list[float]] = []

    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("latency", latency=30, jitter=30))
        reader, writer = await connect(proxy)
        for number in range(10):
            writer.write(bytes([number]))
            await asyncio.sleep(0.002)
        assert await reader.readexactly(10) == bytes(range(10))
        gaps.append([proxy._draws(1, "downstream").random()])

    play(check, seed=3)
    play(check, seed=3)
    play(check, seed=4)
    assert gaps[0] == gaps[1] != gaps[2]


def test_removing_latency_lets_held_bytes_out_at_once() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("latency", latency=60_000))
        reader, writer = await connect(proxy)
        writer.write(b"held")
        await asyncio.sleep(0.05)
        proxy.remove_toxic("latency_downstream")
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"held"

    play(check)


def test_bandwidth_limits_the_rate() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("bandwidth", rate=100))
        reader, writer = await connect(proxy)
        body = bytes(50_000)
        writer.write(body)
        assert await elapsed_s(reader.readexactly(len(body))) >= 0.5 - CLOCK_S

    play(check)


def test_bandwidth_zero_stalls_until_removed() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("bandwidth", rate=0))
        reader, writer = await connect(proxy)
        writer.write(b"stuck")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.remove_toxic("bandwidth_downstream")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"stuck"

    play(check)


def test_a_stalled_link_stops_its_sender() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("bandwidth", "upstream", rate=0))
        reader, writer = await connect(proxy)
        body = bytes(32 << 20)
        writer.write(body)
        await asyncio.sleep(0.3)
        (connection,) = proxy._connections
        held = sum(stage.held_bytes for _, stage in connection._links["upstream"]._stages)
        assert 0 < held < 1 << 20
        assert writer.transport.get_write_buffer_size() > 0
        proxy.remove_toxic("bandwidth_upstream")
        assert len(await asyncio.wait_for(reader.readexactly(len(body)), 20)) == len(body)

    play(check)


def test_slow_close_delays_only_the_end() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("slow_close", delay=300))
        reader, writer = await connect(proxy)
        writer.write(b"x")
        writer.write_eof()
        assert await reader.readexactly(4) == b"xbye"
        assert await elapsed_s(read_to_end(reader)) >= 0.3 - 0.02

    play(check)


def test_timeout_swallows_and_ends_after_silence() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("timeout", timeout=200))
        reader, writer = await connect(proxy)
        start_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0.1)
        writer.write(b"x")  # its echo starts the time again
        assert await read_to_end(reader) == (b"", "fin")
        assert asyncio.get_running_loop().time() - start_s >= 0.3 - 2 * CLOCK_S
        assert upstream.received == b"x"

    play(check)


def test_timeout_zero_is_silence_until_removed_and_then_an_end() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("timeout", timeout=0))
        reader, writer = await connect(proxy)
        writer.write(b"x")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        proxy.remove_toxic("timeout_downstream")
        assert await read_to_end(reader) == (b"", "fin")

    play(check)


@pytest.mark.parametrize("timeout_ms", [0, 200])
def test_reset_peer_downstream_delivers_the_request_and_resets_both_ends(timeout_ms: int) -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("reset_peer", timeout=timeout_ms))
        reader, writer = await connect(proxy)
        start_s = asyncio.get_running_loop().time()
        writer.write(b"request")
        assert await read_to_end(reader) == (b"", RESET)
        assert asyncio.get_running_loop().time() - start_s >= timeout_ms / 1000 - CLOCK_S
        await upstream.ended.wait()
        assert (bytes(upstream.received), upstream.endings) == (b"request", [RESET])

    play(check)


def test_reset_peer_upstream_keeps_the_request_from_the_server() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("reset_peer", "upstream", timeout=0))
        reader, writer = await connect(proxy)
        writer.write(b"request")
        assert await read_to_end(reader) == (b"", RESET)
        await upstream.ended.wait()
        assert (bytes(upstream.received), upstream.endings) == (b"", [RESET])

    play(check)


def test_reset_peer_on_a_live_connection_is_a_real_reset() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        reader, writer = await connect(proxy)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        proxy.add_toxic(toxic("reset_peer", timeout=0))
        writer.write(b"after")
        assert await read_to_end(reader) == (b"", RESET)

    play(check)


def test_slicer_cuts_into_pieces_with_pauses() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("slicer", average_size=100, size_variation=20, delay=10_000))
        reader, writer = await connect(proxy)
        writer.write(bytes(range(250)) * 4)
        sizes = []
        received = b""
        start_s = asyncio.get_running_loop().time()
        while len(received) < 1000:
            piece = await reader.read(65536)
            sizes.append(len(piece))
            received += piece
        assert received == bytes(range(250)) * 4
        assert len(sizes) > 3
        assert asyncio.get_running_loop().time() - start_s >= 0.01 * (1000 / 120 - 1) - CLOCK_S

    play(check)


def test_limit_data_passes_exactly_so_many_bytes_then_ends() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("limit_data", bytes=50))
        reader, writer = await connect(proxy)
        writer.write(bytes(120))
        assert await read_to_end(reader) == (bytes(50), "fin")

    play(check)


def test_limit_data_counts_over_the_chunks_of_one_connection() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("limit_data", "upstream", bytes=5))
        reader, writer = await connect(proxy)
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"abc"
        writer.write(b"defg")
        await read_to_end(reader)
        await upstream.ended.wait()
        assert upstream.received == b"abcde"

    play(check)


def test_down_cuts_live_connections_refuses_new_ones_and_comes_back_on_the_same_port() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        reader, _ = await connect(proxy)
        await asyncio.sleep(0.02)
        port = proxy.port
        proxy.add_toxic(toxic("down"))
        assert not proxy.enabled
        assert await read_to_end(reader) == (b"", "fin")
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        proxy.remove_toxic("down_downstream")
        await asyncio.sleep(0.02)
        assert proxy.enabled and proxy.port == port
        reader, writer = await connect(proxy)
        writer.write(b"back")
        assert await reader.readexactly(4) == b"back"

    play(check)


def test_a_connection_that_came_just_before_a_proxy_went_down_is_ended() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("down"))
        side = proxy._accept()  # as asyncio does when the handshake was complete before the listener closed
        assert proxy._connections == {}
        assert side.transport is None

    play(check)


def test_a_toxic_is_changed_where_it_acts_and_for_those_who_come_later() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("limit_data", bytes=1))
        live, writer = await connect(proxy)
        proxy.update_toxic(toxic("limit_data", bytes=2))
        writer.write(b"abc")
        assert await read_to_end(live) == (b"ab", "fin")
        later, writer = await connect(proxy)
        writer.write(b"abc")
        assert await read_to_end(later) == (b"ab", "fin")
        with pytest.raises(ToxicNotFound, match="latency_downstream"):
            proxy.update_toxic(toxic("latency"))

    play(check)


def test_a_dead_upstream_is_accepted_then_ended() -> None:
    async def run() -> None:
        async with world() as (proxy, _):
            unused = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
            proxy._upstream = ("127.0.0.1", unused.sockets[0].getsockname()[1])
            unused.close()
            reader, _ = await connect(proxy)
            assert await read_to_end(reader) == (b"", "fin")

    asyncio.run(run())


def test_toxicity_strikes_a_seeded_share_of_connections() -> None:
    outcomes: list[list[str]] = []

    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("reset_peer", toxicity=0.5, timeout=0))
        endings = []
        for _ in range(20):
            reader, writer = await connect(proxy)
            writer.write(b"x")
            writer.write_eof()
            endings.append((await read_to_end(reader))[1])
        outcomes.append(endings)

    play(check, seed=7)
    play(check, seed=7)
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0]) == {"fin", RESET}


def test_a_reset_by_either_end_passes_through_as_a_reset() -> None:
    async def reset_after_first_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"partial")
        reset(writer.transport)  # type: ignore[arg-type]

    async def run() -> None:
        async with world(reset_after_first_bytes) as (proxy, _):
            reader, writer = await connect(proxy)
            writer.write(b"x")
            assert await read_to_end(reader) == (b"partial", RESET)
        async with world() as (proxy, upstream):
            reader, writer = await connect(proxy)
            writer.write(b"x")
            await reader.readexactly(1)
            reset(writer.transport)  # type: ignore[arg-type]
            await upstream.ended.wait()
            assert upstream.endings == [RESET]

    asyncio.run(run())


def test_a_reset_comes_behind_megabytes_that_were_written_before() -> None:
    size = 4 << 20

    async def write_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(size))
        reset(writer.transport)  # type: ignore[arg-type]

    async def run() -> None:
        async with world(write_and_reset) as (proxy, _):
            reader, _ = await connect(proxy)
            await asyncio.sleep(0.2)  # buffers on the way are full, and the reset waits
            received, ending = await read_to_end(reader)
            assert (len(received), ending) == (size, RESET)

    asyncio.run(run())


def test_a_toxic_for_a_while() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        apply_for(proxy, toxic("latency", latency=60_000), for_s=0.1)
        reader, writer = await connect(proxy)
        writer.write(b"x")
        assert await elapsed_s(reader.readexactly(1)) >= 0.1 - 0.05
        assert proxy.toxics == ()

    play(check)


def test_names_are_unique_and_missing_ones_are_named() -> None:
    async def check(proxy: Proxy, upstream: Upstream) -> None:
        proxy.add_toxic(toxic("latency", latency=1))
        with pytest.raises(ToxicExists, match="latency_downstream"):
            proxy.add_toxic(toxic("latency", latency=2))
        with pytest.raises(ToxicNotFound, match="no toxic 'nope'; it has: latency_downstream"):
            proxy.remove_toxic("nope")

    play(check)


@pytest.mark.parametrize(
    ("type_", "attributes", "named"),
    [
        ("latency", {"latancy": 1}, "latancy"),
        ("latency", {"latency": -1}, "latency"),
        ("latency", {"latency": 1.5}, "latency"),
        ("latency", {"jitter": True}, "jitter"),
        ("bandwidth", {"rate": -1}, "rate"),
        ("slicer", {}, "average_size"),
        ("slicer", {"average_size": 0}, "average_size"),
        ("slicer", {"average_size": 5, "size_variation": 5}, "size_variation"),
        ("limit_data", {"bytes": "5"}, "bytes"),
        ("down", {"rate": 1}, "rate"),
        ("lag", {}, "lag"),
    ],
)
def test_a_wrong_attribute_is_named(type_: str, attributes: dict[str, int], named: str) -> None:
    with pytest.raises(InvalidToxic, match=named):
        Toxic(type_, attributes=attributes)


def test_defaults_and_wrong_streams() -> None:
    made = Toxic("latency", "upstream", attributes={"latency": 5})
    assert (made.name, dict(made.attributes)) == ("latency_upstream", {"latency": 5, "jitter": 0})
    assert made.describe() == "latency upstream (latency 5 ms, jitter 0 ms)"
    with pytest.raises(InvalidToxic, match="sideways"):
        Toxic("latency", "sideways")  # type: ignore[arg-type]
    with pytest.raises(InvalidToxic, match="toxicity"):
        Toxic("latency", toxicity=1.1)
