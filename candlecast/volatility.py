"""How much a series moves: range-based volatility, shared by features, targets and baseline.

Every value depends on a fixed number of candles and on nothing before them, so that 512 candles and a whole
history give the same number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats

SPAN = 48
"""Span of the moving average behind `volatility`, in candles: alpha = 2 / (SPAN + 1)."""

LAGS = 192
"""How many candles that average reads; what would lie beyond weighs 0.03 %."""

FLOOR = 1e-10
"""Least variance of one candle. A candle without any range says "too small to see" (0.1 bp), not "never moves"."""


def garman_klass(candles: Candles) -> Floats:
    """Return each candle's variance of the log price, at least `FLOOR`.

    0.5 ln(high/low)^2 - (2 ln 2 - 1) ln(close/open)^2: Garman and Klass (1980), Journal of Business 53, their
    practical estimator. It cannot be negative because |ln(close/open)| <= ln(high/low).
    """
    span, body = np.log(candles.high / candles.low), np.log(candles.close / candles.open)
    variance: Floats = np.maximum(0.5 * span**2 - (2 * math.log(2) - 1) * body**2, FLOOR)
    return variance


def ewma_weights(span: float, lags: int) -> Floats:
    """Return the weights of an exponential moving average cut off after `lags` values: newest first, sum 1."""
    weights: Floats = (1 - 2 / (span + 1)) ** np.arange(lags, dtype=np.float64)
    weights /= weights.sum()
    return weights


def trailing_mean(values: NDArray[np.floating], weights: Floats) -> Floats:
    """Return the weighted mean of the newest `len(weights)` values at each row; NaN where there are fewer.

    `weights` are newest first. One dot product per row: no row's rounding depends on where the history starts.
    """
    result = np.full(len(values), np.nan)
    if len(values) >= len(weights):
        result[len(weights) - 1 :] = np.convolve(values, weights, "valid")
    return result


def unbroken(candles: Candles, length: int) -> Bools:
    """Mark the rows at which the newest `length` candles exist and follow each other without a gap."""
    marked = np.zeros(len(candles), dtype=bool)
    if len(candles) >= length:
        reach = candles.open_time[length - 1 :] - candles.open_time[: len(candles) - length + 1]
        marked[length - 1 :] = reach == (length - 1) * candles.interval.step
    return marked


def volatility(candles: Candles, lags: int = LAGS) -> Floats:
    """Return sig at each candle's close: the standard deviation of one candle's log return to expect next.

    The square root of the moving average (`SPAN`) of Garman-Klass variances over `lags` candles; NaN where fewer
    exist or one of them is missing.
    """
    sig = np.sqrt(trailing_mean(garman_klass(candles), ewma_weights(SPAN, lags)))
    return np.where(unbroken(candles, lags), sig, np.nan)
