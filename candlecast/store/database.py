"""Where the database is and how to talk to it: the engine, transactions, notifications."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT
from pydantic import SecretStr
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from candlecast.errors import ConfigurationError, StoreUnavailable
from candlecast.settings import Settings

CANDLE_CHANNEL = "candlecast_candle"
CHAMPION_CHANNEL = "candlecast_champion"
REQUEST_CHANNEL = "candlecast_request"

# libpq prefers what the URL says to its own variables: `sslmode=require` in a secret's URL would undo PGSSLMODE.
_OVER_THE_URL = {"PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert"}

# A host that vanishes without a word is noticed within about ten seconds instead of a quarter of an hour.
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}


class Database:
    """One Postgres. Thread-safe; connections are pooled, checked before use and never kept for long."""

    def __init__(self, url: str, direct_url: str | None = None) -> None:
        self._url = _psycopg2_url(url)
        self._direct_url = _psycopg2_url(direct_url) if direct_url else None
        self._engine = create_engine(
            self._url,
            pool_pre_ping=True,
            pool_recycle=180,
            pool_size=5,
            connect_args={"application_name": "candlecast", **_PATIENCE},
        )

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end of the block; raise StoreUnavailable when Postgres is away."""
        with _as_store_errors(self._url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """Open a transaction on a connection of its own, outside the pool: for locks that last as long as a run."""
        with _as_store_errors(self._url):
            connection = self._engine.connect()
            connection.detach()
            connection.begin()
        try:
            yield connection
        finally:
            # Nothing was written, and the connection may be gone: there is nothing to commit.
            with suppress(SQLAlchemyError):
                connection.close()

    @property
    def address(self) -> str:
        """Its URL, password included: for a child process's environment, never for a log."""
        return _dsn(self._url)

    @property
    def can_listen(self) -> bool:
        """Whether notifications reach us: there is a direct address."""
        return self._direct_url is not None

    def listener(self, *channels: str) -> Listener:
        """Return a Listener on `channels`; raise StoreUnavailable when Postgres is away."""
        if self._direct_url is None:
            raise ConfigurationError("set CANDLECAST_DATABASE_DIRECT_URL to listen for notifications")
        return Listener(self._direct_url, channels)

    def close(self) -> None:
        """Close all pooled connections."""
        self._engine.dispose()


class Listener:
    """A connection that hears NOTIFY on some channels."""

    def __init__(self, url: URL, channels: tuple[str, ...]) -> None:
        with _as_store_errors(url):
            self._connection = psycopg2.connect(_dsn(url), application_name="candlecast-listen", **_PATIENCE)
            self._connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            with self._connection.cursor() as cursor:
                for channel in channels:
                    cursor.execute(f"LISTEN {channel}")

    def wait(self, seconds: float) -> list[tuple[str, str]]:
        """Return what was notified as (channel, payload), after at most `seconds`; StoreUnavailable when cut off."""
        try:
            select.select([self._connection], [], [], seconds)
            self._connection.poll()
        except psycopg2.Error as error:
            raise StoreUnavailable(f"the connection that listens for notifications is gone: {error}") from error
        heard = [(notice.channel, notice.payload) for notice in self._connection.notifies]
        self._connection.notifies.clear()
        return heard

    def close(self) -> None:
        """Stop listening."""
        with suppress(psycopg2.Error):
            self._connection.close()


def open_database(settings: Settings) -> Database:
    """Open the configured database, or start the embedded one where none is configured."""
    if settings.database_url is None:
        from candlecast.store.embedded import embedded_url

        url = embedded_url(settings.data_dir)
        return Database(url, url)
    direct = settings.database_direct_url
    return Database(_address(settings.database_url, settings), _address(direct, settings) if direct else None)


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell listeners when this transaction commits."""
    connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})


def hold_open(connection: Connection) -> None:
    """Let this transaction wait for its next statement as long as it takes."""
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def try_lock(connection: Connection, name: str) -> bool:
    """Take the advisory lock `name` until this transaction ends; return whether it was free."""
    statement = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
    return bool(connection.execute(statement, {"name": name}).scalar_one())


def try_locks(connection: Connection, names: Sequence[str], most: int) -> list[int]:
    """Take the first free ones of some advisory locks, at most so many, as `try_lock` does; return their places."""
    statement = text("""
        SELECT place FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS wanted (name, place)
        WHERE pg_try_advisory_xact_lock(hashtextextended(name, 0)) LIMIT :most
    """)
    return [place - 1 for place in connection.execute(statement, {"names": list(names), "most": most}).scalars()]


def is_locked(connection: Connection, name: str) -> bool:
    """Return whether anybody holds the advisory lock `name`, without touching it."""
    statement = text("""
        SELECT EXISTS (
            SELECT FROM pg_locks, (SELECT hashtextextended(:name, 0) AS key) AS wanted
            WHERE locktype = 'advisory' AND granted AND objsubid = 1
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid
        )
    """)
    return bool(connection.execute(statement, {"name": name}).scalar_one())


def _address(url: SecretStr, settings: Settings) -> str:
    """Return the URL with the settings' own user and password in it."""
    if settings.database_user is None and settings.database_password is None:
        return url.get_secret_value()
    password = settings.database_password
    changed = _psycopg2_url(url.get_secret_value()).set(
        username=settings.database_user, password=password.get_secret_value() if password else None
    )
    return changed.render_as_string(hide_password=False)


def _psycopg2_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL cannot be read; write postgresql://user:password@host/name"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(f"{parsed.get_backend_name()} is not supported; the database must be Postgres")
    overruled = [option for variable, option in _OVER_THE_URL.items() if os.environ.get(variable)]
    return parsed.set(drivername="postgresql+psycopg2").difference_update_query(overruled)


def _dsn(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def _as_store_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg2.OperationalError) as error:
        if isinstance(error, DBAPIError) and not _is_away(error):
            raise
        raise StoreUnavailable(f"cannot reach the database {_place(url)}: {_first_line(error)}") from error


def _is_away(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "pgcode", None)
    lost = isinstance(error.orig, psycopg2.OperationalError | psycopg2.InterfaceError)
    # Classes 08 and 57P: the connection failed, or the server is shutting down or starting.
    return lost and (code is None or code.startswith(("08", "57P", "53")))


def _place(url: URL) -> str:
    host = url.host or Path(str(url.query.get("host", "local socket"))).name
    return f"{url.database} at {host}"


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
