"""One HTTP request, sent once, with its outcome told apart as a history needs it: answered, not sent, or unknown.

Neither of Locust's own clients will do: a request that may be repeated by the client itself (geventhttpclient sends it
again when a kept connection turns out to be dead) would look like a broker that delivers twice. Locust has patched
the sockets below `http.client`, so waiting here lets other users run.
"""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Mapping
from typing import Any

from gevent import monkey

_select = monkey.get_original("select", "select")


class NotSent(Exception):
    """The broker certainly has not got the request."""


class NoAnswer(Exception):
    """It was sent, at least in part, and no whole answer came; `status` if the head of one was read."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class Broker:
    """Connections to a broker, kept between requests."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._idle: list[http.client.HTTPConnection] = []

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and decoded body of a whole answer. Raises NotSent, NoAnswer."""
        connection = self._connection()
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(_said(error)) from None
        except BaseException:
            connection.close()
            raise
        try:
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise NoAnswer(_said(error), response.status) from None
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        try:
            return response.status, json.loads(text) if text else None
        except ValueError:
            return response.status, text.decode(errors="replace")

    def leave_during(self, method: str, path: str, body: Any, headers: Mapping[str, str], *, after_s: float) -> None:
        """Send a request, and hang up so much later, whether it was answered or not. Raises NotSent, NoAnswer."""
        connection = self._fresh()
        try:
            sent = {"Content-Type": "application/json", **headers}
            connection.request(method, path, json.dumps(body).encode(), sent)
            select.select([connection.sock], [], [], after_s)
        except OSError as error:
            raise NoAnswer(_said(error)) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            # Readable without having been asked anything: the other end has closed it.
            if connection.sock is not None and not _select([connection.sock.fileno()], [], [], 0)[0]:
                return connection
            connection.close()
        return self._fresh()

    def _fresh(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise NotSent(_said(error)) from None
        # A connection that ends must not be made anew in silence by the next request.
        connection.auto_open = False
        return connection


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
