"""What yardsticks have in common: columns in, forecasts out, and a word on what each of them says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from candlecast.baseline import Columns, assemble
from candlecast.candles import Candles, Floats, Series
from candlecast.errors import NotEnoughCandles
from candlecast.features import WINDOW
from candlecast.forecast import LEVELS, Forecast
from candlecast.market import NOTHING, KnownCandles


class Yardstick(ABC):
    """A forecaster of one series, fitted on `history`: candles that had closed when it was fitted.

    What it does not say it repeats from the last close, because a `Forecast` has no room for "nothing"; `says` tells
    which of close, quantiles and p_up are its own words. No yardstick reads other series.
    """

    name: ClassVar[str]
    says: ClassVar[frozenset[str]]

    def __init__(self, history: Candles, horizons: Sequence[int], *, seed: int = 0, threads: int = 1) -> None:
        self._horizons = tuple(sorted(set(horizons)))
        self._seed, self._threads = seed, threads
        self._fit(history)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons it can forecast, ascending."""
        return self._horizons

    @property
    def window(self) -> int:
        """How many candles before the cutoff it reads, at the most."""
        return WINDOW

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each."""
        return assemble(candles, [self._columns(candles, horizon, last) for horizon in self._horizons])

    @abstractmethod
    def _fit(self, history: Candles) -> None: ...

    @abstractmethod
    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns: ...


def said(
    horizon: int,
    last_close: Floats,
    close: Floats | None = None,
    log_quantiles: Floats | None = None,
    p_up: Floats | None = None,
) -> Columns:
    """Return columns in which the close, or its quantiles as log returns, stay at the last close when not given."""
    point = last_close if close is None else close
    shape = (len(last_close), len(LEVELS))
    quantiles = (
        np.broadcast_to(point[:, None], shape) if log_quantiles is None else last_close[:, None] * np.exp(log_quantiles)
    )
    return Columns(horizon, point, quantiles, p_up)


def log_returns(candles: Candles, ahead: int) -> Floats:
    """Return ln(close[t + ahead] / close[t]) where the candle `ahead` rows on is `ahead` intervals later, else NaN.

    A row per candle; the last `ahead` of them have no such candle.
    """
    moved = np.full(len(candles), np.nan)
    if len(candles) > ahead:
        moved[:-ahead] = np.log(candles.close[ahead:] / candles.close[:-ahead])
        moved[:-ahead][candles.open_time[ahead:] - candles.open_time[:-ahead] != ahead * candles.interval.step] = np.nan
    return moved


def not_enough(have: int, need: int) -> NotEnoughCandles:
    """Return the error of a yardstick whose history is too short."""
    return NotEnoughCandles(f"have {have} candles to learn from, need {need} without a gap", have=have, need=need)
