"""The `series` and `candle` tables. Whole columns go in and out in Postgres' binary COPY format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Bools, Candles, Interval, Series, Span, Symbol, from_datetime64, to_datetime64
from candlecast.errors import UnknownSeries
from candlecast.store import schema
from candlecast.store.binary import VALUES, read_columns, write_rows
from candlecast.store.confirmed import no_longer_confirmed
from candlecast.store.database import CANDLE_CHANNEL, notify

_CHUNK = 50_000  # rows that are compared and written at once: about 15 MB

# NULL is not of the same length as a number, so that missing optional values travel as NaN.
VALUES_AS_NUMBERS = ", ".join(
    {
        "quote_volume": "coalesce(quote_volume, 'NaN')",
        "trades": "coalesce(trades::double precision, 'NaN')",
        "taker_buy_volume": "coalesce(taker_buy_volume, 'NaN')",
    }.get(name, name)
    for name in VALUES
)
_SELECT = f"""
SELECT open_time, {VALUES_AS_NUMBERS}
FROM (SELECT open_time, {", ".join(VALUES)} FROM candle WHERE series_id = %(series_id)s {{condition}}) rows
ORDER BY open_time
"""  # noqa: S608  # names from this module only

_SELECT_HELD = f"""
SELECT open_time, {VALUES_AS_NUMBERS}, (source = ANY(%(own)s))::int::double precision
FROM candle WHERE series_id = %(series_id)s AND open_time BETWEEN %(first)s AND %(last)s
ORDER BY open_time
"""  # noqa: S608  # names from this module only

_AT_TIMES = """
candle AS c USING unnest(CAST(:times AS bigint[])) AS t (milliseconds)
WHERE c.series_id = :series_id AND c.open_time = timestamptz 'epoch' + t.milliseconds * interval '1 millisecond'
"""
_SET_ASIDE = text(
    f"""
    WITH replaced AS (DELETE FROM {_AT_TIMES} RETURNING c.*)
    INSERT INTO candle_correction (series_id, open_time, {", ".join(VALUES)}, source, replaced_by, corrected_at)
    SELECT series_id, open_time, {", ".join(VALUES)}, source, :replaced_by, :corrected_at FROM replaced
    """  # noqa: S608  # names from this module only
)
_ADOPT = text(
    f"UPDATE candle AS c SET source = :source FROM {_AT_TIMES.partition('USING')[2]}"  # noqa: S608  # as above
)

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
    A fall-back source never replaces what the series' own venue or its archive said. They do replace what a fall-back
    said; where they say the same, the row only changes its source and counts as unchanged.

    Until the transaction ends nobody else writes candles of this series. `now` is the venue's clock, stored as
    `ingested_at`. Raise ValueError for candles of another interval or for one that is still open at `now`: only closed
    candles are ever stored.
    """
    if candles.interval != series.interval:
        raise ValueError(f"{candles.interval} candles do not belong to {series}")
    if len(candles) and candles.close_time[-1] > to_datetime64(now):
        raise ValueError(f"the candle of {series} at {candles.open_time[-1]} is not closed at {now}")
    number = lock_series(connection, series)
    arrival = _Arrival(number, source, _own_sources(series), now)
    chunks = (candles[first : first + _CHUNK] for first in range(0, len(candles), _CHUNK))
    total = sum((_write(connection, arrival, chunk) for chunk in chunks), Written(0, 0, 0))
    if total.inserted or total.updated:
        notify(connection, CANDLE_CHANNEL, str(series))
    return total


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


@dataclass(frozen=True, slots=True)
class _Arrival:
    """Where arriving candles come from and belong."""

    series_id: int
    source: str
    own_sources: tuple[str, ...]
    now: datetime

    @property
    def is_own(self) -> bool:
        return self.source in self.own_sources


def _own_sources(series: Series) -> tuple[str, ...]:
    return series.venue, f"{series.venue}_archive"


def _write(connection: Connection, arrival: _Arrival, candles: Candles) -> Written:
    new, changed, adopted = _compare(candles, _read_held(connection, arrival, candles), arrival.is_own)
    at = {"series_id": arrival.series_id}
    if changed.any():
        said = {"replaced_by": arrival.source, "corrected_at": arrival.now}
        connection.execute(_SET_ASIDE, at | said | {"times": _times_array(candles[changed])})
    if adopted.any():
        connection.execute(_ADOPT, at | {"source": arrival.source, "times": _times_array(candles[adopted])})
    written = new | changed
    if written.any():
        write_rows(connection, arrival.series_id, candles[written], source=arrival.source, ingested_at=arrival.now)
    if new.any():
        runs = candles[new].split_at_gaps()
        spans = [Span(from_datetime64(run.open_time[0]), run.cutoff) for run in runs]
        no_longer_confirmed(connection, arrival.series_id, spans)
    inserted, updated = int(new.sum()), int(changed.sum())
    return Written(inserted, updated, len(candles) - inserted - updated)


def _read_held(connection: Connection, arrival: _Arrival, candles: Candles) -> dict[str, NDArray[Any]]:
    """Return the stored columns between the first and the last arriving candle, and `own`: 1 where not a fall-back."""
    values = {
        "series_id": arrival.series_id,
        "own": list(arrival.own_sources),
        "first": from_datetime64(candles.open_time[0]),
        "last": from_datetime64(candles.open_time[-1]),
    }
    return read_columns(connection, _SELECT_HELD, values, (*VALUES, "own"))


def _compare(candles: Candles, held: dict[str, NDArray[Any]], is_own: bool) -> tuple[Bools, Bools, Bools]:
    """Mark the arriving candles that are new, that replace a stored one, and whose stored row only changes its source.

    The last are those that a fall-back had right before the series' own venue said so.
    """
    count = len(held["open_time"])
    if not count:
        return np.ones(len(candles), bool), np.zeros(len(candles), bool), np.zeros(len(candles), bool)
    place = np.minimum(np.searchsorted(held["open_time"], candles.open_time), count - 1)
    known = held["open_time"][place] == candles.open_time
    differs = np.zeros(len(candles), bool)
    for name in VALUES:
        said, says = held[name][place], getattr(candles, name)
        differs |= (said != says) & ~(np.isnan(said) & np.isnan(says))
    held_own = held["own"][place] == 1
    may_replace = is_own | ~held_own
    return ~known, known & differs & may_replace, known & ~differs & ~held_own & is_own


def _times_array(candles: Candles) -> str:
    return "{" + ",".join(map(str, candles.open_time.astype(np.int64).tolist())) + "}"


def _copy_out(connection: Connection, interval: Interval, condition: str, values: dict[str, Any]) -> Candles:
    return Candles.of(interval, **read_columns(connection, _SELECT.format(condition=condition), values, VALUES))
