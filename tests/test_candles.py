"""The words that everything else is made of: intervals, symbols, series, and candles that refuse to be wrong."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candlecast.candles import (
    Candles,
    Gap,
    Interval,
    Series,
    Symbol,
    from_datetime64,
    from_ms,
    to_datetime64,
    to_ms,
)
from candlecast.errors import InvalidCandles, UsageError
from tests.making import START, make_candles

MINUTE = timedelta(minutes=1)
PRICES = ("open", "high", "low", "close")

moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def columns(count: int = 3, **changed: Any) -> dict[str, Any]:
    """Return the columns of `count` sound 1m candles, some of them changed."""
    sound = {
        "open_time": [60_000 * i for i in range(count)],
        "open": [10.0] * count,
        "high": [12.0] * count,
        "low": [9.0] * count,
        "close": [11.0] * count,
        "volume": [1.0] * count,
    }
    return sound | changed


def at_minutes(*minutes: int) -> Candles:
    return Candles.of(Interval.M1, **columns(len(minutes), open_time=[60_000 * minute for minute in minutes]))


# Rows as (minute, open, high, low, close, volume, trades); some repeat a minute, some contradict themselves.
prices = st.sampled_from([1.0, 2.0, 3.0])
rows = st.tuples(
    st.integers(0, 5),
    prices,
    st.sampled_from([3.0, 3.0, 2.0, float("nan"), float("inf")]),
    st.sampled_from([1.0, 1.0, 2.0, -1.0]),
    prices,
    st.sampled_from([0.0, 1.0, -1.0]),
    st.sampled_from([float("nan"), 1.0]),
)
Row = tuple[int, float, float, float, float, float, float]


def offered(table: list[Row]) -> dict[str, Any]:
    names = ("open_time", "open", "high", "low", "close", "volume", "trades")
    values: list[tuple[Any, ...]] = list(zip(*table, strict=True)) if table else [()] * len(names)
    return {name: np.array(column, dtype=float) for name, column in zip(names, values, strict=True)} | {
        "open_time": np.array([60_000 * row[0] for row in table], dtype=np.int64)
    }


def sound(row: Row) -> bool:
    _, opened, high, low, close, volume, _ = row
    return (
        bool(np.isfinite([high, low]).all())
        and 0 < low <= min(opened, close) <= max(opened, close) <= high
        and volume >= 0
    )


def test_interval_knows_its_length() -> None:
    assert [interval.seconds for interval in Interval] == [60, 300, 900, 3600, 14400, 86400]
    assert Interval.M15.milliseconds == 900_000
    assert Interval.M15.delta == timedelta(minutes=15)
    assert Interval.M15.step == np.timedelta64(15, "m")


def test_unknown_interval_is_refused_with_the_known_ones() -> None:
    assert Interval.parse("4h") is Interval.H4
    for wrong in ("1M", "2h", "", "15"):
        with pytest.raises(UsageError, match="known are 1m, 5m, 15m, 1h, 4h, 1d"):
            Interval.parse(wrong)


@given(moments, st.sampled_from(list(Interval)))
def test_floor_is_the_grid_time_at_or_before(moment: datetime, interval: Interval) -> None:
    floor = interval.floor(moment)
    assert floor <= moment < floor + interval.delta
    assert to_ms(floor) % interval.milliseconds == 0


@pytest.mark.parametrize("text", ["BTC-USDT", "1INCH-USDT", "ETH-BTC"])
def test_symbol_keeps_its_text_form(text: str) -> None:
    assert str(Symbol.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["BTCUSDT", "btc-usdt", "BTC-", "-USDT", "BTC-USDT-X", "BTC_USDT", "BTC-USDT\n", "BTC -USDT"]
)
def test_text_that_is_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Symbol.parse(text)


def test_series_keeps_its_text_form_and_sorts() -> None:
    texts = ["binance:BTC-USDT:15m", "binance:ETH-USDT:15m", "replay:BTC-USDT:1d"]
    parsed = [Series.parse(text) for text in texts]
    assert [str(series) for series in parsed] == texts
    assert sorted([parsed[2], parsed[0], parsed[1]]) == parsed
    assert len({*parsed, Series.parse(texts[0])}) == 3


@pytest.mark.parametrize(
    "text", ["binance:BTC-USDT", "mtgox:BTC-USDT:1h", "binance:BTCUSDT:1h", "binance:BTC-USDT:1w", "a:b:c:d", ""]
)
def test_text_that_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Series.parse(text)


@given(moments)
def test_times_survive_the_way_to_milliseconds_and_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert from_ms(to_ms(moment)) == whole
    assert from_datetime64(to_datetime64(moment)) == whole


def test_times_of_another_zone_are_the_same_moment() -> None:
    assert to_ms(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert from_ms(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_ms(datetime(2025, 1, 1))  # noqa: DTZ001


def test_candles_take_milliseconds_and_datetimes_alike() -> None:
    times = np.array([0, 60_000, 120_000], dtype="datetime64[ms]")
    assert Candles.of(Interval.M1, **columns()) == Candles.of(Interval.M1, **columns(open_time=times))
    assert Candles.of(Interval.M1, **columns()).open_time.dtype == np.dtype("datetime64[ms]")


def test_columns_that_a_venue_does_not_give_are_nan() -> None:
    candles = Candles.of(Interval.M1, **columns(trades=[1, 2, 3]))
    assert np.isnan(candles.quote_volume).all()
    assert np.isnan(candles.taker_buy_volume).all()
    assert candles.trades.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("times", [[-60_000, 0, 60_000], [0, 60_000, 253_370_764_800_000]])
def test_candles_at_either_end_of_time_cannot_be_built(times: list[int]) -> None:
    with pytest.raises(InvalidCandles, match="not between 1970 and 9999"):
        Candles.of(Interval.M1, **columns(open_time=times))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"open_time": [0, 60_001, 120_000]}, "open_time is off the 1m grid"),
        ({"open_time": [0, 0, 60_000]}, "duplicate"),
        ({"open_time": [60_000, 0, 120_000]}, "not ascending"),
        ({"open_time": np.array([0, "NaT", 120_000], dtype="datetime64[ms]")}, "open_time is missing"),
        ({"open_time": [0, -60_000, 120_000]}, "not between 1970 and 9999"),
        ({"open_time": [0, 1_700_000_040_000_000 * 1000, 120_000]}, "not between 1970 and 9999"),
        ({"open": [10, float("nan"), 10]}, "not finite"),
        ({"high": [12, float("inf"), 12]}, "not finite"),
        ({"volume": [1, float("nan"), 1]}, "not finite"),
        ({"quote_volume": [1, float("inf"), 1]}, "not finite"),
        ({"low": [9, 0, 9]}, "price is not above zero"),
        ({"high": [12, 10.5, 12]}, "high is below open or close"),
        ({"low": [9, 10.5, 9]}, "low is above open or close"),
        ({"volume": [1, -1, 1]}, "volume is negative"),
        ({"trades": [1, -1, 1]}, "trades is negative"),
    ],
)
def test_candles_that_contradict_themselves_cannot_be_built(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidCandles, match=f"row 1, .*{reason}") as caught:
        Candles.of(Interval.M1, **columns(**changed))
    assert caught.value.details["row"] == 1
    assert reason in caught.value.details["reason"]


def test_all_wrong_rows_are_counted() -> None:
    with pytest.raises(InvalidCandles, match=r"row 0, .*\(3 rows are wrong\)"):
        Candles.of(Interval.M1, **columns(volume=[-1, -1, -1]))


@pytest.mark.parametrize("build", [Candles.of, Candles.screen])
@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"close": None}, "column 'close' is missing"),
        ({"price": [1, 2, 3]}, "unknown column 'price'"),
        ({"close": [1, 2]}, "differ in length"),
        ({"close": [11.0] * 4}, "differ in length"),
        ({"trades": [1]}, "differ in length"),
        ({"close": ["1", "2", "3"]}, "'close' must be one list of numbers"),
        ({"close": [1, None, 3]}, "'close' must be one list of numbers"),
        ({"close": [True, True, False]}, "'close' must be one list of numbers"),
        ({"close": 11.0}, "'close' must be one list of numbers"),
        ({"close": [[1], [2], [3]]}, "'close' must be one list of numbers"),
        ({"close": [[1], [2, 3], [4]]}, "'close' must be one list of numbers"),
        ({"open_time": [0.5, 1, 2]}, "whole epoch milliseconds"),
        ({"open_time": ["1970-01-01", "", ""]}, "whole epoch milliseconds"),
        ({"open_time": [10**30, 1, 2]}, "whole epoch milliseconds"),
        ({"open_time": 0}, "'open_time' must be one list"),
        ({"open_time": [[0], [1, 2], [3]]}, "'open_time' must be one list"),
    ],
)
def test_columns_that_cannot_be_candles_are_refused(build: Any, changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidCandles, match=problem):
        build(Interval.M1, **columns(**changed))


@settings(max_examples=300)
@given(st.lists(rows, max_size=12))
def test_screen_takes_and_refuses_what_a_slow_reading_of_its_promise_would(table: list[Row]) -> None:
    candles, refused = Candles.screen(Interval.M1, **offered(table))
    by_minute: dict[int, set[str]] = {}
    for row in filter(sound, table):
        by_minute.setdefault(row[0], set()).add(repr(row))
    expected_minutes = sorted(minute for minute, versions in by_minute.items() if len(versions) == 1)
    expected_refused = {i for i, row in enumerate(table) if not sound(row) or len(by_minute[row[0]]) > 1}
    assert (candles.open_time.astype(np.int64) // 60_000).tolist() == expected_minutes
    assert {refusal.row for refusal in refused} == expected_refused
    assert all(refusal.open_time == 60_000 * table[refusal.row][0] and refusal.reason for refusal in refused)


@given(st.lists(rows, max_size=12), st.randoms())
def test_screen_does_not_depend_on_the_order_of_rows(table: list[Row], random: Any) -> None:
    shuffled = random.sample(table, len(table))
    first, second = (Candles.screen(Interval.M1, **offered(order)) for order in (table, shuffled))
    assert first[0] == second[0]
    assert len(first[1]) == len(second[1])


@given(st.lists(rows, max_size=12))
def test_what_was_screened_once_is_taken_whole_again(table: list[Row]) -> None:
    candles, _ = Candles.screen(Interval.M1, **offered(table))
    again, refused = Candles.screen(Interval.M1, **candles.columns())
    assert again == candles == Candles.of(Interval.M1, **candles.columns())
    assert refused == []


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_broken_row_between_two_that_disagree_hides_nothing(order: tuple[int, ...]) -> None:
    highs, closes = np.array([12.0, 1.0, 12.0]), np.array([11.0, 11.0, 11.5])
    candles, refused = Candles.screen(
        Interval.M1, **columns(open_time=[0, 0, 0], high=highs[list(order)], close=closes[list(order)])
    )
    assert len(candles) == 0
    assert sorted(refusal.reason for refusal in refused) == [
        "duplicates that disagree",
        "duplicates that disagree",
        "high is below open or close",
    ]


@pytest.mark.parametrize("highs", [[12.0, 1.0], [1.0, 12.0]])
def test_broken_row_does_not_take_the_sound_one_with_it(highs: list[float]) -> None:
    candles, refused = Candles.screen(Interval.M1, **columns(2, open_time=[0, 0], high=highs))
    assert len(candles) == 1
    assert [refusal.reason for refusal in refused] == ["high is below open or close"]


def test_screen_keeps_one_of_rows_that_agree_silently() -> None:
    candles, refused = Candles.screen(Interval.M1, **columns(open_time=[60_000, 0, 60_000]))
    assert candles == at_minutes(0, 1)
    assert refused == []


def test_screen_names_the_row_and_time_of_a_refusal() -> None:
    _, [refusal] = Candles.screen(Interval.M1, **columns(open_time=[120_000, 60_000, 0], volume=[1, -1, 1]))
    assert (refusal.row, refusal.open_time, refusal.reason) == (1, 60_000, "volume is negative")


def test_missing_times_are_refused_wherever_they_stand() -> None:
    times = np.array(["NaT", 0, "NaT"], dtype="datetime64[ms]")
    candles, refused = Candles.screen(Interval.M1, **columns(open_time=times))
    assert len(candles) == 1
    assert [(refusal.row, refusal.reason) for refusal in refused] == [
        (0, "open_time is missing"),
        (2, "open_time is missing"),
    ]


def test_no_candles_are_candles_too() -> None:
    empty = Candles.empty(Interval.M5)
    assert len(empty) == 0
    assert empty.gaps() == []
    assert list(empty.split_at_gaps()) == []
    assert empty == empty.closed(START) == empty.between(START, START + MINUTE)
    assert Candles.screen(Interval.M5, **empty.columns()) == (empty, [])
    with pytest.raises(IndexError):
        _ = empty.cutoff


@given(st.integers(0, 20), moments)
def test_closed_keeps_what_has_ended(count: int, moment: datetime) -> None:
    now = START + (moment - START) % timedelta(minutes=30)
    candles = make_candles(count, Interval.M1)
    ends = [START + (i + 1) * MINUTE for i in range(count)]
    assert candles.closed(now) == candles[: sum(end <= now for end in ends)]


def test_candle_is_closed_at_its_close_time_and_not_before() -> None:
    candles = make_candles(3, Interval.M15)
    assert len(candles.closed(candles.cutoff)) == 3
    assert len(candles.closed(candles.cutoff - timedelta(microseconds=1))) == 2


@given(st.integers(-(10**9), 2 * 10**9), st.integers(-(10**9), 2 * 10**9))
def test_between_takes_the_start_and_leaves_the_end(first: int, last: int) -> None:
    candles = make_candles(20, Interval.M1)
    start, end = START + timedelta(microseconds=first), START + timedelta(microseconds=last)
    wanted = [start <= START + i * MINUTE < end for i in range(20)]
    assert candles.between(start, end) == candles[np.array(wanted)]


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_between_is_exact_to_the_microsecond(beside: int) -> None:
    tick = timedelta(microseconds=1)
    candles = at_minutes(0, 1, 2)
    assert len(candles.between(from_ms(60_000) + beside * tick, from_ms(180_000))) == (1 if beside > 0 else 2)
    assert len(candles.between(from_ms(0), from_ms(60_000) + beside * tick)) == (2 if beside > 0 else 1)


def test_gaps_name_the_first_missing_candle_and_count() -> None:
    assert at_minutes(2, 3, 5, 9).gaps() == [Gap(from_ms(4 * 60_000), 1), Gap(from_ms(6 * 60_000), 3)]


@given(st.sets(st.integers(0, 40)))
def test_gaps_and_runs_account_for_every_minute(minutes: set[int]) -> None:
    candles = at_minutes(*sorted(minutes))
    runs, gaps = list(candles.split_at_gaps()), candles.gaps()
    span = max(minutes) - min(minutes) + 1 if minutes else 0
    assert len(candles) + sum(gap.missing for gap in gaps) == span
    assert len(runs) == (len(gaps) + 1 if minutes else 0)
    assert all(run.gaps() == [] for run in runs)
    assert [run.cutoff for run in runs[:-1]] == [gap.open_time for gap in gaps]
    assert Candles.concatenate([Candles.empty(Interval.M1), *runs]) == candles


def test_rows_may_be_taken_by_slice_and_by_mask() -> None:
    candles = make_candles(5)
    assert candles[1:3] == candles[np.array([False, True, True, False, False])]
    assert candles[1:3].open_time.tolist() == candles.open_time[1:3].tolist()


def test_equality_compares_every_column_and_the_interval() -> None:
    candles = Candles.of(Interval.M1, **columns())
    assert candles == Candles.of(Interval.M1, **columns())
    assert candles != Candles.of(Interval.M1, **columns(trades=[1, 2, 3]))
    assert candles != Candles.of(Interval.M1, **columns(open_time=[0, 60_000, 180_000]))
    assert candles != candles[:2]
    assert Candles.empty(Interval.M1) != Candles.empty(Interval.M5)
    assert candles != "candles"
    with pytest.raises(TypeError):
        hash(candles)


def test_close_time_is_the_exclusive_end() -> None:
    candles = at_minutes(0, 7)
    assert candles.close_time.astype(np.int64).tolist() == [60_000, 480_000]
    assert candles.cutoff == from_ms(480_000)


def test_parts_that_follow_each_other_are_joined() -> None:
    candles = make_candles(9)
    assert Candles.concatenate([candles[:4], candles[4:5], candles[5:]]) == candles


def test_parts_that_do_not_fit_are_not_joined() -> None:
    candles = make_candles(9)
    with pytest.raises(InvalidCandles, match="not ascending"):
        Candles.concatenate([candles[4:], candles[:4]])
    with pytest.raises(InvalidCandles, match="duplicate"):
        Candles.concatenate([candles[:5], candles[4:]])
    with pytest.raises(InvalidCandles, match="different intervals"):
        Candles.concatenate([candles, make_candles(1, Interval.H1)])
    with pytest.raises(ValueError, match="nothing to join"):
        Candles.concatenate([])
