"""Bring the schema up to date, and wait until somebody has."""

import time
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from candlecast.errors import StoreUnavailable
from candlecast.settings import Settings
from candlecast.store.database import Database, open_database

REVISION = "0011"
"""The revision that this code needs; a test compares it with the newest migration."""


def ready_database(settings: Settings) -> Database:
    """Open the database with this code's schema; an embedded one is migrated on the way, any other must be already."""
    database = open_database(settings)
    try:
        wait_for_schema(database, 0)
    except StoreUnavailable:
        if settings.database_url is not None:
            raise
        migrate(database)
    return database


def migrate(database: Database) -> str:
    """Run all migrations that are missing and return the revision. Safe to run twice, also at once.

    A schema that later code has brought further, as after a rollback, stays as it is.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('candlecast:migrate', 0))"))
        found = current_revision(connection)
        if found is not None and found > REVISION:
            return found
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return current_revision(connection) or ""


def wait_for_schema(database: Database, seconds: float) -> None:
    """Return once the schema has this code's revision or a later one; raise StoreUnavailable after `seconds`."""
    end = time.monotonic() + seconds
    problem = ""
    while True:
        try:
            with database.begin() as connection:
                found = current_revision(connection)
            if found is not None and found >= REVISION:
                return
            problem = f"the schema is at {found or 'nothing'}, this code needs {REVISION}"
        except StoreUnavailable as error:
            problem = error.message
        if time.monotonic() >= end:
            raise StoreUnavailable(f"{problem}; run python -m candlecast.store migrate")
        time.sleep(min(1.0, max(0.05, seconds / 20)))


def current_revision(connection: Connection) -> str | None:
    """Return the schema's revision, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
