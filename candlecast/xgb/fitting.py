"""How a model is fitted on a table of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candlecast.calibration import Calibration
from candlecast.candles import Floats, Times
from candlecast.errors import NotEnoughCandles
from candlecast.features import USUAL_RANGE, FeatureSpec, complete_windows
from candlecast.linear import Ridge
from candlecast.market import NOTHING, KnownCandles
from candlecast.table import FEWEST_ROWS, Table, Target
from candlecast.xgb.heads import Direction, Head, slots
from candlecast.xgb.recipe import PART, Recipe, recipe
from candlecast.xgb.scale import Scale
from candlecast.xgb.season import Season
from candlecast.xgb.trees import Trees

_FEWEST_OWN = 500
_LEAST_SIZE = 1e-3
_NOTHING_BESIDE = np.array([], dtype=np.intp)
_EVEN = 2.0  # a label of +-2 makes least squares the first Newton step of a logistic regression from even odds


@dataclass(frozen=True, slots=True, eq=False)
class Fitting:
    """Fits the heads of one model on its table; `part` is the direction of the newest part, where there is one."""

    spec: FeatureSpec
    table: Table
    part: Direction | None
    runtime: Mapping[str, int]

    def head(self, horizon: int) -> Head:
        """Return the head of one of the table's horizons.

        The scale learns from what was decided by the table's split and is calibrated on what came after; the direction
        learns from everything.
        """
        target, chosen = self.table.targets[horizon], recipe(self.spec.interval, horizon)
        scale = self._scale(target, chosen)
        beside = self._known_beside()
        return Head(
            horizon,
            self._direction(target, _NOTHING_BESIDE, chosen),
            self._direction(target, beside, chosen) if len(beside) else None,
            self.part if chosen.part_weights else None,
            chosen.part_weights or (1.0, 0.0),
            scale,
            chosen.k,
            dict(self._calibrations(target, scale)),
        )

    def _known_beside(self) -> NDArray[np.intp]:
        """Return the columns of market and parts that are known in most of the newest rows."""
        first = len(self.spec.own_names)
        newest = self.table.rows[self.table.cutoff >= self.table.split, first:]
        return first + np.flatnonzero(np.isfinite(newest).mean(axis=0) > 0.5)

    def _direction(self, target: Target, beside: NDArray[np.intp], chosen: Recipe) -> Direction:
        own = len(self.spec.own_names)
        rows = self.table.rows[np.ix_(target.moved, np.concatenate([np.arange(own), beside]))]
        up = np.greater(target.y[target.moved], 0).astype(np.float64)
        trees = Trees.fit(rows, up, chosen.direction, self.runtime)
        if not chosen.ridge:
            return Direction(own, beside, trees)
        slot = slots(rows, self.spec)
        return Direction(
            own, beside, trees, Ridge.fit(rows, _EVEN * (2 * up - 1), chosen.ridge_penalty, slot), chosen.ridge
        )

    def _scale(self, target: Target, chosen: Recipe) -> Scale:
        early = self.table.early(target)
        rows = self.table.rows[:, : len(self.spec.own_names)][early]
        starts, size = self._starts(target)[early], np.maximum(np.abs(target.y[early]), _LEAST_SIZE)
        span = np.log(np.maximum(target.range[early], _LEAST_SIZE))
        season = Season.fit(self.spec.interval, starts, span - rows[:, self.spec.names.index(USUAL_RANGE)])
        return Scale.fit(rows, starts, season, {"scale": size, "range": span}, chosen.scales, self.runtime)

    def _starts(self, target: Target) -> Times:
        return target.target_time - self.spec.interval.step

    def _calibrations(self, target: Target, scale: Scale) -> Iterator[tuple[str, Calibration]]:
        held_out = self.table.held_out(target)
        if not held_out.any():
            raise NotEnoughCandles("have 0 rows to calibrate the intervals on, need 1 or more", have=0, need=1)
        predicted: Floats = scale.of(self.table.rows[held_out], self._starts(target)[held_out])
        symbol, came = self.table.symbol[held_out], target[held_out]
        yield "", Calibration.of(came, predicted)
        for code, name in enumerate(self.table.symbols):
            own = symbol == code
            if own.sum() >= _FEWEST_OWN:
                yield name, Calibration.of(came[own], predicted[own])


def fit_part(parts: KnownCandles, symbols: tuple[str, ...], runtime: Mapping[str, int]) -> Direction | None:
    """Return the direction of the next shorter candle, None where there are too few of them to learn from."""
    if sum(int(complete_windows(candles).sum()) for candles in parts.values()) < FEWEST_ROWS:
        return None
    table = Table.of(parts, NOTHING, symbols, [1])
    target = table.targets[1]
    up = np.greater(target.y[target.moved], 0).astype(np.float64)
    trees = Trees.fit(table.rows[target.moved], up, PART.direction, runtime)
    return Direction(table.rows.shape[1], _NOTHING_BESIDE, trees)
