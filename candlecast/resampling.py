"""How sure a score is: block bootstrap of anything that can be computed from weighted rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from candlecast.candles import Bools, Floats

RESAMPLES = 500

Statistic = Callable[[Floats], float]
"""Takes how often each row was drawn and returns a score."""


def block_length(rows: int, rows_per_day: int) -> int:
    """Return the rows of a block: a day, but at least the cube root of all and at most a third of them.

    A day holds the dependence of neighbouring losses and the daily rhythm; n^(1/3) is the usual order where a day
    is one row (Politis and White 2004, Econometric Reviews 23).
    """
    return max(1, min(max(rows_per_day, math.ceil(math.cbrt(rows))), rows // 3))


def resampled_weights(rows: int, block: int, *, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[Floats]:
    """Yield how often each row is drawn by the circular block bootstrap (Politis and Romano 1992)."""
    random = np.random.default_rng(seed)
    count = math.ceil(rows / block)
    for _ in range(resamples):
        starts = random.integers(0, rows, count)
        change = np.bincount(starts, minlength=2 * rows + 1) - np.bincount(starts + block, minlength=2 * rows + 1)
        drawn = np.cumsum(change)
        yield (drawn[:rows] + drawn[rows : 2 * rows]).astype(np.float64)


def bootstrap_intervals(
    statistics: Mapping[str, Statistic], rows: int, block: int, *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """Return each statistic's 95 % percentile interval (Efron and Tibshirani 1993, chapter 13); NaN without rows."""
    if not rows:
        return dict.fromkeys(statistics, (math.nan, math.nan))
    drawn = resampled_weights(rows, block, seed=seed, resamples=resamples)
    values = np.array([[statistic(weights) for statistic in statistics.values()] for weights in drawn])
    bounds = np.nanpercentile(values, [2.5, 97.5], axis=0).T.tolist() if values.size else []
    return {name: (low, high) for name, (low, high) in zip(statistics, bounds, strict=True)}


def mean_of(values: Floats) -> Statistic:
    """Return the weighted mean as a statistic."""
    return lambda weights: _ratio(_total(weights, values), float(weights.sum()))


def ratio_of(upper: Floats, lower: Floats) -> Statistic:
    """Return the ratio of weighted sums as a statistic."""
    return lambda weights: _ratio(_total(weights, upper), _total(weights, lower))


def auc_of(chance: Floats, up: Bools) -> Statistic:
    """Return the weighted area under the ROC curve as a statistic, ties counting half."""
    _, group = np.unique(chance, return_inverse=True)

    def statistic(weights: Floats) -> float:
        rises: Floats = np.bincount(group, weights * up).astype(np.float64)
        falls: Floats = np.bincount(group, weights * ~up).astype(np.float64)
        below = np.cumsum(falls) - falls / 2
        return _ratio(_total(rises, below), float(rises.sum() * falls.sum()))

    return statistic


def top_share_of(hits: Bools, confidence: Floats, share: float) -> Statistic:
    """Return the hit rate among the most confident `share` of the weight as a statistic; earlier rows win ties."""
    order = np.argsort(-confidence, kind="stable")
    ordered = hits[order].astype(np.float64)

    def statistic(weights: Floats) -> float:
        drawn = weights[order]
        taken = np.clip(share * drawn.sum() - (np.cumsum(drawn) - drawn), 0, drawn)
        return _ratio(_total(taken, ordered), float(taken.sum()))

    return statistic


def _total(weights: Floats, values: Floats) -> float:
    # Not `@`: on a busy machine the threads of a matrix library cost thirty times what they save on one row of numbers.
    return float((weights * values).sum())


def _ratio(upper: float, lower: float) -> float:
    return upper / lower if lower > 0 else math.nan
