"""`python -m tests.benchmarks [--quick] [benchmark ...]`: measure, and print each figure beside its target."""

from __future__ import annotations

import argparse
import os
import platform

from tests.benchmarks.suite import BENCHMARKS, run_apart


def main() -> None:
    """Print the tables one after another, as they are measured; a missed target is no error."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small samples: to see that it runs, not how fast")
    parser.add_argument("benchmark", nargs="*", help=f"any of {', '.join(BENCHMARKS)}; all, if none is named")
    options = parser.parse_args()
    if unknown := [name for name in options.benchmark if name not in BENCHMARKS]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}")
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"CPython {platform.python_version()}, load average {load}; ratio: 1 and more meets the target", flush=True)
    for name in options.benchmark or BENCHMARKS:
        print("\n" + run_apart(name, options.quick), flush=True)


if __name__ == "__main__":
    main()
