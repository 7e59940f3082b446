"""On what terms a delegation is executed: the time it has, and how a failed attempt is put to its caller.

They depend on the way in. `/delegate` gives the error as it is. The MCP tools have a short budget and say of what
kind a failure is: `http_status: N` if the agent declined the message, `target_offline: ...` if the attempt failed in
any other known way (INV-63). That a delivery is unknown is said in the same words everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reference_impl.attempt import Delivery, ProxyError
from reference_impl.config import Config

DELEGATE_TASK = "delegate_task"
DELEGATE_TASK_ASYNC = "delegate_task_async"


@dataclass(frozen=True, slots=True)
class Terms:
    """`budget_s` is for the whole execution; `failure` words the last failed attempt."""

    budget_s: Callable[[Config], float]
    failure: Callable[[ProxyError], str]


def _as_it_is(error: ProxyError) -> str:
    return error.error


def _by_kind(error: ProxyError) -> str:
    match error.delivery:
        case Delivery.DECLINED:
            return f"http_status: {error.status}"
        case Delivery.UNKNOWN:
            return error.error
        case _:
            return f"target_offline: {error.error}"


_BY_TOOL: Mapping[str | None, Terms] = {
    DELEGATE_TASK: Terms(lambda config: config.mcp_sync_budget_s, _by_kind),
    DELEGATE_TASK_ASYNC: Terms(lambda config: config.mcp_async_budget_s, _by_kind),
}
_OTHERWISE = Terms(lambda config: config.execution_budget_s, _as_it_is)


def terms_of(tool: str | None) -> Terms:
    """The terms for what `tool` asked for; None stands for `/delegate`."""
    return _BY_TOOL.get(tool, _OTHERWISE)
