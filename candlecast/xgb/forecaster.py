"""The model of one interval and venue: fitted, used and serialised here.

Per horizon a sign classifier gives the probability of a rise, and regressions on the size of the move give its scale,
all on the pooled series of one interval. Their forecast is the median move that the probability implies, and quantiles
of past errors in units of the scale. A second classifier also reads the other symbols and the parts of the candles; it
speaks where all of them are known, so that a forecast without them is made by one that never needed them.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from candlecast.baseline import assemble
from candlecast.calibration import RECENT
from candlecast.candles import Candles, Interval, Series, Times, from_datetime64, to_datetime64
from candlecast.errors import ArtifactCorrupt, FeatureMismatch, UsageError
from candlecast.features import WINDOW, FeatureSpec, FloatMatrix, build_features, newest_unbroken
from candlecast.forecast import Explanation, Forecast
from candlecast.frame import REACH
from candlecast.market import NOTHING, PART_INTERVALS, KnownCandles, market_around, part_series
from candlecast.table import NOTHING_BUILT, Matrices, Table
from candlecast.xgb import library
from candlecast.xgb.fitting import Fitting, fit_part
from candlecast.xgb.heads import Head, Reading
from candlecast.xgb.recipe import recipe, recipe_facts

FORMAT = 3

NOT_TUNED: Mapping[str, float] = MappingProxyType({})
"""The settings of the recipes as they are."""


class XGBForecaster:
    """A fitted model version of one interval and venue. Implements `Forecaster`; made by `fit` or `from_bytes`."""

    name = "xgb"

    def __init__(self, heads: Mapping[int, Head], manifest: Mapping[str, Any]) -> None:
        self._heads = dict(sorted(heads.items()))
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
        tuned: Mapping[str, float] = NOT_TUNED,
        built: Matrices = NOTHING_BUILT,
    ) -> Self:
        """Fit one pooled model on series of one interval and venue, from candles closed by `train_end`.

        The pooled series are each other's market; `known` may hold the shorter candles inside theirs. The scale learns
        from what was decided before the last 15 % of the time, on which the intervals are calibrated; the direction
        learns from everything. `tuned` replaces settings of all boosted trees; `built` may hold features of these
        candles. Same candles, seed, threads, tuning and library versions give the same model. Raises UsageError for
        mixed series or none, NotEnoughCandles.
        """
        interval, venue = _common_kind(candles_by_series)
        seen = {s: _until(c, train_end) for s, c in sorted(candles_by_series.items())}
        parts = {s: _until(known[s], train_end) for s in sorted(filter(None, map(part_series, seen))) if s in known}
        symbols = tuple(sorted({str(series.symbol) for series in seen}))
        runtime: dict[str, Any] = {"seed": seed, "nthread": threads, **tuned}
        # First, so that the parts' many rows are gone before the table is built.
        wanted = any(recipe(interval, horizon).part_weights for horizon in horizons)
        part = fit_part(parts, symbols, runtime) if wanted else None
        table = Table.of(seen, parts, symbols, sorted(set(horizons)), built)
        fitting = Fitting(FeatureSpec(interval), table, part, runtime)
        heads = {horizon: fitting.head(horizon) for horizon in table.targets}
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
            "params": {str(h): recipe_facts(interval, h) for h in heads},
            "tuned": dict(tuned),
            "directions": {str(h): head.direction_facts() for h, head in heads.items()},
            "calibration": {str(h): head.calibration_facts() for h, head in heads.items()},
            "libraries": {"python": platform.python_version(), "numpy": np.__version__, "xgboost": library.version()},
            "artefacts": {name: hashlib.sha256(raw).hexdigest() for name, raw in _artefacts(heads).items()},
        }
        return cls(heads, manifest)

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        """Forecast from each of the last `last` cutoffs, oldest first, every horizon at each.

        A symbol that training did not know, or None, gets the pooled calibration. Of `known` it reads the symbols that
        training knew. Raises NotEnoughCandles and GapInWindow for the candles, FeatureMismatch when they are of another
        interval.
        """
        reading = self._reading(series, candles, last, known)
        return assemble(reading.candles, [head.columns(reading) for head in self._heads.values()])

    def explain(self, series: Series | None, candles: Candles, known: KnownCandles = NOTHING) -> list[Explanation]:
        """Return what led to the newest forecast of every horizon; raises what `forecast` raises."""
        reading = self._reading(series, candles, 1, known)
        cutoff = from_datetime64(reading.candles.close_time[-1])
        return [_explanation(cutoff, head, reading) for head in self._heads.values()]

    def _reading(self, series: Series | None, candles: Candles, last: int, known: KnownCandles) -> Reading:
        if candles.interval != self._interval:
            raise FeatureMismatch(f"this model forecasts {self._interval} candles, not {candles.interval}")
        read = newest_unbroken(candles, WINDOW + last - 1, str(series or "the candles"))
        symbol = str(series.symbol) if series else ""
        market = market_around(series, {s: c for s, c in known.items() if str(s.symbol) in {symbol, *self._codes}})
        code = self._codes.get(symbol, np.nan)
        rows = build_features(read, code, RECENT + last, market)
        part_rows = _part_rows(market.parts, read.close_time[-last:], code) if market.parts else None
        return Reading(read, rows, last, symbol, part_rows)

    def to_bytes(self) -> dict[str, bytes]:
        """Return the boosters in XGBoost's UBJSON, ridge regressions and seasons in numpy's format, by name.

        With `manifest` they are the whole model.
        """
        return _artefacts(self._heads)

    @classmethod
    def from_bytes(cls, artefacts: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Self:
        """Return the model that `to_bytes` and `manifest` describe.

        Raises FeatureMismatch when it was fitted on other features than this code builds, ArtifactCorrupt when the
        bytes are not the registered ones or do not load.
        """
        try:
            _require_same_features(manifest)
            checked = {name: _checked(name, artefacts, manifest) for name in manifest["artefacts"]}
            heads = {int(h): Head.load(int(h), checked, manifest) for h in manifest["horizons"]}
            return cls(heads, manifest)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt(f"the model does not load: {type(error).__name__}: {error}") from error


def _artefacts(heads: Mapping[int, Head]) -> dict[str, bytes]:
    return {name: raw for head in heads.values() for name, raw in head.raw()}


def _explanation(cutoff: datetime, head: Head, reading: Reading) -> Explanation:
    own, part = head.contributions(reading)
    names = reading.spec.names
    contributions = dict(zip(names, own[:-1].tolist(), strict=True))
    values = dict(zip(names, reading.rows[-1].astype(np.float64).tolist(), strict=True))
    start = float(own[-1])
    inside = PART_INTERVALS.get(reading.candles.interval)
    if part is not None and inside is not None and reading.part_rows is not None:
        own_names = [f"newest_{inside.value}_{name}" for name in FeatureSpec(inside).names]
        contributions |= dict(zip(own_names, part[:-1].tolist(), strict=True))
        values |= dict(zip(own_names, reading.part_rows[-1].astype(np.float64).tolist(), strict=True))
        start += float(part[-1])
    return Explanation(cutoff, head.horizon, start, contributions, values)


def data_hash(candles_by_series: Mapping[Series, Candles]) -> str:
    """Return the hex sha256 over names and columns of the series, in order of their names."""
    digest = hashlib.sha256()
    for series, candles in sorted(candles_by_series.items()):
        digest.update(str(series).encode())
        for name, column in candles.columns().items():
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(column.astype("<i8" if name == "open_time" else "<f8")).tobytes())
    return digest.hexdigest()


def _part_rows(parts: Candles, cutoffs: Times, code: float) -> FloatMatrix:
    """Return the features of the part that closes at each of the ascending cutoffs, NaN where it is not known."""
    first, last = np.searchsorted(parts.close_time, [cutoffs[0], cutoffs[-1]], side="left")
    read = parts[max(int(first) - REACH + 1, 0) : int(last) + 1]
    rows = build_features(read, code)
    found = np.full((len(cutoffs), rows.shape[1]), np.nan, dtype=np.float32)
    at = np.searchsorted(read.close_time, cutoffs)
    there = at < len(read)
    there[there] = read.close_time[at[there]] == cutoffs[there]
    found[there] = rows[at[there]]
    return found


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
