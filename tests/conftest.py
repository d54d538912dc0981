"""Real parts for every test: a Postgres server per session, a migrated database per test."""

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from candlecast.store.database import Database
from candlecast.store.embedded import embedded_url
from candlecast.store.migrate import migrate


@pytest.fixture(scope="session")
def server_url() -> str:
    """Return the address of a Postgres that tests may fill: CANDLECAST_TEST_DATABASE_URL, or an embedded one."""
    given = os.environ.get("CANDLECAST_TEST_DATABASE_URL")
    if given:
        return given
    # Not below pytest's own folder: a second session resets that folder's rights, and the server is another user.
    directory = Path(tempfile.mkdtemp(prefix="candlecast-test-"))
    # Registered before the server's own exit handler, so run after it.
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return embedded_url(directory)


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Return the name of a migrated database to copy."""
    name = f"candlecast_template_{uuid.uuid4().hex[:8]}"
    _execute(server_url, f"CREATE DATABASE {name}")
    database = Database(_address(server_url, name))
    migrate(database)
    database.close()
    return name


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """Return the address of a migrated, empty database of this test's own."""
    with _copied(server_url, template) as url:
        yield url


@pytest.fixture(scope="module")
def new_database_url(server_url: str, template: str) -> Iterator[Callable[[], str]]:
    """Return a function that makes migrated, empty databases, which last as long as a module's tests."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_copied(server_url, template))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Return that database, opened."""
    opened = Database(database_url, database_url)
    yield opened
    opened.close()


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process under test: this test's database, nothing of the caller's settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    return ours | {
        "CANDLECAST_DATABASE_URL": database_url,
        "CANDLECAST_DATABASE_DIRECT_URL": database_url,
        "CANDLECAST_DATA_DIR": str(tmp_path / "var"),
        # Only what a test starts itself is asked.
        "CANDLECAST_BINANCE_ARCHIVE_URL": "",
        "CANDLECAST_COINGECKO_URL": "",
    }


@contextmanager
def _copied(server_url: str, template: str) -> Iterator[str]:
    name = f"candlecast_{uuid.uuid4().hex[:8]}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _address(server_url, name)
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _address(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _execute(url: str, statement: str) -> None:
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
