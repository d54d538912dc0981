"""Checks that a way of training does not see the future, run on candles whose answer is known.

A forecaster that shows skill where there is none to be had has seen what it was judged on; one that misses a signal
that was planted looks in the wrong place. Both have happened to systems whose other numbers were green.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Series, from_datetime64
from candlecast.errors import NotEnoughCandles
from candlecast.evaluation import Judged, auc, diebold_mariano, judge
from candlecast.features import WINDOW
from candlecast.forecast import Forecaster

Learn = Callable[[Mapping[Series, Candles], Sequence[int]], Forecaster]
"""Fits a forecaster of the given series and horizons, as training does."""

CHANCE = 1e-4
"""How often an honest forecaster may look skilful by luck in one test before it counts as a leak."""

PLANTED = 0.4
"""Share of each shock that the next move of the planted signal repeats."""

LEAST_AUC = 0.55
"""What the planted signal must be found with; who knows it perfectly has about 0.72."""

_ROWS = 4000
_SERIES = 2
_LEARNED_SHARE = 0.7
_ASKED = 40
_ALONE = 5
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """One check: whether it was passed, why in a sentence, and the numbers it rests on."""

    name: str
    passed: bool
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)


def check_leaks(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> list[LeakCheck]:
    """Run all checks on up to two of the series, their newest 4,000 candles: four fits of a small model.

    Raises NotEnoughCandles when no series has an unbroken run that is long enough.
    """
    real = _newest_runs(candles)
    return [
        shuffled_labels(learn, real, seed=seed),
        random_walk(learn, real, seed=seed),
        planted_signal(learn, real, seed=seed),
        truncated_future(learn, real),
    ]


def shuffled_labels(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Put the candles in random order, so that what follows a cutoff has nothing to do with what came before it.

    All series are put in the same order: what one may know of the others stays.
    """
    order = np.random.default_rng(seed).permutation(min(map(len, candles.values())))
    shuffled = {series: _reordered(those, order) for series, those in candles.items()}
    return _no_skill("shuffled_labels", learn, shuffled)


def random_walk(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Replace every series by a random walk at the same times, which nobody can forecast."""
    walks = {s: _walk(those, 0.0, seed + number) for number, (s, those) in enumerate(candles.items())}
    return _no_skill("random_walk", learn, walks)


def planted_signal(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Replace every series by a walk whose next move repeats a part of the newest shock: it must be found."""
    planted = {s: _walk(those, PLANTED, seed + number) for number, (s, those) in enumerate(candles.items())}
    judged = _judged(learn, planted)
    found, sure = _direction(judged)
    passed = found >= LEAST_AUC and sure <= CHANCE
    reason = f"AUC {found:.3f} on a signal that was planted, {LEAST_AUC:g} is the least"
    return LeakCheck("planted_signal", passed, reason, {"auc": found, "p_value": sure})


def truncated_future(learn: Learn, candles: Mapping[Series, Candles]) -> LeakCheck:
    """Ask for many cutoffs at once, with all later candles at hand, and for some of them alone, without."""
    series, own = next(iter(candles.items()))
    end = int(len(own) * _LEARNED_SHARE)
    forecaster = learn(_until(candles, own.close_time[end - 1]), [1])
    asked = own[max(end - forecaster.window, 0) : end + _ASKED]
    together = forecaster.forecast(series, asked, _ASKED, candles)
    furthest = 0.0
    for number in np.linspace(0, _ASKED - 1, _ALONE).astype(int).tolist():
        rows = asked[: len(asked) - _ASKED + number + 1]
        (alone,) = forecaster.forecast(series, rows, 1, _until(candles, rows.close_time[-1]))
        one = together[number]
        pairs = zip((one.close, *one.quantiles), (alone.close, *alone.quantiles), strict=True)
        furthest = max(furthest, *(abs(a / b - 1) for a, b in pairs), abs((one.p_up or 0) - (alone.p_up or 0)))
    passed = furthest <= _TOLERANCE
    reason = f"forecasts differ by {furthest:.1e} when the candles after their cutoff are taken away"
    return LeakCheck("truncated_future", passed, reason, {"difference": furthest})


def _newest_runs(candles: Mapping[Series, Candles]) -> dict[Series, Candles]:
    """Return the newest unbroken candles of the first series that have enough, cut to the same times."""
    need = 2 * WINDOW
    runs = {series: list(those.split_at_gaps())[-1][-_ROWS:] for series, those in sorted(candles.items()) if len(those)}
    long = {series: run for series, run in runs.items() if len(run) >= need}
    if not long:
        most = max(map(len, runs.values()), default=0)
        raise NotEnoughCandles(f"the leak checks have {most} unbroken candles, they need {need}", have=most, need=need)
    first = next(iter(long.values()))
    alike = {s: run for s, run in long.items() if np.array_equal(run.open_time, first.open_time)}
    return dict(list(alike.items())[:_SERIES])


def _reordered(candles: Candles, order: NDArray[np.int64]) -> Candles:
    before = np.concatenate([candles.open[:1], candles.close[:-1]])
    close = candles.close[0] * np.exp(np.cumsum(np.log(candles.close / before)[order]))
    level = close / candles.close[order]
    # A product may round past its neighbour by the last digit.
    opened, high, low = (column[order] * level for column in (candles.open, candles.high, candles.low))
    return replace(
        candles,
        open=opened,
        high=np.maximum(high, np.maximum(opened, close)),
        low=np.minimum(low, np.minimum(opened, close)),
        close=close,
        volume=candles.volume[order],
        quote_volume=candles.quote_volume[order],
        trades=candles.trades[order],
        taker_buy_volume=candles.taker_buy_volume[order],
    )


def _walk(candles: Candles, repeated: float, seed: int) -> Candles:
    random, count = np.random.default_rng([seed, 1]), len(candles)
    usual = max(float(np.std(np.diff(np.log(candles.close)))), 1e-6)
    shocks = random.normal(0, usual, count + 1)
    moves = shocks[1:] + repeated * shocks[:-1]
    close = candles.close[0] * np.exp(np.cumsum(moves))
    opened = np.concatenate([candles.close[:1], close[:-1]])
    reach = np.exp(np.abs(random.normal(0, usual / 2, (2, count))))
    return Candles.of(
        candles.interval,
        open_time=candles.open_time,
        open=opened,
        high=np.maximum(opened, close) * reach[0],
        low=np.minimum(opened, close) / reach[1],
        close=close,
        volume=random.exponential(10, count),
    )


def _no_skill(name: str, learn: Learn, candles: Mapping[Series, Candles]) -> LeakCheck:
    judged = _judged(learn, candles)
    test = diebold_mariano(judged.absolute_error, judged.naive_error, 1)
    found, sure = _direction(judged)
    ratio = float(judged.absolute_error.mean() / judged.naive_error.mean())
    reason = (
        f"MAE ratio {ratio:.4f} (p = {test.p_value:.2g}), AUC {found:.3f} (p = {sure:.2g}) where no skill is to be had"
    )
    numbers = {"mae_ratio": ratio, "mae_p_value": test.p_value, "auc": found, "auc_p_value": sure}
    return LeakCheck(name, test.p_value > CHANCE and sure > CHANCE, reason, numbers)


def _judged(learn: Learn, candles: Mapping[Series, Candles]) -> Judged:
    series, own = next(iter(candles.items()))
    split = own.close_time[int(len(own) * _LEARNED_SHARE)]
    forecaster = learn(_until(candles, split), [1])
    return judge(forecaster, series, own, from_datetime64(split), own.cutoff, candles)[1]


def _until(candles: Mapping[Series, Candles], moment: np.datetime64) -> dict[Series, Candles]:
    return {series: those[those.close_time <= moment] for series, those in candles.items()}


def _direction(judged: Judged) -> tuple[float, float]:
    """Return the AUC of P(up) and how often chance alone has as much, by Mann and Whitney's normal approximation.

    0.5 and 1 from a forecaster that gives no P(up).
    """
    moved = np.isfinite(judged.p_up) & (judged.realised != judged.last_close)
    up = (judged.realised > judged.last_close)[moved]
    rises, falls = int(up.sum()), int((~up).sum())
    if not rises or not falls:
        return 0.5, 1.0
    found = auc(judged.p_up[moved], up)
    error = math.sqrt((rises + falls + 1) / (12 * rises * falls))
    return found, 1 - NormalDist().cdf((found - 0.5) / error)
