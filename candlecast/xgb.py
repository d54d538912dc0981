"""The model: gradient-boosted trees for direction and scale, fitted, used and serialised here only.

Per horizon a sign classifier gives the probability of a rise and a gamma regression the scale of the move, both on
the pooled series of one interval. Their forecast is the median move that the probability implies, and quantiles of
past errors in units of the scale. A second classifier also reads the other symbols and the parts of the candles; it
speaks where all of them are known, so that a forecast without them is made by one that never needed them.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from candlecast.baseline import Columns, assemble
from candlecast.calibration import RECENT, Calibration, recent_widening
from candlecast.candles import Candles, Floats, Interval, Series, from_datetime64, to_datetime64
from candlecast.errors import ArtifactCorrupt, FeatureMismatch, NotEnoughCandles, UsageError
from candlecast.features import WINDOW, FeatureSpec, FloatMatrix, build_features, newest_unbroken
from candlecast.forecast import Forecast
from candlecast.linear import Ridge
from candlecast.market import NOTHING, KnownCandles, market_around, part_series
from candlecast.table import Table, Target
from candlecast.targets import Targets, build_targets
from candlecast.volatility import LAGS

FORMAT = 2

_FEWEST_OWN = 500
_LEAST_MOVE = 1e-3
_MAX_BIN = 64
_RIDGE_SHARE = 0.4
_RIDGE_PENALTY = 4e4
_NOTHING_BESIDE = np.array([], dtype=np.intp)
_EVEN = 2.0  # a label of +-2 makes least squares the first Newton step of a logistic regression from even odds

_COMMON = {"max_depth": 4, "min_child_weight": 200, "subsample": 0.6, "colsample_bytree": 0.4, "max_bin": _MAX_BIN}
_NEXT = {
    Interval.M1: {"num_boost_round": 150, "reg_lambda": 50},
    Interval.M5: {"num_boost_round": 150, "reg_lambda": 50},
    Interval.M15: {"num_boost_round": 120, "reg_lambda": 200},
}
_SLOW = {"num_boost_round": 50, "reg_lambda": 200}
_FAR = {"num_boost_round": 60, "reg_lambda": 300}
_SCALE = {"num_boost_round": 150, "eta": 0.05, "reg_lambda": 50}


def direction_params(interval: Interval, horizon: int) -> dict[str, Any]:
    """Return the classifier's settings: few rounds of four hard regularised trees each, no early stopping."""
    own = _NEXT.get(interval, _SLOW) if horizon == 1 else _FAR
    return {
        **_COMMON,
        "objective": "binary:logistic",
        "base_score": 0.5,
        "eta": 0.03,
        "num_parallel_tree": 4,
        **own,
    }


def scale_params() -> dict[str, Any]:
    """Return the settings of the regression on |scaled return|."""
    return {**_COMMON, "objective": "reg:gamma", **_SCALE}


def ridge_share(interval: Interval, horizon: int) -> float:
    """Return how much of the logit comes from the ridge regression instead of the trees."""
    return _RIDGE_SHARE if (interval, horizon) == (Interval.M15, 1) else 0.0


def shift_factor(horizon: int) -> float:
    """Return k of shift = k logit(p) m; further ahead the direction is hardly there, so less of it is believed."""
    return 0.72 if horizon == 1 else 0.4


@dataclass(frozen=True, slots=True, eq=False)
class _Direction:
    """Logit of a rise from some of the columns: trees, and beside them a ridge regression where it helps."""

    own: int
    beside: NDArray[np.intp]
    trees: xgboost.Booster
    ridge: Ridge | None
    share: float

    def logit(self, rows: FloatMatrix, slot: Floats | None) -> Floats:
        read = _columns(rows, self.own, self.beside)
        logit = _margins(self.trees, read)
        return logit if self.ridge is None else (1 - self.share) * logit + self.share * self.ridge.predict(read, slot)

    def facts(self) -> dict[str, Any]:
        return {"own": self.own, "beside": self.beside.tolist(), "share": self.share}

    def raw(self) -> Iterator[tuple[str, bytes]]:
        yield "ubj", bytes(self.trees.save_raw("ubj"))
        if self.ridge is not None:
            yield "npy", self.ridge.to_bytes()

    @classmethod
    def load(cls, name: str, artefacts: Mapping[str, bytes], facts: Mapping[str, Any]) -> Self:
        ridge = artefacts.get(f"{name}.npy")
        return cls(
            int(facts["own"]),
            np.array(facts["beside"], dtype=np.intp),
            _load(artefacts[f"{name}.ubj"]),
            None if ridge is None else Ridge.from_bytes(ridge),
            float(facts["share"]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What a forecast reads: features of the newest `last` cutoffs and of the `RECENT` rows before them."""

    candles: Candles
    rows: FloatMatrix
    last: int
    symbol: str

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec(self.candles.interval)

    def targets(self, horizon: int) -> Targets:
        """Return the targets of the last rows; those beyond the newest candle are not known."""
        return build_targets(self.candles[len(self.candles) - len(self.rows) - LAGS + 1 :], horizon)


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """What one horizon needs."""

    horizon: int
    own: _Direction
    market: _Direction | None
    scale: xgboost.Booster
    k: float
    calibrations: Mapping[str, Calibration]  # by symbol, "" pooled

    def columns(self, reading: _Reading) -> Columns:
        """Return the forecasts from the newest cutoffs."""
        last, calibration = reading.last, self.calibrations.get(reading.symbol, self.calibrations[""])
        targets = reading.targets(self.horizon)
        scale = np.exp(_margins(self.scale, reading.rows[:, : len(reading.spec.own_names)]))
        reach = scale[:, None] * np.array(calibration.quantiles)
        errors = targets.scaled_return[-len(scale) :]
        spread = recent_widening(errors, reach, last, self.horizon) * reach[-last:]
        logit = self._logit(reading.rows[-last:], reading.spec)
        shift = self.k * logit * scale[-last:] * calibration.median
        unit, before = targets.unit[-last:], reading.candles.close[-last:]
        close = before * np.exp(unit * shift)
        opened = before * np.exp(unit * shift * (self.horizon - 1) / self.horizon)
        size = scale[-last:] * unit / np.sqrt(self.horizon)
        return Columns(
            self.horizon,
            close,
            before[:, None] * np.exp(unit[:, None] * (shift[:, None] + spread)),
            1 / (1 + np.exp(-logit)),
            open=opened,
            high=np.maximum(opened * np.exp(size * calibration.rise), np.maximum(opened, close)),
            low=np.minimum(opened * np.exp(size * calibration.fall), np.minimum(opened, close)),
            range=opened * np.expm1(size * calibration.range),
        )

    def _logit(self, rows: FloatMatrix, spec: FeatureSpec) -> Floats:
        slot = _slot(rows, spec)
        logit = self.own.logit(rows, slot)
        if self.market is None:
            return logit
        known = np.isfinite(rows[:, self.market.beside]).all(axis=1)
        return np.where(known, self.market.logit(rows, slot), logit)

    def raw(self) -> Iterator[tuple[str, bytes]]:
        """Yield the artefacts by name."""
        yield f"scale-{self.horizon}.ubj", bytes(self.scale.save_raw("ubj"))
        for name, direction in self._directions():
            for suffix, raw in direction.raw():
                yield f"{name}-{self.horizon}.{suffix}", raw

    def _directions(self) -> Iterator[tuple[str, _Direction]]:
        yield "direction", self.own
        if self.market is not None:
            yield "market-direction", self.market

    def direction_facts(self) -> dict[str, Any]:
        """Return what the directions need beside their artefacts, JSON-able."""
        return {name: direction.facts() for name, direction in self._directions()}

    def calibration_facts(self) -> dict[str, Any]:
        """Return what turns direction and scale into a forecast, JSON-able."""
        return {"k": self.k, "symbols": {name: one.to_dict() for name, one in self.calibrations.items()}}

    @classmethod
    def load(cls, horizon: int, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Self:
        """Return what gave these artefacts and facts."""
        facts, calibration = manifest["directions"][str(horizon)], manifest["calibration"][str(horizon)]
        directions = {name: _Direction.load(f"{name}-{horizon}", artefacts, stored) for name, stored in facts.items()}
        calibrations = {name: Calibration.from_dict(one) for name, one in calibration["symbols"].items()}
        scale = _load(artefacts[f"scale-{horizon}.ubj"])
        market = directions.get("market-direction")
        return cls(horizon, directions["direction"], market, scale, float(calibration["k"]), calibrations)


class XGBForecaster:
    """A fitted model version of one interval and venue. Implements `Forecaster`; made by `fit` or `from_bytes`."""

    name = "xgb"

    def __init__(self, heads: Mapping[int, _Head], artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        self._heads = dict(sorted(heads.items()))
        self._artefacts = dict(artefacts)
        self._manifest = dict(manifest)
        self._interval = Interval(manifest["interval"])
        self._codes = {name: float(code) for code, name in enumerate(manifest["symbols"])}

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons it can forecast, ascending."""
        return tuple(self._heads)

    @property
    def window(self) -> int:
        """How many candles before the cutoff it reads."""
        return WINDOW

    @property
    def interval(self) -> Interval:
        """The interval of the candles it was fitted on, the only one it forecasts."""
        return self._interval

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything but the artefacts, JSON-able: features, training window, data hash, settings, calibration."""
        return dict(self._manifest)

    @property
    def trained_until(self) -> datetime:
        """Close time of the newest candle that training saw; forecasts from later cutoffs are out of sample."""
        return datetime.fromisoformat(self._manifest["trained_until"])

    @classmethod
    def fit(
        cls,
        candles_by_series: Mapping[Series, Candles],
        horizons: Sequence[int],
        *,
        seed: int = 0,
        threads: int = 1,
        train_end: datetime | None = None,
        known: KnownCandles = NOTHING,
    ) -> Self:
        """Fit one pooled model on series of one interval and venue, from candles closed by `train_end`.

        The pooled series are each other's market; `known` may hold the shorter candles inside theirs. The scale learns
        from what was decided before the last 15 % of the time, on which the intervals are calibrated; the direction
        learns from everything. Same candles, seed, threads and library versions give the same model. Raises UsageError
        for mixed series or none, NotEnoughCandles.
        """
        interval, venue = _common_kind(candles_by_series)
        seen = {s: _until(c, train_end) for s, c in sorted(candles_by_series.items())}
        parts = {s: _until(known[s], train_end) for s in sorted(filter(None, map(part_series, seen))) if s in known}
        symbols = tuple(sorted({str(series.symbol) for series in seen}))
        table = Table.of(seen, parts, symbols, sorted(set(horizons)))
        fitting = _Fitting(table, FeatureSpec(interval), {"seed": seed, "nthread": threads})
        heads = {horizon: fitting.head(horizon) for horizon in table.targets}
        artefacts = {name: raw for head in heads.values() for name, raw in head.raw()}
        manifest = {
            "format": FORMAT,
            "kind": cls.name,
            "venue": venue,
            "interval": interval.value,
            "symbols": list(symbols),
            "horizons": list(heads),
            "features": _feature_facts(FeatureSpec(interval)),
            "training": {str(s): _window_facts(c) for s, c in {**seen, **parts}.items()},
            "trained_until": max(c.cutoff for c in seen.values() if len(c)).isoformat(),
            "calibrated_from": from_datetime64(table.split).isoformat(),
            "rows": len(table.cutoff),
            "data_hash": data_hash({**seen, **parts}),
            "seed": seed,
            "threads": threads,
            "params": {str(h): _params(interval, h) for h in heads},
            "directions": {str(h): head.direction_facts() for h, head in heads.items()},
            "calibration": {str(h): head.calibration_facts() for h, head in heads.items()},
            "libraries": {"python": platform.python_version(), "numpy": np.__version__, "xgboost": xgboost.__version__},
            "artefacts": {name: hashlib.sha256(raw).hexdigest() for name, raw in artefacts.items()},
        }
        return cls(heads, artefacts, manifest)

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each.

        A symbol that training did not know, or None, gets the pooled calibration. Of `known` it reads the symbols that
        training knew. Raises NotEnoughCandles and GapInWindow for the candles, FeatureMismatch when they are of another
        interval.
        """
        if candles.interval != self._interval:
            raise FeatureMismatch(f"this model forecasts {self._interval} candles, not {candles.interval}")
        read = newest_unbroken(candles, WINDOW + last - 1, str(series or "the candles"))
        symbol = str(series.symbol) if series else ""
        market = market_around(series, {s: c for s, c in known.items() if str(s.symbol) in {symbol, *self._codes}})
        rows = build_features(read, self._codes.get(symbol, np.nan), RECENT + last, market)
        reading = _Reading(read, rows, last, symbol)
        return assemble(read, [head.columns(reading) for head in self._heads.values()])

    def to_bytes(self) -> dict[str, bytes]:
        """Return the boosters in XGBoost's UBJSON and the ridge regressions in numpy's format, by name.

        With `manifest` they are the whole model.
        """
        return dict(self._artefacts)

    @classmethod
    def from_bytes(cls, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Self:
        """Return the model that `to_bytes` and `manifest` describe.

        Raises FeatureMismatch when it was fitted on other features than this code builds, ArtifactCorrupt when the
        bytes are not the registered ones or do not load.
        """
        try:
            _require_same_features(manifest)
            checked = {name: _checked(name, artefacts, manifest) for name in manifest["artefacts"]}
            heads = {int(h): _Head.load(int(h), checked, manifest) for h in manifest["horizons"]}
            return cls(heads, checked, manifest)
        except (KeyError, TypeError, ValueError, xgboost.core.XGBoostError) as error:
            raise ArtifactCorrupt(f"the model does not load: {type(error).__name__}: {error}") from error


def data_hash(candles_by_series: Mapping[Series, Candles]) -> str:
    """Return the hex sha256 over names and columns of the series, in order of their names."""
    digest = hashlib.sha256()
    for series, candles in sorted(candles_by_series.items()):
        digest.update(str(series).encode())
        for name, column in candles.columns().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(column.astype("<i8" if name == "open_time" else "<f8")).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    """Fits the heads of one model on one table."""

    table: Table
    spec: FeatureSpec
    runtime: Mapping[str, int]

    def head(self, horizon: int) -> _Head:
        target = self.table.targets[horizon]
        scale = self._scale(target)
        own, beside = self._direction(target, _NOTHING_BESIDE), self._known_beside()
        market = self._direction(target, beside) if len(beside) else None
        return _Head(horizon, own, market, scale, shift_factor(horizon), dict(self._calibrations(target, scale)))

    def _known_beside(self) -> NDArray[np.intp]:
        """Return the columns of market and parts that are known in most of the newest rows."""
        first = len(self.spec.own_names)
        newest = self.table.rows[self.table.cutoff >= self.table.split, first:]
        return first + np.flatnonzero(np.isfinite(newest).mean(axis=0) > 0.5)

    def _direction(self, target: Target, beside: NDArray[np.intp]) -> _Direction:
        own, share = len(self.spec.own_names), ridge_share(self.spec.interval, target.horizon)
        rows = _columns(self.table.rows[target.moved], own, beside)
        up = np.greater(target.y[target.moved], 0).astype(np.float64)
        trees = self._train(rows, up, direction_params(self.spec.interval, target.horizon))
        ridge = Ridge.fit(rows, _EVEN * (2 * up - 1), _RIDGE_PENALTY, _slot(rows, self.spec)) if share else None
        return _Direction(own, beside, trees, ridge, share)

    def _scale(self, target: Target) -> xgboost.Booster:
        early = self.table.early(target)
        size = np.maximum(np.abs(target.y[early]), _LEAST_MOVE)
        return self._train(self.table.rows[early, : len(self.spec.own_names)], size, scale_params())

    def _train(self, rows: FloatMatrix, label: Floats, params: dict[str, Any]) -> xgboost.Booster:
        matrix = xgboost.QuantileDMatrix(rows, label, max_bin=_MAX_BIN, nthread=self.runtime["nthread"])
        rounds = params.pop("num_boost_round")
        booster = xgboost.train({**params, **self.runtime, "tree_method": "hist", "verbosity": 0}, matrix, rounds)
        return _load(bytes(booster.save_raw("ubj")))

    def _calibrations(self, target: Target, scale: xgboost.Booster) -> Iterator[tuple[str, Calibration]]:
        held_out = self.table.held_out(target)
        if not held_out.any():
            raise NotEnoughCandles("have 0 rows to calibrate the intervals on, need 1 or more", have=0, need=1)
        size = np.exp(_margins(scale, self.table.rows[held_out, : len(self.spec.own_names)]))
        symbol = self.table.symbol[held_out]
        target = target[held_out]
        yield "", Calibration.of(target, size)
        for code, name in enumerate(self.table.symbols):
            own = symbol == code
            if own.sum() >= _FEWEST_OWN:
                yield name, Calibration.of(target[own], size[own])


def _columns(rows: FloatMatrix, own: int, beside: NDArray[np.intp]) -> FloatMatrix:
    """Return the series' own columns and those beside them."""
    return np.hstack([rows[:, :own], rows[:, beside]])


def _slot(rows: FloatMatrix, spec: FeatureSpec) -> Floats | None:
    return rows[:, spec.names.index("slot")].astype(np.float64) if "slot" in spec.own_names else None


def _margins(booster: xgboost.Booster, rows: FloatMatrix) -> Floats:
    margins: Floats = booster.inplace_predict(rows, predict_type="margin", validate_features=False).astype(np.float64)
    return margins


def _common_kind(candles_by_series: Mapping[Series, Candles]) -> tuple[Interval, str]:
    kinds = {(series.interval, series.venue) for series in candles_by_series}
    if len(kinds) != 1:
        raise UsageError(f"a model is fitted on series of one interval and one venue, not of {len(kinds)}")
    return kinds.pop()


def _until(candles: Candles, train_end: datetime | None) -> Candles:
    return candles if train_end is None else candles[candles.close_time <= to_datetime64(train_end)]


def _feature_facts(spec: FeatureSpec) -> dict[str, Any]:
    return {"fingerprint": spec.fingerprint, "names": list(spec.names), "window": spec.window}


def _window_facts(candles: Candles) -> dict[str, Any]:
    if not len(candles):
        return {"candles": 0}
    start = from_datetime64(candles.open_time[0])
    return {"candles": len(candles), "start": start.isoformat(), "end": candles.cutoff.isoformat()}


def _params(interval: Interval, horizon: int) -> dict[str, Any]:
    ridge = {"share": ridge_share(interval, horizon), "penalty": _RIDGE_PENALTY}
    return {"direction": direction_params(interval, horizon), "ridge": ridge, "scale": scale_params()}


def _load(raw: bytes) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})
    return booster


def _require_same_features(manifest: Mapping[str, Any]) -> None:
    theirs, ours = manifest["features"]["fingerprint"], FeatureSpec(Interval(manifest["interval"])).fingerprint
    if theirs != ours:
        raise FeatureMismatch(
            f"the model was fitted on features {theirs[:12]}, this code builds {ours[:12]}; train a new one"
        )


def _checked(name: str, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
    raw = bytes(artefacts[name])
    if hashlib.sha256(raw).hexdigest() != manifest["artefacts"][name]:
        raise ArtifactCorrupt(f"{name} is not the file that was registered: its sha256 differs")
    return raw
