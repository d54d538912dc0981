"""A database user per program: its rights suffice for what it does, and for nothing more."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from candlecast.settings import Settings, load_settings
from candlecast.store import clocks, schema
from candlecast.store.database import Database, open_database
from candlecast.store.roles import RIGHTS, grant_roles, role_name
from dispatcher.kubernetes import KubernetesDispatcher
from tests.deploy.test_dispatcher import ApiServer
from tests.programs import ROOT
from tests.service.house import TOKEN, service_environment, serving
from tests.waiting import eventually

SERIES = "simulated:BTC-USDT:1m"
PREFIX = "candlecast_of_a_test"

PASSWORD = "p@ss/w:rd"  # noqa: S105  # of nobody
_INSUFFICIENT_PRIVILEGE = "42501"


@pytest.fixture
def granted(database: Database) -> Iterator[Database]:
    """Return a database whose users exist. They belong to the whole server, so they go at the end."""
    with database.begin() as connection:
        grant_roles(connection, PREFIX, dict.fromkeys(RIGHTS, "in a test they come in by the socket"))
    yield database
    with database.begin() as connection:
        for role in RIGHTS:
            connection.exec_driver_sql(f"DROP OWNED BY {role_name(PREFIX, role)}")
            connection.exec_driver_sql(f"DROP ROLE {role_name(PREFIX, role)}")


@pytest.fixture
def environment(granted: Database, database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return settings with which every program has something to do, however long another one takes."""
    return service_environment(
        database_url,
        tmp_path,
        SERIES,
        ingestion_parallelism="2",  # the parts of a run are written, though nobody takes part
        training_parallelism="2",
        backfill_days="14",  # drift compares a week with what training saw before it
        horizons="60",
        max_staleness="1000",
        min_train_candles="1000",
        retention_candle_days="1",
        retention_run_days="0.000001",
    )


def as_user(environment: dict[str, str], role: str) -> dict[str, str]:
    return environment | {"CANDLECAST_DATABASE_USER": role_name(PREFIX, role)}


def run(environment: dict[str, str], role: str, *program: str) -> str:
    """Run a program as a database user and return its output; it must succeed."""
    command = [sys.executable, "-m", *program]
    done = subprocess.run(
        command, cwd=ROOT, env=as_user(environment, role), capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, f"{role}: {done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.row(24)
def test_each_program_does_its_work_as_its_own_user(
    granted: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    run(environment, "ingest", "ingestion_job")
    run(environment, "train", "training")
    _serve(granted, environment, tmp_path)
    run(environment, "monitor", "monitoring", "drift")
    run(environment, "retain", "ingestion_job", "retention")
    run(environment, "ingest", "ingestion_job")
    proven = json.loads(run(environment, "read", "candlecast.store", "verify-ledger"))
    assert proven["intact"]
    assert proven["rows"] > 0


def _serve(database: Database, environment: dict[str, str], folder: Path) -> None:
    """Let the service answer, promote a model version, take a request for a run and cancel it."""
    with serving(as_user(environment, "serve"), database, folder) as house:
        eventually(lambda: house.get("/v1/status")["ledger_rows"] > 0)
        house.http.headers["Authorization"] = f"Bearer {TOKEN}"
        (model,) = [one["id"] for one in house.get("/v1/models")["models"] if one["id"] != "naive"]
        _accepted(house.http.post(f"/v1/models/{model}/promote", json={"reason": "a test"}))
        asked = _accepted(house.http.post("/v1/runs", json={"job": "training"})).json()["request_id"]
        _accepted(house.http.post(f"/v1/run-requests/{asked}/cancel"))
    assert "permission denied" not in house.log.read_text(encoding="utf-8")


def _accepted(response: httpx.Response) -> httpx.Response:
    assert response.is_success, response.text
    return response


@pytest.mark.row(24)
def test_the_dispatcher_asks_for_first_runs_as_its_own_user(environment: dict[str, str], settings: Settings) -> None:
    own = settings.model_copy(update={"cronjobs": {"ingestion": "r-ingestion"}})
    api = ApiServer()
    KubernetesDispatcher(own, _opened(environment, "dispatch"), httpx.MockTransport(api)).dispatch()
    assert list(api.jobs) == ["r-ingestion-manual-1"]


@pytest.mark.row(24)
@pytest.mark.parametrize("role", RIGHTS)
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM forecast",
        "UPDATE champion SET reason = ''",
        "DELETE FROM candle",
        "INSERT INTO run_request (job, parameters, requested_by) VALUES ('training', '{}', 'me')",
        "INSERT INTO drift_report DEFAULT VALUES",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE candle ADD mine int",
        "DELETE FROM model_version",
        "DELETE FROM candle_correction",
    ],
)
def test_a_user_may_write_what_its_program_writes_and_nothing_else(
    environment: dict[str, str], role: str, statement: str
) -> None:
    words = statement.split()
    verb, table = words[0], words[1 if words[0] == "UPDATE" else 2]
    try:
        with _opened(environment, role).begin() as connection:
            connection.exec_driver_sql(statement)
            connection.rollback()
    except DBAPIError as error:
        refused = getattr(error.orig, "pgcode", None) == _INSUFFICIENT_PRIVILEGE
    else:
        refused = False
    assert refused == (verb not in RIGHTS[role].get(table, ""))


def _opened(environment: dict[str, str], role: str) -> Database:
    url, user = environment["CANDLECAST_DATABASE_URL"], role_name(PREFIX, role)
    return open_database(load_settings(database_url=url, database_user=user))


@pytest.mark.row(24)
def test_every_table_with_rights_exists_and_the_ledger_has_one_writer() -> None:
    tables = set(schema.metadata.tables)
    assert {table for rights in RIGHTS.values() for table in rights} <= tables
    assert {role: rights["forecast"] for role, rights in RIGHTS.items() if "forecast" in rights} == {"serve": "INSERT"}


@pytest.mark.row(24)
def test_whoever_looks_first_at_a_replay_starts_its_clock(granted: Database, environment: dict[str, str]) -> None:
    settings = load_settings(replay_start="2025-09-01T00:00:00Z", replay_speed=5)
    for role in ("serve", "ingest"):
        with closing(_opened(environment, role)) as database, database.begin() as connection:
            assert clocks.venue_clock(connection, "replay", settings).speed == 5
            connection.rollback()


def test_granting_again_changes_nothing_and_takes_back_what_was_given_beside(granted: Database) -> None:
    read = {"role": role_name(PREFIX, "read")}
    with granted.begin() as connection:
        connection.exec_driver_sql(f"GRANT INSERT ON candle TO {read['role']}")
        grant_roles(connection, PREFIX, {})
        may = connection.execute(text("SELECT has_table_privilege(:role, 'candle', 'INSERT')"), read).scalar_one()
        login = connection.execute(text("SELECT rolcanlogin FROM pg_roles WHERE rolname = :role"), read).scalar_one()
    assert (may, login) == (False, True)


def test_a_user_and_a_password_replace_those_of_the_url() -> None:
    url = "postgresql://owner:first@db.example.com:5433/candles?sslmode=require"
    settings = load_settings(database_url=url, database_user="reader", database_password=PASSWORD)
    opened = make_url(open_database(settings).address)
    assert (opened.username, opened.password) == ("reader", PASSWORD)
    assert (opened.host, opened.port, opened.database) == ("db.example.com", 5433, "candles")
    assert opened.query == {"sslmode": "require"}
