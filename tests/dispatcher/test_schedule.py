"""The plan, against a slow reading of it: a planned moment lies at `offset` after each multiple of `period`."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlecast.candles import Interval
from dispatcher.schedule import TRAINING_AT, drift_period, ingestion_period, is_due, settling_time

MIDNIGHT = datetime(2025, 9, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

periods = st.sampled_from([timedelta(seconds=60), timedelta(minutes=5), timedelta(hours=1), DAY])
shares = st.floats(0, 0.9)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def _planned_between(last: datetime, now: datetime, period: timedelta, offset: timedelta) -> bool:
    number = (last - EPOCH) // period - 1
    while (planned := EPOCH + number * period + offset) <= now:
        if planned > last:
            return True
        number += 1
    return False


@given(now=moments, period=periods, share=shares, back=st.floats(0, 3))
def test_a_run_is_due_exactly_when_a_planned_moment_came_since_the_last(
    now: datetime, period: timedelta, share: float, back: float
) -> None:
    last, offset = now - back * period, share * period
    assert is_due(now, last, period, offset) == _planned_between(last, now, period, offset)


@given(start=moments, period=periods, share=shares, steps=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=60))
def test_who_looks_often_enough_makes_one_run_per_planned_moment(
    start: datetime, period: timedelta, share: float, steps: list[float]
) -> None:
    offset, now, last, made = share * period, start, start, 0
    for step in steps:
        now += step * period
        if is_due(now, last, period, offset):
            last, made = now, made + 1
    assert made == (now - offset - EPOCH) // period - (start - offset - EPOCH) // period


@given(now=moments, period=periods, share=shares)
def test_what_was_never_run_is_due(now: datetime, period: timedelta, share: float) -> None:
    assert is_due(now, None, period, share * period)


def test_a_run_at_the_planned_moment_itself_is_not_made_twice() -> None:
    assert is_due(MIDNIGHT, MIDNIGHT - MINUTE, DAY)
    assert not is_due(MIDNIGHT, MIDNIGHT, DAY)
    assert not is_due(MIDNIGHT + DAY - MINUTE, MIDNIGHT, DAY)


def test_training_waits_for_twenty_past_midnight() -> None:
    yesterday = MIDNIGHT - timedelta(hours=20)
    assert not is_due(MIDNIGHT + timedelta(minutes=19, seconds=59), yesterday, DAY, TRAINING_AT)
    assert is_due(MIDNIGHT + timedelta(minutes=20), yesterday, DAY, TRAINING_AT)


@pytest.mark.parametrize(
    ("intervals", "period"),
    [
        ([Interval.M1, Interval.H1], MINUTE),
        ([Interval.M5], 5 * MINUTE),
        ([Interval.M15, Interval.H1], 5 * MINUTE),
        ([Interval.D1], 5 * MINUTE),
    ],
)
def test_ingestion_follows_the_shortest_interval_but_comes_every_five_minutes(
    intervals: list[Interval], period: timedelta
) -> None:
    assert ingestion_period(intervals) == period


@given(period=periods)
def test_settling_takes_a_second_and_never_much_of_a_period(period: timedelta) -> None:
    assert timedelta(0) < settling_time(period) <= min(timedelta(seconds=1), period / 50)


@pytest.mark.parametrize(("speed", "wall_minutes"), [(1, 60), (30, 2), (90, 2), (900, 2)])
def test_drift_comes_hourly_but_leaves_the_wall_clock_two_minutes(speed: float, wall_minutes: float) -> None:
    assert drift_period(speed) / speed == wall_minutes * MINUTE
