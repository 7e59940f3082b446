"""How a resource describes its endpoints: a table of `Operation`s, next to its `add_routes`.

A description tells a reader what to send and what may come back; the handlers alone decide. What every endpoint can
answer, every guarded one, and every one with a body, is added here. Schemas are JSON Schema, as OpenAPI 3.1 has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

Schema = dict[str, Any]
Method = Literal["GET", "POST"]
Status = int | Literal["2XX", "default"]

JSON = "application/json"
EVENT_STREAM = "text/event-stream"

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
UUID: Schema = {"type": "string", "format": "uuid"}
TIME: Schema = {"type": "string", "format": "date-time"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
OBJECT: Schema = {"type": "object"}

RATE_LIMIT_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")


def one_of(*values: Any) -> Schema:
    return {"enum": list(values)}


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def object_of(*, optional: Mapping[str, Schema] | None = None, **required: Schema) -> Schema:
    """An object with these members; others may be there."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def refused(*texts: str, **extra: Schema) -> Schema:
    """An error answer with one of `texts` (any, if none is given) and these other members."""
    return object_of(error=one_of(*texts) if texts else TEXT, **extra)


def rate_limited(text: str) -> Schema:
    """The answer to one request too many; `retry_after` is in seconds."""
    return refused(text, retry_after=COUNT)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or a header; none of them is ever required."""

    place: Literal["query", "header"]
    name: str
    meaning: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint: what it is for, takes and answers; an answer that is None has no body.

    `guarded`: it needs the token of the workspace in the path. `stores`: it asks the database, which may be away.
    `media` is that of success; errors are always JSON.
    """

    method: Method
    path: str
    summary: str
    answers: Mapping[Status, Schema | None]
    body: Schema | None = None
    parameters: tuple[Parameter, ...] = ()
    guarded: bool = False
    stores: bool = True
    media: str = JSON

    def as_openapi(self) -> Schema:
        """The OpenAPI operation object."""
        described: Schema = {"summary": self.summary, "parameters": [*self._parameters()], "responses": {}}
        if self.guarded:
            described["security"] = [{"workspaceToken": []}]
        if self.body is not None:
            described["requestBody"] = {"required": True, "content": {JSON: {"schema": self.body}}}
        for status, schemas in self._answers().items():
            answer: Schema = {"description": _phrase(status)}
            if schemas:
                media = self.media if str(status).startswith("2") else JSON
                schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
                answer["content"] = {media: {"schema": schema}}
            if status == 429:
                answer["headers"] = {name: {"schema": COUNT, "required": True} for name in RATE_LIMIT_HEADERS}
            described["responses"][str(status)] = answer
        return described

    def _parameters(self) -> Iterator[Schema]:
        for name in re.findall(r"{(\w+)}", self.path):
            yield {"in": "path", "name": name, "required": True, "schema": UUID if name == "id" else NAME}
        for each in self.parameters:
            yield {"in": each.place, "name": each.name, "description": each.meaning, "schema": each.schema}

    def _answers(self) -> dict[Status, list[Schema]]:
        answers = {status: [] if schema is None else [schema] for status, schema in self.answers.items()}
        shared: list[tuple[Status, Schema]] = [(429, rate_limited("rate limit exceeded"))]
        if self.path.startswith("/workspaces/{id}"):
            shared.append((404, refused("workspace not found")))
        if self.guarded:
            shared.append((401, refused("missing workspace auth token", "invalid workspace auth token")))
        if self.body is not None:
            shared.append((400, refused("failed to read request body")))
            too_large = refused("request body too large", truncated=one_of(True), max_bytes=COUNT)
            shared.append((413, too_large))
        if self.stores:
            unavailable = refused("platform datastore unavailable — retry shortly", code=one_of("platform_unavailable"))
            shared.append((503, unavailable))
        for status, schema in shared:
            answers.setdefault(status, []).append(schema)
        return answers


def document(operations: Iterable[Operation]) -> Schema:
    """The OpenAPI document of a broker with these endpoints."""
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.as_openapi()
    return {
        "openapi": "3.1.0",
        "info": {"title": "fumble's reference delegation broker", "version": "1"},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "workspaceToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token that the workspace got when it registered, or ADMIN_TOKEN.",
                }
            }
        },
    }


def _phrase(status: Status) -> str:
    return HTTPStatus(status).phrase if isinstance(status, int) else "Any other"
