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

from reference_impl.command_line import read_flags
from reference_impl.config import Config, ConfigError
from tests.contract.database import Database
from tests.contract.world import world

SECRET = "a-secret-nobody-may-see"
COMMAND = [sys.executable, "-m", "reference_impl"]


def started(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The service, when it has ended by itself."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_help_names_every_setting_with_its_flag_unit_and_default() -> None:
    shown = started("--help").stdout
    assert "(default: 8; original: delegationRetryDelay)" in shown
    for setting in fields(Config):
        facts = setting.metadata
        flag = f"--{facts['name'].lower().replace('_', '-')}, "
        line = facts["name"] if facts["unit"] == "secret" else flag + facts["name"]
        assert f"\n  {line}\n      {facts['meaning']} [{facts['unit']}] (default: " in shown


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


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {"PORT": "http"}, "PORT: 'http' in the environment must be a port number, 0 to 65535"),
        (["--port", "http"], {}, "PORT: 'http' on the command line must be a port number, 0 to 65535"),
        (["--port=-1"], {"PORT": "0"}, "leave it out to get the default, 8080"),
        (["--prot", "0"], {}, "unknown argument '--prot'; did you mean --port?"),
        (["serve"], {}, "unknown argument 'serve'; leave it out"),
        (["--port"], {}, "--port: the value is missing; write --port=VALUE [port]"),
        (["--port", "--broker-migrate=1"], {}, "--port: the value is missing"),
        (["--port=1", "--port=2"], {}, "--port: given twice"),
        ([f"--admin-token={SECRET}"], {}, "set ADMIN_TOKEN in the environment instead"),
        (["--admin-token", SECRET], {}, "set ADMIN_TOKEN in the environment instead"),
        ([], {"DATABASE_URL": SECRET}, "DATABASE_URL: the value in the environment must look like postgres://"),
        ([], {"DATABASE_URL": f"postgres://me:{SECRET}#1@localhost/db"}, "DATABASE_URL: the value cannot be read"),
        ([], {"DATABASE_URL": f"postgres://h/db?sslmode={SECRET}"}, "DATABASE_URL: the value cannot be read"),
        ([], {"ADMIN_TOKEN": SECRET, "BROKER_GRACE": "soon"}, "BROKER_GRACE: 'soon' in the environment must be"),
    ],
)
def test_the_service_refuses_in_one_line_that_names_place_and_fix(
    arguments: list[str], environment: dict[str, str], said: str
) -> None:
    ended = started(*arguments, **environment)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert SECRET not in ended.stderr


def test_a_flag_wins_over_the_environment() -> None:
    flags = read_flags(["--delegation-retry-delay", "0.5", "--broker-host=::1", "--port="])
    config = Config.from_environment({"DELEGATION_RETRY_DELAY": "3", "PORT": "9"}, flags=flags)
    assert (config.retry_delay_s, config.host, config.port) == (0.5, "::1", 9)


def test_settings_are_read_from_the_environment() -> None:
    config = Config.from_environment(
        {"PORT": "0", "BROKER_ENV": "dev", "DELEGATION_LEDGER_WRITE": "0", "ADMIN_TOKEN": ""}
    )
    assert (config.port, config.fails_open, config.ledger_write, config.retry_delay_s) == (0, True, False, 8.0)


@pytest.mark.parametrize("reachable", [True, False])
def test_sigterm_ends_the_service(database: Database, reachable: bool) -> None:
    async def play() -> None:
        async with world(database.on_real_sockets()) as it:
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
