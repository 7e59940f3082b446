"""The locustfile used the Locust way: no fumble beside it, against a broker that runs already."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from sim.worlds.components.postgres import embedded_postgres
from sim.worlds.load.records import SUFFIX, RecordFile
from tests.benchmarks.load.service import BROKER, running
from tests.unit.fumble_process import REPOSITORY

_HARMLESS = ("the client left", "the load ended")
"""Why an operation of a correct load may have no outcome: it was hung up on, or cut off at the end."""


async def played(folder: Path, database_url: str) -> subprocess.CompletedProcess[str]:
    """Locust against a broker, four seconds."""
    environment = {"DATABASE_URL": database_url, "PORT": "0", "BROKER_MIGRATE": "1", "BROKER_ENV": "development"}
    async with running(BROKER, environment) as broker:
        command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--run-time", "4s"]
        command += ["--users", "14", "--spawn-rate", "14", "--host", f"http://127.0.0.1:{broker.port}"]
        command += ["--locustfile", str(REPOSITORY / "scenarios" / "load" / "locustfile.py")]
        command += ["--records", str(folder / "records"), "--json-file", str(folder / "told")]
        return await asyncio.to_thread(
            subprocess.run, command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
        )


def test_locust_alone(tmp_path: Path) -> None:
    with embedded_postgres(listen_tcp=True) as server:
        server.create_database("alone")
        done = asyncio.run(played(tmp_path, server.dsn("alone")))
    assert done.returncode == 0, done.stderr
    counted = sum(entry["num_requests"] for entry in json.loads((tmp_path / "told.json").read_text()))
    (records,) = (tmp_path / "records").glob(f"*{SUFFIX}")
    file = RecordFile(records, 0.0, 0.0)
    operations = list(file.operations())
    assert not file.troubles and len(operations) >= counted > 20
    actions = {each.action for each in operations}
    # What people on a canvas do, they do by chance.
    assert actions >= {"delegate", "inbox"} and actions & {"list", "send"}
    strange = [each for each in operations if each.outcome != "ok" and each.said not in _HARMLESS]
    assert strange == []


def test_a_scenario_without_a_load_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "--headless", "--locustfile"]
    command += [str(REPOSITORY / "scenarios" / "load" / "locustfile.py"), "--host", "http://127.0.0.1:1"]
    steps = str(REPOSITORY / "scenarios" / "happy" / "push.yaml")
    done = subprocess.run(
        [*command, "--scenario", steps], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0 and "has no section `load`" in done.stderr
