"""`fumble doctor`: which components are there, in which version, where, and how to get those that are not.

It only looks. What a killed run left behind is named too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata, util
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from sim.exits import Exit
from sim.worlds.components import run_record
from sim.worlds.components.postgres import PostgresUnavailable, binaries_folder
from sim.worlds.components.processes import ComponentFailed
from sim.worlds.components.run_record import Leftover, leftovers
from sim.worlds.components.toxiproxy_program import HOW_TO_GET, found

VERSION = 1
_ANSWER_WITHIN_S = 0.5
Need: TypeAlias = Literal["always", "live", "containers", "load"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A component. `need`: what it is for; `fix` says how to get it, and is empty when it is there."""

    component: str
    need: Need
    found: bool
    version: str = ""
    where: str = ""
    fix: str = ""


def examine() -> list[Finding]:
    """All components, in the order in which a user needs them."""
    return [look() for look in _LOOKS]


def healthy(findings: Sequence[Finding]) -> bool:
    """Whether everything is there without which nothing can be played."""
    return all(finding.found for finding in findings if finding.need == "always")


def render(findings: Sequence[Finding], left: Sequence[Leftover]) -> str:
    """For a terminal. Ends with a newline."""
    names = max(len(finding.component) for finding in findings)
    lines = []
    for finding in findings:
        state = "found  " if finding.found else "missing"
        told = f"{finding.version}  {finding.where}".strip() if finding.found else f"fix: {finding.fix}"
        lines.append(f"{state}  {finding.component:<{names}}  {finding.need:<10}  {told}")
    lines.append("")
    lines += [f"left by a run that was killed: {leftover}" for leftover in left] or ["nothing was left by killed runs"]
    if left:
        lines.append(f"(so say the records in {run_record.folder()}; delete them when you have removed what is left)")
    return "\n".join(lines) + "\n"


def render_json(findings: Sequence[Finding], left: Sequence[Leftover]) -> str:
    """For programs. Ends with a newline."""
    report = {
        "version": VERSION,
        "components": [asdict(finding) for finding in findings],
        "leftovers": [asdict(leftover) for leftover in left],
    }
    return json.dumps(report, indent=2) + "\n"


def doctor(options: argparse.Namespace) -> Exit:
    """Say what is there and what is not."""
    findings, left = examine(), leftovers()
    print(render_json(findings, left) if options.json else render(findings, left), end="", flush=True)
    return Exit.PASSED if healthy(findings) else Exit.INTERNAL


def _python() -> Finding:
    return Finding("Python", "always", True, platform.python_version(), sys.executable)


def _embedded_postgres() -> Finding:
    try:
        folder = binaries_folder()
    except PostgresUnavailable as error:
        return Finding("Postgres, embedded", "always", False, fix=str(error).partition("fix: ")[2])
    said = _output([str(folder / "bin/postgres"), "--version"])
    return Finding("Postgres, embedded", "always", True, said.rpartition(" ")[2], str(folder))


def _toxiproxy_program() -> Finding:
    try:
        program = found()
    except ComponentFailed as error:
        return Finding("Toxiproxy, program", "live", False, fix=str(error))
    if program is None:
        return Finding("Toxiproxy, program", "live", False, fix=f"{HOW_TO_GET}; or do without")
    version = _output([program.path, "-version"]).rpartition(" ")[2]
    return Finding("Toxiproxy, program", "live", True, version, program.path)


def _docker() -> Finding:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        version = json.loads(_docker_version(address))["Version"]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        fix = f"start a Docker engine, or set DOCKER_HOST ({address}: {why}); or do without"
        return Finding("Docker engine", "containers", False, fix=fix)
    return Finding("Docker engine", "containers", True, str(version), address)


def _docker_version(address: str) -> bytes:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "docker", parts.port or 2375, timeout=_ANSWER_WITHIN_S)
    if parts.scheme == "unix":
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_ANSWER_WITHIN_S)
        connection.sock.connect(parts.path)
    try:
        connection.request("GET", "/version")
        return connection.getresponse().read(100_000)
    finally:
        connection.close()


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _package(component: str, distribution: str, module: str, need: Need, fix: str) -> Callable[[], Finding]:
    def look() -> Finding:
        try:
            version = metadata.version(distribution)
            place = util.find_spec(module)
        except (metadata.PackageNotFoundError, ModuleNotFoundError):
            return Finding(component, need, False, fix=fix)
        return Finding(component, need, True, version, (place and place.origin) or "")

    return look


_LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _package("aiohttp", "aiohttp", "aiohttp", "always", "pip install fumble"),
    _package("asyncpg", "asyncpg", "asyncpg", "always", "pip install fumble"),
    _embedded_postgres,
    _package("toxiproxy-python", "toxiproxy-python", "toxiproxy", "live", "pip install 'fumble[live]'"),
    _toxiproxy_program,
    _docker,
    _package("testcontainers", "testcontainers", "testcontainers", "containers", "pip install 'fumble[containers]'"),
    _package("Locust", "locust", "locust", "load", "pip install 'fumble[load]'"),
)
