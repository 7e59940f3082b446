"""Who goes first at the database, how many places the others have, and that no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reference_impl.places import Places, let_others_go_first
from sim.kernel import Simulation


def played(play: Callable[[Places, list[str]], Awaitable[None]], *, size: int = 1) -> list[str]:
    """The order in which places were got."""
    order: list[str] = []

    async def main() -> None:
        await play(Places(size), order)

    asyncio.run(main())
    return order


async def work(places: Places, order: list[str], name: str) -> None:
    if name.startswith("x"):
        let_others_go_first()
    await places.acquire()
    order.append(name)
    await asyncio.sleep(0)
    places.release()


def order_of(*names: str) -> list[str]:
    """The order in which those get one place who have asked in this order."""

    async def play(places: Places, order: list[str]) -> None:
        await places.acquire()
        asked = [asyncio.create_task(work(places, order, name)) for name in names]
        await asyncio.sleep(0)
        places.release()
        await asyncio.gather(*asked)

    return played(play)


def test_requests_go_first_and_each_tenth_place_is_an_executions() -> None:
    executions, requests = ([f"{kind}{number}" for number in range(20)] for kind in "xr")
    order = order_of(*executions, *requests)
    assert order[:22] == [*requests[:9], "x0", *requests[9:18], "x1", *requests[18:]]
    assert order[22:] == executions[2:]


def test_a_long_backlog_goes_first_and_each_tenth_place_is_a_requests() -> None:
    executions, requests = [f"x{number}" for number in range(90)], [f"r{number}" for number in range(5)]
    order = order_of(*requests, *executions)
    assert [each for each in order if each in executions] == executions
    # The last of them when 50 executions are left, which is no long backlog for one place.
    assert [order.index(each) for each in requests] == [9, 19, 29, 39, 44]


@pytest.mark.parametrize("handed_over", [False, True])
def test_who_gives_up_takes_no_place_along(handed_over: bool) -> None:
    async def play(places: Places, order: list[str]) -> None:
        await places.acquire()
        given_up = asyncio.create_task(work(places, order, "r1"))
        await asyncio.sleep(0)
        if handed_over:
            places.release()
        given_up.cancel()
        await asyncio.wait([given_up])
        if not handed_over:
            places.release()
        await asyncio.wait_for(work(places, order, "r2"), 1)

    assert played(play) == ["r2"]


@pytest.mark.parametrize(
    ("kind", "asking", "at_once"), [("r", 50, 10), ("x", 50, 3), ("x", 503, 3), ("x", 513, 10), ("x", 2, 2)]
)
def test_executions_have_a_part_of_the_places_until_their_backlog_is_long(
    monkeypatch: pytest.MonkeyPatch, kind: str, asking: int, at_once: int
) -> None:
    """Of ten places. A backlog of 500 is still short, and what has a place is not in it."""
    monkeypatch.setattr("reference_impl.places._ONE_MORE_S", 60)
    inside, most = 0, 0

    async def play(places: Places, order: list[str]) -> None:
        async def stay() -> None:
            nonlocal inside, most
            if kind == "x":
                let_others_go_first()
            await places.acquire()
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            places.release()

        await asyncio.wait_for(asyncio.gather(*(stay() for _ in range(asking))), 10)

    played(play, size=10)
    assert most == at_once


def test_a_request_finds_a_place_while_executions_wait() -> None:
    async def play(places: Places, order: list[str]) -> None:
        working = [asyncio.create_task(work(places, order, f"x{number}")) for number in range(20)]
        await asyncio.sleep(0)
        assert places.taken_at_once()
        places.release()
        await asyncio.gather(*working)

    assert len(played(play, size=10)) == 20


def test_while_the_database_is_slow_the_part_of_executions_grows() -> None:
    """Nobody gives a place back; so one more is given every 200 ms, while there are places and executions that wait."""
    got_ms: list[float] = []

    async def play() -> None:
        places, clock = Places(10), asyncio.get_running_loop().time

        async def stay() -> None:
            let_others_go_first()
            await places.acquire()
            got_ms.append(round((clock() - begun_s) * 1000))
            await asyncio.sleep(10)
            places.release()

        begun_s = clock()
        await asyncio.gather(*(stay() for _ in range(15)))

    with Simulation(1) as simulation:
        simulation.run(play())
    grown = [200, 400, 600, 800, 1000, 1200, 1400]
    # What is given back is given to those that wait.
    assert got_ms == [0, 0, 0, *grown, 10000, 10000, 10000, 10200, 10400]


def test_executions_keep_pace_with_a_database_that_takes_longer() -> None:
    """150 executions a second, each of eight pieces of 4 ms, need five places; three of them complete 94 a second."""
    under_way = 0
    most: list[int] = []

    async def execute(places: Places) -> None:
        nonlocal under_way
        let_others_go_first()
        under_way += 1
        for _ in range(8):
            await places.acquire()
            await asyncio.sleep(0.004)
            places.release()
        under_way -= 1

    async def play() -> None:
        places = Places(10)
        async with asyncio.TaskGroup() as group:
            for _ in range(150 * 10):
                group.create_task(execute(places))
                await asyncio.sleep(1 / 150)
                most.append(under_way)

    with Simulation(1) as simulation:
        simulation.run(play())
    assert max(most) < 100


def test_the_part_is_small_again_when_no_execution_waits() -> None:
    at_once: list[int] = []

    async def play() -> None:
        places, inside = Places(10), 0

        async def stay() -> None:
            nonlocal inside
            let_others_go_first()
            await places.acquire()
            inside += 1
            at_once[-1] = max(at_once[-1], inside)
            await asyncio.sleep(0.9)
            inside -= 1
            places.release()

        for asking in (8, 8, 3):
            at_once.append(0)
            await asyncio.gather(*(stay() for _ in range(asking)))

    with Simulation(1) as simulation:
        simulation.run(play())
    # Three at once, and four more one by one until the first gives its place back; the second time it is the same.
    assert at_once == [7, 7, 3]
