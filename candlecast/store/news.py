"""What the `candle` table holds that a reader does not know yet: one statement for any number of series.

A reader knows the newest candles of a series. What it cannot know is what opened after the newest of them, what fills a
hole between them, what came before a window that is not full, and which of them were replaced since. Writers of one
series take turns (`candles.lock_series`), so that within a series corrections become visible in order of their ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from candlecast.candles import Candles, Interval, from_datetime64
from candlecast.store.binary import VALUES, VALUES_AS_NUMBERS, read_columns

_EVER = ("-infinity", "infinity")

_COLUMNS = ", ".join(VALUES)

# The newest correction is looked up only for series of which nothing is known.
_NEWS = f"""
SELECT open_time, series_id::double precision, correction::double precision, {VALUES_AS_NUMBERS} FROM (
    SELECT c.*, asked.series_id, coalesce(newest.correction, 0) AS correction
    FROM unnest(%(spans_of)s::int[], %(after)s::timestamptz[], %(before)s::timestamptz[], %(unseen)s::boolean[])
        AS asked (series_id, after, before, unseen)
    CROSS JOIN LATERAL (
        SELECT open_time, {_COLUMNS} FROM candle
        WHERE series_id = asked.series_id AND open_time > asked.after AND open_time < asked.before
        ORDER BY open_time DESC LIMIT %(most)s
    ) c
    CROSS JOIN LATERAL (
        SELECT max(id) AS correction FROM candle_correction WHERE series_id = asked.series_id AND asked.unseen
    ) newest
    UNION ALL
    SELECT c.open_time, {", ".join(f"c.{name}" for name in VALUES)}, c.series_id, replaced.correction
    FROM unnest(%(series)s::int[], %(first)s::timestamptz[], %(corrections)s::bigint[])
        AS asked (series_id, first, correction)
    CROSS JOIN LATERAL (
        SELECT open_time, max(id) AS correction FROM candle_correction
        WHERE series_id = asked.series_id AND open_time >= asked.first AND id > asked.correction
        GROUP BY open_time
    ) replaced
    JOIN candle c ON c.series_id = asked.series_id AND c.open_time = replaced.open_time
) news
ORDER BY series_id, open_time
"""  # noqa: S608  # names from this module only


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The newest candles of a series as a reader knows them.

    `correction` is the newest correction that they heed, `unknown` where others may appear: between which open times,
    both exclusive.
    """

    candles: Candles
    correction: int = 0
    unknown: tuple[tuple[str, str], ...] = (_EVER,)

    @classmethod
    def nothing(cls, interval: Interval) -> Seen:
        """Return what is known of a series that was never looked at."""
        return cls(Candles.empty(interval))


def read_news(connection: Connection, seen: Mapping[int, Seen], most: int) -> dict[int, Seen]:
    """Return what is known now of those series, by id, of which there is news; of each the newest `most` candles."""
    if not seen:
        return {}
    spans = [(number, one, span) for number, one in seen.items() for span in one.unknown]
    known = {number: one for number, one in seen.items() if len(one.candles)}
    values: dict[str, Any] = {
        "most": most,
        "spans_of": [number for number, _, _ in spans],
        "after": [after for _, _, (after, _) in spans],
        "before": [before for _, _, (_, before) in spans],
        "unseen": [not len(one.candles) for _, one, _ in spans],
        "series": list(known),
        "first": [_text(one.candles.open_time[0]) for one in known.values()],
        "corrections": [one.correction for one in known.values()],
    }
    rows = read_columns(connection, _NEWS, values, ("series_id", "correction", *VALUES))
    bounds = np.flatnonzero(np.diff(rows["series_id"], prepend=np.nan, append=np.nan))
    found = [{name: column[first:last] for name, column in rows.items()} for first, last in pairwise(bounds)]
    numbers = [int(part["series_id"][0]) for part in found]
    return {number: _brought_up_to_date(seen[number], part, most) for number, part in zip(numbers, found, strict=True)}


def _brought_up_to_date(seen: Seen, rows: Mapping[str, NDArray[Any]], most: int) -> Seen:
    names = ("open_time", *VALUES)
    columns = {name: np.concatenate([getattr(seen.candles, name), rows[name]]) for name in names}
    order = np.argsort(columns["open_time"], kind="stable")
    times = columns["open_time"][order]
    # Of two rows of one time the later was read later.
    kept = order[np.append(times[1:] != times[:-1], True)][-most:]
    candles = Candles.of(seen.candles.interval, **{name: column[kept] for name, column in columns.items()})
    correction = max(seen.correction, int(rows["correction"].max()))
    return Seen(candles, correction, tuple(_unknown(candles, most)))


def _unknown(candles: Candles, most: int) -> list[tuple[str, str]]:
    step = candles.interval.step
    after = np.flatnonzero(np.diff(candles.open_time) > step)
    holes = [(_text(candles.open_time[at]), _text(candles.open_time[at + 1])) for at in after]
    earlier = [(_EVER[0], _text(candles.open_time[0]))] if len(candles) < most else []
    return [(_text(candles.open_time[-1]), _EVER[1]), *holes, *earlier]


def _text(moment: np.datetime64) -> str:
    return from_datetime64(moment).isoformat()
