"""Whatever text comes in: every limit cuts it on a rune boundary, Postgres takes it, and no reply is unreadable.

Hypothesis invents the text; under CI its examples are the same in every run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.message import normalise
from reference_impl.reply import is_queued, read_reply
from reference_impl.text import clean, prefix, preview
from tests.contract.database import Database
from tests.contract.inventions import BODY, LONG_TEXT
from tests.contract.served import Served
from tests.contract.virtual import stepped
from tests.contract.world import ANN, POLLY

RUNE_BYTES_MAX, ELLIPSIS_BYTES = 4, 3
LIMITS = (80, 100, 200, 300, 4096)


def storable(text: str) -> bool:
    """What `test_previews_in_every_row` shows to be true of Postgres."""
    return "\x00" not in text and text.encode(errors="replace").decode() == text


def cut_well(cut: str, text: str, limit: int) -> bool:
    """Within the limit, no half rune, and no more lost than there has to be."""
    if len(text.encode()) <= limit:
        return cut == text
    least = limit - ELLIPSIS_BYTES - RUNE_BYTES_MAX
    return text.startswith(cut.removesuffix("…")) and least < len(cut.encode()) <= limit and storable(cut)


@settings(deadline=None)
@given(raw=LONG_TEXT, limit=st.sampled_from(LIMITS) | st.integers(8, 100))
def test_text_is_cut_within_its_limit(raw: str, limit: int) -> None:
    text = clean(raw)
    assert storable(text)
    assert len(text) == len(raw)
    assert cut_well(prefix(text, limit), text, limit)
    assert cut_well(preview(text, limit), text, limit)


@settings(deadline=None)
@given(body=BODY, data=st.data())
def test_every_reply_reads_as_text_or_error(body: bytes, data: st.DataObject) -> None:
    cut = body[: data.draw(st.integers(0, len(body)))]
    for reading in (
        read_reply(body, truncated=False),
        read_reply(cut, truncated=True),
        read_reply(body, truncated=True),
    ):
        assert storable(reading.text)
        assert reading.error is None or (reading.error and storable(reading.error))
    for status in (200, 202):
        assert is_queued(status, body) in (True, False)


@settings(deadline=None)
@given(body=BODY)
def test_every_message_is_made_sendable_or_refused(body: bytes) -> None:
    ids = map(str, itertools.count())
    try:
        message = normalise(body, lambda: next(ids))
    except ValueError:
        return
    assert message.message_id
    assert len(message.key.encode()) <= 255
    sent = json.loads(message.body)
    assert "jsonrpc" in sent
    assert storable(message.body)


@pytest.fixture(scope="module")
def there(database: Database) -> Iterator[Served]:
    with stepped(database) as made:
        yield made


@settings(max_examples=40, deadline=None)
@given(raw=LONG_TEXT.filter(bool))
def test_previews_in_every_row(there: Served, raw: str) -> None:
    """Task and answer of a delegation, wherever the broker shows them."""
    it = there.it
    text = clean(json.loads(json.dumps(raw)))

    async def play() -> list[tuple[str, int]]:
        status, answer = await it.delegate(target=POLLY, task=raw)
        assert status == 202
        d = answer["delegation_id"]
        await it.settled(d, "queued")
        report = {"status": "completed", "response_preview": raw}
        assert (await it.post(f"/workspaces/{POLLY}/delegations/{d}/update", report))[0] == 200
        events: dict[str, Any] = dict(await it.events(d))
        ledger = await it.one("SELECT * FROM delegations WHERE delegation_id = $1", d)
        summary = await it.rows.fetchval(
            "SELECT summary FROM activity_logs WHERE delegation_id = $1 AND method = 'delegate_result' "
            "AND activity_type = 'delegation'",
            d,
        )
        entry = (await it.get(f"/workspaces/{ANN}/delegations"))[1][0]
        return [
            (summary.removeprefix("Delegation completed (").removesuffix(")"), 80),
            (events["DELEGATION_SENT"]["task_preview"], 100),
            (events["DELEGATION_COMPLETE"]["response_preview"], 200),
            (entry["summary"], 200),
            (entry["response_preview"], 300),
            (ledger["task_preview"], 4096),
            (ledger["result_preview"], 4096),
        ]

    for cut, limit in there.run(play()):
        assert cut_well(cut, text, limit), (limit, cut)
