"""What docs/install.md says of an owner who may not create users, on a real Postgres."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection, make_url

from candlecast.store.database import Database
from candlecast.store.migrate import REVISION
from candlecast.store.roles import RIGHTS
from tests.programs import ROOT


@pytest.fixture
def administrator(server_url: str) -> Iterator[Connection]:
    """Return a connection of the server's administrator."""
    engine = create_engine(make_url(server_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def prefix() -> str:
    """Return the prefix of users of this test's own: they belong to the whole server."""
    return f"candlecast_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def owned_url(administrator: Connection, server_url: str, prefix: str) -> Iterator[str]:
    """Return the address of an empty database as its owner, who may do nothing else on the server."""
    owner = f"{prefix}_owner"
    administrator.exec_driver_sql(f"CREATE ROLE {owner} LOGIN NOSUPERUSER NOCREATEROLE PASSWORD 'secret'")
    administrator.exec_driver_sql(f"CREATE DATABASE {prefix} OWNER {owner}")
    url = make_url(server_url).set(database=prefix, username=owner, password="secret")  # noqa: S106  # of a test
    yield url.render_as_string(hide_password=False)
    administrator.exec_driver_sql(f"DROP DATABASE {prefix} WITH (FORCE)")
    query = text("SELECT rolname FROM pg_roles WHERE starts_with(rolname, :prefix)")
    for user in administrator.execute(query, {"prefix": prefix}).scalars().all():
        administrator.exec_driver_sql(f"DROP ROLE {user}")


def store(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m candlecast.store` on a database."""
    command = [sys.executable, "-m", "candlecast.store", *arguments]
    environment = {"CANDLECAST_DATABASE_URL": url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.row(24)
def test_where_an_administrator_made_the_users_the_owner_migrates_and_gives_them_their_rights(
    administrator: Connection, owned_url: str, prefix: str
) -> None:
    statement = re.search(r"CREATE ROLE [^\"]+;", (ROOT / "docs/install.md").read_text(encoding="utf-8"))
    assert statement is not None
    for role in RIGHTS:
        made = statement[0].replace("candlecast_$role", f"{prefix}_{role}").replace("$password", "secret")
        administrator.exec_driver_sql(made)
    done = store(owned_url, "migrate", "--roles", prefix)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"revision": REVISION, "roles": [f"{prefix}_{role}" for role in RIGHTS]}
    database = Database(owned_url)
    with database.begin() as connection:
        may = text("SELECT has_table_privilege(:user, 'forecast', 'INSERT')")
        writers = [role for role in RIGHTS if connection.execute(may, {"user": f"{prefix}_{role}"}).scalar_one()]
        (owner,) = connection.execute(text("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"))
    database.close()
    assert writers == ["serve"]
    assert owner.tableowner == f"{prefix}_owner"


def test_rights_on_tables_that_are_not_there_are_refused_with_the_way_out(owned_url: str, prefix: str) -> None:
    done = store(owned_url, "roles", "--prefix", prefix)
    assert done.returncode == 75
    assert "run python -m candlecast.store migrate" in done.stderr
