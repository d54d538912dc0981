"""When scheduled runs are due, by the venue's clock: pure, so that a laptop follows the CronJobs' plan exactly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from candlecast.candles import Interval

TRAINING_AT = timedelta(minutes=20)
"""Training runs daily at 00:20 UTC."""

RETENTION_AT = timedelta(hours=1, minutes=40)
"""Retention runs daily at 01:40 UTC, when training has ended."""

_DRIFT_EVERY = timedelta(hours=1)
_LEAST_DRIFT_PAUSE = timedelta(minutes=2)
_SLOWEST_INGESTION = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ingestion_period(intervals: Iterable[Interval]) -> timedelta:
    """Return how often ingestion runs: at the close of the shortest interval, never slower than every 5 minutes."""
    return min([interval.delta for interval in intervals] + [_SLOWEST_INGESTION])


def drift_period(speed: float) -> timedelta:
    """Return how often drift runs: hourly; where a venue's hours pass in seconds, every two minutes of the wall."""
    return max(_DRIFT_EVERY, speed * _LEAST_DRIFT_PAUSE)


def settling_time(period: timedelta) -> timedelta:
    """Return how long after a close ingestion starts: a venue may need a moment to say that a candle is final."""
    return min(timedelta(seconds=1), period / 50)


def is_due(now: datetime, last: datetime | None, period: timedelta, offset: timedelta = timedelta()) -> bool:
    """Return whether a planned moment (`offset` after each multiple of `period`) lies in (last, now].

    Without a `last`, the run was never made, so it is due.
    """
    planned = now - (now - offset - _EPOCH) % period
    return last is None or last < planned
