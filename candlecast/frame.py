"""Columns of candles as seen from a run of their rows: what the formulas of the features are written in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats, Interval, Times
from candlecast.volatility import FLOOR, LAGS, SPAN, ewma_weights, garman_klass, unbroken

Integers = NDArray[np.int64]

REACH = 320
"""Candles that a row of features reads."""

_SIG_WEIGHTS = ewma_weights(SPAN, LAGS)


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

    def newest(self, columns: Floats, count: int) -> Floats:
        """Return the newest `count` values of each row, newest first: (rows, count, ...)."""
        newest: Floats = columns[self._place[:, None] - np.arange(count)]
        return newest

    def means(self, column: Floats, weights: Sequence[Floats]) -> Floats:
        """Return weighted means over the newest candles of each row, (rows, weights); each of `weights` newest first.

        One dot product each, as in `trailing_mean`: no row's rounding depends on how many there are.
        """
        means = np.empty((self.rows, len(weights)))
        for at, one in enumerate(weights):
            means[:, at] = np.correlate(column[REACH - len(one) :], one[::-1], "valid")
        return means

    def changes(self, counts: Sequence[int]) -> Floats:
        """Return (rows, counts): log returns over the newest candles, each in units of sig sqrt(count)."""
        before = self.price[self._place[:, None] - np.array(counts)]
        moved: Floats = (self.lag(self.price, 0)[:, None] - before) / (self.sig[:, None] * np.sqrt(counts))
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
    def _place(self) -> Integers:
        """Where each row's own candle stands in the columns."""
        return np.arange(REACH - 1, REACH - 1 + self.rows)

    @cached_property
    def price(self) -> Floats:
        """Log close of each candle."""
        return np.log(self.candles.close)

    @cached_property
    def returns(self) -> Floats:
        """Log return of each candle; that of the oldest is unknown here, and no feature reads it."""
        returns = np.empty_like(self.price)
        returns[0] = np.nan
        np.subtract(self.price[1:], self.price[:-1], out=returns[1:])
        return returns

    @cached_property
    def variance(self) -> Floats:
        """Garman-Klass variance of each candle."""
        return garman_klass(self.candles)

    @cached_property
    def mean_variance(self) -> Floats:
        """sig^2 of each row."""
        return self.means(self.variance, [_SIG_WEIGHTS])[:, 0]

    @cached_property
    def log_range(self) -> Floats:
        """ln(range) of each candle, none smaller than `FLOOR` lets it be."""
        return np.log(np.maximum(self.range, math.sqrt(FLOOR)))

    @cached_property
    def sig(self) -> Floats:
        """`volatility` of each row."""
        return np.sqrt(self.mean_variance)
