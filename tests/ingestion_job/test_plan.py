"""What is asked for, of whom and in which order, against a slow reading: one candle after the other."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlecast.candles import Series
from candlecast.spans import Span, intersect, join
from ingestion_job.plan import ARCHIVE_WORTH, NEAR, NEWS, Errand, Places, next_recheck, plan

BTC = Series.parse("binance:BTC-USDT:5m")
STEP = BTC.interval.delta
NOW = datetime(2025, 9, 20, 12, 2, tzinfo=UTC)
LAST = BTC.interval.floor(NOW)
MONTH = datetime(2025, 9, 1, tzinfo=UTC)
WINDOW = Span(LAST - timedelta(days=90), LAST)
BINANCE = Places("binance", "binance_archive", ("kraken", "coinbase"))
KRAKEN = Places("kraken")


def ago(candles: int) -> datetime:
    return LAST - candles * STEP


def hole(first: int, last: int) -> Span:
    """Return the span from `first` candles ago to `last` candles ago."""
    return Span(ago(first), ago(last))


def numbers(spans: Sequence[Span]) -> set[int]:
    """Return which candles the spans hold, counted from the epoch."""
    return {
        number
        for span in spans
        for number in range(int(span.start.timestamp()) // 300, int(span.end.timestamp()) // 300)
    }


@st.composite
def some_spans(draw: st.DrawFn, most: int = 8, reach: int = 60) -> list[Span]:
    cuts = sorted(draw(st.sets(st.integers(0, reach), max_size=2 * most)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [Span(MONTH + first * STEP, MONTH + last * STEP) for first, last in pairs]


@given(some_spans(), some_spans())
def test_an_intersection_holds_the_candles_of_both(spans: list[Span], others: list[Span]) -> None:
    found = intersect(spans, others)
    assert numbers(found) == numbers(spans) & numbers(others)
    assert found == sorted(found)


@given(some_spans(), st.integers(0, 5))
def test_joined_spans_are_apart_and_hold_nothing_but_what_lies_between(spans: list[Span], apart: int) -> None:
    joined = join(spans, apart * STEP)
    assert numbers(joined) >= numbers(spans)
    assert all(after.start - before.end > apart * STEP for before, after in pairwise(joined))
    between = numbers(joined) - numbers(spans)
    for first in between:
        run = [number for number in range(first, first + apart + 1) if number in between]
        assert len(run) <= apart


def test_a_new_series_gets_its_newest_candles_first_then_its_past_from_the_archive_and_the_exchange() -> None:
    found = plan(BTC, BINANCE, WINDOW, [WINDOW], now=NOW, overlap=10)
    (news,) = found.news
    assert news == Errand(BTC, hole(NEWS, 0), ("binance", "binance_archive"), ("kraken", "coinbase"))
    old, recent = found.history
    assert old == Errand(BTC, Span(WINDOW.start, MONTH), ("binance_archive", "binance"), ("kraken", "coinbase"))
    assert recent == Errand(BTC, Span(MONTH, ago(NEWS)), ("binance", "binance_archive"), ("kraken", "coinbase"))
    assert found.candles == WINDOW.candles(BTC.interval)
    assert found.replacements == ()


def test_a_venue_without_archive_is_asked_for_everything() -> None:
    found = plan(BTC, KRAKEN, WINDOW, [WINDOW], now=NOW)
    assert {errand.own for errand in found.errands} == {("kraken",)}
    assert sum(errand.candles for errand in found.errands) == WINDOW.candles(BTC.interval)


def test_few_old_candles_are_asked_of_the_exchange_first() -> None:
    few = Span(WINDOW.start, WINDOW.start + (ARCHIVE_WORTH - 1) * STEP)
    many = Span(WINDOW.start, WINDOW.start + ARCHIVE_WORTH * STEP)
    assert [errand.own[0] for errand in plan(BTC, BINANCE, WINDOW, [few], now=NOW).history] == ["binance"]
    assert [errand.own[0] for errand in plan(BTC, BINANCE, WINDOW, [many], now=NOW).history] == ["binance_archive"]


def test_the_next_candle_is_asked_for_with_those_before_it() -> None:
    (news,) = plan(BTC, BINANCE, WINDOW, [hole(1, 0)], now=NOW, overlap=10).errands
    assert news.span == hole(11, 0)


def test_a_hole_that_is_not_at_the_end_brings_no_overlap() -> None:
    (news,) = plan(BTC, BINANCE, WINDOW, [hole(30, 20)], now=NOW, overlap=10).errands
    assert news.span == hole(30, 20)


def test_the_overlap_stays_in_the_window() -> None:
    window = hole(5, 0)
    (news,) = plan(BTC, BINANCE, window, [hole(2, 0)], now=NOW, overlap=10).errands
    assert news.span == window


def test_a_backfill_of_the_past_has_no_news() -> None:
    window = Span(WINDOW.start, WINDOW.start + timedelta(days=2))
    found = plan(BTC, BINANCE, window, [window], now=NOW, overlap=10)
    assert found.news == ()
    assert [errand.span for errand in found.history] == [window]


def test_nothing_missing_is_nothing_to_do() -> None:
    assert plan(BTC, BINANCE, WINDOW, [], now=NOW, overlap=10).errands == ()


@given(some_spans(most=12, reach=3 * NEAR))
def test_holes_near_each_other_are_asked_for_together_and_none_is_forgotten(holes: list[Span]) -> None:
    found = plan(BTC, BINANCE, WINDOW, holes, now=NOW)
    assert numbers([errand.span for errand in found.errands]) >= numbers(holes)
    spans = [errand.span for errand in found.history]
    assert all(after.start - before.end > NEAR * STEP for before, after in pairwise(spans))


def test_candles_of_fall_backs_are_asked_only_of_the_series_own_sources() -> None:
    found = plan(BTC, BINANCE, WINDOW, [], [hole(50, 40), hole(30, 20)], now=NOW)
    assert found.replacements == (Errand(BTC, hole(50, 20), ("binance", "binance_archive")),)


def test_candles_before_those_of_fall_backs_are_asked_for_again() -> None:
    """They were the newest when the venue stopped answering: it may have restated them while others stood in."""
    found = plan(BTC, BINANCE, WINDOW, [], [hole(50, 40)], now=NOW, overlap=3)
    assert [errand.span for errand in found.replacements] == [hole(53, 40)]
    short = Span(ago(51), LAST)
    found = plan(BTC, BINANCE, short, [], [hole(50, 40)], now=NOW, overlap=3)
    assert [errand.span for errand in found.replacements] == [hole(51, 40)]
    assert found.news == found.history == ()


@pytest.mark.parametrize(("before", "days"), [(None, 1), (1, 7), (7, 30), (30, 30), (365, 30), (3, 7)])
def test_a_gap_is_asked_for_again_ever_later(before: int | None, days: int) -> None:
    waits = [timedelta(days=wait) for wait in (1, 7, 30)]
    previous = None if before is None else timedelta(days=before)
    assert next_recheck(previous, waits) == timedelta(days=days)
