"""Making the workspaces of a run known to a broker that is not ours, by the request that its adapter describes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sim.adapter.model import PLACEHOLDERS
from sim.history import Member
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.dialect import Dialect, field_of
from sim.worlds.http_client import Answer, Exchange, Unanswered
from sim.worlds.live.foreign import Foreign

ANSWERED_WITHIN_S = 10.0


async def create_workspaces(
    foreign: Foreign, members: Mapping[str, Member], dialect: Dialect, agent_url: Callable[[str], str]
) -> Mapping[str, Member]:
    """Make those known that are known from the start, parents first; all members, with the ids that they have then.

    Their tokens are kept in `dialect`. Raises ComponentFailed.
    """
    known = dict(members)
    for name in _parents_first(members):
        member = known[name]
        if member.delivery == "none":
            continue
        parent = known.get(member.parent or "")
        values = {
            "id": member.workspace_id,
            "name": name,
            "url": agent_url(name),
            "delivery": member.delivery,
            "parent": None if parent is None else parent.workspace_id,
            "budget_cents": member.budget_cents,
        }
        answer = await _asked(foreign, dialect, values)
        if id_in := foreign.adapter.workspaces.id_in:
            given = field_of(answer.body, id_in)
            if not isinstance(given, str) or not given:
                raise ComponentFailed(
                    f"the broker is asked to make workspace {name} known, and its answer {str(answer.body)[:200]!r} "
                    f"has no {id_in}\nfix: say in the adapter's `workspaces` in which field the id is: id_in"
                )
            known[name] = replace(member, workspace_id=given)
        dialect.learn_token(name, answer.body)
    return known


async def _asked(foreign: Foreign, dialect: Dialect, values: Mapping[str, Any]) -> Answer:
    creation = foreign.adapter.workspaces
    path = foreign.prefix + filled(creation.path, values)
    body = filled(creation.body, values)
    what = f"the broker does not make workspace {values['name']} known: {creation.method} {path}"
    hurry = getattr(asyncio.get_running_loop(), "scale", 1.0)
    try:
        async with asyncio.timeout(ANSWERED_WITHIN_S * hurry):
            answer = await Exchange().request(
                foreign.host, foreign.port, creation.method, path, headers=dialect.headers, body=body
            )
    except Unanswered as problem:
        raise ComponentFailed(f"{what} is not answered: {problem.reason}") from None
    except TimeoutError:
        raise ComponentFailed(f"{what} is not answered within {ANSWERED_WITHIN_S:g} s") from None
    if not 200 <= answer.status < 300:
        raise ComponentFailed(
            f"{what} is answered {answer.status} {str(answer.body)[:200]!r}\n"
            "fix: say in the adapter's `workspaces` how this broker creates one, and in `auth` what lets us in"
        )
    return answer


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in.

    What is a placeholder alone becomes the value itself, and is left out of a mapping if there is none.
    """
    if isinstance(template, Mapping):
        pairs = {key: filled(value, values) for key, value in template.items()}
        return {key: value for key, value in pairs.items() if value is not None or template[key] is None}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    if template in {f"{{{name}}}" for name in PLACEHOLDERS}:
        return values[template[1:-1]]
    for name in PLACEHOLDERS:
        template = template.replace(f"{{{name}}}", str(values[name]))
    return template


def _parents_first(members: Mapping[str, Member]) -> list[str]:
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            if (parent := members[name].parent) is not None:
                visit(parent)
            ordered[name] = None

    for name in members:
        visit(name)
    return list(ordered)
