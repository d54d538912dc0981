"""What holds whatever is written, in whatever order: stated once and tried on many made-up histories."""

from datetime import timedelta
from itertools import count, pairwise

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from candlecast.candles import Candles, Interval, Series, Symbol
from candlecast.spans import Span, subtract
from candlecast.store import candles as candle_store
from candlecast.store import gaps
from candlecast.store.candles import Written
from candlecast.store.database import Database
from tests.making import START, make_candles

CANDLES = make_candles(40, Interval.H1)
HOUR = Interval.H1.delta
END = CANDLES.cutoff
LATER = END + timedelta(days=1)

# Every example has a series of its own, so that one migrated database serves them all.
_numbers = count()
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

places = st.integers(0, len(CANDLES) - 1)
ranges = st.tuples(places, places).map(lambda pair: Span(START + min(pair) * HOUR, START + (max(pair) + 1) * HOUR))


def new_series() -> Series:
    return Series("replay", Symbol(f"A{next(_numbers)}", "USDT"), Interval.H1)


def some(rows: set[int]) -> Candles:
    return CANDLES[np.isin(np.arange(len(CANDLES)), list(rows))]


def write(database: Database, series: Series, candles: Candles, source: str = "replay") -> Written:
    with database.begin() as connection:
        return candle_store.upsert(connection, series, candles, source=source, now=LATER)


def confirm(database: Database, series: Series, span: Span) -> None:
    with database.begin() as connection:
        gaps.confirm(connection, series, [span], source="replay", evidence="a test", now=END, recheck_at=LATER)


@many
@given(parts=st.lists(st.sets(places), max_size=8), again=st.lists(st.sets(places), max_size=3))
def test_upsert_twice_is_once_in_any_order_and_any_split(
    database: Database, parts: list[set[int]], again: list[set[int]]
) -> None:
    series = new_series()
    whole: set[int] = set().union(*parts)
    written = [write(database, series, some(part)) for part in [*parts, *(rows & whole for rows in again)]]
    assert sum(one.inserted for one in written) == len(whole)
    assert sum(one.updated for one in written) == 0
    write(database, series, some(set()))
    with database.begin() as connection:
        assert candle_store.read(connection, series) == some(whole)


@many
@given(saying=st.lists(st.tuples(st.sets(places, min_size=1), st.integers(0, 2)), min_size=1, max_size=8))
def test_the_newest_word_counts_and_every_older_one_is_a_correction(
    database: Database, saying: list[tuple[set[int], int]]
) -> None:
    series, said, replaced = new_series(), dict[int, int](), list[tuple[int, int]]()
    for rows, more in saying:
        volume = CANDLES.volume + more
        version = Candles.of(Interval.H1, **(CANDLES.columns() | {"volume": volume}))
        keep = np.isin(np.arange(len(CANDLES)), list(rows))
        replaced += [(row, said[row]) for row in sorted(rows) if said.get(row, more) != more]
        said |= dict.fromkeys(rows, more)
        write(database, series, version[keep])
    with database.begin() as connection:
        held = candle_store.read(connection, series)
        number = candle_store.series_id(connection, series)
        query = text("SELECT open_time, volume FROM candle_correction WHERE series_id = :number ORDER BY id")
        corrections = [tuple(row) for row in connection.execute(query, {"number": number})]
    assert held.volume.tolist() == [CANDLES.volume[row] + said[row] for row in sorted(said)]
    assert sorted(corrections) == sorted((START + row * HOUR, CANDLES.volume[row] + more) for row, more in replaced)


@many
@given(rows=st.sets(places, min_size=1), asked=ranges)
def test_the_gaps_of_any_subset_are_exact(database: Database, rows: set[int], asked: Span) -> None:
    series = new_series()
    write(database, series, some(rows))
    with database.begin() as connection:
        found = gaps.missing(connection, series, asked.start, asked.end)
        days = gaps.coverage(connection, series, asked.start, asked.end)
    lacking = {row for row in range(40) if row not in rows and asked.start <= START + row * HOUR < asked.end}
    assert hours(found) == sorted(lacking)
    assert all(hole.end < following.start for hole, following in pairwise(found))
    assert sum(day.missing for day in days) == len(lacking)
    assert sum(day.expected for day in days) == asked.candles(Interval.H1)


@many
@given(
    steps=st.lists(
        st.one_of(st.sets(places, min_size=1, max_size=10), st.lists(ranges, min_size=1, max_size=1)), max_size=8
    )
)
def test_confirmed_gaps_and_candles_never_overlap(database: Database, steps: list[set[int] | list[Span]]) -> None:
    series, stored, confirmed = new_series(), set[int](), set[int]()
    write(database, series, some(set()))
    for step in steps:
        if isinstance(step, set):
            write(database, series, some(step))
            stored |= step
        else:
            confirm(database, series, step[0])
            confirmed |= set(hours(step))
        confirmed -= stored
    with database.begin() as connection:
        found = [gap.span for gap in gaps.confirmed(connection, series, START, END)]
        unexplained = gaps.unexplained(connection, series, START, END, now=END)
        days = gaps.coverage(connection, series, START, END)
    assert hours(found) == sorted(confirmed)
    assert hours(unexplained) == sorted(set(range(40)) - stored - confirmed)
    assert all(day.missing >= 0 for day in days)
    assert sum(day.confirmed for day in days) == len(confirmed)


@given(whole=st.lists(ranges, max_size=5), taken=st.lists(ranges, max_size=5))
def test_what_is_left_of_spans_is_exact(whole: list[Span], taken: list[Span]) -> None:
    def tidy(spans: list[Span]) -> list[Span]:
        """Ascending, without overlap: the stretches of the hours that any of them covers."""
        covered = sorted({hour for span in spans for hour in hours([span])})
        return [Span(START + hour * HOUR, START + (hour + 1) * HOUR) for hour in covered]

    left = subtract(tidy(whole), tidy(taken))
    assert hours(left) == sorted(set(hours(tidy(whole))) - set(hours(tidy(taken))))
    joined = subtract([Span(START, END)], tidy(taken))
    assert hours(joined) == sorted(set(range(40)) - set(hours(tidy(taken))))
    assert subtract(joined, []) == joined


def hours(spans: list[Span]) -> list[int]:
    """Return the places of the candles that the spans cover."""
    return [hour for span in spans for hour in range((span.start - START) // HOUR, (span.end - START) // HOUR)]
