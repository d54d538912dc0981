"""A venue's now, for venues that live by the wall clock and for those that do not."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlecast.clock import VenueClock

START = datetime(2025, 9, 1, tzinfo=UTC)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
REPLAY = VenueClock(start=START, epoch=EPOCH, speed=90)
NAIVE = datetime(2025, 9, 1)  # noqa: DTZ001


def test_live_clock_is_the_wall_clock() -> None:
    assert VenueClock().at(EPOCH) == EPOCH
    before = datetime.now(UTC)
    assert before <= VenueClock().now() <= datetime.now(UTC)


def test_replay_starts_at_its_start_and_runs_at_its_speed() -> None:
    assert REPLAY.at(EPOCH) == START
    assert REPLAY.at(EPOCH + timedelta(seconds=10)) == START + timedelta(minutes=15)
    assert REPLAY.at(EPOCH - timedelta(seconds=10)) == START - timedelta(minutes=15)


@given(
    st.floats(0.01, 1000), st.timedeltas(timedelta(0), timedelta(days=30)), st.timedeltas(timedelta(0), timedelta(1))
)
def test_clock_never_runs_backward(speed: float, since: timedelta, later: timedelta) -> None:
    clock = VenueClock(start=START, epoch=EPOCH, speed=speed)
    assert clock.at(EPOCH + since) <= clock.at(EPOCH + since + later)


@pytest.mark.parametrize(("ahead", "seconds"), [(timedelta(minutes=15), 10), (timedelta(minutes=-15), -10)])
def test_wait_is_told_in_wall_seconds(ahead: timedelta, seconds: float) -> None:
    clock = VenueClock(start=START, epoch=datetime.now(UTC), speed=90)
    assert clock.wall_seconds_until(START + ahead) == pytest.approx(seconds, abs=5)
    assert clock.wall_seconds_until(START + ahead) < seconds


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        VenueClock(start=NAIVE)
    with pytest.raises(ValueError, match="time zone"):
        VenueClock(epoch=NAIVE)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_clock_that_does_not_run_forward_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be above 0"):
        VenueClock(speed=speed)
