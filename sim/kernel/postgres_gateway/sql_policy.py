"""What a statement's text tells before it runs: whether it may run at all, and what it does to its session.

A result must be a function of the scenario and the seed. Whatever makes Postgres answer from its own clock, its
own randomness, or the history of the server cannot be repaired afterwards; and its own timers run in real time,
while virtual time stands still. Such statements are refused by name. The look is at words, not at a parse tree:
string literals, quoted names and comments do not count, function bodies do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """What was found out about one statement text."""

    kind: str
    """Its first word in lower case, ``commit`` for END, ``rollback`` for ABORT, ``begin`` for START."""
    refusal: str | None
    """Why it must not run."""
    holds_tables: bool
    """Until its transaction ends, what another session prepares may wait or change (DDL, LOCK TABLE)."""
    marks_session: bool
    """Leaves something behind that outlives its transaction: a lock, a setting, a cursor, a temporary table."""
    drops_prepared: bool
    """Can end prepared statements behind the protocol's back."""
    fixes_snapshot: bool
    """Its transaction takes one snapshot for all of its statements."""

    @property
    def is_special(self) -> bool:
        return self.holds_tables or self.drops_prepared or self.fixes_snapshot


_REASONS: tuple[tuple[str, str], ...] = (
    (
        r"(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|pg_postmaster_start_time"
        r"|pg_conf_load_time)\s*\(",
        "it reads the wall clock, and time is virtual here; pass the time as a parameter",
    ),
    (
        r"(?:current_timestamp|current_date|current_time|localtimestamp|localtime)\b",
        "it reads the wall clock, and time is virtual here; pass the time as a parameter",
    ),
    (
        r"(gen_random_uuid|uuidv4|uuidv7|uuid_generate_v\w+|random|random_normal|gen_random_bytes|setseed)\s*\(",
        "its value differs in every run; make it in the application and pass it as a parameter",
    ),
    (r"tablesample\b", "which rows it picks depends on the server's past"),
    (
        r"(pg_sleep|pg_sleep_for|pg_sleep_until)\s*\(",
        "it sleeps in real time while virtual time stands still; sleep in the application",
    ),
    (
        r"(pg_backend_pid|pg_current_xact_id\w*|txid_\w+|pg_current_snapshot|pg_export_snapshot|pg_current_wal\w*"
        r"|pg_blocking_pids|inet_client_port|inet_client_addr|inet_server_port|inet_server_addr)\s*\(",
        "its value depends on the server's past",
    ),
    (r"(?:\w+\.)?(?:xmin|xmax|cmin|cmax|ctid|tableoid)\b", "its value depends on the server's past"),
    (r"(?:pg_stat_\w+|pg_statio_\w+|pg_locks\b)", "what it shows depends on the server's past"),
    (
        r"(pg_cancel_backend|pg_terminate_backend|pg_reload_conf|pg_rotate_logfile)\s*\(",
        "it acts on processes that the harness keeps for later runs",
    ),
    (r"copy\b[^;]*\bfrom\s+stdin\b", "COPY FROM STDIN is not simulated; use INSERT"),
    (r"listen\s+\w+\s*(?:;|$)", "notifications are not simulated"),
    (r"prepare\s+transaction\b", "prepared transactions are not simulated"),
    (r"(alter\s+system|create\s+database|drop\s+database)\b", "it concerns the server, not this database"),
)
_REAL_TIME_SETTINGS = (
    "statement_timeout|lock_timeout|deadlock_timeout|transaction_timeout|idle_in_transaction_session_timeout"
    "|idle_session_timeout|client_min_messages|log_lock_waits|log_min_messages"
)
_SETTING_REASON = "the server's timers run in real time, and the gateway needs its messages; use the client's timeouts"

_FORBIDDEN = re.compile(
    "|".join(rf"(?P<r{i}>(?<![\w.$])(?:pg_catalog\.)?(?:{pattern}))" for i, (pattern, _) in enumerate(_REASONS))
)
_SETS_TIMER = re.compile(
    rf"\bset\s+(?:session\s+|local\s+)?({_REAL_TIME_SETTINGS})\b"
    rf"|\bset_config\s*\(\s*'({_REAL_TIME_SETTINGS})'"
)
_CLOCK_WORD = r"'(?:now|today|tomorrow|yesterday)'"
_CLOCK_TYPE = r"(?:timestamptz|timestamp|date|time)\b"
_CLOCK_LITERAL = re.compile(rf"{_CLOCK_WORD}\s*::\s*{_CLOCK_TYPE}|\b{_CLOCK_TYPE}\s*{_CLOCK_WORD}")
_HIDDEN = re.compile(r"""--[^\n]*|/\*.*?\*/|\be'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*\"""", re.DOTALL)
_DOLLAR_QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_HOLDS_TABLES = re.compile(
    r"(?:^|;)\s*(?:create|alter|drop|truncate|lock|reindex|cluster|comment|grant|revoke|vacuum|analyze|refresh|do"
    r"|call|import|security|set\s+(?:session\s+|local\s+)?(?:role|session))\b"
    r"|\bsearch_path\b|(?:^|;)\s*select\b[^;]*\binto\b"
)
_MARKS_SESSION = re.compile(
    r"(?:^|;)\s*(?:set|reset|discard|declare|load|prepare|do|call)\b|advisory_lock|\bset_config\b|\btemp(?:orary)?\b"
)
_DROPS_PREPARED = re.compile(r"(?:^|;)\s*(?:deallocate|discard|prepare)\b")
_FIXES_SNAPSHOT = re.compile(r"\b(?:repeatable\s+read|serializable)\b")
_ALIASES = {"end": "commit", "abort": "rollback", "start": "begin"}

_known: dict[bytes, Text] = {}
_KNOWN_MAX = 4096


def examine(sql: bytes) -> Text:
    """Facts about a statement text, found once for each text."""
    text = _known.get(sql)
    if text is None:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        text = _known[sql] = _examine(sql.decode("utf-8", "replace"))
    return text


def startup_refusal(parameters: dict[str, str]) -> str | None:
    """Why a connection with these start-up parameters must not be made."""
    for name, value in parameters.items():
        given = re.search(_REAL_TIME_SETTINGS, f"{name} {value if name == 'options' else ''}")
        if given:
            return f"the setting {given[0]} is refused: {_SETTING_REASON}"
        if name == "replication":
            return "replication is refused: it is not simulated"
    return None


def _examine(sql: str) -> Text:
    lowered = sql.lower()
    bare = _COMMENT.sub(" ", lowered).lstrip("( \t\r\n;")
    first = re.match(r"\w*", bare)
    word = first[0] if first else ""
    visible = _HIDDEN.sub(" '' ", lowered)
    if word not in ("create", "do"):
        visible = _DOLLAR_QUOTED.sub(" '' ", visible)
    return Text(
        kind=_ALIASES.get(word, word),
        refusal=_refusal(lowered, visible),
        holds_tables=_HOLDS_TABLES.search(visible) is not None,
        marks_session=_MARKS_SESSION.search(visible) is not None,
        drops_prepared=_DROPS_PREPARED.search(visible) is not None,
        fixes_snapshot=_FIXES_SNAPSHOT.search(visible) is not None,
    )


def _refusal(lowered: str, visible: str) -> str | None:
    found = _FORBIDDEN.search(visible)
    if found:
        reason = next(_REASONS[int(name[1:])][1] for name, hit in found.groupdict().items() if hit is not None)
        return f"{found[0].strip()}{')' if found[0].endswith('(') else ''} is refused: {reason}"
    literal = _CLOCK_LITERAL.search(lowered)
    if literal:
        return f"the literal {literal[0]} is refused: {_REASONS[0][1]}"
    timer = _SETS_TIMER.search(_COMMENT.sub(" ", lowered))
    if timer:
        return f"setting {timer[1] or timer[2]} is refused: {_SETTING_REASON}"
    return None
