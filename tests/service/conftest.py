"""One service for most tests."""

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from candlecast.settings import Settings, load_settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks
from candlecast.store.database import Database
from service.board import Board
from tests.making import START, make_candles
from tests.service.house import (
    EMPTY,
    LIVE,
    REPLAYED,
    WORLD,
    House,
    begin,
    service_environment,
    serving,
    wait_until_ready,
)


@pytest.fixture(scope="session")
def house(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a service that has spoken about the world once."""
    name = f"candlecast_{uuid.uuid4().hex[:8]}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
    folder = tmp_path_factory.mktemp("service")
    environment = service_environment(url, folder, ",".join(map(str, [*WORLD, EMPTY])))
    with closing(Database(url, url)) as database:
        begin(database, *WORLD)
        with serving(environment, database, folder) as found:
            wait_until_ready(found)
            yield found
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(database_url: str) -> Settings:
    """Return settings of a service with a live series and a replayed one."""
    return load_settings(database_url=database_url, series=f"{LIVE},{REPLAYED}")


@pytest.fixture
def board(database: Database, settings: Settings) -> Board:
    """Return a board of a live series and of a replayed one whose clock stands still at its newest candle."""
    replayed = make_candles(600)
    with database.begin() as connection:
        clocks.start_clock(connection, "replay", start=replayed.cutoff + timedelta(minutes=1), speed=1e-9)
        candle_store.upsert(connection, REPLAYED, replayed, source="test", now=START + timedelta(days=30))
    return Board(settings, database)


def _execute(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)
