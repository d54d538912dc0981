"""What a model learns: the log return over a horizon in units of what was to be expected, its sign, and the candle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from candlecast.candles import Bools, Candles, Floats, Times
from candlecast.volatility import volatility


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """One row per candle, as seen from its close. Rows outside `known` hold NaN and must not be learned from.

    `scaled_return` = ln(close[t+h] / close[t]) / (sig[t] sqrt(h)). `unit` = sig[t] sqrt(h), which turns it back into
    a log return. `target_time` is the close of the candle that decides it. `rise` and `fall` are the logs of that
    candle's high and low over the close before it, `range` of its high over its low, all over sig[t].
    """

    horizon: int
    target_time: Times
    scaled_return: Floats
    unit: Floats
    rise: Floats
    fall: Floats
    range: Floats

    @property
    def known(self) -> Bools:
        """Rows whose target candle exists, h intervals on with none missing between, and whose sig is known."""
        return np.isfinite(self.scaled_return)

    @property
    def moved(self) -> Bools:
        """Known rows whose close changed: only these have a direction."""
        return self.known & np.not_equal(self.scaled_return, 0)

    @property
    def up(self) -> Bools:
        """Direction label; means something on `moved` rows only."""
        return np.greater(self.scaled_return, 0)


def build_targets(candles: Candles, horizon: int) -> Targets:
    """Return the targets `horizon` candles ahead of each candle's close; ValueError when it is below 1."""
    if horizon < 1:
        raise ValueError(f"a horizon is a whole number of candles ahead, 1 or more, not {horizon}")
    sig, price = volatility(candles), np.log(candles.close)
    arrives = candles.open_time[horizon:] - candles.open_time[:-horizon] == horizon * candles.interval.step

    def ahead(logarithms: Floats, scale: Floats) -> Floats:
        """Return, in each row, a value that belongs to the candle `horizon` rows on; NaN where none arrives."""
        column = np.full(len(candles), np.nan)
        column[:-horizon] = np.where(arrives, logarithms / scale[:-horizon], np.nan)
        return column

    unit = sig * math.sqrt(horizon)
    before = price[horizon - 1 : len(price) - 1]
    high, low = np.log(candles.high[horizon:]), np.log(candles.low[horizon:])
    return Targets(
        horizon,
        candles.close_time + horizon * candles.interval.step,
        ahead(price[horizon:] - price[:-horizon], unit),
        unit,
        ahead(high - before, sig),
        ahead(low - before, sig),
        ahead(high - low, sig),
    )
