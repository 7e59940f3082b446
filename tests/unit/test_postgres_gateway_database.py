"""Emptying a database between worlds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sim.kernel.postgres_gateway import ControlSession, Database, GatewayError, SqlError
from sim.kernel.postgres_gateway.database import VACUUM_EVERY
from sim.worlds.components.postgres import EmbeddedPostgres

SCHEMA = """
CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY (START 5) PRIMARY KEY, b int);
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE RESTRICT);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE RESTRICT;
CREATE TABLE audit (what text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO audit VALUES (TG_OP); RETURN OLD; END $$;
CREATE TRIGGER noted AFTER INSERT OR DELETE ON a FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE parts (k int) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE SCHEMA other;
CREATE TABLE other."Odd name" (id serial, x text);
"""
ROWS = [
    "INSERT INTO b VALUES (1, NULL)",
    "INSERT INTO a (b) VALUES (1), (1)",
    "UPDATE b SET a = 5",
    "INSERT INTO parts VALUES (1)",
    """INSERT INTO other."Odd name" (x) VALUES ('y'), ('z')""",
]


@pytest.fixture(scope="module")
def name(postgres_server: EmbeddedPostgres) -> str:
    postgres_server.create_database("emptied", SCHEMA)
    return "emptied"


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, name: str) -> Iterator[Database]:
    database = Database(postgres_server.socket_path, name)
    yield database
    database.close()


COUNTS = 'SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM audit), ' \
    '(SELECT count(*) FROM parts), (SELECT count(*) FROM other."Odd name")'  # fmt: skip


@pytest.mark.parametrize("how", ["reset", "physically_clean"])
def test_rows_are_gone_despite_cycles_and_triggers_and_sequences_restart(database: Database, how: str) -> None:
    empty = getattr(database, how)
    for _ in range(3):
        empty()
        assert database.query(COUNTS) == [("0", "0", "0", "0", "0")]
        empty(*ROWS)
        assert database.query(COUNTS) == [("2", "1", "2", "1", "2")]
        assert database.query("SELECT id FROM a ORDER BY id") == [("5",), ("6",)]
        assert database.query('SELECT id FROM other."Odd name" ORDER BY id') == [("1",), ("2",)]


def test_seed_rows_are_checked_as_usual(database: Database) -> None:
    with pytest.raises(SqlError, match="23503"):
        database.reset("INSERT INTO b VALUES (1, 77)")
    database.reset()


def test_physically_clean_leaves_no_trace_in_unordered_results(database: Database) -> None:
    def unordered(disturbances: int) -> list[object]:
        for _ in range(disturbances):
            database.reset("INSERT INTO audit SELECT 'x' || n FROM generate_series(1, 40) n")
            database.query("UPDATE audit SET what = what || '!' WHERE what LIKE '%3%'")
        database.physically_clean("INSERT INTO audit SELECT n FROM generate_series(1, 30) n")
        database.query("UPDATE audit SET what = what || '!' WHERE what LIKE '%2%'")
        return [*database.query("SELECT what, ctid FROM audit"), *database.query("EXPLAIN SELECT what FROM audit")]

    assert unordered(0) == unordered(7) == unordered(3)


def test_dead_rows_do_not_pile_up(database: Database) -> None:
    sizes = []
    for _ in range(3 * VACUUM_EVERY):
        database.reset("INSERT INTO audit SELECT repeat('x', 200) FROM generate_series(1, 20)")
        sizes.append(int(database.query("SELECT pg_relation_size('audit')")[0][0] or 0))
    assert max(sizes[2 * VACUUM_EVERY :]) <= max(sizes[:VACUUM_EVERY]) + 8192


def test_a_lock_that_is_still_held_is_reported_instead_of_waited_for(
    postgres_server: EmbeddedPostgres, database: Database, name: str
) -> None:
    holder = ControlSession(postgres_server.socket_path, name)
    holder.query("BEGIN", "LOCK TABLE a")
    with pytest.raises(GatewayError, match="close the gateway of the previous world"):
        database.reset()
    holder.close()


def test_changed_schemas_are_looked_at_again(database: Database) -> None:
    database.query("CREATE TABLE late (a int)")
    database.schema_changed()
    assert "late" in database.tables
    database.reset("INSERT INTO late VALUES (1)")
    database.reset()
    assert database.query("SELECT count(*) FROM late") == [("0",)]
    database.query("DROP TABLE late")
    database.schema_changed()


def test_a_session_is_asked_more_different_things_than_it_remembers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.kernel.postgres_gateway.database._STATEMENTS_MAX", 3)
    for number in [*range(10), *range(10)]:
        assert database.query(f"SELECT {number}") == [(str(number),)]
    ((remembered,),) = database.query("SELECT count(*) FROM pg_prepared_statements")
    assert remembered == "3"
