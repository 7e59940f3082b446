"""Our fault proxy against Toxiproxy's own server: delay of a query, bulk, many connections, toxics that come and go.

Both servers run at the same time and their rounds alternate, because a machine's speed drifts: the ratios count. The
client speaks to Postgres over a bare blocking socket, so that its own work does not hide the proxy's.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from sim.worlds.components.postgres import embedded_postgres
from tests.benchmarks.figures import Figure
from tests.fidelity.toxiproxy_servers import HOW_TO_GET, Kind, Server, real_program, running

TITLE = "The fault proxy as a server, against Toxiproxy's own"

KINDS: tuple[Kind, ...] = ("ours", "real")
CONNECTIONS = 1000
GROWTH_MOST = 1.1
_CHUNK = bytes(1 << 18)
_NOTHING = {"type": "latency", "attributes": {"latency": 0}}


def measure(quick: bool) -> list[Figure]:
    """All four; without the real server only what needs none."""
    _open_many_files()
    with ExitStack() as stack:
        kinds = KINDS if real_program() else KINDS[:1]
        servers = {kind: stack.enter_context(running(kind)) for kind in kinds}
        return [
            *_queries(servers, rounds=3 if quick else 40, queries=20 if quick else 250),
            *_bulk(servers, size_bytes=1 << 22 if quick else 1 << 28, rounds=1 if quick else 3),
            *_many_connections(servers["ours"], 50 if quick else CONNECTIONS),
            *_coming_and_going(servers["ours"], 100 if quick else 10_000),
        ]


# --- select 1 ----------------------------------------------------------------------------------------------------


def _queries(servers: dict[Kind, Server], *, rounds: int, queries: int) -> Iterator[Figure]:
    with embedded_postgres(listen_tcp=True) as postgres, ExitStack() as stack:
        ways = {"direct": stack.enter_context(_session(postgres.port))}
        for kind, server in servers.items():
            for toxic in ("", " with a latency of 0"):
                port = stack.enter_context(_proxy(server, postgres.port, [_NOTHING] if toxic else []))
                ways[kind + toxic] = stack.enter_context(_session(port))
        samples: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, session in ways.items():
                samples[way] += _timed(session, queries)
    direct_us = median(samples["direct"]) * 1e6
    yield Figure("select 1, direct", direct_us, "µs")
    for toxic in ("", " with a latency of 0"):
        added = {kind: median(samples[kind + toxic]) * 1e6 - direct_us for kind in servers}
        for kind, added_us in added.items():
            yield Figure(f"added by {'Toxiproxy' if kind == 'real' else kind}{toxic}", added_us, "µs")
        yield _against(f"ours against it{toxic}", "times", added, at_most=1.0)


@contextmanager
def _session(port: int) -> Iterator[socket.socket]:
    """A session of Postgres over a bare socket."""
    with socket.create_connection(("127.0.0.1", port)) as session:
        session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        parameters = b"user\0postgres\0database\0postgres\0\0"
        session.sendall(struct.pack("!II", 8 + len(parameters), 196608) + parameters)
        _until_ready(session)
        yield session


def _timed(session: socket.socket, queries: int) -> list[float]:
    question = b"Q" + struct.pack("!I", 13) + b"select 1\0"
    taken = []
    for _ in range(queries):
        begun_s = perf_counter()
        session.sendall(question)
        _until_ready(session)
        taken.append(perf_counter() - begun_s)
    return taken


def _until_ready(session: socket.socket) -> None:
    received = b""
    while received[-6:-1] != b"Z\0\0\0\x05":
        received = received[-5:] + session.recv(1 << 16)


# --- bulk --------------------------------------------------------------------------------------------------------


def _bulk(servers: dict[Kind, Server], *, size_bytes: int, rounds: int) -> Iterator[Figure]:
    rates: dict[Kind, list[float]] = {kind: [] for kind in servers}
    with _upstream(lambda connection: _pour(connection, size_bytes)) as target, ExitStack() as stack:
        ports = {kind: stack.enter_context(_proxy(server, target, [])) for kind, server in servers.items()}
        for _ in range(rounds):
            for kind, port in ports.items():
                begun_s = perf_counter()
                _drain(port, size_bytes)
                rates[kind].append(size_bytes / 1e6 / (perf_counter() - begun_s))
    found = {kind: median(each) for kind, each in rates.items()}
    for kind, rate in found.items():
        yield Figure(f"bulk through {'Toxiproxy' if kind == 'real' else kind}", rate, "MB/s")
    yield _against("bulk: ours against it", "times", found, at_least=0.5)


def _pour(connection: socket.socket, size_bytes: int) -> None:
    for _ in range(size_bytes // len(_CHUNK)):
        connection.sendall(_CHUNK)


def _drain(port: int, size_bytes: int) -> None:
    place = bytearray(1 << 18)
    with socket.create_connection(("127.0.0.1", port)) as client:
        left_bytes = size_bytes
        while left_bytes:
            received = client.recv_into(place)
            if not received:
                raise ConnectionError(f"{left_bytes} bytes are missing")
            left_bytes -= received


# --- many --------------------------------------------------------------------------------------------------------


def _many_connections(server: Server, count: int) -> Iterator[Figure]:
    def echo(connection: socket.socket) -> None:
        connection.sendall(connection.recv(1))

    with _upstream(echo) as target, _proxy(server, target, []) as port, ExitStack() as stack:
        begun_s = perf_counter()
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
        for client in clients:
            client.sendall(b"x")
        answered = sum(client.recv(1) == b"x" for client in clients)
        taken_s = perf_counter() - begun_s
    yield Figure(f"{count:,} connections at once: answered", answered, at_least=count)
    yield Figure("opened and answered", count / taken_s, "/s")


def _coming_and_going(server: Server, count: int) -> Iterator[Figure]:
    with (
        _upstream(lambda connection: connection.recv(1)) as target,
        _proxy(server, target, []) as port,
        socket.create_connection(("127.0.0.1", port)),
        closing(http.client.HTTPConnection("127.0.0.1", server.port)) as api,
    ):

        def come_and_go(times: int) -> None:
            for _ in range(times):
                _ask(api, "POST", f"/proxies/to{target}/toxics", _NOTHING)
                _ask(api, "DELETE", f"/proxies/to{target}/toxics/latency_downstream", None)

        come_and_go(max(10, count // 10))
        before_bytes = _resident_bytes(server.pid)
        begun_s = perf_counter()
        come_and_go(count)
        taken_s = perf_counter() - begun_s
        after_bytes = _resident_bytes(server.pid)
    yield Figure("toxics added and removed", count / taken_s, "/s")
    growth = None if before_bytes is None or after_bytes is None else after_bytes / before_bytes
    note = "needs /proc" if growth is None else ""
    yield Figure(f"memory after {count:,} of them, to before", growth, "times", at_most=GROWTH_MOST, note=note)


def _ask(api: http.client.HTTPConnection, method: str, path: str, body: object) -> None:
    api.request(method, path, b"" if body is None else json.dumps(body).encode())
    response = api.getresponse()
    response.read()
    if response.status >= 400:
        raise RuntimeError(f"{method} {path}: {response.status}")


def _resident_bytes(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


# --- shared ------------------------------------------------------------------------------------------------------


def _against(
    name: str, unit: str, found: dict[Kind, float], *, at_most: float | None = None, at_least: float | None = None
) -> Figure:
    ratio = found["ours"] / found["real"] if "real" in found else None
    note = HOW_TO_GET if ratio is None else ""
    return Figure(name, ratio, unit, at_most=at_most, at_least=at_least, note=note)


@contextmanager
def _proxy(server: Server, target: int, toxics: Sequence[object]) -> Iterator[int]:
    """The port of a proxy that leads to the port `target`."""
    name = f"to{target}{'_toxic' if toxics else ''}"
    made = server.ask("POST", "/proxies", {"name": name, "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{target}"})
    for toxic in toxics:
        server.ask("POST", f"/proxies/{name}/toxics", toxic)
    try:
        yield int(made.json()["listen"].rpartition(":")[2])
    finally:
        server.ask("DELETE", f"/proxies/{name}")


@contextmanager
def _upstream(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that serves one connection after the other."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * CONNECTIONS) as listener:

        def work() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    serve(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave the thread in accept()
    thread.join()


def _open_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
