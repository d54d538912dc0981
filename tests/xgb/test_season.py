from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from candlecast.candles import Interval
from candlecast.xgb.season import Season
from tests.making import saved

MONDAY = datetime(2025, 6, 2, 4, tzinfo=UTC)
"""Midnight in New York."""


def _hours(count: int, start: datetime = MONDAY) -> np.ndarray:
    return np.datetime64(start.replace(tzinfo=None), "ms") + np.arange(count) * np.timedelta64(3_600_000, "ms")


def test_time_of_the_day_is_that_of_new_york() -> None:
    minutes = np.random.default_rng(1).integers(0, 25 * 365 * 1440, 4000)
    starts = np.datetime64("2008-01-01T00:00", "ms") + minutes * np.timedelta64(60_000, "ms")
    season = Season(np.arange(2 * 1440.0).reshape(2, 1440))
    local = [t.replace(tzinfo=UTC).astimezone(ZoneInfo("America/New_York")) for t in starts.astype(datetime)]
    expected = [t.hour * 60 + t.minute + 1440 * (t.weekday() >= 5) for t in local]
    assert season.at(starts).tolist() == expected


@pytest.mark.parametrize("change", ["2025-03-09T07:00", "2025-11-02T06:00", "2026-03-08T07:00", "2026-11-01T06:00"])
def test_clocks_change_at_the_right_minute(change: str) -> None:
    around = np.datetime64(change, "ms") + np.array([-60_000, 0]) * np.timedelta64(1, "ms")
    local = [t.replace(tzinfo=UTC).astimezone(ZoneInfo("America/New_York")) for t in around.astype(datetime)]
    season = Season(np.tile(np.arange(24.0), (2, 1)))
    assert season.at(around).tolist() == [t.hour for t in local]


def test_profile_is_the_mean_of_each_slot_drawn_to_zero() -> None:
    starts = _hours(24 * 7 * 10)
    excess = np.random.default_rng(2).normal(0, 1, len(starts)).clip(-3, 3)
    season = Season.fit(Interval.H1, starts, excess)
    days = excess.reshape(10, 7, 24)
    assert season.profile[0] == pytest.approx(days[:, :5].sum(axis=(0, 1)) / (50 + 20))
    assert season.profile[1] == pytest.approx(days[:, 5:].sum(axis=(0, 1)) / (20 + 20))


def test_one_wild_candle_counts_as_three() -> None:
    quiet = Season.fit(Interval.H1, _hours(24), np.full(24, 3.0))
    assert Season.fit(Interval.H1, _hours(24), np.full(24, 1e6)).profile.tolist() == quiet.profile.tolist()


def test_short_slots_lean_on_their_neighbours_across_midnight() -> None:
    starts = _hours(300, MONDAY)[:1]
    profile = Season.fit(Interval.M15, np.repeat(starts, 20), np.ones(20)).profile
    assert profile[0, [95, 0, 1]].tolist() == [0.125, 0.25, 0.125]
    assert np.count_nonzero(profile) == 3


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval_has_slots_for_a_day(interval: Interval) -> None:
    starts = np.datetime64(MONDAY.replace(tzinfo=None), "ms") + np.arange(300) * interval.step
    season = Season.fit(interval, starts, np.ones(300))
    assert season.profile.shape == (2, 86400 // interval.seconds)
    assert (season.at(starts) > 0).all()


def test_round_trip_through_bytes() -> None:
    season = Season.fit(Interval.H1, _hours(500), np.random.default_rng(3).normal(0, 1, 500))
    assert Season.from_bytes(season.to_bytes()).profile.tolist() == season.profile.tolist()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"something else",
        saved(np.zeros(24)),
        saved(np.zeros((3, 24))),
        saved(np.zeros((2, 24), dtype=np.int64)),
        saved(np.full((2, 24), np.nan)),
        saved(np.array([{}])),
    ],
)
def test_bytes_that_are_no_profile_are_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        Season.from_bytes(raw)
