"""What a reader of candles does not know yet is found by one statement, whoever wrote it and in whatever order."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pytest

from candlecast.candles import Candles, Series
from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from candlecast.store.news import Seen, read_news
from tests.making import START, make_candles

BTC = Series.parse("binance:BTC-USDT:15m")
ETH = Series.parse("binance:ETH-USDT:15m")
MOST = 64
WHOLE = make_candles(200)
LATER = START + timedelta(days=30)


class Reader:
    """Follows BTC and ETH as a worker does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.begin() as connection:
            self._ids = candle_store.add_series(connection, [BTC, ETH])
        self._seen = {number: Seen.nothing(series.interval) for series, number in self._ids.items()}

    def look(self) -> set[Series]:
        """Read what is new and return whose window changed."""
        with self._database.begin() as connection:
            news = read_news(connection, self._seen, MOST)
        self._seen |= news
        return {series for series, number in self._ids.items() if number in news}

    def candles(self, series: Series) -> Candles:
        return self._seen[self._ids[series]].candles


@pytest.fixture
def reader(database: Database) -> Reader:
    return Reader(database)


def write(database: Database, series: Series, candles: Candles) -> None:
    with database.begin() as connection:
        candle_store.upsert(connection, series, candles, source="binance", now=LATER)


def changed(candles: Candles, at: int, close: float) -> Candles:
    """Return one candle with another close and a range that holds it."""
    one = candles[at : at + 1]
    values = one.columns() | {"close": np.array([close]), "high": np.maximum(one.high, close), "low": one.low / 2}
    return Candles.of(candles.interval, **values)


def test_the_first_look_finds_the_newest_candles_and_a_quiet_one_nothing(database: Database, reader: Reader) -> None:
    assert reader.look() == set()
    write(database, BTC, WHOLE)
    assert reader.look() == {BTC}
    assert reader.candles(BTC) == WHOLE[-MOST:]
    assert len(reader.candles(ETH)) == 0
    assert reader.look() == set()


def test_what_arrives_moves_the_window_of_its_series_alone(database: Database, reader: Reader) -> None:
    write(database, BTC, WHOLE[:150])
    write(database, ETH, WHOLE[:20])
    assert reader.look() == {BTC, ETH}
    write(database, BTC, WHOLE[150:153])
    assert reader.look() == {BTC}
    assert reader.candles(BTC) == WHOLE[153 - MOST : 153]
    write(database, ETH, WHOLE[20:22])
    assert reader.look() == {ETH}
    assert reader.candles(ETH) == WHOLE[:22]


def test_a_hole_is_seen_and_its_filling_too(database: Database, reader: Reader) -> None:
    write(database, BTC, WHOLE[:170])
    write(database, BTC, WHOLE[171:180])
    write(database, BTC, WHOLE[183:])
    reader.look()
    assert [gap.missing for gap in reader.candles(BTC).gaps()] == [1, 3]
    assert reader.look() == set()
    write(database, BTC, WHOLE[181:182])
    assert reader.look() == {BTC}
    assert [gap.missing for gap in reader.candles(BTC).gaps()] == [1, 1, 1]
    write(database, BTC, WHOLE)
    reader.look()
    assert reader.candles(BTC) == WHOLE[-MOST:]


def test_a_window_that_is_not_full_takes_older_candles(database: Database, reader: Reader) -> None:
    write(database, BTC, WHOLE[190:])
    reader.look()
    write(database, BTC, WHOLE[100:190])
    assert reader.look() == {BTC}
    assert reader.candles(BTC) == WHOLE[-MOST:]


def test_a_restated_candle_is_read_again_once(database: Database, reader: Reader) -> None:
    write(database, BTC, WHOLE)
    reader.look()
    write(database, BTC, changed(WHOLE, 180, 50.0))
    write(database, BTC, changed(WHOLE, 180, 70.0))
    assert reader.look() == {BTC}
    assert reader.candles(BTC).close[180 - 200] == 70.0
    assert reader.look() == set()
    write(database, BTC, WHOLE[180:181])
    assert reader.look() == {BTC}
    assert reader.candles(BTC) == WHOLE[-MOST:]


def test_what_was_restated_before_the_first_look_or_outside_the_window_is_no_news(
    database: Database, reader: Reader
) -> None:
    write(database, BTC, WHOLE)
    write(database, BTC, changed(WHOLE, 180, 50.0))
    reader.look()
    assert reader.look() == set()
    write(database, BTC, changed(WHOLE, 3, 50.0))
    assert reader.look() == set()


def test_a_restatement_that_commits_late_is_noticed(database: Database, reader: Reader) -> None:
    """Another series' correction has a higher number and is seen first."""
    write(database, BTC, WHOLE)
    write(database, ETH, WHOLE)
    reader.look()
    with database.begin() as slow:
        candle_store.upsert(slow, BTC, changed(WHOLE, 190, 50.0), source="binance", now=LATER)
        write(database, ETH, changed(WHOLE, 190, 60.0))
        assert reader.look() == {ETH}
    assert reader.look() == {BTC}
    assert reader.candles(BTC).close[-10] == 50.0


def test_windows_are_what_a_whole_reading_gives_after_random_writes(database: Database, reader: Reader) -> None:
    random = np.random.default_rng(7)
    for _ in range(40):
        series = (BTC, ETH)[random.integers(2)]
        first = int(random.integers(190))
        part = WHOLE[first : first + int(random.integers(1, 10))]
        restated = changed(WHOLE, first, float(random.uniform(90, 110)))
        write(database, series, part if random.random() < 0.7 else restated)
        if random.random() < 0.6:
            reader.look()
    reader.look()
    with database.begin() as connection:
        known: Mapping[Series, Candles] = {s: candle_store.read_last(connection, s, MOST) for s in (BTC, ETH)}
    assert {series: reader.candles(series) == candles for series, candles in known.items()} == {BTC: True, ETH: True}
