"""The `series` and `candle` tables. Whole columns go in and out in Postgres' binary COPY format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Candles, Interval, Series, Symbol, to_datetime64
from candlecast.errors import UnknownSeries
from candlecast.store import schema
from candlecast.store.binary import VALUES, VALUES_AS_NUMBERS, read_columns
from candlecast.store.database import CANDLE_CHANNEL, notify
from candlecast.store.writing import Arrival, write

_SELECT = f"""
SELECT open_time, {VALUES_AS_NUMBERS}
FROM (SELECT open_time, {", ".join(VALUES)} FROM candle WHERE series_id = %(series_id)s {{condition}}) rows
ORDER BY open_time
"""  # noqa: S608  # names from this module only

_NEWEST = """
SELECT s.venue, s.symbol, s.interval, c.open_time + make_interval(secs => s.interval_seconds) AS close_time
FROM series s
CROSS JOIN LATERAL (
    SELECT open_time FROM candle WHERE series_id = s.id ORDER BY open_time DESC LIMIT 1
) c
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What an upsert did: rows that are new, rows whose values changed, rows that were there already."""

    inserted: int
    updated: int
    unchanged: int

    def __add__(self, other: Written) -> Written:
        return Written(self.inserted + other.inserted, self.updated + other.updated, self.unchanged + other.unchanged)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a stored series reaches; times are None where it holds no candle."""

    series: Series
    candles: int
    first_open_time: datetime | None
    last_open_time: datetime | None


def add_series(connection: Connection, series: Iterable[Series]) -> dict[Series, int]:
    """Make sure that each series has a row; return their ids."""
    wanted = list(series)
    if wanted:
        rows = [
            {
                "venue": s.venue,
                "symbol": str(s.symbol),
                "interval": str(s.interval),
                "interval_seconds": s.interval.seconds,
            }
            for s in wanted
        ]
        connection.execute(insert(schema.series).on_conflict_do_nothing(), rows)
    known = series_ids(connection)
    return {s: known[s] for s in wanted}


def ask_series(connection: Connection, series: Series) -> None:
    """Remember that somebody asked for a series that is not configured, adding it where it is new."""
    number = lock_series(connection, series)
    s = schema.series.c
    connection.execute(
        update(schema.series).where(s.id == number, s.asked_at.is_(None)).values(asked_at=func.clock_timestamp())
    )


def active_series(connection: Connection, configured: Sequence[Series]) -> tuple[Series, ...]:
    """Return the configured series, then those that were asked for in the order of asking, each once."""
    s = schema.series.c
    rows = connection.execute(
        select(s.venue, s.symbol, s.interval).where(s.asked_at.is_not(None)).order_by(s.asked_at, s.id)
    )
    asked = [Series(row.venue, Symbol.parse(row.symbol), Interval(row.interval)) for row in rows]
    return tuple(dict.fromkeys([*configured, *asked]))


def series_ids(connection: Connection) -> dict[Series, int]:
    """Return the ids of all stored series."""
    s = schema.series.c
    rows = connection.execute(select(s.venue, s.symbol, s.interval, s.id))
    return {Series(row.venue, Symbol.parse(row.symbol), Interval(row.interval)): row.id for row in rows}


def series_id(connection: Connection, series: Series) -> int:
    """Return the id of one series; raise UnknownSeries where it has none."""
    s = schema.series.c
    found: int | None = connection.execute(
        select(s.id).where(s.venue == series.venue, s.symbol == str(series.symbol), s.interval == str(series.interval))
    ).scalar()
    if found is None:
        raise UnknownSeries(f"no such series: {series}; GET /v1/series lists them", series=str(series))
    return found


def upsert(connection: Connection, series: Series, candles: Candles, *, source: str, now: datetime) -> Written:
    """Write closed candles: new ones are inserted, changed ones replaced, equal ones left alone. Then notify.

    What a replaced row said before goes into `candle_correction`; a candle that arrives is no confirmed gap any more.
    A fall-back source never replaces what the series' own venue or its archive said. Where these say what a fall-back
    had said already, the row only changes its source and counts as unchanged.

    Until the transaction ends nobody else writes candles of this series. `now` is the venue's clock, stored as
    `ingested_at`. Raise ValueError for candles of another interval or for one that is still open at `now`: only closed
    candles are ever stored.
    """
    if candles.interval != series.interval:
        raise ValueError(f"{candles.interval} candles do not belong to {series}")
    if len(candles) and candles.close_time[-1] > to_datetime64(now):
        raise ValueError(f"the candle of {series} at {candles.open_time[-1]} is not closed at {now}")
    own_sources = (series.venue, f"{series.venue}_archive")
    arrival = Arrival(lock_series(connection, series), source, own_sources, now)
    inserted, updated = write(connection, arrival, candles)
    if inserted or updated:
        notify(connection, CANDLE_CHANNEL, str(series))
    return Written(inserted, updated, len(candles) - inserted - updated)


def lock_series(connection: Connection, series: Series) -> int:
    """Return the series' id, adding the series where it is new; until the transaction ends nobody else locks it.

    Readers, and writers of the ledger, do not wait for this lock.
    """
    s = schema.series.c
    wanted = (s.venue == series.venue, s.symbol == str(series.symbol), s.interval == str(series.interval))
    found: int | None = connection.execute(select(s.id).where(*wanted).with_for_update(key_share=True)).scalar()
    if found is None:
        add_series(connection, [series])
        return lock_series(connection, series)
    return found


def read(
    connection: Connection, series: Series, *, start: datetime | None = None, end: datetime | None = None
) -> Candles:
    """Return the stored candles with start <= open_time < end; raise UnknownSeries where there is no such series."""
    values: dict[str, Any] = {"series_id": series_id(connection, series), "start": start, "end": end}
    condition = ("AND open_time >= %(start)s " if start else "") + ("AND open_time < %(end)s" if end else "")
    return _copy_out(connection, series.interval, condition, values)


def read_last(connection: Connection, series: Series, count: int, *, before: datetime | None = None) -> Candles:
    """Return the newest `count` stored candles, oldest first, all with open_time < `before` where that is given."""
    values: dict[str, Any] = {"series_id": series_id(connection, series), "count": count, "before": before}
    condition = ("AND open_time < %(before)s " if before else "") + "ORDER BY open_time DESC LIMIT %(count)s"
    return _copy_out(connection, series.interval, condition, values)


def extents(connection: Connection) -> list[Extent]:
    """Return how far every stored series reaches, sorted by venue, symbol and length."""
    s, c = schema.series.c, schema.candle.c
    found = (
        select(
            c.series_id,
            func.count().label("candles"),
            func.min(c.open_time).label("first"),
            func.max(c.open_time).label("last"),
        )
        .group_by(c.series_id)
        .subquery()
    )
    rows = connection.execute(
        select(s.venue, s.symbol, s.interval, func.coalesce(found.c.candles, 0), found.c.first, found.c.last)
        .select_from(schema.series.outerjoin(found, found.c.series_id == s.id))
        .order_by(s.venue, s.symbol, s.interval_seconds)
    )
    return [
        Extent(Series(venue, Symbol.parse(symbol), Interval(interval)), candles, _utc(first), _utc(last))
        for venue, symbol, interval, candles, first, last in rows
    ]


def newest_close_times(connection: Connection) -> dict[Series, datetime]:
    """Return when the newest candle of each stored series closed; one look at the index per series."""
    rows = connection.execute(text(_NEWEST))
    return {
        Series(row.venue, Symbol.parse(row.symbol), Interval(row.interval)): row.close_time.astimezone(UTC)
        for row in rows
    }


def last_open_time(connection: Connection, series: Series) -> datetime | None:
    """Return the open time of the newest stored candle; one look at the index."""
    c = schema.candle.c
    return _utc(
        connection.execute(
            select(c.open_time)
            .where(c.series_id == series_id(connection, series))
            .order_by(c.open_time.desc())
            .limit(1)
        ).scalar()
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


def _copy_out(connection: Connection, interval: Interval, condition: str, values: dict[str, Any]) -> Candles:
    return Candles.of(interval, **read_columns(connection, _SELECT.format(condition=condition), values, VALUES))
