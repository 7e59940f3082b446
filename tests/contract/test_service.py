"""`python -m reference_impl`: help, refusals, and an orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields

import pytest

from reference_impl.config import Config, ConfigError
from tests.contract.world import world

COMMAND = [sys.executable, "-m", "reference_impl"]


def test_help_names_every_setting() -> None:
    shown = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    for setting in fields(Config):
        assert setting.metadata["name"] in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DELEGATION_LEDGER_WRITE", "true"),
        ("DELEGATION_RESULT_INBOX_PUSH", "yes"),
        ("PORT", "99999"),
        ("PORT", "-1"),
        ("DELEGATION_RETRY_DELAY", "nan"),
        ("DELEGATION_RETRY_DELAY", "0"),
        ("DATABASE_POOL", "0"),
        ("BROKER_GRACE", "soon"),
    ],
)
def test_an_invalid_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Config.from_environment({name: value})


def test_the_service_refuses_with_exit_code_4_and_no_traceback() -> None:
    environment = {**os.environ, "PORT": "http"}
    ended = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 4
    assert "PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_settings_are_read_from_the_environment() -> None:
    config = Config.from_environment(
        {"PORT": "0", "BROKER_ENV": "dev", "DELEGATION_LEDGER_WRITE": "0", "ADMIN_TOKEN": ""}
    )
    assert (config.port, config.fails_open, config.ledger_write, config.retry_delay_s) == (0, True, False, 8.0)


@pytest.mark.parametrize("reachable", [True, False])
def test_sigterm_ends_the_service(database: tuple[str, str], reachable: bool) -> None:
    async def play() -> None:
        async with world(database) as it:
            it.wire.refusing = not reachable
            environment = {**os.environ, "PORT": "0", "DATABASE_URL": it.config.database_url, "BROKER_MIGRATE": "1"}
            service = await asyncio.create_subprocess_exec(*COMMAND, env=environment, stderr=asyncio.subprocess.PIPE)
            assert service.stderr is not None
            awaited = b"listening on port" if reachable else b"connecting to the database"
            while awaited not in (line := await service.stderr.readline()):
                assert line, "the service ended early"
            began = time.monotonic()
            service.send_signal(signal.SIGTERM)
            assert await service.wait() == 0
            assert time.monotonic() - began < 3
            assert b"Traceback" not in await service.stderr.read()

    asyncio.run(play())
