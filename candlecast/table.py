"""The rows that a pooled model learns from: features and targets of several series, one under the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Candles, Floats, Series, Times
from candlecast.errors import NotEnoughCandles
from candlecast.features import SYMBOL, WINDOW, FeatureSpec, FloatMatrix, build_features, complete_windows
from candlecast.market import KnownCandles, market_around
from candlecast.targets import Targets, build_targets

FEWEST_ROWS = 400

_CALIBRATION_SHARE = 0.15

Matrix = tuple[Times, FloatMatrix]
"""Cutoffs, ascending, and their features, whatever code of the symbol they hold."""

Matrices = Mapping[Series, Matrix]

NOTHING_BUILT: Matrices = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One horizon's targets on the rows of a table; see `Targets`."""

    horizon: int
    y: Floats
    rise: Floats
    fall: Floats
    range: Floats
    target_time: Times

    @classmethod
    def of(cls, parts: Sequence[tuple[Targets, Bools]]) -> Self:
        """Return the chosen rows of each series, one under the other."""

        def column(name: str) -> NDArray[np.float64]:
            return np.concatenate([getattr(targets, name)[rows] for targets, rows in parts])

        times = np.concatenate([targets.target_time[rows] for targets, rows in parts])
        return cls(parts[0][0].horizon, column("scaled_return"), column("rise"), column("fall"), column("range"), times)

    def __getitem__(self, rows: Bools) -> Self:
        """Return some of the rows."""
        rise, fall, span = self.rise[rows], self.fall[rows], self.range[rows]
        return type(self)(self.horizon, self.y[rows], rise, fall, span, self.target_time[rows])

    @property
    def known(self) -> Bools:
        """Rows whose target candle exists."""
        return np.isfinite(self.y)

    @property
    def moved(self) -> Bools:
        """Known rows whose close changed."""
        return self.known & np.not_equal(self.y, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The pooled rows that have features, and the targets of each horizon.

    `symbol` is the position in `symbols`. Intervals are calibrated on rows from `split` on, the newest 15 %, with
    models that learned from targets decided by then.
    """

    rows: FloatMatrix
    cutoff: Times
    symbol: Floats
    symbols: tuple[str, ...]
    targets: Mapping[int, Target]
    split: np.datetime64

    @classmethod
    def of(
        cls,
        pool: Mapping[Series, Candles],
        known: KnownCandles,
        symbols: tuple[str, ...],
        horizons: Sequence[int],
        built: Matrices = NOTHING_BUILT,
    ) -> Self:
        """Build the table of a pool whose symbols are all among `symbols`; NotEnoughCandles when it is too short.

        The series of the pool, and what belongs to them in `known`, are each other's market. `built` may hold features
        that were built from the same candles or from more of them.
        """
        usable = {series: complete_windows(candles) for series, candles in pool.items()}
        code = {series: float(symbols.index(str(series.symbol))) for series in pool}
        cutoff = np.concatenate([c.close_time[usable[s]] for s, c in pool.items()])
        if len(cutoff) < FEWEST_ROWS:
            longest, need = max(len(c) for c in pool.values()), WINDOW + FEWEST_ROWS
            raise NotEnoughCandles(
                f"have {longest} candles in the longest series, need {need} without a gap", have=longest, need=need
            )
        return cls(
            _features(pool, known, code, usable, built),
            cutoff,
            np.concatenate([np.full(usable[s].sum(), code[s]) for s in pool]),
            symbols,
            {h: Target.of([(build_targets(c, h), usable[s]) for s, c in pool.items()]) for h in horizons},
            np.sort(cutoff)[int(len(cutoff) * (1 - _CALIBRATION_SHARE))],
        )

    def early(self, target: Target) -> Bools:
        """Mark the rows whose targets were decided by `split`."""
        return target.known & (target.target_time <= self.split)

    def held_out(self, target: Target) -> Bools:
        """Mark the rows that intervals are calibrated on."""
        return target.known & (self.cutoff >= self.split)


def _features(
    pool: Mapping[Series, Candles],
    known: KnownCandles,
    code: Mapping[Series, float],
    usable: Mapping[Series, Bools],
    built: Matrices,
) -> FloatMatrix:
    # Filled series by series: joining the parts afterwards would hold everything twice.
    names = FeatureSpec(next(iter(pool)).interval).names
    matrix = np.empty((sum(int(rows.sum()) for rows in usable.values()), len(names)), dtype=np.float32)
    beside, filled = {**known, **pool}, 0
    for series, candles in pool.items():
        rows = _known_rows(built.get(series), candles.close_time[usable[series]], names.index(SYMBOL), code[series])
        if rows is None:
            rows = build_features(candles, code[series], market=market_around(series, beside))[usable[series]]
        matrix[filled : filled + len(rows)] = rows
        filled += len(rows)
    return matrix


def _known_rows(built: Matrix | None, cutoffs: Times, symbol: int, code: float) -> FloatMatrix | None:
    """Return the rows of these cutoffs with the model's own code of the symbol, None where one is not among them."""
    if built is None:
        return None
    times, rows = built
    at = np.minimum(np.searchsorted(times, cutoffs), len(times) - 1)
    if not np.array_equal(times[at], cutoffs):
        return None
    found = rows[at]
    found[:, symbol] = code
    return found
