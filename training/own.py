"""This product's own model as one who walks forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from candlecast.candles import Series
from candlecast.forecast import Forecaster
from candlecast.walk import Contender, History
from candlecast.xgb import NOT_TUNED, XGBForecaster

OURS = "candlecast"


def ours(seed: int, threads: int, tuned: Mapping[str, float] = NOT_TUNED) -> Contender:
    """Return the contender: pooled over the series of the judged one's venue and interval, which read all others."""

    def fit(history: History, series: Series, horizons: Sequence[int]) -> Forecaster:
        alike = {s: c for s, c in history.items() if (s.venue, s.interval) == (series.venue, series.interval)}
        return XGBForecaster.fit(alike, horizons, seed=seed, threads=threads, known=history, tuned=tuned)

    return Contender(OURS, fit, pooled=True)
