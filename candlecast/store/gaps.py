"""What a stored series lacks: holes, those of them that the venue has itself, and how complete every day is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
from sqlalchemy import Connection, text

from candlecast.candles import VENUES, Interval, Series, from_datetime64, to_datetime64
from candlecast.spans import Span, subtract
from candlecast.store import confirmed as confirmed_gaps
from candlecast.store.binary import read_columns
from candlecast.store.candles import lock_series, series_id
from candlecast.store.confirmed import ConfirmedGap, Evidence

_TIMES = """
SELECT open_time FROM candle
WHERE series_id = %(series_id)s AND open_time >= %(start)s AND open_time < %(end)s
ORDER BY open_time
"""
_BORROWED = """
SELECT open_time FROM candle
WHERE series_id = %(series_id)s AND open_time >= %(start)s AND open_time < %(end)s AND source = ANY(%(others)s)
ORDER BY open_time
"""
_DAYS = text(
    """
    SELECT (open_time AT TIME ZONE 'UTC')::date AS day, count(*) AS stored FROM candle
    WHERE series_id = :series_id AND open_time >= :start AND open_time < :end
    GROUP BY 1
    """
)
_DAY = timedelta(days=1)
_READ_AT_ONCE = 200_000  # candles whose times are in memory: about 10 MB


@dataclass(frozen=True, slots=True)
class DayCoverage:
    """The candles of one UTC day: how many there should be, are stored, the venue lacks, and nobody can explain."""

    day: date
    expected: int
    stored: int
    confirmed: int

    @property
    def missing(self) -> int:
        """Return how many are neither stored nor known to be missing at the venue."""
        return self.expected - self.stored - self.confirmed


def missing(connection: Connection, series: Series, start: datetime, end: datetime) -> list[Span]:
    """Return the holes among the candles with start <= open_time < end, oldest first, confirmed gaps included."""
    return _holes(connection, series_id(connection, series), on_grid(series.interval, start, end), series.interval)


def confirmed(connection: Connection, series: Series, start: datetime, end: datetime) -> list[ConfirmedGap]:
    """Return the gaps that the venue has itself, cut to start <= open_time < end, oldest first."""
    span = on_grid(series.interval, start, end)
    return [
        ConfirmedGap(Span(max(gap.span.start, span.start), min(gap.span.end, span.end)), gap.because)
        for gap in confirmed_gaps.overlapping(connection, series_id(connection, series), span)
    ]


def confirm(
    connection: Connection,
    series: Series,
    spans: Sequence[Span],
    *,
    source: str,
    evidence: str,
    now: datetime,
    recheck_at: datetime,
) -> None:
    """Write down that the venue lacks the candles of `spans` (ascending, without overlap), except those stored.

    What was confirmed before about the same time is replaced. Until the transaction ends nobody else writes candles
    of this series, so that a gap never covers a candle.
    """
    if not spans:
        return
    number = lock_series(connection, series)
    confirmed_gaps.no_longer_confirmed(connection, number, spans)
    holes = _holes(connection, number, Span(spans[0].start, spans[-1].end), series.interval)
    stored = subtract(spans, holes)
    confirmed_gaps.add(connection, number, subtract(spans, stored), Evidence(source, evidence, now, recheck_at))


def unexplained(connection: Connection, series: Series, start: datetime, end: datetime, *, now: datetime) -> list[Span]:
    """Return the holes that are worth asking for: those not confirmed, or confirmed and due to be asked for again."""
    settled = [gap.span for gap in confirmed(connection, series, start, end) if gap.because.recheck_at > now]
    return subtract(missing(connection, series, start, end), settled)


def borrowed(connection: Connection, series: Series, start: datetime, end: datetime) -> list[Span]:
    """Return the stretches whose candles came from another venue, oldest first."""
    span = on_grid(series.interval, start, end)
    others = [venue for venue in VENUES if venue != series.venue]
    at = {"series_id": series_id(connection, series), "start": span.start, "end": span.end, "others": others}
    times = read_columns(connection, _BORROWED, at, ())["open_time"]
    if not len(times):
        return []
    breaks = np.flatnonzero(np.diff(times) > series.interval.step)
    firsts, lasts = times[[0, *(breaks + 1)]], times[[*breaks, len(times) - 1]]
    return [
        Span(from_datetime64(first), from_datetime64(last) + series.interval.delta)
        for first, last in zip(firsts, lasts, strict=True)
    ]


def coverage(connection: Connection, series: Series, start: datetime, end: datetime) -> list[DayCoverage]:
    """Return for every UTC day that start <= open_time < end touches how complete it is, oldest first."""
    span = on_grid(series.interval, start, end)
    at = {"series_id": series_id(connection, series), "start": span.start, "end": span.end}
    stored = {row.day: row.stored for row in connection.execute(_DAYS, at)}
    lacking: dict[date, int] = {}
    for gap in confirmed(connection, series, start, end):
        for part in _by_day(gap.span):
            day = part.start.date()
            lacking[day] = lacking.get(day, 0) + part.candles(series.interval)
    return [
        DayCoverage(day, part.candles(series.interval), stored.get(day, 0), lacking.get(day, 0))
        for part in _by_day(span)
        for day in [part.start.date()]
    ]


def completeness(connection: Connection, series: Series, start: datetime, end: datetime) -> float | None:
    """Return which share of the candles that the venue has is stored; None where it has none in this time."""
    return share_stored(coverage(connection, series, start, end))


def share_stored(days: Sequence[DayCoverage]) -> float | None:
    """Return the completeness of some days together."""
    there = sum(day.expected - day.confirmed for day in days)
    return sum(day.stored for day in days) / there if there else None


def _holes(connection: Connection, number: int, span: Span, interval: Interval) -> list[Span]:
    found: list[Span] = []
    for part in _in_parts(span, _READ_AT_ONCE * interval.delta):
        for hole in _holes_of_part(connection, number, part, interval):
            if found and found[-1].end == hole.start:
                found[-1] = Span(found[-1].start, hole.end)
            else:
                found.append(hole)
    return found


def _holes_of_part(connection: Connection, number: int, part: Span, interval: Interval) -> list[Span]:
    at = {"series_id": number, "start": part.start, "end": part.end}
    times = read_columns(connection, _TIMES, at, ())["open_time"]
    after = np.concatenate([[to_datetime64(part.start)], times + interval.step])
    before = np.concatenate([times, [to_datetime64(part.end)]])
    holes = np.flatnonzero(before > after)
    return [Span(from_datetime64(after[hole]), from_datetime64(before[hole])) for hole in holes]


def _in_parts(span: Span, length: timedelta) -> Iterator[Span]:
    start = span.start
    while start < span.end:
        yield Span(start, min(span.end, start + length))
        start += length


def on_grid(interval: Interval, start: datetime, end: datetime) -> Span:
    """Return the grid times from `start` on and before `end` as a span, empty where there are none."""
    first = _ceil(interval, start)
    return Span(first, max(first, _ceil(interval, end)))


def _ceil(interval: Interval, moment: datetime) -> datetime:
    floor = interval.floor(moment)
    return floor if floor == moment else floor + interval.delta


def _by_day(span: Span) -> list[Span]:
    """Cut a span at every UTC midnight."""
    midnight = datetime.combine(span.start.date(), datetime.min.time(), UTC)
    days = max(0, -((midnight - span.end) // _DAY))
    cuts = [span.start, *(midnight + day * _DAY for day in range(1, days)), span.end]
    return [Span(start, end) for start, end in pairwise(cuts) if start < end]
