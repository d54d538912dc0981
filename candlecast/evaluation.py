"""Judging forecasts by cutoff: windows that keep the past from the future, scores, and how sure they are.

Losses of one cutoff depend on those of its neighbours, so every standard error here is of the Newey-West kind.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Self

import numpy as np

from candlecast.candles import Bools, Candles, Floats, Interval, Series, Times, from_datetime64, to_datetime64
from candlecast.features import complete_windows
from candlecast.forecast import INTERVALS, LEVELS, Forecast, Forecaster
from candlecast.market import NOTHING, KnownCandles

MINIMUM_SCORED = 100
"""With fewer scored forecasts it is too early for any statement."""

SAYABLE = ("close", "quantiles", "p_up")
"""What a forecaster can say about a target."""

_LEVELS = np.array(LEVELS)
_CHUNK = 1000
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Split:
    """One window: learn from what was decided by `train_end`, judge cutoffs with test_start <= cutoff < test_end."""

    train_end: datetime
    test_start: datetime
    test_end: datetime


def hold_out(cutoffs: Times, interval: Interval, share: float = 0.2, embargo: timedelta = timedelta(0)) -> Split:
    """Return the split that leaves the newest `share` of the pooled `cutoffs` (any order, repeats allowed) for judging.

    Training may use targets that were known at `train_end`; the first judged cutoff comes `embargo` later. Because a
    row's target time, not its cutoff, must lie by `train_end`, rows are purged by exactly their horizon.
    """
    if not 0 < share < 1:
        raise ValueError(f"the judged share lies between 0 and 1, not {share}")
    ordered = np.sort(cutoffs)
    start = from_datetime64(ordered[int(len(ordered) * (1 - share))])
    return Split(start, start + embargo, from_datetime64(ordered[-1]) + interval.delta)


def walk_forward(first: datetime, end: datetime, step: timedelta, embargo: timedelta = timedelta(0)) -> list[Split]:
    """Return windows of `step` that judge every cutoff from `first` to `end`, each with a model fitted before it.

    What is learned ends `embargo` before the window that it is judged on.
    """
    if step <= timedelta(0):
        raise ValueError("a walk needs a step above zero")
    edges = [first]
    while edges[-1] < end:
        edges.append(min(edges[-1] + step, end))
    return [Split(start - embargo, start, stop) for start, stop in pairwise(edges)]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Forecasts of one horizon beside what came, a row per cutoff, ascending. Prices.

    What a forecaster does not say is NaN: `p_up`, and of some yardsticks `close` or `quantiles`.
    """

    horizon: int
    cutoff: Times
    last_close: Floats
    close: Floats
    quantiles: Floats  # (rows, levels)
    p_up: Floats
    realised: Floats

    def __len__(self) -> int:
        return len(self.cutoff)

    def rows(self, chosen: Bools) -> Self:
        """Return the chosen rows."""
        return type(self)(
            self.horizon,
            self.cutoff[chosen],
            self.last_close[chosen],
            self.close[chosen],
            self.quantiles[chosen],
            self.p_up[chosen],
            self.realised[chosen],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join judgements of one horizon whose cutoffs follow each other."""
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("cutoff", "last_close", "close", "quantiles", "p_up", "realised")
        ]
        return cls(parts[0].horizon, *columns)

    def only(self, said: Collection[str]) -> Self:
        """Return the judgement with NaN in those of `close`, `quantiles` and `p_up` that are not among `said`."""
        silent = {name: np.full_like(getattr(self, name), np.nan) for name in SAYABLE if name not in said}
        return replace(self, **silent)

    @property
    def absolute_error(self) -> Floats:
        """|forecast - realised| as a share of the last close."""
        return np.abs(self.close - self.realised) / self.last_close

    @property
    def naive_error(self) -> Floats:
        """|last close - realised| as a share of the last close: the error of "no change"."""
        return np.abs(self.last_close - self.realised) / self.last_close

    @property
    def pinball(self) -> Floats:
        """Mean pinball loss over `LEVELS`, as a share of the last close."""
        error = (self.realised[:, None] - self.quantiles) / self.last_close[:, None]
        loss: Floats = np.maximum(_LEVELS * error, (_LEVELS - 1) * error).mean(axis=1)
        return loss

    def covered(self, percent: int) -> Bools:
        """Mark the rows whose realised close lies within the central interval, one of `INTERVALS`; bounds count."""
        lower, upper = (LEVELS.index(level) for level in INTERVALS[percent])
        return (self.quantiles[:, lower] <= self.realised) & (self.realised <= self.quantiles[:, upper])


def judge(
    forecaster: Forecaster,
    series: Series,
    candles: Candles,
    start: datetime,
    end: datetime,
    known: KnownCandles = NOTHING,
) -> dict[int, Judged]:
    """Forecast from every cutoff with start <= cutoff < end whose target is known, and return them by horizon.

    `known` may hold candles of other series, as `Forecaster.forecast` may read them.

    Cutoffs without 512 unbroken candles behind them are left out, as are those whose target candle is missing:
    every forecaster is judged on the same cutoffs. Up to 1,000 cutoffs are asked for in one call, so a forecaster must
    keep its word that each of them reads only what lies before it.
    """
    chunks = [
        said for rows in _chunks(candles, start, end) for said in _forecast(forecaster, series, candles, rows, known)
    ]
    return {horizon: _judged(horizon, candles, chunks) for horizon in forecaster.horizons}


def _chunks(candles: Candles, start: datetime, end: datetime) -> Iterator[tuple[int, int]]:
    """Yield runs [first, last) of consecutive rows that have features and whose close time lies in the window."""
    times = candles.close_time
    usable = complete_windows(candles) & (times >= to_datetime64(start)) & (times < to_datetime64(end))
    edges = np.flatnonzero(np.diff(usable.astype(np.int8), prepend=0, append=0))
    for first, last in edges.reshape(-1, 2).tolist():
        for begin in range(first, last, _CHUNK):
            yield begin, min(begin + _CHUNK, last)


def _forecast(
    forecaster: Forecaster, series: Series, candles: Candles, rows: tuple[int, int], known: KnownCandles
) -> list[Forecast]:
    first, last = rows
    read = candles[max(first - forecaster.window + 1, 0) : last]
    return forecaster.forecast(series, read, last - first, known)


def _judged(horizon: int, candles: Candles, forecasts: Sequence[Forecast]) -> Judged:
    mine = [one for one in forecasts if one.horizon == horizon]
    target_open = np.array([to_datetime64(one.target_time) for one in mine], dtype="datetime64[ms]")
    target_open -= candles.interval.step
    at = np.searchsorted(candles.open_time, target_open)
    known = at < len(candles)
    known[known] = candles.open_time[at[known]] == target_open[known]
    kept = [one for one, there in zip(mine, known.tolist(), strict=True) if there]
    return Judged(
        horizon,
        np.array([to_datetime64(one.cutoff) for one in kept], dtype="datetime64[ms]"),
        np.array([one.last_close for one in kept], dtype=np.float64),
        np.array([one.close for one in kept], dtype=np.float64),
        np.array([one.quantiles for one in kept], dtype=np.float64).reshape(len(kept), len(LEVELS)),
        np.array([np.nan if one.p_up is None else one.p_up for one in kept], dtype=np.float64),
        candles.close[at[known]],
    )


def score(judged: Judged) -> dict[str, float]:
    """Return the scores of one series and horizon by name; empty when nothing was judged.

    `mae` and `pinball` are shares of the last close. `mae_ratio` is to "no change", `skill` = 1 - ratio. Direction
    scores (`accuracy`, `auc`, `brier`, `log_loss`) are over cutoffs with a p_up whose close changed, and are left out
    where there are none or, for `auc`, only one direction came.
    """
    if not len(judged):
        return {}
    mae, naive = float(judged.absolute_error.mean()), float(judged.naive_error.mean())
    ratio = mae / naive if naive > 0 else math.nan
    scores = {"mae": mae, "mae_ratio": ratio, "skill": 1 - ratio, "pinball": float(judged.pinball.mean())}
    scores |= {f"coverage_{percent}": float(judged.covered(percent).mean()) for percent in INTERVALS}
    scores |= _direction_scores(judged)
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _direction_scores(judged: Judged) -> dict[str, float]:
    told = np.isfinite(judged.p_up) & (judged.realised != judged.last_close)
    if not told.any():
        return {}
    chance, up = judged.p_up[told], (judged.realised > judged.last_close)[told]
    sure = np.clip(np.where(up, chance, 1 - chance), _TINY, 1)
    return {
        "accuracy": float(((chance > 0.5) == up).mean()),
        "auc": auc(chance, up),
        "brier": float(((chance - up) ** 2).mean()),
        "log_loss": float(-np.log(sure).mean()),
    }


def auc(chance: Floats, up: Bools) -> float:
    """Return the probability that a rise was given a higher chance than a fall, ties counting half.

    The Mann-Whitney rank statistic; NaN where only one direction came.
    """
    rises, falls = int(up.sum()), int((~up).sum())
    if not rises or not falls:
        return math.nan
    _, group, counts = np.unique(chance, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[group]
    return float((ranks[up].sum() - rises * (rises + 1) / 2) / (rises * falls))


def newey_west_variance(values: Floats, horizon: int, lags: int | None = None) -> float:
    """Return the variance of the mean of `values`, allowing for dependence between neighbours.

    Bartlett weights: Newey and West (1987), Econometrica 55. Lags, where not given: floor(4 (n / 100)^(2/9)), the rule
    of Newey and West (1994), Review of Economic Studies 61, but at least 4 (horizon - 1): targets overlap over
    horizon - 1 rows by construction, and weights that have fallen to zero there would miss a quarter of that variance.
    """
    count = len(values)
    if lags is None:
        lags = max(4 * (horizon - 1), int(4 * (count / 100) ** (2 / 9)))
    lags = min(lags, count - 1)
    centred = values - values.mean()
    total = float(centred @ centred)
    for lag in range(1, lags + 1):
        total += 2 * (1 - lag / (lags + 1)) * float(centred[lag:] @ centred[:-lag])
    return max(total, 0.0) / count**2


def skill_interval(errors_abs: Floats, naive_abs: Floats, horizon: int) -> tuple[float, float, float]:
    """Return skill = 1 - MAE / MAE of "no change", with the bounds of its 95 % interval.

    Delta method on the ratio of means, Newey-West variance, normal quantile. All NaN with fewer than `MINIMUM_SCORED`
    errors or when nothing moved.
    """
    naive = float(naive_abs.mean()) if len(naive_abs) else 0.0
    if len(errors_abs) < MINIMUM_SCORED or naive <= 0:
        return math.nan, math.nan, math.nan
    ratio = float(errors_abs.mean()) / naive
    half = 1.959964 * math.sqrt(newey_west_variance((errors_abs - ratio * naive_abs) / naive, horizon))
    return 1 - ratio, 1 - ratio - half, 1 - ratio + half


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """Is the mean loss difference (first minus second) below zero? `p_value` is one-sided: small = first is better."""

    mean_difference: float
    statistic: float
    p_value: float
    count: int


def diebold_mariano(losses: Floats, other_losses: Floats, horizon: int, lags: int | None = None) -> DieboldMariano:
    """Compare two forecasters' losses on the same cutoffs, in time order.

    Diebold and Mariano (1995), Journal of Business and Economic Statistics 13, with the small-sample correction and
    Student's t of Harvey, Leybourne and Newbold (1997), International Journal of Forecasting 13; the variance is
    Newey and West's with that many `lags`, which unlike theirs cannot be negative. Losses that never differ give
    p = 0.5, fewer than `MINIMUM_SCORED` give NaN.
    """
    difference = losses - other_losses
    count = len(difference)
    if count < MINIMUM_SCORED:
        return DieboldMariano(float(difference.mean()) if count else math.nan, math.nan, math.nan, count)
    mean, variance = float(difference.mean()), newey_west_variance(difference, horizon, lags)
    if variance <= 0:
        p_value = 0.5 if mean == 0 else float(mean > 0)
        return DieboldMariano(mean, 0.0 if mean == 0 else math.copysign(math.inf, mean), p_value, count)
    correction = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    statistic = mean / math.sqrt(variance) * math.sqrt(max(correction, 0.0))
    return DieboldMariano(mean, statistic, student_t_cdf(statistic, count - 1), count)


def student_t_cdf(t: float, freedom: float) -> float:
    """Return P(T <= t) of Student's t, through the incomplete beta function (Abramowitz and Stegun 26.7.1)."""
    tail = 0.5 * _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return tail if t < 0 else 1 - tail


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(logarithm) / a / _beta_fraction(a, b, x)


def _beta_fraction(a: float, b: float, x: float) -> float:
    # Continued fraction DLMF 8.17.22, evaluated backwards; 200 terms are far more than it needs on this side.
    value = 1.0
    for term in range(200, 0, -1):
        m = term // 2
        if term % 2:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1 + step / value
    return value


def pooled_losses(losses: Mapping[Series, tuple[Times, Floats]], units: Mapping[Series, float]) -> tuple[Times, Floats]:
    """Return one loss per cutoff: the mean over series, each in its own unit, so that none outweighs another.

    Series of one market move together; averaging them by cutoff before any test counts a shared shock once.
    """
    times = np.concatenate([cutoff for cutoff, _ in losses.values()])
    values = np.concatenate([loss / units[series] for series, (_, loss) in losses.items()])
    cutoffs, group = np.unique(times, return_inverse=True)
    return cutoffs, np.bincount(group, weights=values) / np.bincount(group)
