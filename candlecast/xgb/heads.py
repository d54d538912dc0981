"""What one horizon of a model needs to forecast: its directions, its scale and its calibration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from candlecast.baseline import Columns
from candlecast.calibration import Calibration, recent_widening
from candlecast.candles import Bools, Candles, Floats, Times
from candlecast.features import FeatureSpec, FloatMatrix
from candlecast.forecast import LEVELS
from candlecast.linear import Ridge
from candlecast.targets import Targets, build_targets
from candlecast.volatility import LAGS
from candlecast.xgb.scale import Scale
from candlecast.xgb.trees import Trees

_SHIFTED = 4 * np.array(LEVELS) * (1 - np.array(LEVELS))
"""How much of the implied move each of `LEVELS` follows: the median all of it, the tails hardly any, because the sign
of middling moves can be told and that of large ones barely (docs/forecast-quality.md)."""


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """Logit of a rise from the series' `own` first columns and those `beside` them.

    Trees, and with the part `share` in the logit a ridge regression.
    """

    own: int
    beside: NDArray[np.intp]
    trees: Trees
    ridge: Ridge | None = None
    share: float = 0.0

    def logit(self, rows: FloatMatrix, slot: Floats | None) -> Floats:
        """Return the logit of each row."""
        read = chosen_columns(rows, self.own, self.beside)
        logit = self.trees.margins(read)
        return logit if self.ridge is None else (1 - self.share) * logit + self.share * self.ridge.predict(read, slot)

    def contributions(self, rows: FloatMatrix, slot: Floats | None) -> Floats:
        """Return what each column of `rows` adds to the logits, and the logit without any: (rows, columns + 1)."""
        read = chosen_columns(rows, self.own, self.beside)
        parts = self.trees.contributions(read)
        if self.ridge is not None:
            parts = (1 - self.share) * parts + self.share * self.ridge.contributions(read, slot)
        spread = np.zeros((len(rows), rows.shape[1] + 1))
        spread[:, [*range(self.own), *self.beside, -1]] = parts
        return spread

    def facts(self) -> dict[str, Any]:
        """Return what is needed beside the artefacts, JSON-able."""
        return {"own": self.own, "beside": self.beside.tolist(), "share": self.share}

    def raw(self) -> Iterator[tuple[str, bytes]]:
        """Yield the artefacts by suffix."""
        yield "ubj", self.trees.to_bytes()
        if self.ridge is not None:
            yield "npy", self.ridge.to_bytes()

    @classmethod
    def load(cls, name: str, artefacts: Mapping[str, bytes], facts: Mapping[str, Any]) -> Self:
        """Return what gave these artefacts and facts."""
        trees = Trees.from_bytes(artefacts[f"{name}.ubj"])
        ridge = Ridge.from_bytes(artefacts[f"{name}.npy"]) if facts["share"] else None
        return cls(int(facts["own"]), np.array(facts["beside"], dtype=np.intp), trees, ridge, float(facts["share"]))


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a forecast reads: features of the newest `last` cutoffs, below those of the rows just before them.

    `part_rows` (last, features) are those of the newest part at each cutoff, NaN where it is not known.
    """

    candles: Candles
    rows: FloatMatrix
    last: int
    symbol: str
    part_rows: FloatMatrix | None = None

    @property
    def spec(self) -> FeatureSpec:
        """The features of the rows."""
        return FeatureSpec(self.candles.interval)

    def starts(self, horizon: int) -> Times:
        """Return when the target candle of each row opens."""
        return self.candles.close_time[-len(self.rows) :] + (horizon - 1) * self.candles.interval.step

    def targets(self, horizon: int) -> Targets:
        """Return targets that end with those of the rows; beyond the newest candle they are not known."""
        return build_targets(self.candles[len(self.candles) - len(self.rows) - LAGS + 1 :], horizon)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One horizon.

    `market` speaks where all its columns are known, `own` elsewhere; `part`, weighed by `part_weights`, where the
    newest part is known. `calibrations` are by symbol, "" is pooled.
    """

    horizon: int
    own: Direction
    market: Direction | None
    part: Direction | None
    part_weights: tuple[float, float]
    scale: Scale
    k: float
    calibrations: Mapping[str, Calibration]

    def columns(self, reading: Reading) -> Columns:
        """Return the forecasts from the newest cutoffs."""
        last, calibration = reading.last, self.calibrations.get(reading.symbol, self.calibrations[""])
        targets = reading.targets(self.horizon)
        scale = self.scale.of(reading.rows, reading.starts(self.horizon))
        reach = scale[:, None] * np.array(calibration.quantiles)
        errors = targets.scaled_return[-len(scale) :]
        spread = recent_widening(errors, reach, last, self.horizon) * reach[-last:]
        logit = self._logit(reading)
        shift = self.k * logit * scale[-last:] * calibration.median
        unit, before = targets.unit[-last:], reading.candles.close[-last:]
        close = before * np.exp(unit * shift)
        opened = before * np.exp(unit * shift * (self.horizon - 1) / self.horizon)
        size = scale[-last:] * unit / np.sqrt(self.horizon)
        return Columns(
            self.horizon,
            close,
            before[:, None] * np.exp(unit[:, None] * (shift[:, None] * _SHIFTED + spread)),
            1 / (1 + np.exp(-logit)),
            open=opened,
            high=np.maximum(opened * np.exp(size * calibration.rise), np.maximum(opened, close)),
            low=np.minimum(opened * np.exp(size * calibration.fall), np.minimum(opened, close)),
            range=opened * np.expm1(size * calibration.range),
        )

    def _logit(self, reading: Reading) -> Floats:
        rows = reading.rows[-reading.last :]
        slot = slots(rows, reading.spec)
        logit = np.empty(len(rows))
        for direction, speaks in self._speakers(rows):
            if speaks.any():
                logit[speaks] = direction.logit(rows[speaks], None if slot is None else slot[speaks])
        if self.part is not None and reading.part_rows is not None:
            known = ~np.isnan(reading.part_rows).all(axis=1)
            if known.any():
                mine, parts = self.part_weights
                logit[known] = mine * logit[known] + parts * self.part.logit(reading.part_rows[known], None)
        return logit

    def _speakers(self, rows: FloatMatrix) -> Iterator[tuple[Direction, Bools]]:
        """Yield which direction speaks in which rows."""
        whole: Bools = np.zeros(len(rows), dtype=bool)
        if self.market is not None:
            whole = np.logical_and.reduce(np.isfinite(rows[:, self.market.beside]), axis=1)
            yield self.market, whole
        yield self.own, ~whole

    def contributions(self, reading: Reading) -> tuple[Floats, Floats | None]:
        """Return what the columns of the newest row, and of its newest part, add to the logit; last without any."""
        rows = reading.rows[-1:]
        market = self.market
        speaks = market if market is not None and np.isfinite(rows[:, market.beside]).all() else self.own
        own = speaks.contributions(rows, slots(rows, reading.spec))[0]
        part_rows = None if reading.part_rows is None else reading.part_rows[-1:]
        if self.part is None or part_rows is None or np.isnan(part_rows).all():
            return own, None
        mine, parts = self.part_weights
        return mine * own, parts * self.part.contributions(part_rows, None)[0]

    def raw(self) -> Iterator[tuple[str, bytes]]:
        """Yield the artefacts by name."""
        for name, suffix, raw in self.scale.raw():
            yield f"{name}-{self.horizon}.{suffix}", raw
        for name, direction in self._directions():
            for suffix, raw in direction.raw():
                yield f"{name}-{self.horizon}.{suffix}", raw

    def _directions(self) -> Iterator[tuple[str, Direction]]:
        named = {"direction": self.own, "market-direction": self.market, "part-direction": self.part}
        for name, direction in named.items():
            if direction is not None:
                yield name, direction

    def direction_facts(self) -> dict[str, Any]:
        """Return what the directions need beside their artefacts, JSON-able."""
        return {name: direction.facts() for name, direction in self._directions()}

    def calibration_facts(self) -> dict[str, Any]:
        """Return what turns directions and scales into a forecast, JSON-able."""
        symbols = {name: one.to_dict() for name, one in self.calibrations.items()}
        weights = list(self.part_weights)
        return {"k": self.k, "part_weights": weights, "scale": self.scale.facts(), "symbols": symbols}

    @classmethod
    def load(cls, horizon: int, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Self:
        """Return what gave these artefacts and facts; raise KeyError or ValueError where they do not fit."""
        facts, calibration = manifest["directions"][str(horizon)], manifest["calibration"][str(horizon)]
        directions = {name: Direction.load(f"{name}-{horizon}", artefacts, stored) for name, stored in facts.items()}
        mine, parts = calibration["part_weights"]
        return cls(
            horizon,
            directions["direction"],
            directions.get("market-direction"),
            directions.get("part-direction"),
            (float(mine), float(parts)),
            Scale.load(horizon, artefacts, calibration["scale"]),
            float(calibration["k"]),
            {name: Calibration.from_dict(one) for name, one in calibration["symbols"].items()},
        )


def chosen_columns(rows: FloatMatrix, own: int, beside: NDArray[np.intp]) -> FloatMatrix:
    """Return the series' own columns and those beside them."""
    return np.hstack([rows[:, :own], rows[:, beside]])


def slots(rows: FloatMatrix, spec: FeatureSpec) -> Floats | None:
    """Return where in the hour the candle after each row starts, None where the features do not tell."""
    return rows[:, spec.names.index("slot")].astype(np.float64) if "slot" in spec.own_names else None
