"""How arriving candles are compared with what the table holds, and written: what is new, and what replaces a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from candlecast.candles import Bools, Candles, from_datetime64
from candlecast.spans import Span
from candlecast.store.binary import VALUES, VALUES_AS_NUMBERS, read_columns, write_rows
from candlecast.store.confirmed import no_longer_confirmed

_CHUNK = 50_000  # rows that are compared and written at once: about 15 MB

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


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where arriving candles come from and belong."""

    series_id: int
    source: str
    own_sources: tuple[str, ...]
    now: datetime

    @property
    def is_own(self) -> bool:
        """Return whether the series' own venue or its archive says so, not a fall-back."""
        return self.source in self.own_sources


def write(connection: Connection, arrival: Arrival, candles: Candles) -> tuple[int, int]:
    """Write candles of a series that is locked, chunk by chunk; return how many are new and how many replace one."""
    inserted = updated = 0
    for first in range(0, len(candles), _CHUNK):
        new, changed = _write_chunk(connection, arrival, candles[first : first + _CHUNK])
        inserted, updated = inserted + new, updated + changed
    return inserted, updated


def _write_chunk(connection: Connection, arrival: Arrival, candles: Candles) -> tuple[int, int]:
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
    return int(new.sum()), int(changed.sum())


def _read_held(connection: Connection, arrival: Arrival, candles: Candles) -> dict[str, NDArray[Any]]:
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
