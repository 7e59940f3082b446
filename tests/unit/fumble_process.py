"""The real command as a process of its own, in an otherwise empty folder, and whatever it left behind.

Every process that the command starts inherits a mark in its environment, so that survivors are found wherever they
went; every temporary folder is made below one that has to be empty in the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sim.worlds.components.postgres import memory

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "sim.cli")
MARK = "FUMBLE_TEST_MARK"

GOOD = """title: A delegation is answered
workspaces:
  ann: {delivery: poll}
  bob: {agent: reply}
steps:
  - delegate: {as: d1, from: ann, to: bob}
expect:
  d1: {status: completed}
"""
WRONG = GOOD.replace("completed", "failed").replace("is answered", "is answered, which nobody expected")
NEVER_STRUCK = GOOD.replace("expect:", "faults:\n  - {on: {link: broker-agent:bob, request: 9}, kill: broker}\nexpect:")


@contextmanager
def started(
    arguments: Sequence[str],
    *,
    folder: Path,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] = {},
) -> Iterator[Command]:
    """The command, running; killed at the end of the block if it still does."""
    with tempfile.TemporaryDirectory(prefix="fumble-t-", dir=memory()) as temporary:
        os.chmod(temporary, 0o711)  # Postgres may run as another user
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment({"TMPDIR": temporary, MARK: mark, **environment}),
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )
        try:
            yield Command(process, mark, Path(temporary))
        finally:
            process.kill()
            process.communicate()


def fumble(
    *arguments: str,
    folder: Path,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[str]:
    """The command, ended by itself; whatever it is told, it writes no traceback and leaves nothing behind."""
    with started(arguments, folder=folder, command=command, environment=environment) as running:
        stdout, stderr = running.process.communicate(timeout=120)
        running.assert_nothing_left(within_s=0.0)
    assert "FUMBLE_DEBUG" in environment or "Traceback" not in stdout + stderr, stderr
    return subprocess.CompletedProcess(list(arguments), running.process.returncode, stdout, stderr)


class Command:
    """A running command."""

    def __init__(self, process: subprocess.Popen[str], mark: str, temporary: Path) -> None:
        self.process = process
        self._mark = f"{MARK}={mark}".encode()
        self.temporary = temporary

    def wait_until_it_catches_signals(self) -> None:
        """From here on an interrupt is the command's business, and not Python's."""
        deadline = time.monotonic() + 20
        bit = 1 << (signal.SIGTERM - 1)
        while not self._caught() & bit:
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.002)

    def _caught(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)

    def wait_for_progress(self) -> str:
        """The first line on stderr."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def workers(self) -> list[int]:
        """Forked children that play."""
        return [pid for pid in _children(self.process.pid) if "postgres_launcher" not in _command_line(pid)]

    def postgres(self) -> list[int]:
        """The launcher, the postmaster and its backends."""
        launchers = [pid for pid in _children(self.process.pid) if "postgres_launcher" in _command_line(pid)]
        postmasters = [pid for launcher in launchers for pid in _children(launcher)]
        return [*launchers, *postmasters, *(pid for postmaster in postmasters for pid in _children(postmaster))]

    def child(self, command: str) -> int:
        """The child that runs `command`, as soon as it is there."""
        deadline = time.monotonic() + 20
        while True:
            for pid in _children(self.process.pid):
                if command in _command_line(pid):
                    return pid
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.01)

    def has_child(self, pid: int, command: str) -> bool:
        """Whether a process, such as one of the workers, has a child that runs `command`."""
        return any(command in _command_line(child) for child in _children(pid))

    def assert_nothing_left(self, *others: int, within_s: float) -> None:
        """No process that the command started, none of `others`, and no temporary file."""
        deadline = time.monotonic() + within_s
        while True:
            processes = sorted({*self._marked(), *filter(_is_alive, others)})
            files = list(self.temporary.iterdir())
            if not processes and not files:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"left: {[(pid, _command_line(pid)) for pid in processes]}, {files}")
            time.sleep(0.01)

    def _marked(self) -> Iterator[int]:
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != self.process.pid and _is_alive(int(entry)):
                try:
                    if self._mark in Path("/proc", entry, "environ").read_bytes():
                        yield int(entry)
                except OSError:
                    continue


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (more.get("PYTHONPATH"), str(REPOSITORY))))
    own = {name: value for name, value in os.environ.items() if name not in ("FUMBLE_DEBUG", "NO_COLOR")}
    # Where the user's own runs are noted is not for tests.
    state = str(Path(tempfile.gettempdir()) / f"fumble-tests-{os.getuid()}")
    return {**own, "XDG_STATE_HOME": state, **more, "PYTHONPATH": path}


def heed_interrupts() -> None:
    """Whoever runs the tests in the background ignores Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
