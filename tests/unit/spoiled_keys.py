"""Idempotency keys that hold too little or too much; `KEYS` is the table (see test_invariants_fail)."""

from __future__ import annotations

from collections.abc import Callable

from sim.history import Ok

from .histories import Run, at, workspace_id


def key_accepted_twice() -> Run:
    """H15, one after the other."""
    return Run().completed("d1", key="k").completed("d2", key="k", at_s=3.0)


def key_freed_before_the_failure() -> Run:
    run = Run().failed("d1", key="k").completed("d2", key="k", at_s=3.0)
    run.events[0]["created_at"] = at(30.0)
    return run


def hit_that_does_not_say_so() -> Run:
    run = Run().completed("d1", key="k")
    run.asked("d2", at_s=3.0, key="k", answer=(200, {"delegation_id": "id-d1", "status": "completed"}))
    return run


def hit_with_another_target() -> Run:
    """D12."""
    run = Run().completed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "completed", "target_id": workspace_id("bob"), "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", target="dee", answer=(200, hit))
    return run


def key_accepted_twice_in_a_race() -> Run:
    return Run().completed("d1", key="k").completed("d2", key="k", at_s=0.005)


def failed_key_still_held() -> Run:
    """H16."""
    run = Run().failed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "failed", "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", answer=(200, hit))
    return run


def key_held_by_what_was_said_to_have_failed() -> Run:
    run = Run().failed("d1", key="k")
    run.asked("d2", at_s=3.0, key="k", answer=(200, {"delegation_id": "id-d1", "idempotent_hit": True}))
    return run


def keys_of_two_sources_mixed() -> Run:
    run = Run().completed("d1", key="k")
    hit = {"delegation_id": "id-d1", "status": "completed", "idempotent_hit": True}
    run.asked("d2", at_s=3.0, key="k", source="cid", answer=(200, hit))
    return run


def repetition_without_a_key() -> Run:
    run = Run().completed()
    answer = (200, {"delegation_id": "id-d9", "status": "completed", "idempotent_hit": True})
    run.completed("d9", at_s=2.0)
    run.entries = [
        Ok(entry.at_s, "d9", *answer) if isinstance(entry, Ok) and entry.op == "d9" else entry for entry in run.entries
    ]
    return run


KEYS: tuple[tuple[str, Callable[[], Run], str, str], ...] = (
    ("INV-50", key_accepted_twice, "d1 and d2 of ann have the key 'k' and became two delegations", "d1/d2"),
    ("INV-50", key_freed_before_the_failure, "though the first was not failed then", "d1/d2"),
    ("INV-50", hit_that_does_not_say_so, "d2 was answered 200 for its key without idempotent_hit", "d2"),
    ("INV-50", hit_with_another_target, "d2 delegates to dee and was answered 200 with a delegation to bob", "d2"),
    ("INV-51", key_accepted_twice_in_a_race, "d1 and d2 of ann have the key 'k' and became two", "d1/d2"),
    ("INV-52", failed_key_still_held, "which it says has failed, instead of a new one", "d2"),
    ("INV-52", key_held_by_what_was_said_to_have_failed, "which had failed before, instead of a new one", "d2"),
    ("INV-53", keys_of_two_sources_mixed, "do not share a source and a key", "d1/d2"),
    ("INV-53", repetition_without_a_key, "d9 has no key and was answered as a repetition", "d9"),
)
