"""Everything through a transaction pooler that requires TLS and cuts idle connections, as managed Postgres has it."""

import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import ConfigurationError
from candlecast.store import candles as candle_store
from candlecast.store import gaps, ledger, models
from candlecast.store.candles import Written
from candlecast.store.database import CANDLE_CHANNEL, Database, try_lock
from candlecast.store.ledger import Entry
from candlecast.store.migrate import REVISION, migrate
from tests.making import START, make_candles, make_forecast
from tests.pooler import Pooler, pooling, requires_pooler
from tests.service.house import BTC, NOON, WORLD, service_environment, serving, set_clock, store, wait_until_ready
from tests.waiting import eventually

pytestmark = requires_pooler

SERIES = Series.parse("replay:BTC-USDT:15m")
LATER = START + timedelta(days=90)


@pytest.fixture(scope="module")
def pooler(server_url: str) -> Iterator[Pooler]:
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="candlecast-pooler-") as folder, pooling(server_url, Path(folder)) as found:
        yield found


@pytest.fixture
def pooled_url(pooler: Pooler, database_url: str) -> str:
    return pooler.url(make_url(database_url).database or "")


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Database]:
    with closing(Database(pooled_url)) as database:
        yield database


def write(database: Database, candles: Candles) -> Written:
    with database.begin() as connection:
        return candle_store.upsert(connection, SERIES, candles, source="replay", now=LATER)


def restated(candles: Candles) -> Candles:
    return Candles.of(candles.interval, **(candles.columns() | {"volume": candles.volume + 1}))


def cut_off(pooler: Pooler, pooled_url: str) -> None:
    """Wait until the pooler has closed every idle connection."""
    name = make_url(pooled_url).database or ""
    eventually(lambda: pooler.clients(name) == 0, 30)


def test_without_tls_nobody_is_let_in(pooled_url: str) -> None:
    plain = make_url(pooled_url).set(drivername="postgresql+psycopg2", query={"sslmode": "disable"})
    with pytest.raises(OperationalError, match="SSL required"):
        create_engine(plain).connect()


def test_candles_and_forecasts_are_written_and_read_across_cut_connections(
    pooler: Pooler, pooled: Database, pooled_url: str
) -> None:
    candles = make_candles(1000)
    assert write(pooled, candles[:900]) == Written(900, 0, 0)
    cut_off(pooler, pooled_url)
    assert write(pooled, candles[:600]) == Written(0, 0, 600)
    assert write(pooled, restated(candles[:5])) == Written(0, 5, 0)
    said = Entry(make_forecast(START, Interval.M15), models.NAIVE, "baseline", START)
    with pooled.begin() as connection:
        models.register_naive(connection)
        assert ledger.record(connection, SERIES, [said]) == [said]
    cut_off(pooler, pooled_url)
    with pooled.begin() as connection:
        assert candle_store.read(connection, SERIES, start=candles.cutoff - timedelta(days=9)) == candles[136:900]
        (hole,) = gaps.missing(connection, SERIES, START, candles.cutoff)
        assert hole.candles(Interval.M15) == 100
        assert connection.execute(text("SELECT count(*) FROM candle_correction")).scalar() == 5
        assert ledger.verify(connection).intact


def test_writers_at_once_share_few_server_connections(pooled_url: str) -> None:
    """Eight writers, four connections to the server: each waits for its turn and finds the table as it is."""
    candles = make_candles(800)

    def run(first: int) -> int:
        with closing(Database(pooled_url)) as mine:
            return sum(write(mine, candles[at : at + 90]).inserted for at in range(first, 800, 80))

    with ThreadPoolExecutor(8) as pool:
        inserted = sum(pool.map(run, [0, 40, 0, 20, 0, 40, 0, 60]))
    assert inserted == 800
    with closing(Database(pooled_url)) as mine, mine.begin() as connection:
        assert candle_store.read(connection, SERIES) == candles


def test_a_jobs_lock_is_held_however_long_its_connection_is_silent(
    pooler: Pooler, pooled: Database, pooled_url: str
) -> None:
    write(pooled, make_candles(3))
    name = make_url(pooled_url).database or ""
    with pooled.own_connection() as holder:
        assert try_lock(holder, "ingestion")
        eventually(lambda: pooler.clients(name) == 1, 30)  # only the holder is left
        with pooled.own_connection() as other:
            assert not try_lock(other, "ingestion")
        assert holder.execute(text("SELECT 1")).scalar() == 1
    with pooled.own_connection() as other:
        assert try_lock(other, "ingestion")


def test_the_schema_is_made_through_the_pooler(pooler: Pooler, server_url: str) -> None:
    name = f"candlecast_{uuid.uuid4().hex[:8]}"
    server = create_engine(make_url(server_url).set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        with closing(Database(pooler.url(name))) as database:
            assert migrate(database) == REVISION
            assert migrate(database) == REVISION
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.mark.parametrize("direct", [True, False])
def test_a_run_of_ingestion_works_with_and_without_a_direct_address(
    pooled_url: str, database_url: str, environment: dict[str, str], direct: bool
) -> None:
    settings = {
        "CANDLECAST_DATABASE_URL": pooled_url,
        "CANDLECAST_SERIES": "simulated:{BTC,ETH}-USDT:{5m,1h}",
        "CANDLECAST_BACKFILL_DAYS": "3",
    }
    ours = {name: value for name, value in environment.items() if direct or "DIRECT" not in name} | settings
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-m", "ingestion_job"], env=ours, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stderr
    with closing(Database(database_url)) as database, database.begin() as connection:
        extents = candle_store.extents(connection)
        states = connection.execute(text("SELECT state FROM job_run")).scalars().all()
    assert sorted(extent.candles // 72 for extent in extents) == [1, 1, 12, 12]
    assert states == ["succeeded", "succeeded"]


def test_what_is_written_through_the_pooler_is_heard_on_the_direct_address(pooled_url: str, database_url: str) -> None:
    with closing(Database(pooled_url, database_url)) as database:
        listener = database.listener(CANDLE_CHANNEL)
        write(database, make_candles(3))
        assert listener.wait(10) == [(CANDLE_CHANNEL, str(SERIES))]
        listener.close()


def test_without_a_direct_address_listening_is_refused_by_name(pooled: Database) -> None:
    assert not pooled.can_listen
    with pytest.raises(ConfigurationError, match="CANDLECAST_DATABASE_DIRECT_URL"):
        pooled.listener(CANDLE_CHANNEL)


def test_a_service_without_a_direct_address_looks_for_news(pooled_url: str, database: Database, tmp_path: Path) -> None:
    candles = WORLD[BTC]
    set_clock(database, NOON)
    store(database, BTC, candles[:-1])
    environment = service_environment(pooled_url, tmp_path, str(BTC), poll_seconds="0.2")
    del environment["CANDLECAST_DATABASE_DIRECT_URL"]
    with serving(environment, database, tmp_path) as house:
        wait_until_ready(house)
        cutoff = house.latest(BTC)["cutoff"]
        store(database, BTC, candles)
        eventually(lambda: house.latest(BTC)["cutoff"] != cutoff, 30)
