import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from candlecast.errors import StoreUnavailable
from candlecast.store import schema
from candlecast.store.database import Database
from candlecast.store.migrate import REVISION, current_revision, migrate, wait_for_schema


def test_the_tables_are_what_the_code_believes(database: Database) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, schema.metadata)
        columns = [column["name"] for column in inspect(connection).get_columns("forecast_error")]
    assert differences == []
    assert columns == list(schema.forecast_error.c.keys())


def test_migrating_twice_changes_nothing(database: Database) -> None:
    assert migrate(database) == REVISION
    with database.begin() as connection:
        assert current_revision(connection) == REVISION


def test_after_a_rollback_the_schema_of_later_code_stays_and_is_enough(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate(database) == "9999"
    wait_for_schema(database, 0)


def test_an_empty_database_is_waited_for_and_then_named(server_url: str, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(StoreUnavailable, match="run python -m candlecast"):
        wait_for_schema(database, 0)


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    away = Database("postgresql://someone:secret@127.0.0.1:1/candlecast")
    with pytest.raises(StoreUnavailable, match="candlecast at 127") as caught, away.begin():
        pass
    assert "secret" not in str(caught.value)
