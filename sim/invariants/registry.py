"""All invariants, in the order of their ids: the table that everything else reads."""

from __future__ import annotations

from sim.invariants import (
    access,
    delivery,
    finality,
    idempotency,
    inbox,
    inbox_cursor,
    ledger,
    listing,
    liveness,
    push_fallback,
)
from sim.invariants.delegations import Part
from sim.invariants.violation import Invariant

_ROWS: frozenset[Part] = frozenset({"rows"})

ALL: tuple[Invariant, ...] = (
    Invariant(
        "INV-01",
        "Accepted work reaches its agent, even if the client hangs up as soon as it was accepted.",
        "S1",
        liveness.accepted_work_reaches_its_agent,
        _ROWS,
    ),
    Invariant(
        "INV-02",
        "An execution ends with its budget: it does not run on for ever.",
        "S1",
        liveness.execution_ends_within_its_budget,
    ),
    Invariant(
        "INV-03",
        "Accepted work ends completed or failed, or stays queued where somebody can still end it.",
        "S1, S3; decisions §5",
        liveness.accepted_work_ends,
        _ROWS,
    ),
    Invariant(
        "INV-10",
        "An agent is contacted only after its delivery mode was read as push, or after a recorded fallback event.",
        "S1; decisions §2",
        push_fallback.no_silent_push,
        frozenset({"mode_reads"}),
    ),
    Invariant(
        "INV-11",
        "A fallback event names its target, its delegation (or null) and its reason.",
        "S1; decisions §2",
        push_fallback.fallback_names_what_it_does,
    ),
    Invariant(
        "INV-12",
        "A workspace that polls is never sent a request without a fallback event recorded before.",
        "S1, I#2967; decisions §2",
        push_fallback.polled_is_never_pushed_to,
    ),
    Invariant(
        "INV-13",
        "A message left for a poller has exactly one a2a_receive row at its target.",
        "internal#471; decisions §7",
        push_fallback.polled_message_has_one_row,
        _ROWS,
    ),
    Invariant(
        "INV-14",
        "A pushed message has at most one a2a_receive row at its target, and one if it was answered.",
        "internal#470; decisions §7",
        push_fallback.pushed_message_has_one_row,
        _ROWS,
    ),
    Invariant(
        "INV-15",
        "A message that the hierarchy denies is never sent and leaves no row at its target.",
        "later proxy; contract §6",
        access.denied_leaves_nothing,
    ),
    Invariant(
        "INV-20",
        "A delegation is sent to its agent at most twice.",
        "S3, #74",
        delivery.at_most_two_attempts,
    ),
    Invariant(
        "INV-21",
        "The second attempt comes no earlier than the retry delay after the first.",
        "S3, #689",
        delivery.retry_waits,
    ),
    Invariant(
        "INV-22",
        "A message that the agent refused (any answer but 2xx and 503 restarting) is not sent again.",
        "S3, #689; decisions §3",
        delivery.refused_is_not_retried,
    ),
    Invariant(
        "INV-23",
        "A 2xx with at least one byte of body is neither retried nor turned into a failure.",
        "S3, #159",
        delivery.replied_is_not_retried_nor_failed,
    ),
    Invariant(
        "INV-24",
        "A message that the agent was given whole, and did not turn away, is not sent again.",
        "#689; decisions §3",
        delivery.delivered_at_most_once,
    ),
    Invariant(
        "INV-25",
        "A 2xx without a body is never a completion.",
        "S3",
        delivery.empty_reply_is_not_completion,
    ),
    Invariant(
        "INV-26",
        "Only a reply of the agent or a report completes a delegation; a queued envelope does not.",
        "S3, d97d7d47",
        delivery.completion_needs_a_reply,
    ),
    Invariant(
        "INV-30",
        "An outcome has exactly one result row and one recorded event, and is broadcast at most once.",
        "S3; decisions §4",
        inbox.one_result_and_one_event,
        _ROWS,
    ),
    Invariant(
        "INV-31",
        "Every terminal state has exactly one inbox row of the caller; anything else has none.",
        "S3; decisions §4",
        inbox.one_inbox_row,
        _ROWS,
    ),
    Invariant(
        "INV-32",
        "The inbox row belongs to the caller, names the delegation, and says ok or error, and then why.",
        "S3",
        inbox.inbox_row_says_how_it_ended,
        _ROWS,
    ),
    Invariant(
        "INV-33",
        "The caller's poller is given every inbox row exactly once.",
        "internal#469",
        inbox.poller_is_given_it,
        frozenset({"inbox"}),
    ),
    Invariant(
        "INV-34",
        "Once anybody was told completed or failed, nobody is told anything else.",
        "later ledger; decisions §4, §6",
        finality.terminal_is_final,
    ),
    Invariant(
        "INV-36",
        "A completed ledger row keeps the text, in at most 4096 bytes.",
        "S3, PR #2854",
        ledger.completed_keeps_its_text,
        _ROWS,
    ),
    Invariant(
        "INV-37",
        "A failed delegate row and a failed ledger row say why.",
        "S3",
        ledger.failed_says_why,
        _ROWS,
    ),
    Invariant(
        "INV-38",
        "The ledger agrees with the delegate row.",
        "S3",
        ledger.ledger_agrees,
        _ROWS,
    ),
    Invariant(
        "INV-39",
        "A ledger that is switched off is never written.",
        "S3",
        ledger.switched_off_is_unwritten,
        _ROWS,
    ),
    Invariant(
        "INV-40",
        "The ledger moves only along its matrix.",
        "later ledger; contract §3.2",
        ledger.ledger_follows_its_matrix,
    ),
    Invariant(
        "INV-42",
        "The caller's listing has each of its delegations once, with its state.",
        "S3; decisions §6",
        listing.caller_sees_every_delegation,
        frozenset({"rows", "listing"}),
    ),
    Invariant(
        "INV-50",
        "A key that was used is answered 200 with the delegation it has, unless that one failed.",
        "S3, #124; decisions §6",
        idempotency.key_is_one_delegation,
    ),
    Invariant(
        "INV-51",
        "Of operations that race with one key, one delegation comes.",
        "S3",
        idempotency.racing_key_is_one_delegation,
    ),
    Invariant(
        "INV-52",
        "After a failure the same key starts a new delegation.",
        "S3, #1456",
        idempotency.failed_frees_its_key,
    ),
    Invariant(
        "INV-53",
        "Keys of different sources do not mix, and without a key nothing is a repetition.",
        "S3",
        idempotency.keys_do_not_mix,
    ),
    Invariant(
        "INV-90",
        "A poll of an inbox gives what is past its cursor, oldest first, and skips and repeats no row.",
        "later activity, H43, D27",
        inbox_cursor.polls_skip_and_repeat_nothing,
        _ROWS,
    ),
    Invariant(
        "INV-91",
        "A cursor of another workspace, or of no row, is gone (410), and nobody is given rows of another.",
        "later activity",
        inbox_cursor.foreign_cursors_give_nothing,
        _ROWS,
    ),
)

BY_ID = {invariant.id: invariant for invariant in ALL}
