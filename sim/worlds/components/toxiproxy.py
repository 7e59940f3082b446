"""A Toxiproxy server for the live world: where it comes from, and how it is told what to do.

It is driven by `toxiproxy-python`, whichever server it is. That client has no time-outs and lets server errors pass, so
its HTTP calls are made through a session that has neither fault.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit

from fakes.toxiproxy.toxics import Toxic
from sim.worlds.components import containers, toxiproxy_program
from sim.worlds.components.processes import Child, ComponentFailed, Port
from sim.worlds.components.run_record import RunRecord
from sim.worlds.components.toxiproxy_program import HOW_TO_GET, Program

ANSWER_WITHIN_S = 5.0
START_WITHIN_S = 20.0
INSTALL = "pip install 'fumble[live]'"


class Toxiproxy:
    """A running server; `what` says which, and how it was found."""

    def __init__(self, host: str, port: int, what: str, *, is_named: bool = False) -> None:
        """`is_named`: it is the user's own, and what we make there stays if we are killed.

        Raises ComponentFailed if the client library is missing."""
        try:
            import requests
            import toxiproxy.api
            import toxiproxy.server
        except ImportError as error:
            raise ComponentFailed(f"the live world needs the Python package {error.name}; fix: {INSTALL}") from None
        self.what = what
        self.is_named = is_named
        self.address = f"{host}:{port}"
        self._host, self._port = host, port
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment has no business on loopback
        self._problems = (requests.RequestException, ValueError)
        verbs = {verb: self._asking(verb) for verb in ("get", "post", "delete")}
        toxiproxy.api.requests = SimpleNamespace(**verbs)
        self._client = toxiproxy.server.Toxiproxy()
        self._client.update_api_consumer(host, port)
        self._refusals = (
            toxiproxy.exceptions.ProxyExists,
            toxiproxy.exceptions.NotFound,
            toxiproxy.exceptions.InvalidToxic,
        )
        self._proxies: dict[str, Any] = {}

    def in_fork(self) -> Toxiproxy:
        """The same server in a forked process, which must not speak on its parent's connections."""
        return Toxiproxy(self._host, self._port, self.what, is_named=self.is_named)

    def version(self) -> str:
        """The server's version. Raises ComponentFailed if this is no Toxiproxy."""
        answer = self._ask("say its version", toxiproxy_get, "/version")
        try:
            return str(answer.json()["version"])
        except (ValueError, KeyError, TypeError):
            return str(answer.text).strip()[:40]

    def create(self, name: str, *, upstream: tuple[str, int]) -> int:
        """A proxy on a free port of the server's loopback; the port. Raises ComponentFailed."""
        host, port = upstream
        proxy = self._ask("create a proxy", self._client.create, f"{host}:{port}", name)
        self._proxies[name] = proxy
        return int(proxy.listen.rpartition(":")[2])

    def delete(self, name: str) -> None:
        """Remove a proxy. Raises ComponentFailed."""
        self._ask("delete a proxy", self._proxies.pop(name).destroy)

    def add_toxic(self, name: str, toxic: Toxic) -> None:
        """Returns when the toxic acts. Raises ComponentFailed."""
        self._ask(
            f"add a toxic {toxic.type}",
            self._proxies[name].add_toxic,
            type=toxic.type,
            stream=toxic.stream,
            name=toxic.name,
            toxicity=toxic.toxicity,
            attributes=dict(toxic.attributes),
        )

    def remove_toxic(self, name: str, toxic: str) -> None:
        """Take a toxic off. Raises ComponentFailed."""
        self._ask("remove a toxic", self._proxies[name].destroy_toxic, toxic)

    def enable(self, name: str, enabled: bool) -> None:
        """Let a proxy listen, or take it down. Raises ComponentFailed."""
        proxy = self._proxies[name]
        self._ask("enable a proxy" if enabled else "disable a proxy", proxy.enable if enabled else proxy.disable)

    def close(self) -> None:
        """End the connections to the server."""
        self._session.close()

    def _asking(self, verb: str) -> Any:
        def ask(url: str, **arguments: Any) -> Any:
            answer = getattr(self._session, verb)(url, timeout=ANSWER_WITHIN_S, **arguments)
            if answer.status_code >= 500:
                raise ValueError(f"it answered {answer.status_code}: {answer.text.strip()[:200]}")
            return answer

        return ask

    def _ask(self, what: str, call: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except (*self._problems, *self._refusals) as error:
            cause = str(error) or type(error).__name__
            raise ComponentFailed(
                f"Toxiproxy ({self.what}, at {self.address}) did not {what}: {cause[:300]}\n"
                "fix: check that this is a Toxiproxy 2.x server that answers, or let fumble start one: "
                "--toxiproxy embedded"
            ) from None


def toxiproxy_get(path: str) -> Any:
    """GET a path of the server that the client library is told to use."""
    from toxiproxy.api import APIConsumer

    return APIConsumer.get(path)


@contextmanager
def obtained(where: str, *, folder: Path, record: RunRecord) -> Iterator[Toxiproxy]:
    """A server for the length of a block. `where`: `auto`, `embedded`, `path`, a program, `docker`, or a URL.

    `path` is what `toxiproxy_program` finds, and `auto` too, or else `embedded`. `folder`: where its log goes;
    `record`: where its container is noted. Raises ComponentFailed.
    """
    if "://" in where:
        yield from _at(where)
    elif where == "docker":
        yield from _in_container(record)
    else:
        yield from _started(where, folder=folder)


def _at(url: str) -> Iterator[Toxiproxy]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 8474
    except ValueError:
        host, port = None, 0
    if host is None:
        raise ComponentFailed(f"--toxiproxy {url}: no URL of a server; write http://127.0.0.1:8474")
    server = Toxiproxy(host, port, "as named", is_named=True)
    server.version()
    try:
        yield server
    finally:
        server.close()


def _started(where: str, *, folder: Path) -> Iterator[Toxiproxy]:
    program = _program(where)
    what = str(program or "embedded")
    command = [program.path] if program else [sys.executable, "-m", "fakes.toxiproxy"]
    port = Port()
    command += ["-host", "127.0.0.1", "-port", str(port.number), "-seed", "1"]
    child = Child(f"Toxiproxy ({what})", command, log=folder / "toxiproxy.log")
    try:
        _until_it_answers(server := Toxiproxy("127.0.0.1", port.number, what), child)
        yield server
    finally:
        child.stop()
        port.release()


def _program(where: str) -> Program | None:
    """None: ours is to be used."""
    if where == "embedded":
        return None
    if where not in ("auto", "path"):
        return toxiproxy_program.named(where, how="as named")
    program = toxiproxy_program.found()
    if program is None and where == "path":
        raise ComponentFailed(f"--toxiproxy path: there is no toxiproxy-server; fix: {HOW_TO_GET}, or use embedded")
    return program


def _in_container(record: RunRecord) -> Iterator[Toxiproxy]:
    """On this machine's own network: it has to reach what listens on our loopback, and its proxies take any port."""
    if sys.platform != "linux":
        raise ComponentFailed(
            "--toxiproxy docker works on Linux only: elsewhere containers run in a virtual machine, from which the "
            f"broker and the agents cannot be reached; fix: use embedded, or {HOW_TO_GET}"
        )
    port = Port()
    server = Toxiproxy("127.0.0.1", port.number, f"container {containers.TOXIPROXY.image}")
    command = ["-host", "127.0.0.1", "-port", str(port.number), "-seed", "1"]
    try:
        with containers.running(containers.TOXIPROXY, command, record=record) as container:
            _until_it_answers(server, container, "; the engine has to be on this machine, and not in a virtual one")
            yield server
    finally:
        server.close()
        port.release()


class Started(Protocol):
    """A program or a container."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""

    def failure(self, problem: str) -> ComponentFailed:
        """An error that says what its log ends with."""


def _until_it_answers(server: Toxiproxy, started: Started, hint: str = "") -> None:
    give_up_s = time.monotonic() + START_WITHIN_S
    while True:
        try:
            server.version()
            return
        except ComponentFailed:
            if (code := started.exit_code) is not None:
                raise started.failure(f"ended with exit code {code}") from None
            if time.monotonic() > give_up_s:
                problem = f"does not answer at {server.address} after {START_WITHIN_S:g} s{hint}"
                raise started.failure(problem) from None
            time.sleep(0.02)
