"""A request: one HTTP request as its agent saw it, folded from the `Contact` entries of its stages.

What an agent saw is the only evidence of a delivery (decisions, §2): the broker may believe what it likes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.history import Contact


@dataclass(slots=True)
class Request:
    """`number` counts the requests of one agent from 1; `delivered_s` is None when the body never came whole."""

    agent: str
    number: int
    opened_s: float
    last_s: float
    delivered_s: float | None = None
    message_id: str | None = None
    delegation_id: str | None = None
    ended: bool = False
    answered: bool = False
    status: int | None = None
    body_bytes: int = 0
    restarting: bool = False
    rpc_error: bool = False
    text: str | None = None
    entries: list[int] = field(default_factory=list)

    @property
    def turned_away(self) -> bool:
        """The agent answered 503 with `restarting: true`: by definition it did not get the message."""
        return self.restarting and self.status == 503

    @property
    def delivered(self) -> bool:
        """The agent's handler was given the complete body and did not turn it away."""
        return self.delivered_s is not None and not self.turned_away

    @property
    def replied(self) -> bool:
        """The agent sent a 2xx and at least one byte of its body (`INV-23`)."""
        return self.status is not None and 200 <= self.status < 300 and self.body_bytes > 0

    @property
    def empty_2xx(self) -> bool:
        """The agent answered 2xx, whole, without a body (`INV-25`)."""
        return self.answered and self.status is not None and 200 <= self.status < 300 and self.body_bytes == 0

    def see(self, index: int, contact: Contact) -> None:
        """Fold in the next stage of this request."""
        self.entries.append(index)
        self.last_s = contact.at_s
        self.message_id = self.message_id or contact.message_id
        self.delegation_id = self.delegation_id or contact.delegation_id
        self.body_bytes = max(self.body_bytes, contact.body_bytes)
        if contact.status is not None:
            self.status = contact.status
        if contact.text is not None:
            self.text = contact.text
        self.restarting |= contact.restarting
        self.rpc_error |= contact.rpc_error
        if contact.stage == "delivered":
            self.delivered_s = contact.at_s
        elif contact.stage in ("answered", "cut", "aborted"):
            self.ended = True
            self.answered = contact.stage == "answered"
