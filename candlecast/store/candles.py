"""The `series` and `candle` tables. Whole columns go in and out in Postgres' binary COPY format."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Candles, Interval, Series, Symbol, to_datetime64
from candlecast.errors import UnknownSeries
from candlecast.store import schema
from candlecast.store.database import CANDLE_CHANNEL, notify

_VALUES = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")
_COLUMNS = ("open_time", *_VALUES)
_POSTGRES_EPOCH = np.datetime64("2000-01-01", "ms")

# One row of the COPY binary format: the number of fields, then each field's length in bytes and its value.
_ROW = np.dtype(
    [("fields", ">i2")]
    + [part for name in _COLUMNS for part in ((f"{name}_size", ">i4"), (name, ">i8" if name == "open_time" else ">f8"))]
)
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"

# Missing optional values travel as NaN, so that every row has the same length, and are NULL in the table.
_UPSERT = f"""
WITH written AS (
    INSERT INTO candle AS c (series_id, {", ".join(_COLUMNS)}, source, ingested_at)
    SELECT :series_id, open_time, open, high, low, close, volume,
           nullif(quote_volume, 'NaN'), nullif(trades, 'NaN')::bigint, nullif(taker_buy_volume, 'NaN'),
           :source, :ingested_at
    FROM arriving
    ON CONFLICT (series_id, open_time) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in (*_VALUES, "source", "ingested_at"))},
        recorded_at = clock_timestamp()
    WHERE ({", ".join(f"c.{name}" for name in _VALUES)})
          IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in _VALUES)})
    RETURNING xmax = 0 AS inserted
)
SELECT count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted) FROM written
"""  # noqa: S608  # names from this module only

_SELECT = f"""
SELECT open_time, open, high, low, close, volume, coalesce(quote_volume, 'NaN'),
       coalesce(trades::double precision, 'NaN'), coalesce(taker_buy_volume, 'NaN')
FROM (SELECT {", ".join(_COLUMNS)} FROM candle WHERE series_id = %(series_id)s {{condition}}) rows
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

    `now` is the venue's clock, stored as `ingested_at`. Raise ValueError for candles of another interval or for one
    that is still open at `now`: only closed candles are ever stored.
    """
    if candles.interval != series.interval:
        raise ValueError(f"{candles.interval} candles do not belong to {series}")
    if len(candles) and candles.close_time[-1] > to_datetime64(now):
        raise ValueError(f"the candle of {series} at {candles.open_time[-1]} is not closed at {now}")
    ids = add_series(connection, [series])
    if not len(candles):
        return Written(0, 0, 0)
    _copy_in(connection, candles)
    values = {"series_id": ids[series], "source": source, "ingested_at": now}
    inserted, updated = connection.execute(text(_UPSERT), values).one()
    connection.execute(text("DROP TABLE arriving"))
    if inserted or updated:
        notify(connection, CANDLE_CHANNEL, str(series))
    return Written(inserted, updated, len(candles) - inserted - updated)


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


def _copy_in(connection: Connection, candles: Candles) -> None:
    declared = ", ".join(f"{name} {'timestamptz' if name == 'open_time' else 'double precision'}" for name in _COLUMNS)
    connection.execute(text(f"CREATE TEMPORARY TABLE arriving ({declared})"))
    cursor = _cursor(connection)
    cursor.copy_expert("COPY arriving FROM STDIN (FORMAT binary)", io.BytesIO(_encode(candles)))


def _copy_out(connection: Connection, interval: Interval, condition: str, values: dict[str, Any]) -> Candles:
    cursor = _cursor(connection)
    query = cursor.mogrify(_SELECT.format(condition=condition), values).decode()
    buffer = io.BytesIO()
    cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT binary)", buffer)
    return _decode(interval, buffer.getvalue())


def _cursor(connection: Connection) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _encode(candles: Candles) -> bytes:
    rows = np.empty(len(candles), dtype=_ROW)
    rows["fields"] = len(_COLUMNS)
    for name, column in candles.columns().items():
        rows[f"{name}_size"] = 8
        rows[name] = _microseconds(column) if name == "open_time" else column
    return _HEADER + rows.tobytes() + _TRAILER


def _decode(interval: Interval, content: bytes) -> Candles:
    count = (len(content) - len(_HEADER) - len(_TRAILER)) // _ROW.itemsize
    rows = np.frombuffer(content, dtype=_ROW, count=count, offset=len(_HEADER))
    times = _POSTGRES_EPOCH + (rows["open_time"].astype(np.int64) // 1000).astype("timedelta64[ms]")
    return Candles.of(interval, open_time=times, **{name: rows[name].astype(np.float64) for name in _VALUES})


def _microseconds(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return (times - _POSTGRES_EPOCH).astype("timedelta64[us]").astype(np.int64)
