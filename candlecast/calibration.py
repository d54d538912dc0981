"""Intervals that keep their promise: quantiles of held-out errors, widened or narrowed by what came lately.

Split conformal prediction (Lei et al. 2018, Journal of the American Statistical Association 113) promises coverage for
errors that are exchangeable with the held-out ones. Markets are not: so the share of recent candles that fell outside
moves each interval, as in adaptive conformal inference (Gibbs and Candes 2021, NeurIPS 34), but from the forecast's own
window alone, so that whoever has the window gets the same interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from candlecast.baseline import conformal_quantiles
from candlecast.candles import Floats
from candlecast.forecast import LEVELS
from candlecast.table import Target

RECENT = 192
"""How many candles before a cutoff tell how well its intervals covered lately."""

_OUTSIDE = 1 - np.abs(2 * np.array(LEVELS) - 1)
"""Share that is promised to lie outside the central interval that ends at each of `LEVELS`."""

_SHAPE = ("rise", "fall", "range")
_LEAST_OUTSIDE = 0.1
_GAIN = 0.8


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out rows of one symbol say in units of the predicted scale; y is the scaled return.

    `median` of |y|; `quantiles` of y at `LEVELS`, symmetric about 0; medians of `rise`, `fall` and `range`, the target
    candle's high and low from its open and its high from its low, all of them logs over sig.
    """

    median: float
    quantiles: tuple[float, ...]
    rise: float
    fall: float
    range: float
    rows: int

    @classmethod
    def of(cls, target: Target, scale: Floats) -> Self:
        """Measure rows whose targets are known.

        The shift is left out: it is a twentieth of the scale and narrows the errors by a thousandth.
        """
        sizes = np.abs(target.y) / scale
        shape = {name: float(np.median(getattr(target, name) / scale)) for name in _SHAPE}
        return cls(
            float(np.median(sizes)), tuple(conformal_quantiles(sizes[None])[0].tolist()), rows=len(sizes), **shape
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON would."""
        return asdict(self) | {"quantiles": list(self.quantiles)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `to_dict` gave; raise KeyError or ValueError for anything else."""
        if len(stored["quantiles"]) != len(LEVELS):
            raise ValueError("calibration holds another number of quantiles")
        numbers = {name: float(stored[name]) for name in ("median", *_SHAPE)}
        return cls(quantiles=tuple(map(float, stored["quantiles"])), rows=int(stored["rows"]), **numbers)


def recent_widening(errors: Floats, reach: Floats, last: int, horizon: int) -> Floats:
    """Return (last, levels): by how much to multiply each quantile's distance from the median.

    `errors` (rows) are scaled returns of consecutive cutoffs, oldest first, `reach` (rows, levels) how far the
    calibrated quantiles lay from the median there. Each of the newest `last` rows reads those of the `RECENT` rows
    before it whose targets it knows: ln(factor) = gain x (share outside - promised) / sqrt(promised).
    """
    outside = np.abs(errors)[:, None] > np.abs(reach)
    total = np.concatenate([np.zeros((1, outside.shape[1])), np.cumsum(outside, axis=0)])
    row = len(errors) - last + np.arange(last)
    share = (total[row - horizon + 1] - total[row - RECENT]) / (RECENT - horizon + 1)
    factor: Floats = np.exp(_GAIN * (share - _OUTSIDE) / np.sqrt(np.maximum(_OUTSIDE, _LEAST_OUTSIDE)))
    return factor
