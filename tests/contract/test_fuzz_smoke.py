"""A short run of `make fuzz`, on real sockets as that is."""

from __future__ import annotations

from hypothesis import seed

from tests.contract.database import Database
from tests.contract.endpoints import ENDPOINTS
from tests.contract.served import served
from tests.fuzz.bodies import Fuzz

EXAMPLES = 40 * len(ENDPOINTS)
"""So many that each endpoint is surely given something that it accepts."""


def test_any_body_gets_a_documented_answer(database: Database) -> None:
    with served(database) as there:
        fuzz = Fuzz(there)
        seed(1)(fuzz.test(max_examples=EXAMPLES))()
    assert {path for path, status in fuzz.tried if status < 400} == {endpoint.path for endpoint in ENDPOINTS}
