"""Ridge regression on clipped standard scores, with coefficients of their own at each slot of the hour.

A sum over columns, so nothing here can follow an interaction; what it says differs enough from the trees that the mean
of both is better than either (docs/forecast-quality.md).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from candlecast.candles import Bools, Floats

LIMIT = 3.0
"""Standard scores beyond it count as it."""

_DECIMALS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """Fitted coefficients. `weights` (1 + slots, columns): those of every row, then what each slot adds to them."""

    centre: Floats
    spread: Floats
    intercept: float
    weights: Floats

    @classmethod
    def fit(cls, rows: NDArray[np.floating], target: Floats, penalty: float, slot: Floats | None = None) -> Self:
        """Minimise the squared error plus `penalty` times the squared weights.

        `rows` (rows, columns); values that are NaN count as the column's mean. `slot` is a whole number from 0 per row,
        None for the same weights everywhere. A column that never changes gets no weight.
        """
        centre, spread = _moments(rows)
        intercept, columns = float(target.mean()), rows.shape[1]
        masks = list(_slot_masks(slot, len(rows)))
        size = columns * (len(masks) + 1 if slot is not None else 1)
        gram, product = np.zeros((size, size)), np.zeros(size)
        for number, mask in enumerate(masks):
            scores = _scores(rows[mask], centre, spread)
            places = [slice(0, columns)]
            if slot is not None:
                places.append(slice(columns * (number + 1), columns * (number + 2)))
            inner, outer = scores.T @ scores, scores.T @ (target[mask] - intercept)
            for one in places:
                product[one] += outer
                for other in places:
                    gram[one, other] += inner
        gram[np.diag_indices(size)] += penalty
        weights = np.linalg.solve(gram, product).reshape(-1, columns)
        # Rounded, so that a machine that sums in another order writes the same file.
        centre, spread, weights = (np.round(part, _DECIMALS) for part in (centre, spread, weights))
        return cls(centre, spread, round(intercept, _DECIMALS), weights)

    def predict(self, rows: NDArray[np.floating], slot: Floats | None = None) -> Floats:
        """Return the value of each row; a slot that was not seen gets what holds for all.

        Each row is summed by itself, so that its rounding does not depend on its neighbours.
        """
        scores = _scores(rows, self.centre, self.spread)
        weights = self._weights_at(slot, len(rows))
        values: Floats = np.einsum("ij,ij->i", scores, weights) + self.intercept
        return values

    def contributions(self, rows: NDArray[np.floating], slot: Floats | None = None) -> Floats:
        """Return what each column adds to the values, and the value without any: (rows, columns + 1)."""
        added = _scores(rows, self.centre, self.spread) * self._weights_at(slot, len(rows))
        return np.hstack([added, np.full((len(rows), 1), self.intercept)])

    def _weights_at(self, slot: Floats | None, count: int) -> Floats:
        if slot is None:
            return np.broadcast_to(self.weights[0], (count, self.weights.shape[1]))
        own = np.vstack([np.zeros_like(self.weights[:1]), self.weights[1:]])
        number = np.nan_to_num(slot, nan=-1.0).astype(np.int64) + 1
        weights: Floats = self.weights[0] + own[np.where(number < len(own), number, 0)]
        return weights

    def to_bytes(self) -> bytes:
        """Return everything as one array in numpy's own file format."""
        file = io.BytesIO()
        table = np.vstack([self.centre, self.spread, np.full_like(self.centre, self.intercept), self.weights])
        np.save(file, table, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return what `to_bytes` wrote; raise ValueError for anything else."""
        table = np.load(io.BytesIO(raw), allow_pickle=False)
        if table.ndim != 2 or len(table) < 4 or table.dtype != np.float64 or not np.isfinite(table).all():
            raise ValueError("these are not the coefficients of a ridge regression")
        return cls(table[0], table[1], float(table[2, 0]), table[3:])


def _moments(rows: NDArray[np.floating]) -> tuple[Floats, Floats]:
    known = np.isfinite(rows)
    count = np.maximum(known.sum(axis=0), 1)
    centre: Floats = np.where(known, rows, 0).sum(axis=0, dtype=np.float64) / count
    squares = np.where(known, rows - centre, 0)
    spread: Floats = np.sqrt(np.einsum("ij,ij->j", squares, squares) / count)
    return centre, np.where(spread > 10**-_DECIMALS, spread, 1.0)


def _scores(rows: NDArray[np.floating], centre: Floats, spread: Floats) -> Floats:
    scores: Floats = np.nan_to_num(np.clip((rows - centre) / spread, -LIMIT, LIMIT))
    return scores


def _slot_masks(slot: Floats | None, count: int) -> Iterator[Bools]:
    if slot is None:
        yield np.ones(count, dtype=bool)
    else:
        for number in range(int(slot.max()) + 1):
            yield slot == number
