"""The `series_audit` table: what the newest look at a whole series found, so that a scrape need not count candles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Interval, Series, Symbol
from candlecast.spans import Span
from candlecast.store import schema
from candlecast.store.candles import series_id
from candlecast.store.gaps import confirmed, on_grid


@dataclass(frozen=True, slots=True)
class Audit:
    """The candles of a whole window, when it was last looked at: as in DayCoverage."""

    window: Span
    expected: int
    stored: int
    confirmed: int
    audited_at: datetime

    @property
    def missing(self) -> int:
        """Return how many are neither stored nor known to be missing at the venue."""
        return self.expected - self.stored - self.confirmed


def record(connection: Connection, series: Series, start: datetime, end: datetime, *, now: datetime) -> Audit:
    """Count the candles with start <= open_time < end and write the result down; `now` is the venue's clock."""
    number, span = series_id(connection, series), on_grid(series.interval, start, end)
    c = schema.candle.c
    stored: int = connection.execute(
        select(func.count()).where(c.series_id == number, c.open_time >= span.start, c.open_time < span.end)
    ).scalar_one()
    lacking = sum(gap.span.candles(series.interval) for gap in confirmed(connection, series, start, end))
    found = Audit(span, span.candles(series.interval), stored, lacking, now)
    values = {
        "start_time": span.start,
        "end_time": span.end,
        "expected": found.expected,
        "stored": stored,
        "confirmed": lacking,
        "audited_at": now,
    }
    connection.execute(
        insert(schema.series_audit)
        .values(series_id=number, **values)
        .on_conflict_do_update(index_elements=["series_id"], set_=values | {"recorded_at": func.clock_timestamp()})
    )
    return found


def newest(connection: Connection) -> dict[Series, Audit]:
    """Return what the newest audit of every series found."""
    s = schema.series.c
    rows = connection.execute(
        select(schema.series_audit, s.venue, s.symbol, s.interval).join(
            schema.series, s.id == schema.series_audit.c.series_id
        )
    )
    return {
        Series(row.venue, Symbol.parse(row.symbol), Interval(row.interval)): Audit(
            Span(row.start_time.astimezone(UTC), row.end_time.astimezone(UTC)),
            row.expected,
            row.stored,
            row.confirmed,
            row.audited_at.astimezone(UTC),
        )
        for row in rows
    }
