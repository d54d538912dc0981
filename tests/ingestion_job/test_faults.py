"""The job is killed and Postgres goes away in the middle of a backfill: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import StoreUnavailable
from candlecast.store import candles as store
from candlecast.store.database import Database
from candlecast.store.migrate import migrate
from tests.ingestion_job.postgres import Postgres
from tests.making import START, make_candles
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import complete
from tests.waiting import eventually

BTC = Series.parse("binance:BTC-USDT:5m")
ETH = Series.parse("binance:ETH-USDT:5m")
TRUTH = {series: complete(make_candles(6_000, Interval.M5, seed=seed)) for seed, series in enumerate((BTC, ETH))}
NOW = START + len(TRUTH[BTC]) * BTC.interval.delta

Environment = dict[str, str]


@pytest.fixture
def exchange() -> Iterator[BinanceServer]:
    with BinanceServer(TRUTH, lambda: NOW) as server:
        yield server


def settings_of(environment: Environment, exchange: BinanceServer) -> Environment:
    return environment | {
        "CANDLECAST_BINANCE_URL": exchange.url,
        "CANDLECAST_BINANCE_ARCHIVE_URL": "",
        "CANDLECAST_COINGECKO_URL": "",
        "CANDLECAST_SERIES": f"{BTC},{ETH}",
        "CANDLECAST_BACKFILL_DAYS": str((NOW - START) / timedelta(days=1)),
        "CANDLECAST_VENUE_BACKOFF": "0",
    }


def start(environment: Environment) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ingestion_job"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def count(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM candle")).scalar_one())


def _has_more(database: Database, before: int) -> bool:
    return count(database) > before


def stored(database: Database, series: Series) -> Candles:
    with database.begin() as connection:
        return store.read(connection, series)


def _kill(environment: Environment, exchange: BinanceServer, dice: random.Random) -> int:
    """Kill the job while one of its requests, by chance which, is answered; return how it ended."""
    due, moment = dice.randint(1, 8), threading.Event()
    before = len(exchange.requests)

    def now() -> datetime:
        if len(exchange.requests) - before >= due:
            moment.set()
        return NOW

    exchange.clock = now
    process = start(environment)
    while process.poll() is None and not moment.wait(0.01):
        pass
    moment.wait(dice.uniform(0, 0.05))
    process.kill()
    process.communicate()
    exchange.clock = lambda: NOW
    return process.returncode


def _kill_often(times: int, database: Database, settings: Environment, exchange: BinanceServer) -> None:
    dice = random.Random(times)  # noqa: S311  # a test's dice
    endings = []
    for _ in range(times):
        if count(database) == sum(map(len, TRUTH.values())):
            with database.begin() as connection:
                connection.execute(text("DELETE FROM candle WHERE extract(minute FROM open_time) = 5"))
        endings.append(_kill(settings, exchange, dice))
        for series in TRUTH:
            _check_part(database, series)
    assert endings.count(-signal.SIGKILL) > times / 2
    last = start(settings)
    _, log = last.communicate(timeout=200)
    assert last.returncode == 0, log
    for series, truth in TRUTH.items():
        assert stored(database, series) == truth


def _check_part(database: Database, series: Series) -> None:
    """What is there at any moment is whole pages of the truth."""
    with database.begin() as connection:
        if series not in store.series_ids(connection):
            return
    found, truth = stored(database, series), TRUTH[series]
    assert found == truth[np.isin(truth.open_time, found.open_time)]


def test_killed_at_any_moment_nothing_is_lost_and_nothing_is_twice(
    database: Database, environment: Environment, exchange: BinanceServer
) -> None:
    _kill_often(3, database, settings_of(environment, exchange), exchange)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_fifty_times_nothing_is_lost_and_nothing_is_twice(
    database: Database, environment: Environment, exchange: BinanceServer
) -> None:
    _kill_often(50, database, settings_of(environment, exchange), exchange)


@pytest.mark.slow
def test_a_database_that_stops_in_the_middle_of_a_backfill_costs_nothing_but_time(
    environment: Environment, exchange: BinanceServer, tmp_path: Path
) -> None:
    postgres = Postgres()
    database = Database(postgres.url)
    migrate(database)
    settings = settings_of(environment, exchange) | {"CANDLECAST_DATABASE_URL": postgres.url}
    try:
        for _ in range(3):
            before = count(database)
            process = start(settings)
            eventually(partial(_has_more, database, before))
            postgres.stop()
            _, log = process.communicate(timeout=100)
            assert process.returncode == 75, log
            with pytest.raises(StoreUnavailable):
                count(database)
            postgres.start()
            for series in TRUTH:
                _check_part(database, series)
        assert 0 < count(database) < sum(map(len, TRUTH.values()))
        last = start(settings)
        _, log = last.communicate(timeout=200)
        assert last.returncode == 0, log
        for series, truth in TRUTH.items():
            assert stored(database, series) == truth
    finally:
        database.close()
        postgres.remove()
