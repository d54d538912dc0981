"""How far is far? Thresholds from null windows: pairs of windows out of the past, of which none is called drift.

Every pair lies as the reference and the current window do: as long, and as far from each other. While the market goes
on as it was, the pair that is judged is one more of the same kind, so that its distance takes each rank among theirs
equally often (the rank argument of conformal prediction: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random
World, 2005). A threshold that 19 of 20 null windows do not reach is then reached once in twenty times.
docs/decisions/0005-drift-thresholds.md has what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Floats, Interval, to_datetime64
from candlecast.drift import DRIFT_SHARE, Calibration, Window
from candlecast.frame import Integers
from monitoring.windows import FEWEST_NULLS, Rows, block_length

FALSE_ALARMS = 0.05
"""How often a column may pass its threshold although nothing has changed."""

_LEAST_THRESHOLD = 0.02  # two samples of 5000 rows are as far apart; a constant column has no distances at all
_ENOUGH_NULLS = 35  # rather than have fewer, let their windows lie closer together
_QUARTERS = 4
_RULE_OF_THUMB, _LEAST_BY_THUMB = 1.5, 0.1
_EDGES = 300
_LEAST_SPREAD = 1e-3  # Evidently's own

_PerBlock = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The distance that counts as drift by column, and what it was found on; None where it is a rule of thumb."""

    columns: Mapping[str, float]
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class _Pairs:
    """How the two windows of a pair lie, in blocks: their lengths, and the gap between them."""

    reference: int
    gap: int
    current: int

    def count(self, blocks: int) -> int:
        return max(0, blocks - self.reference - self.gap - self.current + 1)

    def sums(self, values: _PerBlock) -> tuple[_PerBlock, _PerBlock]:
        """Return what the values of the blocks sum to in the first and in the second window of each pair."""
        count, later = self.count(len(values)), self.reference + self.gap
        return _moving_sum(values, self.reference)[:count], _moving_sum(values, self.current)[later : later + count]


def calibrate(
    rows: Rows, past: Window, interval: Interval, *, windows: tuple[Window, Window], now: datetime
) -> Thresholds | None:
    """Return thresholds by the null windows among the past's rows; None where they are too few.

    `past` is whole blocks that end where the reference ends, `windows` the reference and the current window.
    """
    block = block_length(interval)
    blocks = round(past.length / block)
    pairs = _pairs(blocks, *windows, block)
    if not pairs.count(blocks):
        return None
    place = blocks - 1 - ((to_datetime64(past.end) - rows.cutoff) // np.timedelta64(block)).astype(np.int64)
    whole = _whole_pairs(place, blocks, pairs)
    if whole.sum() < FEWEST_NULLS:
        return None
    distances = {name: _distances(column, place, blocks, pairs)[whole] for name, column in rows.columns.items()}
    limits = {name: _threshold(found) for name, found in distances.items()}
    drifted = np.array([found >= limits[name] for name, found in distances.items()])
    verdicts = float((drifted.mean(axis=0) >= DRIFT_SHARE).mean())
    return Thresholds(limits, Calibration(FALSE_ALARMS, verdicts, int(whole.sum()), past.start, past.end, now))


def by_rule_of_thumb(reference: Rows) -> Thresholds:
    """Return one and a half times the largest distance of a quarter of the reference from the whole, at least 0.1.

    For a history that is too short for null windows; nobody can say how often such a threshold is passed by chance.
    """
    edges = np.linspace(0, 1, _QUARTERS + 1)[1:-1]
    cutoff = reference.cutoff.astype(np.int64)
    quarter = np.searchsorted(np.quantile(cutoff, edges), cutoff)
    return Thresholds({name: _by_quarters(column, quarter) for name, column in reference.columns.items()})


def distance(reference: Floats, other: Floats) -> float:
    """Return Wasserstein's distance in units of the reference's standard deviation, 0 where either holds nothing."""
    ours, theirs = (np.sort(column[np.isfinite(column)]) for column in (reference, other))
    if not len(ours) or not len(theirs):
        return 0.0
    values = np.sort(np.concatenate([ours, theirs]))
    below = [np.searchsorted(one, values[:-1], "right") / len(one) for one in (ours, theirs)]
    area = np.sum(np.abs(below[0] - below[1]) * np.diff(values))
    return float(area / max(ours.std(), _LEAST_SPREAD))


def _by_quarters(column: Floats, quarter: Integers) -> float:
    usual = max(distance(column, column[quarter == number]) for number in range(_QUARTERS))
    return max(_LEAST_BY_THUMB, _RULE_OF_THUMB * usual)


def _pairs(blocks: int, reference: Window, current: Window, block: timedelta) -> _Pairs:
    lengths = [round(window.length / block) for window in (reference, current)]
    farthest = max(0, blocks - sum(lengths) + 1 - _ENOUGH_NULLS)
    return _Pairs(lengths[0], min((current.start - reference.end) // block, farthest), lengths[1])


def _whole_pairs(place: Integers, blocks: int, pairs: _Pairs) -> Bools:
    """Tell the pairs whose windows both hold at least half as many rows as any does."""
    rows = pairs.sums(np.bincount(place, minlength=blocks).astype(np.float64)[:, None])
    both: Bools = np.logical_and(*(window[:, 0] >= window.max() / 2 for window in rows))
    return both


def _distances(column: Floats, place: Integers, blocks: int, pairs: _Pairs) -> Floats:
    """Return the distance of each pair, from counts between the column's quantiles: `distance` but for a hundredth."""
    known = np.isfinite(column)
    values, place = column[known], place[known]
    if not len(values):
        return np.zeros(pairs.count(blocks))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _EDGES), method="nearest"))
    cell = place * len(edges) + np.searchsorted(edges, values)
    counts = np.bincount(cell, minlength=blocks * len(edges)).reshape(blocks, len(edges)).astype(np.float64)
    ours, theirs = (np.cumsum(window, axis=1) for window in pairs.sums(counts))
    below = [window / np.maximum(window[:, -1:], 1) for window in (ours, theirs)]
    area = np.abs(below[0] - below[1])[:, :-1] @ np.diff(edges)
    normed: Floats = area / np.maximum(_spread(values, place, blocks, pairs), _LEAST_SPREAD)
    return normed


def _spread(values: Floats, place: Integers, blocks: int, pairs: _Pairs) -> Floats:
    """Return the standard deviation in the first window of each pair."""
    middle = values - values.mean()
    moments = [np.bincount(place, middle**power, minlength=blocks) for power in (0, 1, 2)]
    rows, first, second = pairs.sums(np.stack(moments, axis=1).astype(np.float64))[0].T
    mean, square = first / np.maximum(rows, 1), second / np.maximum(rows, 1)
    spread: Floats = np.sqrt(np.maximum(square - mean**2, 0))
    return spread


def _moving_sum(values: _PerBlock, length: int) -> _PerBlock:
    total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    sums: _PerBlock = total[length:] - total[:-length]
    return sums


def _threshold(distances: Floats) -> float:
    rank = math.ceil((1 - FALSE_ALARMS) * (len(distances) + 1))
    return max(_LEAST_THRESHOLD, float(np.sort(distances)[rank - 1]))
