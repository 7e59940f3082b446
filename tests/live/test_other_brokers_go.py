"""A broker in Go, as another team would have it: it passes, and Go's commonest mistake is found over HTTP alone.

Where there is no Go that is new enough, the broker in Python (`test_other_brokers`) says the same.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sim.worlds.components.processes import Port

from .other_brokers import REPOSITORY, adapter, broken, played

GO = shutil.which("go", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/go/bin")))
SOURCE = Path(__file__).with_name("go_broker")
LEAST = (1, 22)
ENVIRONMENT = {**os.environ, "GOTOOLCHAIN": "local"}
STORIES = [str(REPOSITORY / "scenarios" / "any_broker" / f"{name}.yaml") for name in ("answered", "client_hangs_up")]
ADAPTER = """
paths: {mcp: none, record: none, report: none, send: none, heartbeat: none, events: none}
durations: {retry_delay: 300ms, settle: 3s, quiet: 1s}
command: [%s, -listen, "127.0.0.1:%d"%s]
"""


def version() -> tuple[int, ...]:
    """That of Go; empty if there is none."""
    if GO is None:
        return ()
    said = subprocess.run([GO, "env", "GOVERSION"], capture_output=True, text=True, env=ENVIRONMENT, check=False).stdout
    return tuple(int(part) for part in re.findall("[0-9]+", said)[:2])


pytestmark = pytest.mark.skipif(version() < LEAST, reason="no Go 1.22 here: put go on PATH (https://go.dev/dl)")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The broker, built."""
    built = tmp_path_factory.mktemp("go") / "broker"
    assert GO is not None
    subprocess.run([GO, "build", "-o", str(built), "."], check=True, cwd=SOURCE, env=ENVIRONMENT)
    return str(built)


@pytest.mark.parametrize(
    ("flag", "found"), [("", [set(), set()]), (", -request-context", [{"INV-01", "INV-03", "EXPECT"}, {"INV-03"}])]
)
def test_a_broker_in_go_is_played_against(program: str, flag: str, found: list[set[str]], tmp_path: Path) -> None:
    port = Port()
    told = adapter(tmp_path, ADAPTER % (program, port.number, flag))
    code, runs = played(*STORIES, "--broker-url", f"http://127.0.0.1:{port.number}", "--adapter", told)
    port.release()
    assert [broken(run) for run in runs] == found
    assert code == (1 if flag else 0)
