"""Candles, the ledger and hindsight for files, batch by batch: each is read in a short transaction of its own.

So whoever reads slowly holds no connection, and memory does not grow with the length of the series. A batch is a
dictionary of columns of equal length; `CANDLE_KINDS` and `LEDGER_KINDS` name them and their Arrow types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import RowMapping, text

from candlecast.candles import Series, from_datetime64
from candlecast.forecast import LEVELS
from candlecast.store import evaluations
from candlecast.store.binary import TEXT, VALUES, VALUES_AS_NUMBERS, read_columns
from candlecast.store.candles import series_id
from candlecast.store.database import Database
from candlecast.store.evaluations import EVER, Hindsight, Recalled

Batch = Mapping[str, Any]

ROLES = ("champion", "challenger", "baseline")

CANDLE_KINDS = {"ts": "int64"} | dict.fromkeys(VALUES, "double") | {"trades": "int64", "source": "string"}
"""`ts` is the open time in epoch milliseconds; with the next five columns this is what the replay venue reads."""

_QUANTILES = tuple(f"q{level:g}" for level in LEVELS)
_TIME = "timestamp"
LEDGER_KINDS = {
    "series": "string",
    "position": "int64",
    "cutoff": _TIME,
    "horizon": "int64",
    "model_version": "string",
    "role": "string",
    "origin": "string",
    "target_time": _TIME,
    "issued_at": _TIME,
    "recorded_at": _TIME,
    **dict.fromkeys(("last_close", "close", "p_up", "open", "high", "low", "range"), "double"),
    **dict.fromkeys(_QUANTILES, "double"),
    "realised_close": "double",
    "error": "double",
    "hash": "string",
}
"""Everything that the ledger holds of a forecast, and what came: null where that is not known yet.

`origin` is `live`. Rows of `stream_hindsight` have another one, and null in what only the ledger knows.
"""

_CANDLES = f"""
SELECT open_time, {VALUES_AS_NUMBERS}, source::char({TEXT})
FROM candle
WHERE series_id = %(series_id)s AND open_time >= %(start)s AND open_time < %(end)s
ORDER BY open_time LIMIT %(rows)s
"""  # noqa: S608  # names from this package only

# The row that was answered is the champion's where there is one, else the baseline's.
_LEDGER = text(
    """
    SELECT f.*, encode(f.hash, 'hex') AS hexadecimal, c.close AS realised_close, f.close - c.close AS error
    FROM forecast f
    JOIN series s ON s.id = f.series_id
    LEFT JOIN candle c
        ON c.series_id = f.series_id AND c.open_time = f.target_time - make_interval(secs => s.interval_seconds)
    WHERE f.series_id = :series_id AND f.position > :after AND f.cutoff >= :start AND f.cutoff < :end
      AND (CAST(:horizon AS smallint) IS NULL OR f.horizon = :horizon) AND f.role = ANY(:roles)
      AND NOT (:answered AND f.role = 'baseline' AND EXISTS (
          SELECT FROM forecast b
          WHERE b.series_id = f.series_id AND b.cutoff = f.cutoff AND b.horizon = f.horizon AND b.role = 'champion'
      ))
    ORDER BY f.position LIMIT :rows
    """
)


def stream_candles(
    database: Database,
    series: Series,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    chunk_rows: int = 20_000,
) -> Iterator[Batch]:
    """Yield the candles with start <= open_time < end, oldest first; raise UnknownSeries where there is no series."""
    first, last = start or EVER[0], end or EVER[1]
    while True:
        with database.begin() as connection:
            at = {"series_id": series_id(connection, series), "start": first, "end": last, "rows": chunk_rows}
            columns = read_columns(connection, _CANDLES, at, VALUES, ("source",))
        times = columns.pop("open_time")
        if len(times):
            yield {"ts": times.astype(np.int64), **columns, "source": columns["source"].astype(str)}
        if len(times) < chunk_rows:
            return
        first = from_datetime64(times[-1]) + timedelta(milliseconds=1)


def stream_ledger(
    database: Database,
    series: Series,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    horizon: int | None = None,
    roles: Sequence[str] = ROLES,
    answered: bool = False,
    chunk_rows: int = 5_000,
) -> Iterator[Batch]:
    """Yield forecasts with start <= cutoff < end in the order of the chain, and what came.

    With `answered`, the baseline's rows are left out where a champion spoke. Raise UnknownSeries where there is no
    such series.
    """
    wanted = {"start": start or EVER[0], "end": end or EVER[1], "horizon": horizon, "roles": list(roles)}
    after = 0
    while True:
        with database.begin() as connection:
            at = {"series_id": series_id(connection, series), "after": after, "answered": answered, "rows": chunk_rows}
            rows = connection.execute(_LEDGER, wanted | at).mappings().all()
        if rows:
            yield _ledger_batch(series, rows)
        if len(rows) < chunk_rows:
            return
        after = rows[-1]["position"]


def stream_hindsight(
    database: Database,
    series: Series,
    *,
    horizon: int,
    start: datetime | None = None,
    end: datetime | None = None,
    origin: Hindsight | None = None,
    chunk_rows: int = 5_000,
) -> Iterator[Batch]:
    """Yield what evaluation said where nothing was answered, with start <= cutoff < end, oldest first.

    The columns are the ledger's. Raise UnknownSeries where there is no such series.
    """
    first, last = start or EVER[0], end or EVER[1]
    while True:
        with database.begin() as connection:
            bounds: dict[str, Any] = {"start": first, "end": last, "origin": origin, "newest": False}
            rows = evaluations.read(connection, series, horizon, rows=chunk_rows, **bounds)
        if rows:
            yield _hindsight_batch(series, rows)
        if len(rows) < chunk_rows:
            return
        first = rows[-1].forecast.cutoff + timedelta(milliseconds=1)


def _ledger_batch(series: Series, rows: Sequence[RowMapping]) -> Batch:
    computed = {
        "series": [str(series)] * len(rows),
        "origin": ["live"] * len(rows),
        "hash": [row["hexadecimal"] for row in rows],
        **{name: [row["quantiles"][place] for row in rows] for place, name in enumerate(_QUANTILES)},
    }
    return {name: computed[name] if name in computed else [row[name] for row in rows] for name in LEDGER_KINDS}


def _hindsight_batch(series: Series, rows: Sequence[Recalled]) -> Batch:
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in LEDGER_KINDS}
    for name in ("cutoff", "horizon", "target_time", "last_close", "close", "p_up"):
        columns[name] = [getattr(row.forecast, name) for row in rows]
    for place, name in enumerate(_QUANTILES):
        columns[name] = [row.forecast.quantiles[place] for row in rows]
    for name in ("model_version", "origin", "realised_close"):
        columns[name] = [getattr(row, name) for row in rows]
    columns["series"] = [str(series)] * len(rows)
    columns["error"] = [row.error for row in rows]
    return columns
