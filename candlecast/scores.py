"""Every score of a forecaster on one series and horizon, by name.

Losses in prices (`mae rmse pinball crps width_* winkler_*`) are in the quote currency, all other numbers are shares
and ratios. Libraries score what they score well (scikit-learn); the rest is a line of numpy with its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (  # type: ignore[import-untyped]  # ships no types
    brier_score_loss,
    confusion_matrix,
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from candlecast.candles import Bools, Floats
from candlecast.evaluation import Judged
from candlecast.forecast import INTERVALS, LEVELS
from candlecast.resampling import Statistic, auc_of, mean_of, ratio_of, top_share_of

TOP_SHARE = 0.1
"""Share of the forecasts of direction that counts as the most confident."""

ECE_BINS = 10

_LEVELS = np.array(LEVELS)

Score = float | int | dict[str, int] | None


def point_scores(judged: Judged, unit: float) -> dict[str, Score]:
    """Return the scores of the close; `unit` is the mean |one-step move| of the history, which MASE divides by.

    `mae_ratio` is to "no change" on the same cutoffs. `smape` = mean 2 |e| / (|forecast| + |realised|) (Makridakis
    1993, International Journal of Forecasting 9). `mase`: Hyndman and Koehler (2006), International Journal of
    Forecasting 22. `r2` is of the log return: on price levels any forecast near the last close has 0.999.
    """
    real, close, last = judged.realised, judged.close, judged.last_close
    mae = float(mean_absolute_error(real, close))
    naive = float(mean_absolute_error(real, last))
    return {
        "mae": mae,
        "mae_ratio": mae / naive if naive > 0 else None,
        "rmse": float(root_mean_squared_error(real, close)),
        "mape": float(mean_absolute_percentage_error(real, close)),
        "smape": float(np.mean(2 * np.abs(close - real) / (np.abs(close) + np.abs(real)))),
        "mase": mae / unit if unit > 0 else None,
        "r2": float(r2_score(np.log(real / last), np.log(close / last))) if len(judged) > 1 and naive > 0 else None,
    }


def pinball_loss(judged: Judged) -> Floats:
    """Return each row's pinball loss, mean over `LEVELS`, in the quote currency (Koenker and Bassett 1978)."""
    error = judged.realised[:, None] - judged.quantiles
    loss: Floats = np.maximum(_LEVELS * error, (_LEVELS - 1) * error).mean(axis=1)
    return loss


def crps(judged: Judged) -> Floats:
    """Return each row's continuous ranked probability score in the quote currency.

    The integral of (F(x) - 1{x >= realised})^2 (Gneiting and Raftery 2007, JASA 102, equation 20) of the distribution
    whose quantile function is linear between `LEVELS`, with the mass beyond the outermost levels at their quantiles.
    """
    left, right = judged.quantiles[:, :-1], judged.quantiles[:, 1:]
    low, slope = _LEVELS[:-1], np.diff(_LEVELS)
    # F rises linearly by `slope` over each piece; t is the share of the piece that lies below what was realised.
    width = right - left
    t = np.clip(np.divide(judged.realised[:, None] - left, width, out=np.zeros_like(width), where=width > 0), 0, 1)
    below = ((low + slope * t) ** 3 - low**3) / (3 * slope)
    above = ((1 - low - slope * t) ** 3 - (1 - low - slope) ** 3) / (3 * slope)
    outside = np.maximum(judged.quantiles[:, 0] - judged.realised, 0) + np.maximum(
        judged.realised - judged.quantiles[:, -1], 0
    )
    score: Floats = (width * (below + above)).sum(axis=1) + outside
    return score


def interval_scores(judged: Judged, reference_pinball: float) -> dict[str, Score]:
    """Return the scores of the quantiles; `pinball_skill` = 1 - pinball / `reference_pinball`.

    `winkler_*`: width plus 2 / alpha times the distance by which it missed (Winkler 1972, JASA 67).
    """
    pinball = float(pinball_loss(judged).mean())
    found: dict[str, Score] = {
        "pinball": pinball,
        "pinball_skill": 1 - pinball / reference_pinball if reference_pinball > 0 else None,
        "crps": float(crps(judged).mean()),
    }
    found |= {f"coverage_{percent}": float(judged.covered(percent).mean()) for percent in INTERVALS}
    found |= {f"width_{percent}": float(_width(judged, percent).mean()) for percent in INTERVALS}
    found |= {f"winkler_{percent}": float(_winkler(judged, percent).mean()) for percent in INTERVALS}
    return found


def probability_scores(chance: Floats, up: Bools) -> dict[str, Score]:
    """Return the scores of P(up) against the direction that came; `auc` is None where only one came.

    `base_log_loss` is the log loss of who had known the share of rises beforehand, and nothing else.
    """
    share = float(up.mean())
    return {
        "brier": float(brier_score_loss(up, chance)),
        "log_loss": float(log_loss(up, chance, labels=[False, True])),
        "base_log_loss": float(log_loss(up, np.full(len(up), share), labels=[False, True])),
        "ece": expected_calibration_error(chance, up),
        "auc": float(roc_auc_score(up, chance)) if 0 < up.sum() < len(up) else None,
    }


def expected_calibration_error(chance: Floats, up: Bools) -> float:
    """Return the mean |mean chance - share of rises| over ten bins of as equal a count as possible.

    Naeini, Cooper and Hauskrecht (2015), AAAI 29, with equal counts instead of equal widths (Nguyen and O'Connor 2015,
    EMNLP), because chances of a rise all lie close to one half.
    """
    order = np.argsort(chance, kind="stable")
    bins = [part for part in np.array_split(order, ECE_BINS) if len(part)]
    return float(sum(abs(chance[part].sum() - up[part].sum()) for part in bins) / len(chance))


def direction_scores(call: Bools, up: Bools, size: Floats) -> dict[str, Score]:
    """Return the scores of called directions; `size` is each move's |return|.

    `weighted_accuracy` counts each hit by the size of its move.
    """
    (true_down, false_up), (false_down, true_up) = confusion_matrix(up, call, labels=[False, True]).tolist()
    return {
        "accuracy": float((call == up).mean()),
        "weighted_accuracy": float(size[call == up].sum() / size.sum()),
        "confusion": {"true_up": true_up, "false_up": false_up, "true_down": true_down, "false_down": false_down},
    }


METRICS = (
    *("mae", "mae_ratio", "rmse", "mape", "smape", "mase", "r2"),
    *("pinball", "pinball_skill", "crps", "coverage_80", "coverage_95"),
    *("width_80", "width_95", "winkler_80", "winkler_95"),
    *("accuracy", "accuracy_top_tenth", "weighted_accuracy", "confusion"),
    *("auc", "brier", "log_loss", "base_log_loss", "ece"),
)
"""Names of all scores, in the order in which they are reported."""


def all_scores(judged: Judged, *, unit: float, reference_pinball: float) -> dict[str, Score]:
    """Return `count` and every one of `METRICS`, None where the forecaster does not say what it scores.

    Direction is scored where the close changed: by P(up) where the forecaster gives it, else by the side on which its
    close lies. `unit` and `reference_pinball` as in `point_scores` and `interval_scores`.
    """
    found: dict[str, Score] = dict.fromkeys(METRICS)
    if not len(judged):
        return {"count": 0, **found}
    if np.isfinite(judged.close).all():
        found |= point_scores(judged, unit)
    if np.isfinite(judged.quantiles).all():
        found |= interval_scores(judged, reference_pinball)
    told = Directions.of(judged)
    if told is not None:
        found |= told.scores()
    return {"count": len(judged), **{name: _finite(value) for name, value in found.items()}}


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Forecasts of direction beside what came, on the rows whose close changed and for which there was a call."""

    rows: NDArray[np.int64]
    call: Bools
    up: Bools
    size: Floats
    chance: Floats | None

    @classmethod
    def of(cls, judged: Judged) -> Self | None:
        """Return the called directions, None where the forecaster never says one."""
        move = np.log(judged.realised / judged.last_close)
        by_chance = bool(np.isfinite(judged.p_up).all())
        leaning = judged.p_up - 0.5 if by_chance else np.nan_to_num(judged.close - judged.last_close)
        rows = np.flatnonzero((move != 0) & (by_chance | (leaning != 0)))
        if not len(rows):
            return None
        chance = judged.p_up[rows] if by_chance else None
        return cls(rows, leaning[rows] > 0, move[rows] > 0, np.abs(move[rows]), chance)

    @property
    def hits(self) -> Bools:
        """Mark the calls that came true."""
        return np.equal(self.call, self.up)

    def scores(self) -> dict[str, Score]:
        """Return the scores of direction, and of probability where one was given."""
        found = direction_scores(self.call, self.up, self.size)
        if self.chance is None:
            return found
        top = top_share_of(self.hits, np.abs(self.chance - 0.5), TOP_SHARE)
        return found | probability_scores(self.chance, self.up) | {"accuracy_top_tenth": top(np.ones(len(self.rows)))}


def statistics(judged: Judged, reference_pinball: Floats) -> dict[str, Statistic]:
    """Return the headline scores as statistics of weighted rows, for `resampling.bootstrap_intervals`.

    `reference_pinball` holds the reference's loss on the same rows. Scores that the forecaster has none of are left
    out.
    """
    found: dict[str, Statistic] = {}
    if np.isfinite(judged.close).all():
        error, naive = np.abs(judged.close - judged.realised), np.abs(judged.last_close - judged.realised)
        found["mae_ratio"] = ratio_of(error, naive)
    if np.isfinite(judged.quantiles).all():
        ratio = ratio_of(pinball_loss(judged), reference_pinball)
        found["pinball_skill"] = lambda weights: 1 - ratio(weights)
        found |= {f"coverage_{p}": mean_of(judged.covered(p).astype(np.float64)) for p in INTERVALS}
    told = Directions.of(judged)
    if told is not None:
        found |= _direction_statistics(told)
    return found


def _direction_statistics(told: Directions) -> dict[str, Statistic]:
    found = {"accuracy": mean_of(told.hits.astype(np.float64))}
    if told.chance is not None:
        sure = np.clip(np.where(told.up, told.chance, 1 - told.chance), np.finfo(float).eps, 1)
        found["accuracy_top_tenth"] = top_share_of(told.hits, np.abs(told.chance - 0.5), TOP_SHARE)
        found["auc"] = auc_of(told.chance, told.up)
        found["log_loss"] = mean_of(-np.log(sure))
    return {name: _on(told.rows, statistic) for name, statistic in found.items()}


def _on(rows: NDArray[np.int64], statistic: Statistic) -> Statistic:
    return lambda weights: statistic(weights[rows])


def _width(judged: Judged, percent: int) -> Floats:
    low, high = _bounds(judged, percent)
    return high - low


def _winkler(judged: Judged, percent: int) -> Floats:
    low, high = _bounds(judged, percent)
    missed = np.maximum(low - judged.realised, 0) + np.maximum(judged.realised - high, 0)
    return high - low + 2 / (1 - percent / 100) * missed


def _bounds(judged: Judged, percent: int) -> tuple[Floats, Floats]:
    lower, upper = (LEVELS.index(level) for level in INTERVALS[percent])
    return judged.quantiles[:, lower], judged.quantiles[:, upper]


def _finite(value: Score) -> Score:
    return None if isinstance(value, float) and not math.isfinite(value) else value
