"""What Hypothesis invents to try the broker with: text, JSON and bodies of every kind."""

from __future__ import annotations

import json
import math

from hypothesis import strategies as st

# Everything that a Python string can hold, NUL and halves of surrogate pairs among it.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
LONG_TEXT = st.builds(lambda piece, times, rest: piece * times + rest, ANY_TEXT, st.integers(0, 3000), ANY_TEXT)

# What Postgres, or a column of it, does not take.
AWKWARD = st.sampled_from([math.nan, math.inf, 1e308, 2**31, 2**63, -(2**63) - 1, 10**400, "\x00", "\ud800"])

# JSON in which the words of A2A turn up, in the wrong places mostly.
WORDS = st.sampled_from(
    ["result", "error", "message", "parts", "artifacts", "text", "kind", "type", "queued", "params", "messageId"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | WORDS | AWKWARD,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS | ANY_TEXT, inner),
    max_leaves=20,
)
PART = st.fixed_dictionaries({}, optional={"kind": WORDS | ANY_JSON, "type": WORDS | ANY_JSON, "text": ANY_JSON})
PARTS = st.fixed_dictionaries({}, optional={"parts": st.lists(PART) | ANY_JSON})
RESULT = st.fixed_dictionaries({"parts": st.lists(PART), "artifacts": st.lists(PARTS | ANY_JSON)}) | PARTS
REPLY = st.fixed_dictionaries({}, optional={"result": RESULT | ANY_JSON, "error": ANY_JSON, "queued": ANY_JSON})
BODY = st.binary() | st.builds(
    lambda document, ascii_only: json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass"),
    REPLY | ANY_JSON,
    st.booleans(),
)
