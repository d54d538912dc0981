"""The yardstick: no change, with intervals from recent volatility. What cannot beat it is not promoted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from candlecast.candles import Candles, Floats, Series, from_datetime64
from candlecast.features import WINDOW, newest_unbroken
from candlecast.forecast import LEVELS, Forecast
from candlecast.market import NOTHING, KnownCandles
from candlecast.volatility import LAGS, volatility

MINIMUM = 50

_FEWEST_RETURNS = 40
_SHAPE_WEIGHT = 320
_SIZE_WEIGHT = 40
_USUAL_SIZE = 0.733
_SHAPE = np.array([2.788, 2.118, 1.512, 0.938, 0.575, 0.278, 0.0, 0.278, 0.575, 0.938, 1.512, 2.118, 2.788])
"""Distance of each of `LEVELS` from the median in units of the mean |move|, and that mean in units of sig sqrt(h), as
five Binance pairs showed them from January to July 2025 (15m and 1h, horizons 1 and 5)."""

_LEVELS = np.array(LEVELS)
_SIDES = np.sign(_LEVELS - 0.5)
_TAILS = 2 * np.maximum(_LEVELS, 1 - _LEVELS) - 1


class NaiveForecaster:
    """Says that the close stays where it is, with quantiles from the window's own standardised moves.

    Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999, Journal of Futures Markets 19): sig at
    the cutoff times the quantiles of the window's moves, each in units of the sig before it, symmetric about "no
    change" and by the (n + 1) p rule. What few moves cannot tell is filled in: the quantiles lean on a fixed shape with
    the weight of 320 independent moves, the mean size of that shape on a usual one with the weight of 40. No p_up.
    """

    name = "naive"

    def __init__(self, horizons: Sequence[int]) -> None:
        self._horizons = tuple(sorted(set(horizons)))

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons it can forecast, ascending."""
        return self._horizons

    @property
    def window(self) -> int:
        """How many candles before the cutoff it reads, at the most."""
        return WINDOW

    @property
    def minimum(self) -> int:
        """How many candles suffice for a forecast of a new series; fewer raise NotEnoughCandles."""
        return MINIMUM

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each; `known` is not read.

        Each cutoff reads the 512 candles before it, or all there are when they are fewer, but at least `minimum`.
        Raises NotEnoughCandles, and GapInWindow when a candle is missing among those read.
        """
        whose = str(series or "the candles")
        if len(candles) < MINIMUM + last - 1:
            newest_unbroken(candles, MINIMUM + last - 1, whose)
        read = newest_unbroken(candles, min(len(candles), WINDOW + last - 1), whose)
        short = max(last - max(len(read) - WINDOW + 1, 0), 0)
        forecasts = [
            said
            for end in range(len(read) - last + 1, len(read) - last + 1 + short)
            for said in self._from(read[:end], end, 1)
        ]
        return forecasts + (self._from(read, WINDOW, last - short) if last > short else [])

    def _from(self, candles: Candles, window: int, last: int) -> list[Forecast]:
        close = candles.close[-last:]
        columns = []
        for horizon in self._horizons:
            quantiles = close[:, None] * np.exp(_log_quantiles(candles, horizon, window, last))
            columns.append(Columns(horizon, close, quantiles))
        return assemble(candles, columns)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Forecasts of one horizon as columns: a value per cutoff, `quantiles` (cutoffs, levels), all prices.

    The last five are None from a forecaster that does not give them.
    """

    horizon: int
    close: Floats
    quantiles: Floats
    p_up: Floats | None = None
    open: Floats | None = None
    high: Floats | None = None
    low: Floats | None = None
    range: Floats | None = None


def assemble(candles: Candles, columns: Sequence[Columns]) -> list[Forecast]:
    """Return the columns as forecasts from the newest cutoffs of `candles`: oldest first, every horizon at each.

    Quantiles that cross by rounding are put in order.
    """
    rows = len(columns[0].close)
    cutoffs = [from_datetime64(time) for time in candles.close_time[-rows:]]
    lasts: list[float] = candles.close[-rows:].tolist()
    return [said for at in zip(*(_rows(cutoffs, lasts, candles, one) for one in columns), strict=True) for said in at]


def _rows(cutoffs: list[datetime], lasts: list[float], candles: Candles, one: Columns) -> Iterator[Forecast]:
    ahead = one.horizon * candles.interval.delta
    quantiles = np.maximum.accumulate(one.quantiles, axis=1).tolist()
    given = (one.p_up, one.open, one.high, one.low, one.range)
    rest = zip(*([None] * len(cutoffs) if column is None else column.tolist() for column in given), strict=True)
    for cutoff, last, close, levels, more in zip(cutoffs, lasts, one.close.tolist(), quantiles, rest, strict=True):
        yield Forecast(cutoff, one.horizon, cutoff + ahead, last, close, tuple(levels), *more)


def _log_quantiles(candles: Candles, horizon: int, window: int, last: int) -> Floats:
    """Return (last, levels): quantiles of the log return after the newest cutoffs, each from `window` candles."""
    lags = min(LAGS, window - _FEWEST_RETURNS)
    samples = window - lags - horizon + 1
    unit = volatility(candles, lags) * math.sqrt(horizon)
    distances = np.broadcast_to(_USUAL_SIZE * _SHAPE * _SIDES, (last, len(LEVELS)))
    if samples > 0:
        moves = np.abs(np.log(candles.close[horizon:] / candles.close[:-horizon])) / unit[:-horizon]
        distances = _standard_quantiles(sliding_window_view(moves, samples)[-last:], samples / horizon)
    log_quantiles: Floats = unit[-last:, None] * distances
    return log_quantiles


def _standard_quantiles(moves: Floats, independent: float) -> Floats:
    """Return (rows, levels) from |moves| in units of sig, of which so many are worth an independent one."""
    size = (independent * moves.mean(axis=1) + _SIZE_WEIGHT * _USUAL_SIZE) / (independent + _SIZE_WEIGHT)
    trust = independent / (independent + _SHAPE_WEIGHT)
    standard: Floats = trust * conformal_quantiles(moves) + (1 - trust) * size[:, None] * _SHAPE * _SIDES
    return standard


def conformal_quantiles(distances: Floats) -> Floats:
    """Return (rows, levels): what lies at `LEVELS` if each row's distances from the median hold on either side.

    `distances` are |errors|, shape (rows, samples). The (n + 1) p rule covers without bias when the next error is
    exchangeable with these (split conformal: Lei et al. 2018, JASA 113); beyond the largest distance it stops.
    """
    ordered, count = np.sort(distances, axis=1), distances.shape[1]
    position = np.clip(_TAILS * (count + 1) - 1, 0, count - 1)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, count - 1)
    reach: Floats = ordered[:, below] + (position - below) * (ordered[:, above] - ordered[:, below])
    return reach * _SIDES
