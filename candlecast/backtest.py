"""What trading on the forecasts would have left after costs. "No trade" is a result like any other.

A rule buys at the close of the cutoff, holds until the target closes, and pays for every change of its position.
Returns and costs are shares of what is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from candlecast.candles import Floats, Interval
from candlecast.evaluation import Judged

_EULER = 0.5772156649015329
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Costs:
    """What one unit of turnover costs: `fee` and `slippage` per side, `spread` between bid and ask, half per side."""

    fee: float = 0.001
    spread: float = 0.0001
    slippage: float = 0.0001

    @property
    def per_side(self) -> float:
        """Cost of buying or of selling one unit."""
        return self.fee + self.spread / 2 + self.slippage


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Hold when P(up) is at least 0.5 + `threshold`; with `short` also sell when it is at most 0.5 - `threshold`."""

    threshold: float
    short: bool = False

    def positions(self, p_up: Floats) -> Floats:
        """Return 1 (held), 0 (flat) or -1 (sold short) for each probability; NaN stays flat."""
        bought = (p_up > 0.5) & (p_up >= 0.5 + self.threshold)
        sold = self.short & (p_up < 0.5) & (p_up <= 0.5 - self.threshold)
        return bought.astype(np.float64) - sold.astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Backtest:
    """One rule on one series. `net` holds a return per cutoff after costs, `equity` what 1 became after each.

    `turnover` is the sum of all changes of the position. `break_even_fee` is the fee per side at which the sum of
    returns is zero, None without a trade: below zero when the rule loses even where trading is free.
    """

    rule: ThresholdRule
    net: Floats
    equity: Floats
    turnover: float
    held: float
    break_even_fee: float | None
    buy_and_hold: float
    sharpe: float

    @property
    def total(self) -> float:
        """Return over the whole span."""
        return float(self.equity[-1]) - 1 if len(self.equity) else 0.0

    @property
    def largest_loss(self) -> float:
        """Largest fall of the equity from an earlier height, as a share of it."""
        heights = np.maximum.accumulate(np.concatenate([[1.0], self.equity]))[1:]
        return float(np.max(1 - self.equity / heights, initial=0.0))


def backtest(judged: Judged, interval: Interval, rule: ThresholdRule, costs: Costs) -> Backtest:
    """Trade one-candle forecasts by the rule. Where the next cutoff is missing, the position is closed in between.

    Raises ValueError for forecasts further ahead, whose holdings would overlap.
    """
    if judged.horizon != 1:
        raise ValueError(f"a backtest trades forecasts of the next candle, not of {judged.horizon} candles ahead")
    position = rule.positions(judged.p_up)
    gross = position * (judged.realised / judged.last_close - 1)
    turned = _turnover(position, judged, interval)
    net: Floats = gross - costs.per_side * turned
    equity: Floats = np.multiply.accumulate(1 + net)
    turnover = float(turned.sum())
    return Backtest(
        rule,
        net,
        equity,
        turnover,
        float(np.abs(position).mean()) if len(position) else 0.0,
        float(gross.sum()) / turnover - (costs.per_side - costs.fee) if turnover else None,
        _buy_and_hold(judged, costs),
        sharpe_ratio(net),
    )


def _turnover(position: Floats, judged: Judged, interval: Interval) -> Floats:
    """Return what is bought and sold for each cutoff's position; the last one, and one before a hole, is closed."""
    if not len(position):
        return position
    follows = np.diff(judged.cutoff) == interval.step
    before = np.concatenate([[0.0], np.where(follows, position[:-1], 0.0)])
    closed = np.concatenate([np.where(follows, 0.0, np.abs(position[:-1])), np.abs(position[-1:])])
    turned: Floats = np.abs(position - before) + closed
    return turned


def _buy_and_hold(judged: Judged, costs: Costs) -> float:
    if not len(judged):
        return 0.0
    return float(judged.realised[-1] / judged.last_close[0]) * (1 - costs.per_side) ** 2 - 1


def sharpe_ratio(returns: Floats) -> float:
    """Return mean over standard deviation per row, not annualised; 0 where nothing varied."""
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    return float(returns.mean()) / deviation if deviation > 0 else 0.0


def expected_maximum_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of `trials` skilless rules shows, given their variance.

    Bailey and Lopez de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), equation 1.
    """
    if trials < 2:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated_sharpe(returns: Floats, variance: float, trials: int) -> float:
    """Return the probability that the true Sharpe ratio is above zero, given that the best of `trials` was picked.

    Equation 2 of the same paper, from length, skewness and kurtosis of `returns`; NaN where nothing varied.
    """
    centred = returns - returns.mean() if len(returns) else returns
    deviation = float(np.sqrt((centred**2).mean())) if len(returns) else 0.0
    if deviation <= 0:
        return math.nan
    skewness, kurtosis = float((centred**3).mean()) / deviation**3, float((centred**4).mean()) / deviation**4
    threshold = expected_maximum_sharpe(variance, trials)
    return probabilistic_sharpe(sharpe_ratio(returns), threshold, len(returns), skewness, kurtosis)


def probabilistic_sharpe(sharpe: float, threshold: float, count: int, skewness: float, kurtosis: float) -> float:
    """Return the probability that the true Sharpe ratio is above `threshold`; `kurtosis` of a normal return is 3."""
    spread = math.sqrt(max(1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2, 1e-12))
    return _NORMAL.cdf((sharpe - threshold) * math.sqrt(count - 1) / spread)


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The best of several rules, and how sure one can be of it. `best` is None when not to trade was best."""

    best: Backtest | None
    tried: tuple[Backtest, ...]
    deflated_sharpe: float

    @classmethod
    def of(
        cls, judged: Judged, interval: Interval, costs: Costs, rules: Sequence[ThresholdRule], more_trials: int = 0
    ) -> Self:
        """Try every rule and pick the one that left most, or none when each of them lost.

        `more_trials` counts what was tried before and elsewhere: models, features, settings.
        """
        tried = tuple(backtest(judged, interval, rule, costs) for rule in rules)
        winner = max(tried, key=lambda one: one.total, default=None)
        if winner is None or winner.total <= 0:
            return cls(None, tried, math.nan)
        variance = float(np.var([one.sharpe for one in tried], ddof=1)) if len(tried) > 1 else 0.0
        return cls(winner, tried, deflated_sharpe(winner.net, variance, len(tried) + more_trials))
