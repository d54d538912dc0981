from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import UnknownSeries
from candlecast.store import candles as store
from candlecast.store.candles import Written
from candlecast.store.database import CANDLE_CHANNEL, Database
from tests.making import START, make_candles

SERIES = Series.parse("replay:BTC-USDT:15m")
LATER = START + timedelta(days=30)


def write(database: Database, candles: Candles, series: Series = SERIES) -> Written:
    with database.begin() as connection:
        return store.upsert(connection, series, candles, source="test", now=LATER)


def stored(database: Database) -> Candles:
    with database.begin() as connection:
        return store.read(connection, SERIES)


def test_what_is_written_is_read_back_bit_for_bit(database: Database) -> None:
    candles = make_candles(700)
    with_extras = Candles.of(
        Interval.M15,
        **{name: column for name, column in candles.columns().items() if name not in ("quote_volume", "trades")},
        quote_volume=candles.volume * 100,
        trades=np.arange(700),
    )
    assert write(database, with_extras) == Written(700, 0, 0)
    assert stored(database) == with_extras


def test_missing_optional_values_are_null_in_the_table(database: Database) -> None:
    write(database, make_candles(1))
    with database.begin() as connection:
        row = connection.execute(text("SELECT quote_volume, trades, taker_buy_volume FROM candle")).one()
    assert tuple(row) == (None, None, None)


def test_upsert_twice_is_once(database: Database) -> None:
    candles = make_candles(100)
    write(database, candles[:60])
    assert write(database, candles[40:]) == Written(40, 0, 20)
    assert write(database, candles) == Written(0, 0, 100)
    assert stored(database) == candles


def test_a_restated_candle_replaces_the_stored_one(database: Database) -> None:
    candles = make_candles(10)
    write(database, candles)
    volume = candles.volume.copy()
    volume[3] += 1
    restated = Candles.of(Interval.M15, **(candles.columns() | {"volume": volume}))
    assert write(database, restated) == Written(0, 1, 9)
    assert stored(database) == restated


def test_an_open_candle_is_refused(database: Database) -> None:
    candles = make_candles(4)
    with pytest.raises(ValueError, match="not closed"), database.begin() as connection:
        store.upsert(connection, SERIES, candles, source="test", now=candles.cutoff - timedelta(seconds=1))
    with pytest.raises(UnknownSeries):
        stored(database)


def test_candles_of_another_interval_are_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="do not belong"):
        write(database, make_candles(4, Interval.M5))


def test_the_newest_candles_come_oldest_first(database: Database) -> None:
    candles = make_candles(50)
    write(database, candles)
    with database.begin() as connection:
        assert store.read_last(connection, SERIES, 5) == candles[45:]
        assert store.read_last(connection, SERIES, 500) == candles
        before = START + 10 * Interval.M15.delta
        assert store.read_last(connection, SERIES, 5, before=before) == candles[5:10]


def test_a_range_includes_its_start_and_excludes_its_end(database: Database) -> None:
    candles = make_candles(10)
    write(database, candles)
    with database.begin() as connection:
        found = store.read(connection, SERIES, start=START + 2 * Interval.M15.delta, end=START + 4 * Interval.M15.delta)
    assert found == candles[2:4]


def test_extents_tell_how_far_each_series_reaches(database: Database) -> None:
    candles = make_candles(3)
    write(database, candles)
    empty = Series.parse("replay:ETH-USDT:1h")
    with database.begin() as connection:
        store.add_series(connection, [empty])
        first, second = store.extents(connection)
    assert (first.series, first.candles, first.first_open_time) == (SERIES, 3, START)
    assert first.last_open_time == START + 2 * Interval.M15.delta
    assert (second.series, second.candles, second.last_open_time) == (empty, 0, None)


def test_writing_news_notifies_and_writing_nothing_new_does_not(database: Database) -> None:
    listener = database.listener(CANDLE_CHANNEL)
    write(database, make_candles(3))
    assert listener.wait(5) == [(CANDLE_CHANNEL, str(SERIES))]
    write(database, make_candles(3))
    write(database, make_candles(1), Series.parse("replay:ETH-USDT:15m"))
    assert listener.wait(5) == [(CANDLE_CHANNEL, "replay:ETH-USDT:15m")]
    listener.close()
