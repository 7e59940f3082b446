"""The command line: what the user types, which exit code comes back, and nothing else.

Results go to stdout, progress to stderr. Exit codes: 0 passed, 1 failed, 2 inconclusive, 3 internal error or a missing
component, 4 wrong usage or an invalid scenario, 5 nothing selected, 130 interrupted. Imports are made where they are
needed, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from sim.exits import Exit, Refused

DEFAULT_SCENARIOS = "scenarios"
DEFAULT_SEEDS = 5
SEED_MAX = 1_000_000
PROCESSES_MAX = 64
DEFAULT_TIME_SCALE = 10.0
TIME_SCALE_MAX = 100.0
DEFAULT_LIMIT_S = 300


_EXAMPLES = """examples:
  fumble run                                   play every scenario under scenarios/
  fumble run scenarios/happy --seeds 20        one family, 20 seeds each
  fumble check my.yaml                         read a scenario and report every mistake in it
  fumble replay my.yaml --seed 7               one run again, with its whole history
  fumble live scenarios/happy                  the same over real sockets and Toxiproxy
  fumble live my.yaml --broker-url http://127.0.0.1:8080
                                               against a broker of your own, in any language
  fumble agree scenarios/reset_after_2xx       both, and whether they come to the same
  fumble load scenarios/load/steady.yaml       many users at once, with Locust

exit codes: 0 passed, 1 failed, 2 inconclusive, 3 internal error or missing component,
            4 wrong usage or invalid scenario, 5 nothing selected, 130 interrupted
environment: NO_COLOR=1 no colour; FUMBLE_DEBUG=1 tracebacks of internal errors
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One message and exit code 4, where argparse would take 2."""
        print(f"{self.prog}: {message}\nsee: {self.prog} --help", file=sys.stderr)
        raise SystemExit(Exit.USAGE)


def _whole(most: int) -> Callable[[str], int]:
    """Reads a number from 1 to `most`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return int(text)

    return read


def _scale(text: str) -> float:
    """Reads how much faster than real time a scenario is played."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= TIME_SCALE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {TIME_SCALE_MAX:g}")
    return value


def _address(text: str) -> tuple[str, int]:
    """Reads a host and a port."""
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write it as 127.0.0.1:5557")
    return host, int(port)


def _some_seconds(text: str) -> float:
    """Reads a duration with its unit, which is more than nothing."""
    seconds = _seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text} is no time at all")
    return seconds


def _seconds(text: str) -> float:
    """Reads a duration with its unit."""
    from sim.scenario.durations import DurationError, parse_duration

    try:
        return float(parse_duration(text))
    except DurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fumble",
        description="Finds where a delegation broker drops the hand-off.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="play scenarios in the simulated world", allow_abbrev=False)
    run.add_argument("scenario", nargs="*", help=f"files or folders (default: {DEFAULT_SCENARIOS}/)")
    run.add_argument(
        "--seeds",
        type=_whole(SEED_MAX),
        default=DEFAULT_SEEDS,
        metavar="N",
        help=f"play each with N seeds (default: {DEFAULT_SEEDS})",
    )
    run.add_argument(
        "--seed-from", type=_whole(SEED_MAX), default=1, metavar="N", help="the first of these seeds (default: 1)"
    )
    run.add_argument("--jobs", type=_whole(PROCESSES_MAX), metavar="N", help="worker processes (default: one a core)")
    _add_output(run)
    run.add_argument("--junit", metavar="FILE", help="also write JUnit XML")

    check = commands.add_parser("check", help="read scenarios and report every mistake, play nothing")
    check.add_argument("scenario", nargs="*", help=f"files or folders (default: {DEFAULT_SCENARIOS}/)")

    replay = commands.add_parser("replay", help="play one run again and show its history", allow_abbrev=False)
    replay.add_argument("scenario", help="a scenario file")
    replay.add_argument("--seed", type=_whole(SEED_MAX), required=True, metavar="N", help="the seed of that run")
    _add_output(replay)

    live = commands.add_parser("live", help="play scenarios over real sockets, in real time", allow_abbrev=False)
    live.add_argument("scenario", nargs="+", help="files or folders")
    _add_live(live)
    _add_foreign(live)
    _add_time_scale(live, None, f"default: {DEFAULT_TIME_SCALE:g}, with --broker-url 1")
    _add_output(live)
    live.add_argument(
        "--skip-unplayable", action="store_true", help="name on stderr what cannot be played, and play the rest"
    )
    live.add_argument("--junit", metavar="FILE", help="also write JUnit XML")

    agree = commands.add_parser("agree", help="play scenarios in both worlds and compare", allow_abbrev=False)
    agree.add_argument("scenario", nargs="+", help="files or folders")
    _add_live(agree)
    _add_time_scale(agree, None, "default: as quick as agrees")
    agree.add_argument(
        "--seeds", type=_whole(SEED_MAX), default=DEFAULT_SEEDS, metavar="N", help="simulated runs to compare with"
    )
    agree.add_argument(
        "--limit",
        type=_whole(100_000),
        default=DEFAULT_LIMIT_S,
        metavar="SECONDS",
        help=f"real time that one live run may take (default: {DEFAULT_LIMIT_S})",
    )
    agree.add_argument(
        "--jobs",
        type=_whole(PROCESSES_MAX),
        metavar="N",
        help="scenarios played at once (default: two a core)",
    )
    _add_output(agree)

    load = commands.add_parser("load", help="drive a broker with Locust while faults strike", allow_abbrev=False)
    load.add_argument("scenario", help="a scenario file with a load")
    load.add_argument(
        "--duration", type=_some_seconds, metavar="TIME", help="such as 60s (default: the scenario's own)"
    )
    load.add_argument(
        "--workers", type=_whole(PROCESSES_MAX), default=1, metavar="N", help="Locust workers (default: 1)"
    )
    load.add_argument(
        "--expect", type=_whole(PROCESSES_MAX), default=0, metavar="N", help="also wait for N workers from elsewhere"
    )
    load.add_argument("--listen", type=_address, metavar="HOST:PORT", help="where they are to join (default: loopback)")
    load.add_argument("--master", type=_address, metavar="HOST:PORT", help="only be workers of the load there")
    load.add_argument("--host", metavar="URL", help="with --master: where the broker is, seen from here")
    load.add_argument("--seed", type=_whole(SEED_MAX), default=1, metavar="N", help="of what users choose (default: 1)")
    load.add_argument("--html", metavar="FILE", help="the report (default: reports/out/load-SCENARIO.html)")
    load.add_argument("--locustfile", metavar="FILE", help="what users do (default: locustfile.py beside the scenario)")
    _add_live(load)
    _add_foreign(load)
    _add_output(load)

    doctor = commands.add_parser("doctor", help="say which components are there, and how to get the others")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _add_live(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--toxiproxy",
        default="auto",
        metavar="WHERE",
        help="auto, embedded, docker, path (what `fumble doctor` finds), a program, or a URL (default: auto)",
    )
    command.add_argument(
        "--postgres",
        default="auto",
        metavar="WHERE",
        help="auto, embedded, docker, or the DSN of a server (default: auto)",
    )
    command.add_argument("--logs", metavar="FOLDER", help="keep the logs of all processes there")


def _add_foreign(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--broker-url", metavar="URL", help="play against the broker there, such as http://127.0.0.1:8080"
    )
    command.add_argument("--adapter", metavar="FILE", help="where that broker differs from the contract")
    command.add_argument("--database-url", metavar="DSN", help="where its tables can be read")
    command.add_argument(
        "--quiet",
        type=_seconds,
        metavar="DURATION",
        help="how long nothing may happen before a run is over (default: by the adapter's retry_delay)",
    )


def _add_time_scale(command: argparse.ArgumentParser, default: float | None, said: str) -> None:
    command.add_argument(
        "--time-scale",
        type=_scale,
        default=default,
        metavar="N",
        help=f"scenario seconds in a real one; 1 is real time ({said})",
    )


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", choices=("text", "json"), default="text", help="what stdout gets (default: text)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; nothing that goes wrong ends in a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a title may have letters that the terminal has not
    try:
        return _command(_parser().parse_args(arguments))
    except Refused as refusal:
        print(f"fumble: {refusal}", file=sys.stderr)
        return refusal.exit_code
    except KeyboardInterrupt:
        print("fumble: interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.INTERNAL  # whoever read our output went away (`fumble run | head`): there is nobody to tell
    except Exception as error:
        print(_internal_error(error), file=sys.stderr)
        return Exit.INTERNAL
    finally:
        _drain_stdout()
        # A KeyboardInterrupt that has left an exec of text (dataclasses are made by it) is remembered by Python, which
        # kills itself by SIGINT in the end, whatever its exit code is. The next exec makes it forget.
        exec("")


_COMMANDS: Mapping[str, str] = {
    "run": "sim.commands",
    "check": "sim.selection",
    "replay": "sim.commands",
    "live": "sim.live_commands",
    "agree": "sim.agree_command",
    "load": "sim.load_commands",
    "doctor": "sim.doctor",
}
"""The module whose function of the same name is the command."""


def _command(options: argparse.Namespace) -> Exit:
    from importlib import import_module

    from sim import interrupts

    with interrupts.raised():
        if "scenario" in options:
            from sim.selection import load

            # A mistake in them is told before anything is imported that plays, which takes longer than to read them.
            options.scenarios = load([options.scenario] if isinstance(options.scenario, str) else options.scenario)
        command = getattr(import_module(_COMMANDS[options.command]), options.command)
        return Exit(command(options))


def _drain_stdout() -> None:
    """What could not be written cannot be written when Python ends either, which would complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal_error(error: Exception) -> str:
    """One line that says what happened and where; the traceback only for who asks for it."""
    import traceback

    *_, frame = traceback.extract_tb(error.__traceback__)
    said = f"fumble: internal error: {type(error).__name__}: {error} ({frame.filename}:{frame.lineno} in {frame.name})"
    if os.environ.get("FUMBLE_DEBUG"):
        return f"{traceback.format_exc()}\n{said}"
    return f"{said}\nfix: this is a bug of fumble; FUMBLE_DEBUG=1 shows the traceback to report"


if __name__ == "__main__":
    sys.exit(main())
