"""Thresholds by null windows: how often they alarm by chance, and what they are made of."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from candlecast.candles import Floats, Interval
from candlecast.drift import Window
from monitoring.thresholds import FALSE_ALARMS, Thresholds, by_rule_of_thumb, calibrate, distance
from monitoring.windows import FEWEST_NULLS, Rows, choose_windows, null_past

END = datetime(2025, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOURS = 24


def _rows(column: Floats, end: datetime = END) -> Rows:
    """Return hourly rows, the last at `end`."""
    newest = np.datetime64(end.replace(tzinfo=None), "ms")
    return Rows(newest - np.arange(len(column))[::-1] * np.timedelta64(1, "h"), {"x": column})


def _calibrated(column: Floats, *, gap: int = 0, gone: int = 0) -> Thresholds | None:
    """Calibrate on hourly rows up to END for a current window that begins `gap` days after; `gone` rows are missing."""
    days = len(column) // HOURS
    newest = END + (7 + gap) * DAY
    windows = choose_windows(Interval.H1, first=END - days * DAY, newest=newest, trained=(END - days * DAY, END))
    past = null_past(Interval.H1, first=END - days * DAY, reference=windows[0])
    rows = _rows(column)
    return calibrate(rows[np.arange(len(rows)) >= gone], past, Interval.H1, windows=windows, now=newest)


def _count(found: Thresholds | None) -> int:
    assert found is not None
    assert found.calibration is not None
    return found.calibration.null_windows


def _restless(seed: int, days: int) -> Floats:
    """Return a column whose level wanders for days, as those of a market do, and always comes back."""
    random = np.random.default_rng(seed)
    level = np.zeros(days)
    for day in range(1, days):
        level[day] = 0.7 * level[day - 1] + random.normal(scale=0.5)
    return np.repeat(level, HOURS) + random.normal(size=days * HOURS)


def test_a_market_that_goes_on_as_it_was_alarms_as_often_as_stated() -> None:
    alarms = []
    for seed in range(300):
        column = _restless(seed, 182 + 7)
        found = _calibrated(column[: -7 * HOURS])
        assert found is not None
        reference, current = column[-35 * HOURS : -7 * HOURS], column[-7 * HOURS :]
        alarms.append(distance(reference, current) >= found.columns["x"])
    error = np.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / len(alarms))
    assert np.mean(alarms) == pytest.approx(FALSE_ALARMS, abs=2.5 * error)


def test_threshold_is_the_distance_that_one_null_window_in_twenty_reaches() -> None:
    column = _restless(1, 100)
    found = _calibrated(column)
    assert found is not None
    pairs = [
        distance(column[day * HOURS : (day + 28) * HOURS], column[(day + 28) * HOURS : (day + 35) * HOURS])
        for day in range(100 - 35 + 1)
    ]
    rank = int(np.ceil(0.95 * (len(pairs) + 1)))
    assert found.columns["x"] == pytest.approx(sorted(pairs)[rank - 1], rel=0.02)
    assert found.calibration is not None
    assert found.calibration.null_windows == len(pairs) == 66
    assert (found.calibration.start, found.calibration.end) == (END - 100 * DAY, END)
    assert found.calibration.made_at == END + 7 * DAY
    assert found.calibration.column_rate == FALSE_ALARMS
    assert found.calibration.verdict_rate == pytest.approx(FALSE_ALARMS, abs=0.03), "a single column is the whole"


def test_null_windows_lie_as_far_apart_as_the_windows_that_are_compared() -> None:
    trend = np.arange(100 * HOURS) / (100 * HOURS) + 0.01 * np.random.default_rng(1).normal(size=100 * HOURS)
    near, far = _calibrated(trend), _calibrated(trend, gap=20)
    assert near is not None
    assert far is not None
    assert far.columns["x"] > 1.5 * near.columns["x"], "a trend goes on in the gap"
    assert (_count(near), _count(far)) == (66, 46)
    assert _count(_calibrated(trend, gap=60)) == 35, "rather windows that lie closer together than too few"


def test_too_few_null_windows_give_no_thresholds() -> None:
    assert _count(_calibrated(_restless(1, 38))) == 20 >= FEWEST_NULLS
    assert _calibrated(_restless(1, 36)) is None
    assert _calibrated(_restless(1, 20)) is None


def test_windows_that_hold_too_little_are_no_null_windows() -> None:
    whole, holed = _calibrated(_restless(1, 100)), _calibrated(_restless(1, 100), gone=40 * HOURS)
    assert _count(whole) == 66
    assert _count(holed) == 66 - 26, "the first 26 references hold less than half of their days"


def test_constant_and_empty_columns_have_thresholds_too() -> None:
    for column in (np.ones(100 * HOURS), np.full(100 * HOURS, np.nan)):
        found = _calibrated(column)
        assert found is not None
        assert found.columns == {"x": 0.02}
        assert by_rule_of_thumb(_rows(column)) == Thresholds({"x": 0.1})


def test_rule_of_thumb_is_a_tenth_for_a_steady_column_and_more_for_a_restless_one() -> None:
    random = np.random.default_rng(1)
    steady = random.normal(size=4000)
    assert by_rule_of_thumb(_rows(steady)) == Thresholds({"x": 0.1})
    restless = steady + np.repeat([0.0, 1.0, 2.0, 3.0], 1000)
    farthest = max(distance(restless, restless[i : i + 1000]) for i in range(0, 4000, 1000))
    assert by_rule_of_thumb(_rows(restless)).columns["x"] == pytest.approx(1.5 * farthest)
    assert farthest > 1


def test_length_of_a_window_is_its_time() -> None:
    assert Window(END - 7 * DAY, END).length == 7 * DAY
