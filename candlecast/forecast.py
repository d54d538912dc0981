"""What a forecast is, and what can make one. Light: importing this costs no machine-learning library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from candlecast.candles import Candles, Series
from candlecast.market import NOTHING, KnownCandles

LEVELS: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)
"""The probability levels of every forecast's quantiles, ascending."""

INTERVALS: Mapping[int, tuple[float, float]] = {80: (0.1, 0.9), 95: (0.025, 0.975)}
"""Central intervals by per cent: the levels of their lower and upper bound."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was said at `cutoff` about the candle that closes `horizon` intervals later. Prices in the quote currency.

    `last_close` is the close at the cutoff, which is also what "no change" says. `quantiles` are those of the
    close at `LEVELS`, ascending. `p_up` is the probability that the close is above `last_close`, None from a
    forecaster that has no opinion (the baseline). Open, high, low and range of the target candle are None from
    a forecaster that does not give them.
    """

    cutoff: datetime
    horizon: int
    target_time: datetime
    last_close: float
    close: float
    quantiles: tuple[float, ...]
    p_up: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    range: float | None = None

    def __post_init__(self) -> None:
        if len(self.quantiles) != len(LEVELS):
            raise ValueError(f"a forecast has {len(LEVELS)} quantiles, not {len(self.quantiles)}")
        if not all(map(math.isfinite, (self.last_close, self.close, *self.quantiles))):
            raise ValueError(f"a forecast's prices are finite numbers, not {self.close} and {self.quantiles}")
        if any(b < a for a, b in zip(self.quantiles, self.quantiles[1:], strict=False)):
            raise ValueError("quantiles cross; they must not fall from one level to the next")
        if self.p_up is not None and not 0 <= self.p_up <= 1:
            raise ValueError(f"p_up must lie in 0..1, not {self.p_up}")

    def interval(self, percent: int) -> tuple[float, float]:
        """Return lower and upper bound of the central interval, one of `INTERVALS`."""
        lower, upper = INTERVALS[percent]
        return self.quantiles[LEVELS.index(lower)], self.quantiles[LEVELS.index(upper)]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What led to the probability of a rise at `cutoff`: its logit is `start` and all `contributions` together.

    `values` are those of the features, scale-free, NaN where one was not known.
    """

    cutoff: datetime
    horizon: int
    start: float
    contributions: Mapping[str, float]
    values: Mapping[str, float]

    @property
    def logit(self) -> float:
        """The logit of the probability."""
        return self.start + sum(self.contributions.values())

    @property
    def p_up(self) -> float:
        """The probability of a rise."""
        return 1 / (1 + math.exp(-self.logit))


class Forecaster(Protocol):
    """Anything that turns candles into forecasts: a model version or a yardstick."""

    @property
    def horizons(self) -> Sequence[int]:
        """Horizons it can forecast, ascending."""

    @property
    def window(self) -> int:
        """How many candles before the cutoff it reads, at the most."""

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each.

        `series` tells whose candles they are; None where the caller did not say. `known` may hold candles of other
        series, whole histories too: those that closed by each cutoff may be read, and none of them is needed. Raises
        NotEnoughCandles when there are fewer than `window + last - 1` candles, GapInWindow when one is missing among
        those.
        """
