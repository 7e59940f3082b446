"""Containers for who has a Docker engine: started through testcontainers, watched, and removed at the end.

A container has its name before it exists, and the run record holds that name for as long as it may exist; Ctrl-C waits
while the engine makes one. So nothing needs testcontainers' reaper, which is an image to pull and a container more: it
stays off unless the user has set it. The label `fumble.owner` is the id of the process that a container belongs to.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sim import interrupts
from sim.worlds.components.processes import ComponentFailed, failure
from sim.worlds.components.run_record import RunRecord

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

OWNER_LABEL = "fumble.owner"
_INSTALL = "pip install 'fumble[containers]'"
_ALIVE = frozenset(("created", "running", "restarting", "paused"))


@dataclass(frozen=True, slots=True)
class Part:
    """What can be run in a container: `variable` of the environment names another image than `usual`."""

    name: str
    variable: str
    usual: str

    @property
    def image(self) -> str:
        """The image to run."""
        return os.environ.get(self.variable) or self.usual


POSTGRES = Part("Postgres", "FUMBLE_POSTGRES_IMAGE", "postgres:18-alpine")
TOXIPROXY = Part("Toxiproxy", "FUMBLE_TOXIPROXY_IMAGE", "ghcr.io/shopify/toxiproxy:2.12.0")


class Container:
    """A container that was started."""

    def __init__(self, part: Part, started: DockerContainer, *, fix: str) -> None:
        self._part = part
        self._started = started
        self._fix = fix

    @property
    def exit_code(self) -> int | None:
        """None while it runs. Raises ComponentFailed if the engine does not know it, or is gone."""
        with _said_clearly(f"the {self._part.name} container ({self._part.image}) is lost", self._fix):
            container = self._started.get_wrapped_container()
            container.reload()
            state = container.attrs["State"]
        return None if state["Status"] in _ALIVE else int(state["ExitCode"])

    def failure(self, problem: str) -> ComponentFailed:
        """An error that says what its log ends with."""
        with _said_clearly(f"the {self._part.name} container {problem}; its log cannot be read", self._fix):
            log = self._started.get_wrapped_container().logs(tail=100).decode(errors="backslashreplace")
        told = failure(f"the {self._part.name} container ({self._part.image})", problem, log)
        return ComponentFailed(f"{told}\nfix: {self._fix}")

    def addresses(self, port: int) -> list[tuple[str, int]]:
        """Where a published port may be reached. Raises ComponentFailed, if only because it has ended meanwhile.

        Whether we are in a container ourselves, next to the engine's containers or with an engine of our own, cannot be
        known for sure: testcontainers guesses, unless the user has told it. So loopback is tried before its guess.
        """
        with _said_clearly(f"the {self._part.name} container ({self._part.image}) has no address", self._fix):
            from testcontainers.core.config import testcontainers_config as settings

            client = self._started.get_docker_client()
            mapped = int(client.port(self._started.get_container_id(), port))
            told = settings.tc_host_override or settings.connection_mode_override
            found = (
                self._started.get_container_host_ip(),
                mapped if client.get_connection_mode().use_mapped_port else port,
            )
        return [found] if told else [("127.0.0.1", mapped), found]


@contextmanager
def running(
    part: Part,
    command: Sequence[str],
    *,
    record: RunRecord,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Iterator[Container]:
    """A container for the length of a block, started but perhaps not ready. Raises ComponentFailed.

    `port`: it is published; None: the container is on the network of the engine's host.
    """
    image = part.image
    fix = f"see that {image} is an image of {part.name}, or name another by {part.variable}; or use embedded"
    name = f"fumble-{part.name.lower()}-{os.getpid()}-{secrets.token_hex(3)}"
    container = _described(part, name, command, env=dict(env or {}), port=port)
    with closing(container.get_docker_client().client), ExitStack() as noted:
        _have_image(container, part, fix)
        noted.enter_context(record.holding("container", name))
        try:
            with _said_clearly(f"the {part.name} container ({image}) does not start", fix), interrupts.delayed():
                container.start()
            yield Container(part, container, fix=fix)
        finally:
            with interrupts.ignored():
                _remove(container, part, name)
                noted.close()


def _described(
    part: Part, name: str, command: Sequence[str], *, env: dict[str, str], port: int | None
) -> DockerContainer:
    """A container that is not made yet; but the engine is known to answer."""
    try:
        from testcontainers.core.config import testcontainers_config as settings
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.docker_client import get_docker_host
    except ImportError as error:
        raise ComponentFailed(
            f"a {part.name} container needs the Python package {error.name}; fix: {_INSTALL}"
        ) from None
    except ValueError as error:
        raise ComponentFailed(f"testcontainers: {error}; fix: correct that setting, or unset it") from None
    if "TESTCONTAINERS_RYUK_DISABLED" not in os.environ and "ryuk.disabled" not in settings.tc_properties:
        settings.ryuk_disabled = True
    address = get_docker_host() or "unix:///var/run/docker.sock"
    with _said_clearly(
        f"a {part.name} container needs a Docker engine, and none answers at {address}",
        "start one (docker info tells), or name it by DOCKER_HOST; or use embedded",
    ):
        container = DockerContainer(part.image, env=env, name=name).with_command(list(command))
    network = {"network": "host"} if port is None else {}
    container.with_exposed_ports(*([] if port is None else [port]))
    return container.with_kwargs(labels={OWNER_LABEL: str(os.getpid())}, **network)


def _have_image(container: DockerContainer, part: Part, fix: str) -> None:
    """It may take minutes, in which Ctrl-C works."""
    from docker.errors import ImageNotFound

    images = container.get_docker_client().client.images
    with _said_clearly(f"the image {container.image} of the {part.name} container cannot be had", fix):
        try:
            images.get(container.image)
        except ImageNotFound:
            print(f"pulling {container.image}", file=sys.stderr)
            images.pull(container.image)


def _remove(container: DockerContainer, part: Part, name: str) -> None:
    """By name, as the engine may have made it without our being told."""
    from docker.errors import NotFound

    engine = container.get_docker_client().client.api
    with (
        _said_clearly(f"the {part.name} container {name} cannot be removed", f"docker rm -f {name}"),
        suppress(NotFound),
    ):
        engine.remove_container(name, force=True, v=True)


@contextmanager
def _said_clearly(problem: str, fix: str) -> Iterator[None]:
    try:
        yield
    except ComponentFailed:
        raise
    except Exception as error:
        # Of docker, requests or testcontainers, and to the user all of them mean the same.
        told = str(getattr(error, "explanation", None) or error)
        said = told.partition("\n")[0][:300] or type(error).__name__
        raise ComponentFailed(f"{problem}: {said}\nfix: {fix}") from None
