from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import UnknownSeries
from candlecast.store import candles as store
from candlecast.store.candles import Written
from candlecast.store.database import CANDLE_CHANNEL, Database
from tests.making import START, make_candles
from tests.waiting import eventually

SERIES = Series.parse("replay:BTC-USDT:15m")
LATER = START + timedelta(days=30)


def write(database: Database, candles: Candles, series: Series = SERIES, source: str = "replay") -> Written:
    with database.begin() as connection:
        return store.upsert(connection, series, candles, source=source, now=LATER)


def restate(candles: Candles, rows: slice | list[int]) -> Candles:
    volume = candles.volume.copy()
    volume[rows] += 1
    return Candles.of(candles.interval, **(candles.columns() | {"volume": volume}))


def corrections(database: Database) -> list[tuple[datetime, float, str, str]]:
    """Return open time and volume of what was replaced, who had said it, and who replaced it."""
    query = "SELECT open_time, volume, source, replaced_by FROM candle_correction ORDER BY id"
    with database.begin() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def sources(database: Database) -> list[str]:
    with database.begin() as connection:
        return list(connection.execute(text("SELECT source FROM candle ORDER BY open_time")).scalars())


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


def test_optional_values_may_come_and_go_within_a_page(database: Database) -> None:
    optional = {"trades": [1.0, np.nan, 3.0, np.nan], "quote_volume": [np.nan, np.nan, 5.0, 6.0]}
    candles = Candles.of(Interval.M15, **(make_candles(4).columns() | optional))
    assert write(database, candles) == Written(4, 0, 0)
    assert stored(database) == candles


def test_upsert_twice_is_once(database: Database) -> None:
    candles = make_candles(100)
    write(database, candles[:60])
    assert write(database, candles[40:]) == Written(40, 0, 20)
    assert write(database, candles) == Written(0, 0, 100)
    assert stored(database) == candles


def test_a_restated_candle_replaces_the_stored_one_and_leaves_a_correction(database: Database) -> None:
    candles = make_candles(10)
    write(database, candles)
    restated = restate(candles, [3, 7])
    assert write(database, restated, source="replay_archive") == Written(0, 2, 8)
    assert stored(database) == restated
    assert corrections(database) == [
        (START + row * Interval.M15.delta, candles.volume[row], "replay", "replay_archive") for row in (3, 7)
    ]
    assert sources(database) == ["replay_archive" if row in (3, 7) else "replay" for row in range(10)]


def test_a_correction_holds_all_that_the_row_said_and_when_it_was_replaced(database: Database) -> None:
    candles = Candles.of(Interval.M15, **(make_candles(1).columns() | {"trades": [7.0], "quote_volume": [5.0]}))
    write(database, candles)
    write(database, restate(candles, [0]))
    with database.begin() as connection:
        row = connection.execute(text("SELECT * FROM candle_correction")).mappings().one()
    said = {
        name: column[0] for name, column in candles.columns().items() if name not in ("open_time", "taker_buy_volume")
    }
    assert {name: row[name] for name in said} == said
    assert (row["taker_buy_volume"], row["corrected_at"]) == (None, LATER)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE candle_correction SET close = 1", "DELETE FROM candle_correction", "TRUNCATE candle_correction"],
)
def test_corrections_cannot_be_changed(database: Database, statement: str) -> None:
    write(database, make_candles(2))
    write(database, restate(make_candles(2), [0]))
    with pytest.raises(DBAPIError, match="append-only"), database.begin() as connection:
        connection.execute(text(statement))


def test_a_known_optional_value_that_appears_or_vanishes_is_a_change(database: Database) -> None:
    bare = make_candles(4)
    full = Candles.of(Interval.M15, **(bare.columns() | {"trades": [1.0, np.nan, 3.0, 4.0]}))
    write(database, bare)
    assert write(database, full) == Written(0, 3, 1)
    assert stored(database) == full
    assert write(database, bare) == Written(0, 3, 1)
    assert stored(database) == bare


def test_a_fall_back_never_replaces_what_the_own_venue_said(database: Database) -> None:
    candles = make_candles(10)
    write(database, candles[:4], source="replay")
    write(database, candles[4:6], source="replay_archive")
    assert write(database, restate(candles, slice(None)), source="kraken") == Written(4, 0, 6)
    assert stored(database)[:6] == candles[:6]
    assert sources(database) == ["replay"] * 4 + ["replay_archive"] * 2 + ["kraken"] * 4
    assert corrections(database) == []


def test_the_own_venue_takes_over_what_a_fall_back_said(database: Database) -> None:
    candles = make_candles(6)
    write(database, restate(candles, [1]), source="kraken")
    assert write(database, candles, source="replay") == Written(0, 1, 5)
    assert stored(database) == candles
    assert sources(database) == ["replay"] * 6
    assert corrections(database) == [(START + Interval.M15.delta, candles.volume[1] + 1, "kraken", "replay")]


def test_candles_in_many_chunks_are_written_like_one(database: Database) -> None:
    candles = make_candles(120_000, Interval.M1, start=START - timedelta(days=90))
    series = Series.parse("replay:BTC-USDT:1m")
    assert write(database, candles, series) == Written(120_000, 0, 0)
    assert write(database, restate(candles, [0, 49_999, 50_000, 119_999]), series) == Written(0, 4, 119_996)
    with database.begin() as connection:
        assert store.read(connection, series) == restate(candles, [0, 49_999, 50_000, 119_999])


def test_writers_of_one_series_at_once_lose_and_repeat_nothing(database: Database) -> None:
    """Each writes overlapping stretches in small transactions; every candle is inserted by exactly one of them."""
    candles = make_candles(2000)

    def run(first: int) -> Written:
        parts = [candles[at : at + 150] for at in range(first, 2000, 100)]
        return sum((write(database, part) for part in parts), Written(0, 0, 0))

    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(run, [0, 0, 50, 0]))
    assert stored(database) == candles
    assert sum(total.inserted for total in totals) == 2000
    assert sum(total.updated for total in totals) == 0


def test_a_writer_waits_for_another_of_the_same_series_and_sees_what_it_wrote(database: Database) -> None:
    candles = make_candles(10)
    waiting = text("SELECT true FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
    with ThreadPoolExecutor(1) as other:
        with database.begin() as holder:
            store.upsert(holder, SERIES, candles, source="replay", now=LATER)
            second = other.submit(write, database, restate(candles, [2]))
            with database.begin() as watcher:
                assert eventually(lambda: watcher.execute(waiting).scalar(), 10)
            write(database, candles, Series.parse("replay:ETH-USDT:15m"))
        assert second.result(10) == Written(0, 1, 9)
    assert len(corrections(database)) == 1


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


def test_what_was_asked_for_is_active_after_what_is_configured(database: Database) -> None:
    configured = [SERIES, Series.parse("replay:ETH-USDT:15m")]
    asked = [Series.parse(name) for name in ("replay:XRP-USDT:1h", "replay:BTC-USDT:15m", "replay:ADA-USDT:1h")]
    with database.begin() as connection:
        store.add_series(connection, configured)
        assert store.active_series(connection, configured) == tuple(configured)
        for series in (*asked, asked[0]):
            store.ask_series(connection, series)
        assert store.active_series(connection, configured) == (*configured, asked[0], asked[2])
        assert store.active_series(connection, []) == tuple(asked)
