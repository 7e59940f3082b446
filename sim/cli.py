"""The command line: what the user types, which exit code comes back, and nothing else.

Results go to stdout, progress to stderr. Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 internal error or a missing
component, 4 wrong usage or an invalid scenario, 5 nothing selected, 130 interrupted. Imports are made where they are
needed, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import NoReturn

DEFAULT_SCENARIOS = "scenarios"


class Exit(IntEnum):
    """What the process returns."""

    PASSED = 0
    FAILED = 1
    INCONCLUSIVE = 2
    INTERNAL = 3
    USAGE = 4
    NOTHING = 5
    INTERRUPTED = 130


_EXAMPLES = """examples:
  fumble run                                       play every scenario under scenarios/
  fumble run scenarios/database_blips --seeds 20   one family, 20 seeds each
  fumble check my.yaml                             read a scenario and report every mistake in it
  fumble replay my.yaml --seed 7                   one run again, with its whole history
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One message and exit code 4, where argparse would take 2."""
        print(f"{self.prog}: {message}\nsee: {self.prog} --help", file=sys.stderr)
        raise SystemExit(Exit.USAGE)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fumble",
        description="Finds where a delegation broker drops the hand-off.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="play scenarios in the simulated world")
    run.add_argument("scenario", nargs="*", help=f"files or folders (default: {DEFAULT_SCENARIOS}/)")
    run.add_argument("--seeds", type=_positive, default=5, metavar="N", help="play seeds 1 to N (default: 5)")
    run.add_argument("--jobs", type=_positive, metavar="N", help="worker processes (default: one a core)")
    run.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets (default: text)")
    run.add_argument("--junit", metavar="FILE", help="also write JUnit XML")

    check = commands.add_parser("check", help="read scenarios and report every mistake, play nothing")
    check.add_argument("scenario", nargs="*", help=f"files or folders (default: {DEFAULT_SCENARIOS}/)")

    replay = commands.add_parser("replay", help="play one run again and show its history")
    replay.add_argument("scenario", help="a scenario file")
    replay.add_argument("--seed", type=_positive, required=True, metavar="N")
    replay.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets (default: text)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    from sim import commands

    command = {"run": commands.run, "check": commands.check, "replay": commands.replay}[options.command]
    try:
        return int(command(options))
    except commands.Refused as refusal:
        print(f"fumble: {refusal}", file=sys.stderr)
        return int(refusal.exit_code)
    except KeyboardInterrupt:
        print("fumble: interrupted", file=sys.stderr)
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`fumble run | head`); there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.INTERNAL)


if __name__ == "__main__":
    sys.exit(main())
