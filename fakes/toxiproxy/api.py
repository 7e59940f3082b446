"""Toxiproxy's HTTP API: routes, answers, status codes and error texts of version 2.12.

Theory: the original is Go's `net/http` with a router that knows nothing of HEAD, answers 405 without a body, redirects
paths that are not clean, and looks at the User-Agent only where a route fits. Errors go out by `http.Error`: JSON that
calls itself text/plain, with a newline.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote

from aiohttp import web

from fakes.toxiproxy.addresses import AddressError
from fakes.toxiproxy.collection import Collection, ProxyExists, ProxyNotFound
from fakes.toxiproxy.go_json_writer import Json, write
from fakes.toxiproxy.metrics import Metrics
from fakes.toxiproxy.requests import Refused, change_in, proxies_in, proxy_in, toxic_change_in, toxic_in
from fakes.toxiproxy.served_proxy import CannotListen, ServedProxy
from fakes.toxiproxy.toxics import ToxicExists, ToxicNotFound

VERSION = "2.12.0"
"""The version of Toxiproxy whose API this is."""
HANDLER_TIMEOUT_S = 25.0

Handler: TypeAlias = Callable[[web.Request, Mapping[str, str]], Awaitable[web.Response]]

_log = logging.getLogger(__name__)
_REFUSALS: Mapping[type[Exception], tuple[int, str]] = {
    ProxyNotFound: (404, "proxy not found"),
    ProxyExists: (409, "proxy already exists"),
    ToxicNotFound: (404, "toxic not found"),
    ToxicExists: (409, "toxic already exists"),
}


class Api:
    """The endpoints over a collection of proxies."""

    def __init__(self, collection: Collection, metrics: Metrics) -> None:
        self._collection = collection
        routes: dict[str, dict[str, Handler]] = {
            "/reset": {"POST": self._reset},
            "/proxies": {"GET": self._proxies, "POST": self._create},
            "/populate": {"POST": self._populate},
            "/proxies/{proxy}": {
                "GET": self._show,
                "POST": self._update,
                "PATCH": self._update,
                "DELETE": self._delete,
            },
            "/proxies/{proxy}/toxics": {"GET": self._toxics, "POST": self._add_toxic},
            "/proxies/{proxy}/toxics/{toxic}": {
                "GET": self._show_toxic,
                "POST": self._update_toxic,
                "PATCH": self._update_toxic,
                "DELETE": self._remove_toxic,
            },
            "/version": {"GET": self._version},
        }
        if metrics.enabled:
            routes["/metrics"] = {"*": metrics.answer}
        self._routes = [
            (re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)), methods) for path, methods in routes.items()
        ]

    def application(self) -> web.Application:
        """For an aiohttp server."""
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._serve)
        app.on_response_prepare.append(_dress)
        return app

    # --- from a request to its handler ---------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.Response:
        clean = posixpath.normpath("/" + request.path.lstrip("/"))
        if clean != "/" and request.path.endswith("/"):
            clean += "/"
        if clean != request.path:
            return web.Response(status=301, headers={"Location": quote(clean)})
        for pattern, methods in self._routes:
            found = pattern.fullmatch(clean)
            if found is not None:
                handler = methods.get(request.method) or methods.get("*")
                return web.Response(status=405) if handler is None else await self._handle(handler, request, found)
        return _plain(404, "404 page not found")

    async def _handle(self, handler: Handler, request: web.Request, found: re.Match[str]) -> web.Response:
        if request.headers.get("User-Agent", "").startswith("Mozilla/"):
            response = _plain(403, "User agent not allowed")
        else:
            try:
                async with asyncio.timeout(HANDLER_TIMEOUT_S):
                    response = await handler(request, found.groupdict())
            except TimeoutError:
                response = web.Response(status=503)
            except tuple(_REFUSALS) as error:
                response = _refusal(*_REFUSALS[type(error)])
            except Refused as error:
                response = _refusal(error.status, str(error))
            except (AddressError, CannotListen) as error:
                response = _refusal(500, str(error))
        response.headers["X-Toxiproxy-Request-Id"] = secrets.token_hex(10)
        facts = {"method": request.method, "url": request.path, "status": response.status}
        _log.debug("", extra=facts)
        return response

    # --- proxies -------------------------------------------------------------------------------------------------

    async def _proxies(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        return _json(200, {proxy.name: proxy.json() for proxy in self._collection.proxies})

    async def _create(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        proxy = await self._collection.create(proxy_in(await request.read()))
        return _json(201, proxy.json())

    async def _populate(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        made: list[ServedProxy] = []
        status = 201
        trouble: dict[str, Json] = {}
        try:
            for wanted in proxies_in(await request.read()):
                made.append(await self._collection.replace(wanted))
        except Refused as error:
            status, trouble = error.status, {"error": str(error), "status": error.status}
        except (AddressError, CannotListen) as error:
            status, trouble = 500, {"error": str(error), "status": 500}
        # A list that Go never appended to is null.
        return _json(status, {**trouble, "proxies": [proxy.json() for proxy in made] or None})

    async def _show(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        return _json(200, self._collection.find(names["proxy"]).json())

    async def _update(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        self._collection.find(names["proxy"])
        change = change_in(await request.read())
        proxy = await self._collection.update(names["proxy"], change.listen, change.upstream, enabled=change.enabled)
        return _json(200, proxy.json())

    async def _delete(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        await self._collection.remove(names["proxy"])
        return web.Response(status=204)

    async def _reset(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        await self._collection.reset()
        return web.Response(status=204)

    # --- toxics --------------------------------------------------------------------------------------------------

    async def _toxics(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        return _json(200, [listed.json() for listed in self._collection.find(names["proxy"]).toxics])

    async def _add_toxic(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        body = await request.read()
        proxy = self._collection.find(names["proxy"])
        listed = toxic_in(body, [present.toxic.name for present in proxy.toxics])
        try:
            proxy.add(listed)
        except ValueError as error:
            raise Refused(400, f"trigger: {error}") from error
        return _json(200, listed.json())

    async def _show_toxic(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        return _json(200, self._collection.find(names["proxy"]).find(names["toxic"]).json())

    async def _update_toxic(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        body = await request.read()
        proxy = self._collection.find(names["proxy"])
        return _json(200, proxy.change(toxic_change_in(body, proxy.find(names["toxic"]).toxic)).json())

    async def _remove_toxic(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        await self._collection.find(names["proxy"]).remove(names["toxic"])
        return web.Response(status=204)

    async def _version(self, request: web.Request, names: Mapping[str, str]) -> web.Response:
        body = f'{{"version": "{VERSION}"}}\n'
        return web.Response(body=body.encode(), headers={"Content-Type": "application/json;charset=utf-8"})


def _json(status: int, value: Json) -> web.Response:
    return web.Response(status=status, body=write(value).encode(), headers={"Content-Type": "application/json"})


def _refusal(status: int, message: str) -> web.Response:
    return _plain(status, write({"error": message, "status": status}))


def _plain(status: int, text: str) -> web.Response:
    """As Go's `http.Error`."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=f"{text}\n".encode(), headers=headers)


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    """Take off what aiohttp adds and Go does not."""
    response.headers.pop("Server", None)
    if isinstance(response, web.Response) and not response.body:
        response.headers.pop("Content-Type", None)
