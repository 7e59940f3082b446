"""What Toxiproxy's own server answered to the requests of `toxiproxy_cases.txt`, less what differs from run to run.

`python -m tests.fidelity.toxiproxy_answers` asks it again and writes `toxiproxy_answers.txt`.

Volatile, and taken out: the headers Date and X-Toxiproxy-Request-Id (has to be there), how a body is framed
(Content-Length, Transfer-Encoding), the version, ports, how a wildcard is written (by
the machine's IPv6), and the path of a field in Go's messages (by the Go that the server was built with).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.fidelity.toxiproxy_servers import Answer, Server, running

CASES = Path(__file__).with_name("toxiproxy_cases.txt")
ANSWERS = Path(__file__).with_name("toxiproxy_answers.txt")

_FRAMING = frozenset(("date", "content-length", "transfer-encoding", "connection"))
_VOLATILE = (
    (re.compile(r'"version": "[^"]+"'), '"version": "VERSION"'),
    (re.compile(r'"(0\.0\.0\.0|\[::\]):'), '"WILDCARD:'),
    (re.compile(r"(127\.0\.0\.1|WILDCARD):\d{4,5}\b"), r"\1:PORT"),
    (re.compile(r"(Go struct field )[\w.]*?(\w+ of type)"), r"\1\2"),
)


def conversation(server: Server) -> Iterator[tuple[str, str]]:
    """Every request of the cases as it is written there, and what the server answers, as text."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        ports = {"{taken}": taken.getsockname()[1], "{free}": free.getsockname()[1]}
        free.close()
        for line in CASES.read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            method, path, *body = line.split(" ", 2)
            payload = body[0] if body else ""
            for name, port in ports.items():
                payload = payload.replace(name, str(port))
            yield line, shown(server.ask(method, path, payload.encode()))


def shown(answer: Answer) -> str:
    """An answer as two lines: status and headers, then the body with its newlines marked."""
    headers = {name.lower(): value for name, value in answer.headers}
    marked = "id" if headers.pop("x-toxiproxy-request-id", None) else "no id"
    kept = [f"{name}: {value}" for name, value in sorted(headers.items()) if name not in _FRAMING]
    body = answer.body.decode().replace("\n", "⏎")
    for pattern, replacement in _VOLATILE:
        body = pattern.sub(replacement, body)
    return f"{' | '.join([str(answer.status), marked, *kept])}\n> {body}".rstrip()


def recorded() -> list[tuple[str, str]]:
    """The requests with the answers of Toxiproxy's own server."""
    blocks = ANSWERS.read_text().split("\n\n")
    return [(request, answer) for request, _, answer in (block.strip("\n").partition("\n") for block in blocks)]


def main() -> None:
    """Record."""
    with running("real") as server:
        blocks = [f"{request}\n{answer}" for request, answer in conversation(server)]
    ANSWERS.write_text("\n\n".join(blocks) + "\n")


if __name__ == "__main__":
    main()
