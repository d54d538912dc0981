"""Columns of candles as seen from a run of their rows: what the formulas of the features are written in."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats, Interval, Times
from candlecast.volatility import LAGS, SPAN, ewma_weights, garman_klass, trailing_mean, unbroken

Integers = NDArray[np.int64]

REACH = 320
"""Candles that a row of features reads."""


class Shapes:
    """What each candle looks like by itself."""

    def __init__(self, candles: Candles) -> None:
        self.candles = candles

    @cached_property
    def range(self) -> Floats:
        """ln(high / low) of each candle."""
        return np.log(self.candles.high / self.candles.low)

    @cached_property
    def body(self) -> Floats:
        """ln(close / open) of each candle."""
        return np.log(self.candles.close / self.candles.open)

    @cached_property
    def upper_wick(self) -> Floats:
        """ln(high / the higher of open and close) of each candle."""
        return np.log(self.candles.high / np.maximum(self.candles.open, self.candles.close))

    @cached_property
    def lower_wick(self) -> Floats:
        """ln(the lower of open and close / low) of each candle."""
        return np.log(np.minimum(self.candles.open, self.candles.close) / self.candles.low)

    @cached_property
    def close_location(self) -> Floats:
        """Where each close lies between low (-1) and high (1); 0 for a candle without range."""
        candles = self.candles
        span = candles.high - candles.low
        above = 2 * candles.close - candles.high - candles.low
        return np.divide(above, span, out=np.zeros(len(span)), where=span > 0)


class Frame(Shapes):
    """Per-candle columns of the candles that some rows read, and those columns as seen from each row.

    Rows are the candles from `first` on, at least `REACH - 1`; the columns start `REACH - 1` candles before.
    """

    def __init__(self, candles: Candles, first: int, symbol_code: float = np.nan) -> None:
        super().__init__(candles[first - REACH + 1 :])
        self.rows = len(candles) - first
        self.symbol_code = symbol_code

    def lag(self, column: Floats, lag: int) -> Floats:
        """Return the column's value `lag` candles before each row."""
        return column[REACH - 1 - lag : len(column) - lag]

    def mean(self, column: Floats, weights: Floats) -> Floats:
        """Return the weighted mean over the newest candles of each row; `weights` newest first."""
        size = len(weights)
        return trailing_mean(column[REACH - size :], weights)[size - 1 :]

    def change(self, count: int) -> Floats:
        """Return each row's log return over the newest `count` candles, in units of sig sqrt(count)."""
        moved: Floats = (self.lag(self.price, 0) - self.lag(self.price, count)) / (self.sig * np.sqrt(count))
        return moved

    def scaled_return(self, lag: int) -> Floats:
        """Return the log return of the candle `lag` before each row, in units of sig."""
        return self.lag(self.returns, lag) / self.sig

    @property
    def interval(self) -> Interval:
        """The interval of the candles."""
        return self.candles.interval

    @cached_property
    def cutoff(self) -> Times:
        """Close time of each row."""
        return self.candles.close_time[REACH - 1 :]

    @cached_property
    def next_start(self) -> Integers:
        """Epoch seconds at which the candle after each row starts."""
        return self.cutoff.astype(np.int64) // 1000

    @cached_property
    def complete(self) -> Bools:
        """Mark the rows of whose `REACH` candles none is missing."""
        return unbroken(self.candles, REACH)[REACH - 1 :]

    @cached_property
    def price(self) -> Floats:
        """Log close of each candle."""
        return np.log(self.candles.close)

    @cached_property
    def returns(self) -> Floats:
        """Log return of each candle; that of the oldest is unknown here, and no feature reads it."""
        return np.diff(self.price, prepend=np.nan)

    @cached_property
    def variance(self) -> Floats:
        """Garman-Klass variance of each candle."""
        return garman_klass(self.candles)

    @cached_property
    def mean_variance(self) -> Floats:
        """sig^2 of each row."""
        return self.mean(self.variance, ewma_weights(SPAN, LAGS))

    @cached_property
    def sig(self) -> Floats:
        """`volatility` of each row."""
        return np.sqrt(self.mean_variance)
