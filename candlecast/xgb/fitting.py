"""How a model is fitted on a table of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from candlecast.calibration import Calibration
from candlecast.candles import Floats
from candlecast.errors import NotEnoughCandles
from candlecast.features import FeatureSpec, complete_windows
from candlecast.linear import Ridge
from candlecast.market import NOTHING, KnownCandles
from candlecast.table import FEWEST_ROWS, Table, Target
from candlecast.xgb.heads import Direction, Head, predicted_scale, slots
from candlecast.xgb.recipe import PART, Recipe, recipe
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
        scales = {name: self._scale(target, name, chosen) for name in chosen.scales}
        beside = self._known_beside()
        return Head(
            horizon,
            self._direction(target, _NOTHING_BESIDE, chosen),
            self._direction(target, beside, chosen) if len(beside) else None,
            self.part if chosen.part_weights else None,
            chosen.part_weights or (1.0, 0.0),
            scales,
            chosen.k,
            dict(self._calibrations(target, scales)),
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

    def _scale(self, target: Target, name: str, chosen: Recipe) -> Trees:
        early = self.table.early(target)
        label = np.abs(target.y[early]) if name == "scale" else target.range[early]
        label = np.maximum(label, _LEAST_SIZE)
        rows = self.table.rows[:, : len(self.spec.own_names)][early]
        return Trees.fit(rows, label if name == "scale" else np.log(label), chosen.scales[name], self.runtime)

    def _calibrations(self, target: Target, scales: Mapping[str, Trees]) -> Iterator[tuple[str, Calibration]]:
        held_out = self.table.held_out(target)
        if not held_out.any():
            raise NotEnoughCandles("have 0 rows to calibrate the intervals on, need 1 or more", have=0, need=1)
        scale: Floats = predicted_scale(scales.values(), self.table.rows[held_out, : len(self.spec.own_names)])
        symbol, came = self.table.symbol[held_out], target[held_out]
        yield "", Calibration.of(came, scale)
        for code, name in enumerate(self.table.symbols):
            own = symbol == code
            if own.sum() >= _FEWEST_OWN:
                yield name, Calibration.of(came[own], scale[own])


def fit_part(parts: KnownCandles, symbols: tuple[str, ...], runtime: Mapping[str, int]) -> Direction | None:
    """Return the direction of the next shorter candle, None where there are too few of them to learn from."""
    if sum(int(complete_windows(candles).sum()) for candles in parts.values()) < FEWEST_ROWS:
        return None
    table = Table.of(parts, NOTHING, symbols, [1])
    target = table.targets[1]
    up = np.greater(target.y[target.moved], 0).astype(np.float64)
    trees = Trees.fit(table.rows[target.moved], up, PART.direction, runtime)
    return Direction(table.rows.shape[1], _NOTHING_BESIDE, trees)
