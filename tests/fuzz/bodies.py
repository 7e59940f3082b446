"""One fuzzed request: any body for any endpoint that takes one, spoilt from what it accepts.

What must hold: a documented status, never 500, a JSON answer, and nothing that the broker logs as an error.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference_impl.http import routes
from tests.contract.endpoints import ENDPOINTS, Endpoint
from tests.contract.inventions import ANY_JSON, ANY_TEXT, AWKWARD, BODY
from tests.contract.served import Served
from tests.contract.world import ANN, BOB, NOBODY, POLLY

VALUE = (
    st.sampled_from([ANN, BOB, POLLY, NOBODY, "", "push", "poll", "completed", "failed"])
    | ANY_TEXT
    | AWKWARD
    | ANY_JSON
)


class Fuzz:
    """Tries bodies on a broker. `tried` counts the answers by endpoint and status."""

    def __init__(self, there: Served) -> None:
        self._there = there
        self._errors = _Errors()
        self._delegations = [there.run(self._delegate()) for _ in range(20)]
        self.tried: Counter[tuple[str, int]] = Counter()
        logging.getLogger("reference_impl").addHandler(self._errors)

    def test(self, *, max_examples: int) -> Callable[[], None]:
        """A Hypothesis test that tries so many bodies."""

        @settings(max_examples=max_examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            request=st.sampled_from(ENDPOINTS).flatmap(lambda each: st.tuples(st.just(each), _body(each))),
            workspace=st.sampled_from([ANN, BOB, POLLY]),
            delegation=st.sampled_from(self._delegations),
        )
        def try_body(request: tuple[Endpoint, bytes], workspace: str, delegation: str) -> None:
            self._try(*request, workspace, delegation)

        return try_body

    def _try(self, endpoint: Endpoint, body: bytes, workspace: str, delegation: str) -> None:
        path = endpoint.path.replace("{id}", workspace).replace("{delegation_id}", delegation)
        self._errors.seen.clear()
        status, answer = self._there.run(self._there.it.post(path, body))
        documented = routes.DOCUMENT["paths"][endpoint.path]["post"]["responses"]
        assert status < 500, (path, status, answer)
        assert {str(status), f"{status // 100}XX", "default"} & documented.keys(), (path, status, answer)
        assert status < 400 or answer["error"], (path, status, answer)
        assert not self._errors.seen, self._errors.seen
        self.tried[endpoint.path, status] += 1

    async def _delegate(self) -> str:
        return str((await self._there.it.delegate(target=POLLY))[1]["delegation_id"])


def _body(endpoint: Endpoint) -> st.SearchStrategy[bytes]:
    """Any body, or the accepted one with a few members added, replaced or left out."""
    names = st.sampled_from([*endpoint.body, *endpoint.texts, *endpoint.numbers])
    changes = st.dictionaries(names | ANY_TEXT, VALUE, max_size=2)
    return BODY | st.builds(
        lambda changed, left_out: json.dumps(
            {name: value for name, value in {**endpoint.body, **changed}.items() if name != left_out}
        ).encode(),
        changes,
        st.none() | names,
    )


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))
