"""The server's log: one JSON object a line on standard output, with the members and levels of Toxiproxy's."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

LOGGER = "fakes.toxiproxy"

TRACE = 5
_LEVELS: Mapping[str, int] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
    "disabled": logging.CRITICAL + 1,
}
_WORDS = {number: word for word, number in _LEVELS.items() if word != "panic"}
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {name: value for name, value in vars(record).items() if name not in _OWN}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = {"level": _WORDS[record.levelno], **facts, "time": time, "message": record.getMessage()}
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)


def set_up(level: str | None) -> None:
    """Log at `level`, by default everything, as Toxiproxy does."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(_LEVELS.get((level or "trace").lower(), TRACE))
    if level and level.lower() not in _LEVELS:
        logger.error('unknown LOG_LEVEL value: "%s"', level)
