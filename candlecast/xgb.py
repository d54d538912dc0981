"""The model: gradient-boosted trees for direction and scale, fitted, used and serialised here only.

Per horizon a sign classifier gives the probability of a rise and a gamma regression the scale of the move, both on
the pooled series of one interval. Their forecast is the median move that the probability implies, and quantiles of
past errors in units of the scale.
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

from candlecast.baseline import Columns, assemble, conformal_quantiles
from candlecast.candles import Bools, Candles, Floats, Interval, Series, Times, from_datetime64, to_datetime64
from candlecast.errors import ArtifactCorrupt, FeatureMismatch, NotEnoughCandles, UsageError
from candlecast.features import FeatureSpec, FloatMatrix, build_features, complete_windows, newest_unbroken
from candlecast.forecast import LEVELS, Forecast
from candlecast.market import NOTHING, KnownCandles
from candlecast.targets import Targets, build_targets
from candlecast.volatility import LAGS, volatility

FORMAT = 1

_CALIBRATION_SHARE = 0.15
_FEWEST_ROWS = 400
_FEWEST_OWN = 500
_LEAST_MOVE = 1e-3
_MAX_BIN = 64

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
    """Return the classifier's settings: few rounds of hard regularised trees, no early stopping."""
    own = _NEXT.get(interval, _SLOW) if horizon == 1 else _FAR
    return {**_COMMON, "objective": "binary:logistic", "base_score": 0.5, "eta": 0.03, **own}


def scale_params() -> dict[str, Any]:
    """Return the settings of the regression on |scaled return|."""
    return {**_COMMON, "objective": "reg:gamma", **_SCALE}


def shift_factor(horizon: int) -> float:
    """Return k of shift = k logit(p) m; further ahead the direction is hardly there, so less of it is believed."""
    return 0.6 if horizon == 1 else 0.4


@dataclass(frozen=True, slots=True)
class _Calibration:
    """Of held-out rows: median of |y| / scale, and the quantiles of (y - shift) / scale at `LEVELS`."""

    median: float
    quantiles: tuple[float, ...]
    rows: int

    @classmethod
    def of(cls, y: Floats, logit: Floats, scale: Floats, k: float) -> Self:
        median = float(np.median(np.abs(y) / scale))
        error = np.abs(y / scale - k * logit * median)
        return cls(median, tuple(conformal_quantiles(error[None])[0].tolist()), len(y))

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "quantiles": list(self.quantiles), "rows": self.rows}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        if len(stored["quantiles"]) != len(LEVELS):
            raise ValueError("calibration holds another number of quantiles")
        return cls(float(stored["median"]), tuple(map(float, stored["quantiles"])), int(stored["rows"]))


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    """What one horizon needs."""

    direction: xgboost.Booster
    scale: xgboost.Booster
    k: float
    calibrations: Mapping[str, _Calibration]  # by symbol, "" pooled

    def columns(self, horizon: int, rows: FloatMatrix, symbol: str, close: Floats, unit: Floats) -> Columns:
        calibration = self.calibrations.get(symbol, self.calibrations[""])
        logit, scale = _margins(self.direction, rows), np.exp(_margins(self.scale, rows))
        shift = self.k * logit * scale * calibration.median
        spread = scale[:, None] * np.array(calibration.quantiles)
        return Columns(
            horizon,
            close * np.exp(unit * shift),
            close[:, None] * np.exp(unit[:, None] * (shift[:, None] + spread)),
            1 / (1 + np.exp(-logit)),
        )


class XGBForecaster:
    """A fitted model version of one interval and venue. Implements `Forecaster`; made by `fit` or `from_bytes`."""

    name = "xgb"

    def __init__(self, heads: Mapping[int, _Head], artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        self._heads = dict(sorted(heads.items()))
        self._artefacts = dict(artefacts)
        self._manifest = dict(manifest)
        self._interval = Interval(manifest["interval"])
        self._codes = {name: float(code) for code, name in enumerate(manifest["symbols"])}
        self._window = int(manifest["features"]["window"])

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons it can forecast, ascending."""
        return tuple(self._heads)

    @property
    def window(self) -> int:
        """How many candles before the cutoff it reads."""
        return self._window

    @property
    def interval(self) -> Interval:
        """The interval of the candles it was fitted on, the only one it forecasts."""
        return self._interval

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything but the boosters, JSON-able: features, training window, data hash, settings, calibration."""
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
    ) -> Self:
        """Fit one pooled model on series of one interval and venue, from candles closed by `train_end`.

        The intervals are calibrated on the last 15 % of the time, with boosters that saw only what was decided before
        it; then the boosters are fitted again, with the same settings, on everything. Same candles, seed, threads and
        library versions give the same model. Raises UsageError for mixed series or none, NotEnoughCandles.
        """
        interval, venue = _common_kind(candles_by_series)
        seen = {s: _until(c, train_end) for s, c in sorted(candles_by_series.items())}
        symbols = tuple(sorted({str(series.symbol) for series in seen}))
        table = _Table.of(seen, symbols, sorted(set(horizons)))
        matrix = xgboost.QuantileDMatrix(table.rows, max_bin=_MAX_BIN, nthread=threads)
        runtime = {"seed": seed, "nthread": threads}
        fitted = {h: _fit_head(table, matrix, h, interval, runtime) for h in table.targets}
        artefacts = {name: raw for h, head in fitted.items() for name, raw in _raw(h, head)}
        manifest = {
            "format": FORMAT,
            "kind": cls.name,
            "venue": venue,
            "interval": interval.value,
            "symbols": list(symbols),
            "horizons": list(fitted),
            "features": _feature_facts(FeatureSpec(interval)),
            "training": {str(s): _window_facts(c) for s, c in seen.items()},
            "trained_until": max(c.cutoff for c in seen.values() if len(c)).isoformat(),
            "calibrated_from": from_datetime64(table.split).isoformat(),
            "rows": len(table.cutoff),
            "data_hash": data_hash(seen),
            "seed": seed,
            "threads": threads,
            "params": {str(h): {"direction": direction_params(interval, h), "scale": scale_params()} for h in fitted},
            "calibration": {str(h): _calibration_facts(head) for h, head in fitted.items()},
            "libraries": {"python": platform.python_version(), "numpy": np.__version__, "xgboost": xgboost.__version__},
            "artefacts": {name: hashlib.sha256(raw).hexdigest() for name, raw in artefacts.items()},
        }
        return cls(fitted, artefacts, manifest)

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each.

        A symbol that training did not know, or None, gets the pooled calibration. Raises NotEnoughCandles and
        GapInWindow for the candles, FeatureMismatch when they are of another interval.
        """
        if candles.interval != self._interval:
            raise FeatureMismatch(f"this model forecasts {self._interval} candles, not {candles.interval}")
        read = newest_unbroken(candles, self._window + last - 1, str(series or "the candles"))
        symbol = str(series.symbol) if series else ""
        rows = build_features(read, self._codes.get(symbol, np.nan), last=last)
        sig = volatility(read[len(read) - last - LAGS + 1 :])[-last:]
        close = read.close[-last:]
        return assemble(
            read, [head.columns(h, rows, symbol, close, sig * np.sqrt(h)) for h, head in self._heads.items()]
        )

    def to_bytes(self) -> dict[str, bytes]:
        """Return the boosters in XGBoost's UBJSON by name; with `manifest` they are the whole model."""
        return dict(self._artefacts)

    @classmethod
    def from_bytes(cls, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Self:
        """Return the model that `to_bytes` and `manifest` describe.

        Raises FeatureMismatch when it was fitted on other features than this code builds, ArtifactCorrupt when the
        bytes are not the registered ones or do not load.
        """
        try:
            _require_same_features(manifest)
            heads = {int(h): _load_head(int(h), artefacts, manifest) for h in manifest["horizons"]}
            return cls(heads, {name: bytes(artefacts[name]) for name in manifest["artefacts"]}, manifest)
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
class _Table:
    """The pooled rows that have features, and per horizon their targets."""

    rows: FloatMatrix
    cutoff: Times
    symbol: Floats
    targets: Mapping[int, _Pooled]
    symbols: tuple[str, ...]
    split: np.datetime64

    @classmethod
    def of(cls, seen: Mapping[Series, Candles], symbols: tuple[str, ...], horizons: Sequence[int]) -> Self:
        usable = {series: complete_windows(candles) for series, candles in seen.items()}
        code = {series: float(symbols.index(str(series.symbol))) for series in seen}
        cutoff = np.concatenate([c.close_time[usable[s]] for s, c in seen.items()])
        if len(cutoff) < _FEWEST_ROWS:
            window, longest = FeatureSpec(next(iter(seen)).interval).window, max(len(c) for c in seen.values())
            need = window + _FEWEST_ROWS
            raise NotEnoughCandles(
                f"have {longest} candles in the longest series, need {need} without a gap", have=longest, need=need
            )
        return cls(
            np.concatenate([build_features(c, code[s])[usable[s]] for s, c in seen.items()]),
            cutoff,
            np.concatenate([np.full(usable[s].sum(), code[s]) for s in seen]),
            {h: _Pooled.of([(build_targets(c, h), usable[s]) for s, c in seen.items()]) for h in horizons},
            symbols,
            np.sort(cutoff)[int(len(cutoff) * (1 - _CALIBRATION_SHARE))],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Pooled:
    """Targets of one horizon on the pooled rows."""

    y: Floats
    known: Bools
    moved: Bools
    target_time: Times

    @classmethod
    def of(cls, parts: Sequence[tuple[Targets, Bools]]) -> Self:
        return cls(
            np.concatenate([t.scaled_return[rows] for t, rows in parts]),
            np.concatenate([t.known[rows] for t, rows in parts]),
            np.concatenate([t.moved[rows] for t, rows in parts]),
            np.concatenate([t.target_time[rows] for t, rows in parts]),
        )


def _fit_head(
    table: _Table, matrix: xgboost.QuantileDMatrix, horizon: int, interval: Interval, runtime: Mapping[str, int]
) -> _Head:
    target, k = table.targets[horizon], shift_factor(horizon)
    early = target.target_time <= table.split
    held_out = target.known & (table.cutoff >= table.split)

    def boosters(among: Bools) -> tuple[xgboost.Booster, xgboost.Booster]:
        direction, scale = {**direction_params(interval, horizon), **runtime}, {**scale_params(), **runtime}
        size = np.maximum(np.abs(np.nan_to_num(target.y)), _LEAST_MOVE)
        return (
            _train(matrix, direction, np.greater(target.y, 0).astype(np.float64), target.moved & among),
            _train(matrix, scale, size, target.known & among),
        )

    first = boosters(early)
    rows = table.rows[held_out]
    logit, size = _margins(first[0], rows), np.exp(_margins(first[1], rows))
    calibrations = dict(_calibrate(table, target.y[held_out], logit, size, table.symbol[held_out], k))
    return _Head(*boosters(np.ones(len(early), dtype=bool)), k, calibrations)


def _train(matrix: xgboost.QuantileDMatrix, params: dict[str, Any], label: Floats, among: Bools) -> xgboost.Booster:
    # Rows outside stay in the matrix with weight 0: one matrix is binned once and serves every booster.
    matrix.set_label(label)
    matrix.set_weight(among.astype(np.float64))
    rounds = params.pop("num_boost_round")
    booster = xgboost.train({**params, "tree_method": "hist", "verbosity": 0}, matrix, rounds)
    return _load(bytes(booster.save_raw("ubj")))


def _calibrate(
    table: _Table, y: Floats, logit: Floats, scale: Floats, symbol: Floats, k: float
) -> Iterator[tuple[str, _Calibration]]:
    if not len(y):
        raise NotEnoughCandles("have 0 rows to calibrate the intervals on, need 1 or more", have=0, need=1)
    yield "", _Calibration.of(y, logit, scale, k)
    for code, name in enumerate(table.symbols):
        own = symbol == code
        if own.sum() >= _FEWEST_OWN:
            yield name, _Calibration.of(y[own], logit[own], scale[own], k)


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


def _calibration_facts(head: _Head) -> dict[str, Any]:
    return {"k": head.k, "symbols": {name: one.to_dict() for name, one in head.calibrations.items()}}


def _names(horizon: int) -> tuple[str, str]:
    return f"direction-{horizon}.ubj", f"scale-{horizon}.ubj"


def _raw(horizon: int, head: _Head) -> Iterator[tuple[str, bytes]]:
    for name, booster in zip(_names(horizon), (head.direction, head.scale), strict=True):
        yield name, bytes(booster.save_raw("ubj"))


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


def _load_head(horizon: int, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> _Head:
    raws = [_checked(name, artefacts, manifest) for name in _names(horizon)]
    facts = manifest["calibration"][str(horizon)]
    calibrations = {name: _Calibration.from_dict(one) for name, one in facts["symbols"].items()}
    return _Head(_load(raws[0]), _load(raws[1]), float(facts["k"]), calibrations)


def _checked(name: str, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> bytes:
    raw = bytes(artefacts[name])
    if hashlib.sha256(raw).hexdigest() != manifest["artefacts"][name]:
        raise ArtifactCorrupt(f"{name} is not the file that was registered: its sha256 differs")
    return raw
