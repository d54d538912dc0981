from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from candlecast.candles import Bools, Candles, Interval, Series, from_datetime64
from candlecast.spans import Span
from candlecast.store import audits, gaps
from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from candlecast.store.gaps import DayCoverage
from tests.making import START, make_candles
from tests.real import real_file
from tests.shared import requires_shared

SERIES = Series.parse("replay:BTC-USDT:1h")
HOUR = timedelta(hours=1)
LATER = START + timedelta(days=30)
CANDLES = make_candles(48, Interval.H1)
END = START + 48 * HOUR


def at(hour: int) -> datetime:
    return START + hour * HOUR


def span(start: int, end: int) -> Span:
    return Span(at(start), at(end))


def store(database: Database, candles: Candles, series: Series = SERIES) -> None:
    with database.begin() as connection:
        candle_store.upsert(connection, series, candles, source="replay", now=LATER)


def without(*hours: int) -> Candles:
    keep: Bools = ~np.isin(np.arange(48), hours)
    return CANDLES[keep]


def confirm(database: Database, *spans: Span, evidence: str = "empty page", recheck_at: datetime = LATER) -> None:
    with database.begin() as connection:
        gaps.confirm(connection, SERIES, spans, source="replay", evidence=evidence, now=END, recheck_at=recheck_at)


def confirmed(database: Database) -> list[tuple[Span, str]]:
    with database.begin() as connection:
        found = gaps.confirmed(connection, SERIES, START, END)
    return [(gap.span, gap.because.evidence) for gap in found]


def test_holes_are_found_inside_and_at_both_ends(database: Database) -> None:
    store(database, without(0, 1, 10, 20, 21, 22, 47))
    with database.begin() as connection:
        assert gaps.missing(connection, SERIES, START, END) == [span(0, 2), span(10, 11), span(20, 23), span(47, 48)]
        assert gaps.missing(connection, SERIES, at(21), at(22)) == [span(21, 22)]
        assert gaps.missing(connection, SERIES, at(2), at(10)) == []
        assert gaps.missing(connection, SERIES, at(100), at(103)) == [span(100, 103)]
        assert gaps.missing(connection, SERIES, END, START) == []


def test_bounds_off_the_grid_ask_for_the_open_times_between_them(database: Database) -> None:
    store(database, without(5))
    half = timedelta(minutes=30)
    with database.begin() as connection:
        assert gaps.missing(connection, SERIES, at(4) + half, at(5) + half) == [span(5, 6)]
        assert gaps.missing(connection, SERIES, at(5) + half, at(7)) == []
        assert gaps.missing(connection, SERIES, at(5) + half, at(5) + half) == []


def test_a_confirmed_gap_is_explained_until_it_is_due_to_be_asked_for_again(database: Database) -> None:
    store(database, without(5, 6, 7, 20))
    confirm(database, span(6, 8), recheck_at=at(60))
    with database.begin() as connection:
        asked = [gaps.unexplained(connection, SERIES, START, END, now=now) for now in (at(59), at(60))]
        assert gaps.missing(connection, SERIES, START, END) == [span(5, 8), span(20, 21)]
    assert asked == [[span(5, 6), span(20, 21)], [span(5, 8), span(20, 21)]]


def test_only_what_is_not_stored_is_confirmed(database: Database) -> None:
    store(database, without(5, 8))
    confirm(database, span(4, 10))
    assert confirmed(database) == [(span(5, 6), "empty page"), (span(8, 9), "empty page")]


def test_a_new_confirmation_replaces_what_it_covers_and_nothing_else(database: Database) -> None:
    store(database, without(*range(10, 20)))
    confirm(database, span(10, 20), evidence="first")
    confirm(database, span(12, 14), span(16, 17), evidence="second")
    assert confirmed(database) == [
        (span(10, 12), "first"),
        (span(12, 14), "second"),
        (span(14, 16), "first"),
        (span(16, 17), "second"),
        (span(17, 20), "first"),
    ]


def test_a_candle_that_arrives_is_no_gap_any_more(database: Database) -> None:
    store(database, without(*range(10, 20), 30))
    confirm(database, span(10, 20), span(30, 31))
    store(database, CANDLES[12:15])
    store(database, CANDLES[30:31])
    assert [gap for gap, _ in confirmed(database)] == [span(10, 12), span(15, 20)]
    store(database, CANDLES)
    assert confirmed(database) == []


def test_what_is_left_of_several_gaps_keeps_the_evidence_of_each(database: Database) -> None:
    store(database, without(*range(10, 20)))
    confirm(database, span(10, 15), evidence="first")
    confirm(database, span(15, 20), evidence="second")
    store(database, CANDLES[13:17])
    assert confirmed(database) == [(span(10, 13), "first"), (span(17, 20), "second")]


def test_confirmed_gaps_are_cut_to_what_was_asked_for(database: Database) -> None:
    store(database, without(*range(10, 20)))
    confirm(database, span(10, 20))
    with database.begin() as connection:
        (found,) = gaps.confirmed(connection, SERIES, at(12), at(15))
        assert gaps.confirmed(connection, SERIES, at(20), at(25)) == []
    assert found.span == span(12, 15)
    assert (found.because.source, found.because.confirmed_at, found.because.recheck_at) == ("replay", END, LATER)


def test_coverage_counts_every_day_by_itself(database: Database) -> None:
    store(database, without(*range(22, 27), 40))
    confirm(database, span(22, 25))
    with database.begin() as connection:
        days = gaps.coverage(connection, SERIES, at(-2), at(50))
        assert gaps.completeness(connection, SERIES, START, END) == 42 / 45
        assert gaps.completeness(connection, SERIES, at(22), at(25)) is None
        assert gaps.completeness(connection, SERIES, START, START) is None
        assert gaps.coverage(connection, SERIES, START, START) == []
    assert days == [
        DayCoverage(date(2025, 8, 31), expected=2, stored=0, confirmed=0),
        DayCoverage(date(2025, 9, 1), expected=24, stored=22, confirmed=2),
        DayCoverage(date(2025, 9, 2), expected=24, stored=20, confirmed=1),
        DayCoverage(date(2025, 9, 3), expected=2, stored=0, confirmed=0),
    ]
    assert [day.missing for day in days] == [2, 0, 3, 2]


def test_the_newest_audit_of_a_series_is_remembered(database: Database) -> None:
    store(database, without(*range(22, 27), 40))
    confirm(database, span(22, 25))
    with database.begin() as connection:
        assert audits.newest(connection) == {}
        audits.record(connection, SERIES, START, at(10), now=at(11))
        found = audits.record(connection, SERIES, at(1), END + HOUR / 2, now=at(60))
        assert audits.newest(connection) == {SERIES: found}
    assert (found.window, found.expected, found.stored, found.confirmed) == (span(1, 49), 48, 41, 3)
    assert (found.missing, found.audited_at) == (4, at(60))


def test_a_daily_series_has_one_candle_a_day(database: Database) -> None:
    series = Series.parse("replay:BTC-USDT:1d")
    candles = make_candles(5, Interval.D1)
    store(database, candles[:2], series)
    store(database, candles[3:], series)
    with database.begin() as connection:
        days = gaps.coverage(connection, series, START, START + timedelta(days=5))
    assert [day.missing for day in days] == [0, 0, 1, 0, 0]


@requires_shared
@pytest.mark.parametrize(
    ("file", "series", "missing", "holes", "longest"),
    [
        ("bitfinex-BTCUSD-1m-2017-01-01-2017-12-31", "replay:BTC-USD:1m", 20_391, 14_203, 37),
        ("bitfinex-BTCUSD-1m-2018-01-01-2018-12-31", "replay:BTC-USD:1m", 5_101, 3_992, 67),
        ("bitfinex-BTCUSD-1m-2019-01-01-2019-06-30", "replay:BTC-USD:1m", 7_302, 5_358, 197),
        ("binance-BTCUSDT-1h-2017-08-17-2024-04-21", "replay:BTC-USDT:1h", 128, 28, 33),
    ],
)
def test_real_outages_are_found_exactly(
    database: Database, file: str, series: str, missing: int, holes: int, longest: int
) -> None:
    """The counts are those of the files' own description."""
    name = Series.parse(series)
    candles = real_file(file, name.interval)
    start, end = from_datetime64(candles.open_time[0]), candles.cutoff
    with database.begin() as connection:
        candle_store.upsert(connection, name, candles, source="replay", now=end)
        found = gaps.missing(connection, name, start, end)
        days = gaps.coverage(connection, name, start, end)
    lengths = [hole.candles(name.interval) for hole in found]
    assert (sum(lengths), len(found), max(lengths)) == (missing, holes, longest)
    assert sum(day.missing for day in days) == missing
    assert sum(day.stored for day in days) == len(candles)
    assert all(later.day - day.day == timedelta(days=1) for day, later in pairwise(days))


def test_what_another_venue_gave_is_found_and_what_the_own_archive_gave_is_not(database: Database) -> None:
    mine = Series.parse("binance:BTC-USDT:1h")
    with database.begin() as connection:
        for source, rows in (("binance", slice(0, 10)), ("kraken", slice(10, 13)), ("binance_archive", slice(13, 20))):
            candle_store.upsert(connection, mine, CANDLES[rows], source=source, now=LATER)
        candle_store.upsert(connection, mine, CANDLES[22:24], source="coinbase", now=LATER)
        candle_store.upsert(connection, mine, CANDLES[25:26], source="kraken", now=LATER)
        assert gaps.borrowed(connection, mine, START, END) == [span(10, 13), span(22, 24), span(25, 26)]
        assert gaps.borrowed(connection, mine, at(11), at(23)) == [span(11, 13), span(22, 23)]
        assert gaps.borrowed(connection, mine, START, at(10)) == []


def test_a_hole_longer_than_what_is_read_at_once_is_one_hole(database: Database) -> None:
    minutes = Series.parse("replay:BTC-USDT:1m")
    first, last = START, START + timedelta(minutes=500_000)
    with database.begin() as connection:
        candle_store.upsert(connection, minutes, make_candles(5, Interval.M1), source="replay", now=LATER)
        assert gaps.missing(connection, minutes, first, last) == [Span(first + timedelta(minutes=5), last)]
