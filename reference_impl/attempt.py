"""What one attempt to bring a message somewhere came to: a reply, or an error and what that means for the message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from reference_impl.agent_client import AgentReply
from reference_impl.reply import is_queued
from reference_impl.text import parse_object

AT_CAPACITY = "Delegation queued — target at capacity"


class Delivery(Enum):
    """What a failed attempt means for the message."""

    REFUSED = "the broker itself declined to send it"
    NOT_DELIVERED = "the agent cannot have got it"
    UNKNOWN = "the agent may have got it"
    ANSWERED = "the agent got it and its answer is of no use"
    DECLINED = "the agent got it and answered with an error status"


class ProxyError(Exception):
    """The attempt failed: the HTTP answer to give, and what it means for the message."""

    def __init__(self, status: int, error: str, /, *, delivery: Delivery = Delivery.REFUSED, **extra: Any) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.delivery = delivery
        self.payload = {"error": error, **extra}


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful attempt. `queued` says so if the target has the message but no answer yet."""

    status: int
    body: bytes
    truncated: bool = False
    queued: str | None = None


def judge(answer: AgentReply) -> Reply:
    """Success is a 2xx with at least one byte of body, whatever the connection did then (H10, INV-23)."""
    if 200 <= answer.status < 300:
        if answer.body:
            queued = AT_CAPACITY if is_queued(answer.status, answer.body) else None
            return Reply(answer.status, answer.body, truncated=not answer.complete, queued=queued)
        if answer.complete:
            raise ProxyError(answer.status, "agent returned empty response body", delivery=Delivery.ANSWERED)
        raise ProxyError(502, "failed to read agent response", delivery=Delivery.ANSWERED, delivery_confirmed=True)
    if not answer.complete:
        raise ProxyError(
            answer.status,
            "failed to read agent response",
            delivery=Delivery.DECLINED,
            delivery_confirmed=False,
        )
    raise _refusal(answer)


def _refusal(answer: AgentReply) -> ProxyError:
    """The error that the agent answered with. `restarting` says that it has not taken the message."""
    try:
        document = parse_object(answer.body)
    except ValueError:
        document = {}
    error = document.get("error")
    flags = {flag: True for flag in ("restarting", "busy") if document.get(flag) is True}
    restarting = answer.status == HTTPStatus.SERVICE_UNAVAILABLE and "restarting" in flags
    return ProxyError(
        answer.status,
        error if isinstance(error, str) and error else _phrase(answer.status),
        delivery=Delivery.NOT_DELIVERED if restarting else Delivery.DECLINED,
        **flags,
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"HTTP status {status}"
