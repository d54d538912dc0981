"""Yardsticks of the textbooks: no change, seasonal, drift, and intervals from volatility alone."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from candlecast.baseline import Columns
from candlecast.candles import Candles, Floats, Interval
from candlecast.features import WINDOW
from candlecast.forecast import LEVELS
from candlecast.volatility import LAGS, ewma_weights, trailing_mean, volatility
from candlecast.yardsticks.base import Yardstick, log_returns, not_enough, said

DECAY = 0.94
"""RiskMetrics' daily decay factor, J.P. Morgan/Reuters (1996), RiskMetrics Technical Document, section 5.3."""

_DAY = 86400
_QUANTILE_SHARE = 0.15
_FEWEST_MOVES = 100


class Persistence(Yardstick):
    """The close stays where it is: what every point forecast is a ratio to."""

    name: ClassVar[str] = "persistence"
    says: ClassVar[frozenset[str]] = frozenset({"close"})

    def _fit(self, history: Candles) -> None:
        """There is nothing to learn."""

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        return said(horizon, candles.close[-last:])


class SeasonalNaive(Yardstick):
    """The move of the same time a day ago repeats, of daily candles that of a week ago.

    The seasonal naive method (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.2) on log
    returns, since the level of a price has no season. Where that candle is missing, the close stays.
    """

    name: ClassVar[str] = "seasonal_naive"
    says: ClassVar[frozenset[str]] = frozenset({"close"})

    def _fit(self, history: Candles) -> None:
        self._season = 7 if history.interval is Interval.D1 else _DAY // history.interval.seconds

    @property
    def window(self) -> int:
        """Reach back one season before the first target, in whole seasons."""
        return max(WINDOW, self._lag(max(self._horizons)) + 1)

    def _lag(self, horizon: int) -> int:
        return -(-horizon // self._season) * self._season

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        lag = self._lag(horizon)
        moves = np.full(len(candles), np.nan)
        moves[lag:] = log_returns(candles, horizon)[:-lag]
        moves[lag:][candles.open_time[lag:] - candles.open_time[:-lag] != lag * candles.interval.step] = np.nan
        close = candles.close[-last:]
        return said(horizon, close, close * np.exp(np.nan_to_num(moves[-last:])))


class Drift(Yardstick):
    """The mean log return of the history goes on (the drift method, Hyndman and Athanasopoulos, 5.2)."""

    name: ClassVar[str] = "drift"
    says: ClassVar[frozenset[str]] = frozenset({"close"})

    def _fit(self, history: Candles) -> None:
        if len(history) < 2:
            raise not_enough(len(history), 2)
        self._slope = float(np.log(history.close[-1] / history.close[0])) / (len(history) - 1)

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        close = candles.close[-last:]
        return said(horizon, close, close * math.exp(horizon * self._slope))


class Ewma(Yardstick):
    """No change, with normal quantiles whose variance is an exponential average of squared close-to-close returns.

    RiskMetrics with its decay of 0.94; the average is cut off after 192 returns, where the weights have fallen to 1e-5.
    """

    name: ClassVar[str] = "ewma"
    says: ClassVar[frozenset[str]] = frozenset({"close", "quantiles"})

    def _fit(self, history: Candles) -> None:
        """There is nothing to learn: decay and shape are fixed."""

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        squared = np.diff(np.log(candles.close)) ** 2
        variance = trailing_mean(squared, ewma_weights((1 + DECAY) / (1 - DECAY), LAGS))[-last:]
        normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
        return said(horizon, candles.close[-last:], log_quantiles=np.sqrt(horizon * variance)[:, None] * normal)


class FilteredHistoricalSimulation(Yardstick):
    """No change, with the quantiles of past moves in units of the volatility before them, times the volatility now.

    Barone-Adesi, Giannopoulos and Vosper (1999), Journal of Futures Markets 19, with an exponential average of
    Garman-Klass variances as volatility. The quantiles are those of the newest 15 % of the history.
    """

    name: ClassVar[str] = "fhs"
    says: ClassVar[frozenset[str]] = frozenset({"close", "quantiles"})

    def _fit(self, history: Candles) -> None:
        sig = volatility(history)
        self._quantiles = {horizon: _newest_quantiles(history, sig, horizon) for horizon in self._horizons}

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        unit = volatility(candles)[-last:] * math.sqrt(horizon)
        return said(horizon, candles.close[-last:], log_quantiles=unit[:, None] * self._quantiles[horizon])


def _newest_quantiles(history: Candles, sig: Floats, horizon: int) -> Floats:
    moves = log_returns(history, horizon) / (sig * math.sqrt(horizon))
    moves = moves[np.isfinite(moves)]
    newest = moves[-max(int(_QUANTILE_SHARE * len(moves)), _FEWEST_MOVES) :]
    if len(newest) < _FEWEST_MOVES:
        raise not_enough(len(history), LAGS + horizon + _FEWEST_MOVES)
    return np.quantile(newest, LEVELS)
