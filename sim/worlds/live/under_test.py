"""What a live world asks of the broker under test, be it ours or another: the one interface between the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sim.history import Flags, Member, Row
from sim.scenario.model import Kill, Scenario, Stop
from sim.worlds.components.run_record import RunRecord
from sim.worlds.dialect import Dialect
from sim.worlds.play import Settling

Address = tuple[str, int]


class Machine(Protocol):
    """A program of the run that faults can strike."""

    def kill(self) -> None:
        """A power cut."""

    def start(self) -> None:
        """Run it, again."""

    async def leave(self) -> bool:
        """Ask it to end, and wait until it is gone; False if it was killed before."""

    def stand_still(self) -> None:
        """Stop its clock and its work."""

    def go_on(self) -> None:
        """Let it work again."""


class UnderTest(Protocol):
    """One broker for the length of one run."""

    scenario: Scenario
    """As it is played: ids that have to be new for each run are."""
    members: Mapping[str, Member]
    """Known for good once it is started."""
    flags: Flags
    dialect: Dialect
    settling: Settling
    agent_host: str
    """Under which name it reaches our loopback."""
    watches_database: bool
    """Whether its delivery-mode queries are of a form that we know."""

    @property
    def address(self) -> Address:
        """Where it listens."""

    @property
    def database(self) -> Address | None:
        """Where its database listens; None: the way there is not ours to disturb."""

    @property
    def database_listen(self) -> int:
        """The port on which the way to its database has to begin; 0: any."""

    @property
    def machine(self) -> Machine:
        """Its program; only asked for if a fault strikes it."""

    async def prepare(self) -> None:
        """Get ready what has to be there before the links are. Raises ComponentFailed."""

    async def start(self, agent_url: Callable[[str], str], database: Address | None) -> None:
        """Return when it answers and knows its workspaces. Raises ComponentFailed.

        `database`: where the way to its database begins.
        """

    async def clock(self) -> datetime | None:
        """What the clock reads now that gives rows their times; None: there are no rows."""

    async def statuses(self) -> Mapping[str, str]:
        """The present status of every delegation and every item of the queue that it tells of, by id."""

    async def rows(self) -> Mapping[str, Sequence[Row]] | None:
        """Its tables as they are now; None if they cannot be seen. Raises ComponentFailed."""

    def ended(self) -> str | None:
        """How its process ended, if nobody had asked it to; None: it runs, or its process is not ours to watch."""

    async def close(self) -> None:
        """The run is over."""


class Brokers(Protocol):
    """Makes the broker of each run."""

    @property
    def described(self) -> Mapping[str, str]:
        """What is said of it in reports."""

    @property
    def introduced(self) -> str:
        """The same, on one line."""

    @property
    def options(self) -> str:
        """What has to be added to a command that plays a run again."""

    def for_run(self, scenario: Scenario, *, time_scale: float, folder: Path, record: RunRecord) -> UnderTest:
        """A broker for one run. Raises UnknownSetting.

        `folder`: where its log goes. `record`: where it is noted what would outlive us.
        """


def starts(scenario: Scenario, node: str) -> int:
    """How often a node's program is started: at first, and after each stop or power cut."""
    return 1 + sum(isinstance(fault.do, Kill | Stop) and fault.do.node == node for fault in scenario.faults)
