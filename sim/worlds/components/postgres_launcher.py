"""Starts a Postgres server in a private folder, and ends it when whoever asked for it is gone.

Run as a program of its own (``python -I -S postgres_launcher.py ORDER``, ORDER a JSON object); imports nothing
but the standard library. It outlives a SIGKILL of the process that started it, which is its purpose: standard
input is a pipe from that process, and end-of-file, or the end of that process, is the order to clean up.

Postgres refuses to run as root. The ladder of ways to be someone else, tried in this order by root:

``userns``  a user namespace in which root is user 1000. Needs no account, leaves no file of a foreign owner.
``setuid``  become ``nobody``. Works where namespaces are forbidden; if that user cannot read the binaries
            (a virtualenv below /root, say), they are copied into the private folder first.
``same``    stay who we are; the only rung when we are not root.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
SOCKET_PATH_MAX = 100
"""sun_path holds 104 bytes on macOS and 108 on Linux."""
END_WITHIN_S = 7.0
"""A postmaster in immediate shutdown sends SIGKILL to what is left after 5 s."""
ABANDONED_S = 600.0
"""So old, what somebody began to keep is not being kept any more."""

_libc = ctypes.CDLL(None, use_errno=True)


def nobody() -> tuple[int, int]:
    try:
        account = pwd.getpwnam("nobody")
        return account.pw_uid, account.pw_gid
    except KeyError:
        return 65534, 65534


def become(rung: str) -> None:
    """Give up root in this process, for good. OSError when the machine does not permit it."""
    if rung == "setuid":
        uid, gid = nobody()
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    elif rung == "userns":
        uid, gid = os.geteuid(), os.getegid()
        if not hasattr(_libc, "unshare") or _libc.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
    if os.geteuid() == 0:
        raise OSError("still root")


def obstacle(rung: str, folder: str, binaries: Path) -> str:
    """What hinders a server on this rung, found by trying in a child; empty if nothing does."""
    answers = ("", "not permitted", "the private folder is out of reach", "binaries unreadable")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            become(rung)
            needed = (binaries / "bin/postgres", binaries / "bin/initdb", binaries / "share/postgresql")
            readable = all(os.access(path, os.R_OK | os.X_OK) for path in needed)
            code = 2 if not os.access(folder, os.R_OK | os.W_OK | os.X_OK) else 0 if readable else 3
        finally:
            os._exit(code)
    return answers[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def copied(binaries: Path, folder: str) -> Path:
    """A copy that the owner of ``folder`` can read, laid out as in the wheel (its library path is relative)."""
    package = binaries.parent
    target = Path(folder, "wheel", package.name, binaries.name)
    for part in ("bin", "lib", "share"):
        shutil.copytree(binaries / part, target / part, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, Path(folder, "wheel", libraries.name))
    status = os.stat(folder)
    for root, folders, files in os.walk(Path(folder, "wheel")):
        for name in [".", *folders, *files]:
            os.chown(Path(root, name), status.st_uid, status.st_gid, follow_symlinks=False)
    return target


def settle_in(rungs: list[str], places: list[str], binaries: Path) -> tuple[str, str, Path]:
    """Make the private folder on the first rung that works: rung, folder, binaries to use.

    It is in the first of `places` that is of use, or where temporary folders are.
    """
    obstacles: list[str] = []
    for rung in rungs:
        for base in dict.fromkeys((*places, tempfile.gettempdir(), "/tmp")):
            folder = tempfile.mkdtemp(prefix="fumble-pg-", dir=base)
            usable = binaries
            try:
                if rung == "setuid":
                    os.chown(folder, *nobody())
                found = obstacle(rung, folder, usable)
                if found == "binaries unreadable" and rung == "setuid":
                    usable = copied(binaries, folder)
                    found = obstacle(rung, folder, usable)
                if len(folder) + len("/.s.PGSQL.65535") > SOCKET_PATH_MAX:
                    found = "path too long for a socket"
            except OSError as error:
                found = str(error)
            if not found:
                return rung, folder, usable
            shutil.rmtree(folder, ignore_errors=True)
            obstacles.append(f"{rung} in {base}: {found}")
    raise RuntimeError("; ".join(obstacles))


def start(order: dict[str, Any], folder: str, binaries: Path) -> subprocess.Popen[bytes]:
    """A new cluster, then the postmaster; what they print goes to ``log`` in the folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    environment["TZ"] = "UTC"  # else initdb looks for this machine's among all that there are, for 50 ms
    data = Path(folder, "data")
    kept = kept_cluster(order["cache"], binaries, order["initdb"])
    with open(Path(folder, "log"), "ab") as log:
        if kept is None or not taken(kept, data):
            made = subprocess.run(
                [binaries / "bin/initdb", "-D", data, *order["initdb"]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder,
            )  # fmt: skip
            if made.returncode != 0:
                raise RuntimeError(f"initdb failed:\n{Path(folder, 'log').read_text()[-2000:]}")
            if kept is not None:
                keep(data, kept)
        settings = {**order["settings"], "unix_socket_directories": folder}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return subprocess.Popen(
            [binaries / "bin/postgres", "-D", data, *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder,
            preexec_fn=_die_with_launcher,
        )  # fmt: skip


def kept_cluster(cache: str, binaries: Path, initdb: list[str]) -> Path | None:
    """Where a cluster as ``initdb`` makes it is kept, 30 MB: to copy one takes a tenth of the time. None: nowhere."""
    if not cache:
        return None
    with open(binaries / "bin/postgres", "rb") as program:
        made_by = hashlib.file_digest(program, "sha256").hexdigest()
    made_how = hashlib.sha256(json.dumps([made_by, initdb]).encode()).hexdigest()
    return Path(cache, f"cluster-{made_how[:16]}")


def taken(kept: Path, data: Path) -> bool:
    """Whether ``data`` is a whole copy of the cluster that is kept; one that lost something is not kept any longer."""
    if not os.path.exists(kept):
        return False
    try:
        size_bytes = int(Path(kept, "size_bytes").read_text())
        if copied_cluster(kept / "data", data) == size_bytes:
            return True
    except (OSError, ValueError):
        pass
    for spoiled in (kept, data):
        shutil.rmtree(spoiled, ignore_errors=True)
    return False


def keep(data: Path, kept: Path) -> None:
    """Keep a copy of ``data``, which no server has touched; not if there is no room for it, or no right to."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        for begun in kept.parent.glob(f"{kept.name}.*"):
            if time.time() - begun.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(begun, ignore_errors=True)
        begun = Path(tempfile.mkdtemp(prefix=f"{kept.name}.", dir=kept.parent))
    except OSError:
        return
    try:
        size_bytes = copied_cluster(data, begun / "data")
        Path(begun, "size_bytes").write_text(str(size_bytes))
        begun.rename(kept)  # all of it at once, and by one of those who try at the same time
    except OSError:
        pass
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def copied_cluster(source: Path, target: Path) -> int:
    """Copy all of a cluster that no server uses: so many bytes."""
    size_bytes = 0

    def copy(one: str, other: str) -> None:
        nonlocal size_bytes
        shutil.copyfile(one, other)
        size_bytes += os.stat(other).st_size

    shutil.copytree(source, target, copy_function=copy)
    return size_bytes


def _die_with_launcher() -> None:
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


def watch(postmaster: subprocess.Popen[bytes], owner: int) -> None:
    """Return when the owner wrote to or closed the pipe, or is gone, or the postmaster ended."""
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    interval_ms = 200
    if hasattr(os, "pidfd_open"):  # a forked child of the owner may hold the pipe open: look at the owner itself
        for pid in (owner, postmaster.pid):
            try:
                poll.register(os.pidfd_open(pid), select.POLLIN)
            except ProcessLookupError:
                return
        interval_ms = -1
    while not poll.poll(interval_ms):
        if postmaster.poll() is not None or os.getppid() != owner:
            return


def children(parent: int) -> list[int]:
    """Processes of ``parent``; backends lead sessions of their own, so no process group finds them."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if name.isdigit():
            try:
                status = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == parent:
                found.append(int(name))
    return found


def end(postmaster: subprocess.Popen[bytes]) -> None:
    """Immediate shutdown, stopped backends included."""
    if postmaster.poll() is None:
        postmaster.send_signal(signal.SIGQUIT)
        backends = children(postmaster.pid)
        deadline = time.monotonic() + END_WITHIN_S
        for backend in backends:
            try:
                os.kill(backend, signal.SIGCONT)
            except ProcessLookupError:
                continue
        try:
            postmaster.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            for process in [*children(postmaster.pid), postmaster.pid]:
                os.kill(process, signal.SIGKILL)
            postmaster.wait()


def report(facts: dict[str, object]) -> None:
    """Tell the owner, if it is still there: it may have been interrupted while the server started."""
    try:
        os.write(sys.stdout.fileno(), json.dumps(facts).encode() + b"\n")
    except BrokenPipeError:
        return


def main() -> None:
    order = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.umask(0o077)
    folder, postmaster = "", None
    try:
        rung, folder, binaries = settle_in(order["rungs"], order["places"], Path(order["binaries"]))
        if rung != "same":
            become(rung)
        postmaster = start(order, folder, binaries)
        report({"rung": rung, "folder": folder, "postmaster_pid": postmaster.pid})
        watch(postmaster, order["owner"])
    except Exception as error:
        report({"error": str(error)})
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if postmaster is not None:
            end(postmaster)
        if folder:
            os.chdir("/")
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
