"""The `evaluation_forecast` table: what a model version would have said before it was there. Never the ledger."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, text

from candlecast.candles import Series, from_datetime64
from candlecast.evaluation import Judged
from candlecast.forecast import Forecast
from candlecast.store.candles import series_id
from candlecast.store.ledger import told

Hindsight = Literal["out_of_sample", "in_sample"]
"""How a version could have said something: by a twin that was fitted before the cutoff, or having learned what came."""

EVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
"""Bounds that leave nothing out."""

_WRITE = """
COPY evaluation_forecast (model_version, series_id, horizon, cutoff, in_sample, last_close, close, p_up, quantiles)
FROM STDIN
"""

# Told by who answers, else by the newest version that did. What was answered live stands by itself.
_READ = """
WITH told AS (
    SELECT m.id FROM model_version m
    JOIN series s ON s.id = :series_id AND (m.venue, m.interval) = (s.venue, s.interval)
    LEFT JOIN champion c ON c.model_version = m.id
    WHERE EXISTS (SELECT FROM evaluation_forecast e WHERE e.model_version = m.id)
    ORDER BY c.model_version IS NULL, m.recorded_at DESC LIMIT 1
)
SELECT e.*, t.target_time, c.close AS realised_close,
       CASE WHEN e.in_sample THEN 'in_sample' ELSE 'out_of_sample' END AS origin
FROM evaluation_forecast e
JOIN series s ON s.id = e.series_id
CROSS JOIN LATERAL (SELECT e.cutoff + e.horizon * make_interval(secs => s.interval_seconds) AS target_time) t
LEFT JOIN candle c
    ON c.series_id = e.series_id AND c.open_time = t.target_time - make_interval(secs => s.interval_seconds)
WHERE e.model_version = (SELECT id FROM told) AND e.series_id = :series_id AND e.horizon = :horizon
  AND e.cutoff >= :start AND e.cutoff < :end
  AND (CAST(:in_sample AS boolean) IS NULL OR e.in_sample = :in_sample)
  AND NOT EXISTS (
      SELECT FROM forecast f
      WHERE f.series_id = e.series_id AND f.cutoff = e.cutoff AND f.horizon = e.horizon
        AND f.role IN ('champion', 'baseline')
  )
ORDER BY e.cutoff {direction} LIMIT :rows
"""
_NEWEST, _OLDEST = (text(_READ.format(direction=direction)) for direction in ("DESC", "ASC"))


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a model version would have said at a cutoff, and the close that came, None where it is not known."""

    forecast: Forecast
    model_version: str
    origin: Hindsight
    realised_close: float | None

    @property
    def error(self) -> float | None:
        """Forecast minus realised close."""
        return None if self.realised_close is None else self.forecast.close - self.realised_close


def record(
    connection: Connection, model_version: str, series: Series, judged: Mapping[int, Judged], *, in_sample: bool
) -> int:
    """Write forecasts by horizon down for a version that is registered; return how many. None may be there already."""
    number = series_id(connection, series)
    head = f"{model_version}\t{number}"
    lines = [line for one in judged.values() for line in _lines(head, one, in_sample)]
    driver: Any = connection.connection.driver_connection
    driver.cursor().copy_expert(_WRITE, io.StringIO("".join(lines)))
    return len(lines)


def read(
    connection: Connection,
    series: Series,
    horizon: int,
    *,
    rows: int,
    start: datetime = EVER[0],
    end: datetime = EVER[1],
    origin: Hindsight | None = None,
    newest: bool = True,
) -> list[Recalled]:
    """Return up to `rows` rows with start <= cutoff < end at whose cutoffs nothing was answered, oldest first.

    They are the newest or the oldest such rows, of the version that answers for the series where it has any, else of
    the newest version that has.
    """
    wanted = {"series_id": series_id(connection, series), "horizon": horizon, "start": start, "end": end, "rows": rows}
    wanted["in_sample"] = None if origin is None else origin == "in_sample"
    found = connection.execute(_NEWEST if newest else _OLDEST, wanted).mappings().all()
    return [_recalled(row) for row in (reversed(found) if newest else found)]


def _lines(head: str, judged: Judged, in_sample: bool) -> Iterator[str]:
    said = (column.tolist() for column in (judged.last_close, judged.close, judged.p_up, judged.quantiles))
    for moment, last_close, close, p_up, quantiles in zip(judged.cutoff, *said, strict=True):
        at, chance = from_datetime64(moment).isoformat(), r"\N" if math.isnan(p_up) else repr(p_up)
        levels = ",".join(map(repr, quantiles))
        yield f"{head}\t{judged.horizon}\t{at}\t{in_sample}\t{last_close!r}\t{close!r}\t{chance}\t{{{levels}}}\n"


def _recalled(row: RowMapping) -> Recalled:
    return Recalled(told(row), row["model_version"], row["origin"], row["realised_close"])
