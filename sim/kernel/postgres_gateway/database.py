"""The database of one worker process, emptied between worlds.

DELETE and setval cost 0.1 to 0.2 ms, a tenth of TRUNCATE. Dead rows stay, though, and show in the order of rows
that no ORDER BY asks for; ``physically_clean`` also removes those, for a run that has to be the same in every
process. Triggers and foreign keys are off while rows are deleted, so the order of tables does not matter and no
trigger writes anything. A session of its own deletes: to turn triggers off and on again makes a session forget
every plan it has, and planning afresh costs more than the work.
"""

from __future__ import annotations

from collections.abc import Sequence

from .backend import pin
from .control import ControlSession, Row

VACUUM_EVERY = 100
"""Worlds after which dead rows are removed anyway: a reset slows down by a half in 1000 worlds."""

_STATEMENTS_MAX = 1000
"""Statements that a session remembers. Every scenario has one of its own, which makes its workspaces known."""

_TABLES = """
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY n.nspname, c.relname"""
_SEQUENCES = """
    SELECT format('setval(%L, %s, false)', s.seqrelid::regclass::text, s.seqstart)
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relpersistence <> 't' ORDER BY n.nspname, c.relname"""


class Database:
    """One database, through a session of the harness's own."""

    def __init__(self, socket_path: str, name: str, *, core: int | None = None) -> None:
        """``core``: pin the session's backend there, next to the worker."""
        self._session = ControlSession(socket_path, name)
        self._emptier = ControlSession(socket_path, name)
        for session in (self._session, self._emptier):
            pin(session.backend_pid, core)
        self._emptier.query("SET session_replication_role = replica")
        self._resets = 0
        self._prepared: dict[str, bytes] = {}
        self.schema_changed()

    def schema_changed(self) -> None:
        """Look at the tables again. Call it when a world may have changed them."""
        self.tables = [table for (table,) in self._session.query(_TABLES) if table]
        setvals = [call for (call,) in self._session.query(_SEQUENCES) if call]
        statements = [f"DELETE FROM {table}" for table in self.tables]
        if setvals:
            statements.append(f"SELECT {', '.join(setvals)}")
        self._emptier.query("DEALLOCATE ALL")
        self._empty = self._emptier.prepare_all("empty", statements)
        tables = ", ".join(self.tables)
        self._vacuum = f"VACUUM (FREEZE, INDEX_CLEANUP ON, SKIP_DATABASE_STATS) {tables}" if tables else "SELECT"

    def reset(self, *seed: str) -> None:
        """Delete all rows and restart all sequences, then run the statements of ``seed``, triggers on.

        Raises GatewayError if a session still holds a lock."""
        self._resets += 1
        if self._resets % VACUUM_EVERY == 0:
            self.physically_clean(*seed)
        else:
            self._emptier.run(self._empty)
            self._run(seed)

    def physically_clean(self, *seed: str) -> None:
        """As ``reset``, and nothing is left of earlier rows, however a query looks at the tables."""
        self._emptier.run(self._empty)
        self._emptier.query(self._vacuum)
        self._run(seed)

    def query(self, sql: str) -> list[Row]:
        """Rows of one statement as text, outside of virtual time. It is prepared when first asked for."""
        prepared = self._prepared.get(sql)
        if prepared is None:
            if len(self._prepared) == _STATEMENTS_MAX:
                self._session.query("DEALLOCATE ALL")
                self._prepared.clear()
            prepared = self._prepared[sql] = self._session.prepare(f"query_{len(self._prepared)}", sql)
        return self._session.run(prepared)

    def close(self) -> None:
        self._emptier.close()
        self._session.close()

    def _run(self, statements: Sequence[str]) -> None:
        for sql in statements:
            self.query(sql)
