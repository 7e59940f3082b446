"""`python -m tests.benchmarks [--quick] [benchmark ...]`: measure, and print each figure beside its target."""

from __future__ import annotations

import argparse
import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType

from tests.benchmarks import callbacks, fresh_world, peers, retry, two_cores, virtual_day
from tests.benchmarks.figures import table

BENCHMARKS: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module for module in (fresh_world, two_cores, retry, callbacks, virtual_day, peers)
}


def run_benchmark(name: str, quick: bool) -> str:
    """Measure one benchmark and set its table."""
    module = BENCHMARKS[name]
    return table(module.TITLE, module.measure(quick))


def main() -> None:
    """Print the tables one after another, as they are measured; a missed target is no error."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small samples: to see that it runs, not how fast")
    parser.add_argument("benchmark", nargs="*", metavar="benchmark", help=f"of {', '.join(BENCHMARKS)}; default: all")
    options = parser.parse_args()
    if unknown := set(options.benchmark) - BENCHMARKS.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    print(f"CPython {platform.python_version()}; ratio: 1 and more meets the target", flush=True)
    for name in options.benchmark or BENCHMARKS:
        # A process of its own: benchmarks pin themselves to a core and freeze what the collector looks at.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            print("\n" + process.submit(run_benchmark, name, options.quick).result(), flush=True)


if __name__ == "__main__":
    main()
