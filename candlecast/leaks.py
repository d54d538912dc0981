"""Checks that a way of training does not see the future, run on candles whose answer is known.

A forecaster that shows skill where there is none to be had has seen what it was judged on; one that misses a signal
that was planted looks in the wrong place. Both have happened to systems whose other numbers were green.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Candles, Series, Times, from_datetime64
from candlecast.errors import NotEnoughCandles
from candlecast.evaluation import Judged, auc, diebold_mariano, judge
from candlecast.forecast import Forecast, Forecaster

Learn = Callable[[Mapping[Series, Candles], Sequence[int]], Forecaster]
"""Fits a forecaster of the given series and horizons, as training does."""

CHANCE = 1e-4
"""How often an honest forecaster may look skilful by luck in one test before it counts as a leak."""

PLANTED = 0.4
"""Share of each shock that the next move of the planted signal repeats."""

LEAST_AUC = 0.55
"""What the planted signal must be found with; who knows it perfectly has about 0.72."""

_ROWS = 3000
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
    """Run all checks on candles made from up to two of the series: four fits on 3,000 candles of each.

    Raises NotEnoughCandles when every series is empty.
    """
    return [
        check(learn, candles, seed=seed) for check in (shuffled_labels, random_walk, planted_signal, truncated_future)
    ]


def shuffled_labels(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Draw the candles in random order, so that what follows a cutoff has nothing to do with what came before it.

    All series are drawn in the same order: what one may know of the others at a moment stays.
    """
    return _no_skill("shuffled_labels", learn, _shuffled(candles, seed))


def random_walk(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Replace every series by a random walk that moves as much, which nobody can forecast."""
    return _no_skill("random_walk", learn, _walks(candles, 0.0, seed))


def planted_signal(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Replace every series by a walk whose next move repeats a part of the newest shock: it must be found."""
    found, chance = _direction(_judged(learn, _walks(candles, PLANTED, seed)))
    passed = found >= LEAST_AUC and chance <= CHANCE
    reason = f"AUC {found:.3f} on a signal that was planted, {LEAST_AUC:g} is the least"
    return LeakCheck("planted_signal", passed, reason, {"auc": found, "p_value": chance})


def truncated_future(learn: Learn, candles: Mapping[Series, Candles], *, seed: int = 0) -> LeakCheck:
    """Ask for many cutoffs at once, with all later candles at hand, and for some of them alone, without."""
    drawn = _shuffled(candles, seed)
    series, own = next(iter(drawn.items()))
    learned = int(_ROWS * _LEARNED_SHARE)
    forecaster = learn(_until(drawn, own.close_time[learned - 1]), [1])
    asked = own[learned - forecaster.window : learned + _ASKED]
    together = forecaster.forecast(series, asked, _ASKED, drawn)
    furthest = 0.0
    for number in range(0, _ASKED, _ASKED // _ALONE):
        rows = asked[: len(asked) - _ASKED + number + 1]
        (alone,) = forecaster.forecast(series, rows, 1, _until(drawn, rows.close_time[-1]))
        furthest = max(furthest, _difference(together[number], alone))
    reason = f"forecasts differ by {furthest:.1e} when the candles after their cutoff are taken away"
    return LeakCheck("truncated_future", furthest <= _TOLERANCE, reason, {"difference": furthest})


def _difference(one: Forecast, other: Forecast) -> float:
    """Return the largest relative difference of their prices, or that of their probabilities where it is larger."""
    prices = zip((one.close, *one.quantiles), (other.close, *other.quantiles), strict=True)
    return max(*(abs(a / b - 1) for a, b in prices), abs((one.p_up or 0) - (other.p_up or 0)))


def _newest(candles: Mapping[Series, Candles]) -> dict[Series, Candles]:
    """Return the newest candles of the first series that have any."""
    kept = [(series, those[-_ROWS:]) for series, those in sorted(candles.items()) if len(those)]
    if not kept:
        raise NotEnoughCandles("the leak checks have no candles, they need some", have=0, need=1)
    return dict(kept[:_SERIES])


def _times(candles: Candles) -> Times:
    """Return the open times of as many candles as a check uses, without a gap, up to the newest there is."""
    times: Times = candles.open_time[-1] - np.arange(_ROWS)[::-1] * candles.interval.step
    return times


def _shuffled(candles: Mapping[Series, Candles], seed: int) -> dict[Series, Candles]:
    newest = _newest(candles)
    order = np.random.default_rng([seed, 2]).integers(0, min(map(len, newest.values())), _ROWS)
    times = _times(next(iter(newest.values())))
    return {series: _drawn(those, order, times) for series, those in newest.items()}


def _drawn(candles: Candles, order: NDArray[np.int64], times: Times) -> Candles:
    before = np.concatenate([candles.open[:1], candles.close[:-1]])
    close = candles.close[0] * np.exp(np.cumsum(np.log(candles.close / before)[order]))
    columns = {name: column[order] for name, column in candles.columns().items()}
    for name in ("open", "high", "low"):
        columns[name] = columns[name] * (close / columns["close"])
    # A product may round past its neighbour by the last digit.
    columns["high"] = np.maximum(columns["high"], np.maximum(columns["open"], close))
    columns["low"] = np.minimum(columns["low"], np.minimum(columns["open"], close))
    return Candles.of(candles.interval, **(columns | {"close": close, "open_time": times}))


def _walks(candles: Mapping[Series, Candles], repeated: float, seed: int) -> dict[Series, Candles]:
    newest = _newest(candles)
    times = _times(next(iter(newest.values())))
    return {s: _walk(those, times, repeated, seed + number) for number, (s, those) in enumerate(newest.items())}


def _walk(candles: Candles, times: Times, repeated: float, seed: int) -> Candles:
    random = np.random.default_rng([seed, 1])
    usual = max(float(np.std(np.log(candles.close / candles.open))), 1e-6)
    shocks = random.normal(0, usual, _ROWS + 1)
    close = candles.close[-1] * np.exp(np.cumsum(shocks[1:] + repeated * shocks[:-1]))
    opened = np.concatenate([candles.close[-1:], close[:-1]])
    reach = np.exp(np.abs(random.normal(0, usual / 2, (2, _ROWS))))
    return Candles.of(
        candles.interval,
        open_time=times,
        open=opened,
        high=np.maximum(opened, close) * reach[0],
        low=np.minimum(opened, close) / reach[1],
        close=close,
        volume=random.exponential(10, _ROWS),
    )


def _no_skill(name: str, learn: Learn, candles: Mapping[Series, Candles]) -> LeakCheck:
    judged = _judged(learn, candles)
    test = diebold_mariano(judged.absolute_error, judged.naive_error, 1)
    found, chance = _direction(judged)
    ratio = float(judged.absolute_error.mean() / judged.naive_error.mean())
    reason = (
        f"MAE ratio {ratio:.4f} (p = {test.p_value:.2g}), AUC {found:.3f} (p = {chance:.2g}) "
        "where no skill is to be had"
    )
    numbers = {"mae_ratio": ratio, "mae_p_value": test.p_value, "auc": found, "auc_p_value": chance}
    return LeakCheck(name, test.p_value > CHANCE and chance > CHANCE, reason, numbers)


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
