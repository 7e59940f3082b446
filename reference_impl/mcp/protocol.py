"""JSON-RPC 2.0 as MCP uses it: one message in, at most one out.

The codes are the standard's, plus -32000 for a tool that could not do its work. Only a body that is no JSON object is
an HTTP error, which is why parsing is left to the resource.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import asyncpg

from reference_impl.mcp.tools import BY_NAME, ToolError
from reference_impl.services import Services
from reference_impl.store import RETRYABLE, describe

PROTOCOL_VERSION = "2024-11-05"
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
TOOL_ERROR = -32000

_SERVER = {"name": "molecule-a2a", "version": "1.0.0"}
_log = logging.getLogger(__name__)

Json: TypeAlias = dict[str, Any]


class RpcError(Exception):
    """The message is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


async def respond(services: Services, caller: str, message: Json) -> Json | None:
    """The answer to a message of workspace `caller`; None for a notification."""
    identity = message.get("id")
    method, params = message.get("method"), message.get("params")
    try:
        if message.get("jsonrpc") != "2.0" or not isinstance(method, str) or not _identifies(identity):
            raise RpcError(INVALID_REQUEST, "invalid request")
        if method.startswith("notifications/"):
            return None
        if method not in _METHODS:
            raise RpcError(METHOD_NOT_FOUND, f"method not found: {method}")
        if params is not None and not isinstance(params, dict):
            raise RpcError(INVALID_PARAMS, "params must be an object")
        result = await _METHODS[method](services, caller, params or {})
    except RpcError as error:
        return failure(identity if _identifies(identity) else None, error.code, error.message)
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def failure(identity: str | int | float | None, code: int, message: str) -> Json:
    """An error answer."""
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}


def _identifies(identity: object) -> bool:
    return identity is None or (isinstance(identity, str | int | float) and not isinstance(identity, bool))


async def _initialize(_services: Services, _caller: str, _params: Json) -> Json:
    return {"protocolVersion": PROTOCOL_VERSION, "capabilities": {"tools": {}}, "serverInfo": _SERVER}


async def _ping(_services: Services, _caller: str, _params: Json) -> Json:
    return {}


async def _list_tools(_services: Services, _caller: str, _params: Json) -> Json:
    return {"tools": [tool.described() for tool in BY_NAME.values()]}


async def _call_tool(services: Services, caller: str, params: Json) -> Json:
    name, arguments = params.get("name"), params.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict | None):
        raise RpcError(INVALID_PARAMS, "name must be a string and arguments an object")
    if name not in BY_NAME:
        raise RpcError(INVALID_PARAMS, f"unknown tool: {name}")
    try:
        text = await BY_NAME[name].call(services, caller, arguments or {})
    except ToolError as error:
        raise RpcError(TOOL_ERROR, str(error)) from None
    except (*RETRYABLE, asyncpg.PostgresError) as error:
        _log.error("tool %s of %s: %s", name, caller, describe(error))
        raise RpcError(TOOL_ERROR, "platform datastore unavailable — retry shortly") from None
    return {"content": [{"type": "text", "text": text}]}


_METHODS: Mapping[str, Callable[[Services, str, Json], Awaitable[Json]]] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}
