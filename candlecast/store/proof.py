"""Live scores once more, from the rows themselves: what the database computed has to follow from what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import func, select

from candlecast.candles import Series
from candlecast.evaluation import MINIMUM_SCORED, skill_interval
from candlecast.store import candles as candle_store
from candlecast.store import live, schema
from candlecast.store.database import Database
from candlecast.store.export import stream_ledger
from candlecast.store.live import HEADLINE, WINDOWS, LiveScore

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Proof:
    """The headline skill of one series and horizon, as the database computes it and as its rows say."""

    series: Series
    horizon: int
    shown: LiveScore
    recomputed: LiveScore

    @property
    def holds(self) -> bool:
        """Both agree."""
        pairs = ((getattr(self.shown, name), getattr(self.recomputed, name)) for name in ("value", "lower", "upper"))
        return self.shown.count == self.recomputed.count and all(_same(*pair) for pair in pairs)


def prove_scores(database: Database) -> Iterator[Proof]:
    """Yield a proof for every series and horizon of which something was said in the headline's window."""
    with database.begin() as connection:
        newest = candle_store.newest_close_times(connection)
        longest = connection.execute(select(func.max(schema.forecast.c.horizon))).scalar() or 0
    for series, end in sorted(newest.items()):
        start = end - WINDOWS[HEADLINE]
        for horizon, recomputed in _recomputed(database, series, start, end, longest).items():
            with database.begin() as connection:
                yield Proof(series, horizon, live.headline(connection, series, horizon, end), recomputed)


def _recomputed(
    database: Database, series: Series, start: datetime, end: datetime, longest: int
) -> dict[int, LiveScore]:
    """Return by horizon the skill over targets in (start, end]; no forecast looks further ahead than `longest`."""
    said: dict[tuple[int, str], dict[datetime, float]] = {}
    first = start - longest * series.interval.delta
    for batch in stream_ledger(database, series, roles=("champion", "baseline"), start=first):
        names = ("horizon", "role", "target_time", "error")
        for horizon, role, target, error in zip(*(batch[name] for name in names), strict=True):
            if error is not None and start < target <= end:
                said.setdefault((horizon, role), {})[target] = abs(error)
    return {
        horizon: _skill(errors, said.get((horizon, "baseline"), {}), horizon)
        for (horizon, role), errors in sorted(said.items())
        if role == "champion"
    }


def _skill(ours: dict[datetime, float], baseline: dict[datetime, float], horizon: int) -> LiveScore:
    targets = sorted(ours.keys() & baseline.keys())
    errors, naive = (np.array([said[target] for target in targets]) for said in (ours, baseline))
    if len(targets) >= MINIMUM_SCORED:
        return LiveScore(*skill_interval(errors, naive, horizon), len(targets))
    ratio = errors.sum() / naive.sum() if len(targets) and naive.sum() else None
    return LiveScore(None if ratio is None else float(1 - ratio), None, None, len(targets))


def _same(shown: float | None, recomputed: float | None) -> bool:
    if shown is None or recomputed is None:
        return shown is recomputed
    return math.isclose(shown, recomputed, rel_tol=_TOLERANCE, abs_tol=1e-12)
