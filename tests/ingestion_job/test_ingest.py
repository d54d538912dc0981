import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series, Symbol
from candlecast.clock import VenueClock
from candlecast.store import candles as store
from candlecast.store import runs
from candlecast.store.database import Database
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared
from tests.venues.exchange import BinanceServer
from tests.venues.hostile import Fault
from tests.waiting import eventually

BTC = Series("binance", Symbol("BTC", "USDT"), Interval.M5)
ETH = Series("binance", Symbol("ETH", "USDT"), Interval.M5)
BEGIN, END = datetime(2024, 12, 31, tzinfo=UTC), datetime(2025, 10, 16, tzinfo=UTC)
CHECKSUM = text("SELECT count(*), md5(string_agg(md5(c::text), '' ORDER BY open_time)) FROM candle c")

Environment = dict[str, str]


def standing_still(moment: datetime) -> VenueClock:
    return VenueClock(start=moment, epoch=datetime.now(UTC), speed=1e-9)


def settings_of(environment: Environment, server: BinanceServer, *series: Series, days: float = 3650) -> Environment:
    return environment | {
        "CANDLECAST_BINANCE_URL": server.url,
        "CANDLECAST_BINANCE_ARCHIVE_URL": "",
        "CANDLECAST_COINGECKO_URL": "",
        "CANDLECAST_SERIES": ",".join(map(str, series or (BTC,))),
        "CANDLECAST_BACKFILL_DAYS": str(days),
        "CANDLECAST_VENUE_BACKOFF": "0",
        "CANDLECAST_VENUE_ATTEMPTS": "2",
    }


def start(environment: Environment) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ingestion_job"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def ingest(environment: Environment) -> tuple[int, str]:
    process = start(environment)
    _, log = process.communicate(timeout=120)
    return process.returncode, log


def stored(database: Database, series: Series = BTC) -> Candles:
    with database.begin() as connection:
        return store.read(connection, series)


def count(database: Database) -> int:
    with database.begin() as connection:
        return int(connection.execute(text("SELECT count(*) FROM candle")).scalar_one())


@requires_shared
def test_all_real_candles_arrive_once_and_a_second_run_fetches_only_news(
    database: Database, environment: Environment
) -> None:
    truth = real_candles("BTC", Interval.M5, BEGIN, END)
    assert len(truth) == 83_232
    with BinanceServer({BTC: truth}, standing_still(END)) as server:
        settings = settings_of(environment, server, days=(END - BEGIN).days)
        assert ingest(settings)[0] == 0
        pages = [request for request in server.requests if request.path.endswith("klines")]
        assert len(pages) == 84
        with database.begin() as connection:
            first = connection.execute(CHECKSUM).one()
        server.requests.clear()
        assert ingest(settings)[0] == 0
        assert [request for request in server.requests if request.path.endswith("klines")] == []
        with database.begin() as connection:
            second = connection.execute(CHECKSUM).one()
    assert first[0] == 83_232
    assert tuple(second) == tuple(first)
    found = stored(database)
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        assert (getattr(found, name) == getattr(truth, name)).all(), name


@requires_shared
def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_twice(
    database: Database, environment: Environment
) -> None:
    truth = real_candles("BTC", Interval.M5, BEGIN, END)
    with BinanceServer({BTC: truth}, standing_still(END)) as server:
        settings = settings_of(environment, server, days=(END - BEGIN).days)
        process = start(settings)
        eventually(lambda: count(database) > 5_000)
        process.kill()
        process.communicate()
        assert 5_000 < count(database) < 83_232
        assert ingest(settings)[0] == 0
    assert (stored(database).close == truth.close).all()
    with database.begin() as connection:
        states = [(row.state, row.error_code) for row in runs.recent(connection, limit=5)]
    assert states == [("succeeded", None), ("failed", "lost")]


def test_of_two_at_once_the_second_says_who_holds_the_lock(database: Database, environment: Environment) -> None:
    truth = make_candles(50, Interval.M5)
    with BinanceServer({BTC: truth}, standing_still(truth.cutoff)) as server:
        settings = settings_of(environment, server, days=1)
        server.hang_next()
        first = start(settings)
        eventually(lambda: server.requests)
        code, log = ingest(settings)
        first.kill()
        first.communicate()
    assert code == 75
    assert f"pid {first.pid} " in log.replace(",", " ")
    assert "holds the lock" in log


def test_sigterm_keeps_what_was_written_and_the_next_run_goes_on(database: Database, environment: Environment) -> None:
    truth = make_candles(30_000, Interval.M5)
    with BinanceServer({BTC: truth}, standing_still(truth.cutoff)) as server:
        settings = settings_of(environment, server, days=200)
        process = start(settings)
        eventually(lambda: count(database) > 0)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 75
        assert "stopped by SIGTERM" in log
        assert 0 < count(database) < 30_000
        assert ingest(settings)[0] == 0
    assert (stored(database).close == truth.close).all()


def test_sigterm_ends_a_run_that_waits_as_the_exchange_asked(database: Database, environment: Environment) -> None:
    truth = make_candles(5_000, Interval.M5)
    with BinanceServer({BTC: truth}, standing_still(truth.cutoff)) as server:
        server.retry_after = "55"
        server.play([None] * 3 + [Fault.SLOW_DOWN_FOR] * 50)
        process = start(settings_of(environment, server, days=20))
        eventually(lambda: server.unspent < 50)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 75
    assert "stopped by SIGTERM" in log
    with database.begin() as connection:
        assert [row.error_code for row in runs.recent(connection, limit=5)] == ["interrupted"]


def test_the_candle_that_is_still_open_is_not_stored(database: Database, environment: Environment) -> None:
    truth = make_candles(50, Interval.M5)
    now = truth.cutoff - timedelta(minutes=2)
    with BinanceServer({BTC: truth}, standing_still(now)) as server:
        assert ingest(settings_of(environment, server, days=1))[0] == 0
        assert server.requests
    assert len(stored(database)) == 49


def test_one_bad_series_does_not_stop_the_others(database: Database, environment: Environment) -> None:
    truth = make_candles(50, Interval.M5)
    with BinanceServer({BTC: truth}, standing_still(truth.cutoff)) as server:
        code, log = ingest(settings_of(environment, server, ETH, BTC, days=1))
    assert code == 65
    assert len(stored(database)) == 50
    assert str(ETH) in log
    with database.begin() as connection:
        (row,) = runs.recent(connection, limit=5)
    assert (row.state, row.failed, row.error_code) == ("failed", 1, "unknown_series")


def test_an_exchange_that_is_down_is_75(environment: Environment) -> None:
    truth = make_candles(50, Interval.M5)
    with BinanceServer({BTC: truth}, standing_still(truth.cutoff)) as server:
        server.fail_next(503, "", {}, times=50)
        code, log = ingest(settings_of(environment, server, days=1))
    assert code == 75
    assert "503" in log


def test_a_request_names_its_series_and_its_start(database: Database, environment: Environment) -> None:
    truth = make_candles(500, Interval.M5)
    begin = truth.cutoff - timedelta(hours=2)
    with database.begin() as connection:
        runs.ask(connection, "ingestion", {"series": [str(BTC)], "start": begin.isoformat()}, requested_by="ann")
    with BinanceServer({BTC: truth, ETH: truth}, standing_still(truth.cutoff)) as server:
        assert ingest(settings_of(environment, server, BTC, ETH, days=1))[0] == 0
        assert {request.params["symbol"] for request in server.requests if "symbol" in request.params} == {"BTCUSDT"}
    assert stored(database) == store_view(truth[-24:])


def test_a_wrong_setting_is_named_before_anything_happens(environment: Environment) -> None:
    code, log = ingest(environment | {"CANDLECAST_SERIES": "binance:BTCUSDT:5m", "CANDLECAST_HORIZONS": "0"})
    assert code == 78
    assert "CANDLECAST_SERIES" in log
    assert "CANDLECAST_HORIZONS" in log


def store_view(candles: Candles) -> Candles:
    """Return what the store holds of candles that a Binance server gave: its rows carry the optional columns too."""
    from tests.venues.exchange import kline

    rows = [kline(candles, row, 2**60) for row in range(len(candles))]
    columns = {"quote_volume": 7, "trades": 8, "taker_buy_volume": 9}
    extra = {name: [float(row[place]) for row in rows] for name, place in columns.items()}
    return Candles.of(candles.interval, **(candles.columns() | extra))
