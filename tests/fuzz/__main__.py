"""`python -m tests.fuzz [SECONDS]`: fuzz every endpoint's body, guided by coverage if atheris is there.

Atheris and Hypothesis drive the same test; both end with what they found, and Hypothesis with the smallest case.
"""

from __future__ import annotations

import itertools
import sys
import time

from hypothesis import seed

from sim.worlds.components.postgres import embedded_postgres

try:
    import atheris
except ImportError:
    atheris = None

SECONDS, BATCH = 60, 200


def main(seconds: int) -> None:
    if atheris is None:
        from tests.fuzz.bodies import Fuzz
    else:
        with atheris.instrument_imports(include=["reference_impl"]):
            from tests.fuzz.bodies import Fuzz
    from tests.contract.database import contract_database
    from tests.contract.served import served

    with embedded_postgres() as server, contract_database(server, "fuzz") as database, served(database) as there:
        fuzz = Fuzz(there)
        if atheris is None:
            until_s = time.monotonic() + seconds
            for number in itertools.takewhile(lambda _: time.monotonic() < until_s, itertools.count()):
                seed(number)(fuzz.test(max_examples=BATCH))()
            for (path, status), count in sorted(fuzz.tried.items()):
                print(f"{count:6} x {status} {path}")
        else:
            one_input = fuzz.test(max_examples=1).hypothesis.fuzz_one_input
            atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-len_control=0"], one_input)
            atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
