"""`python -m training rebuild MODEL_ID`: fit a version again from its manifest, and compare the bytes."""

from __future__ import annotations

import hashlib
import json
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import DataError, FeatureMismatch, ModelError, UnknownSeries, UsageError
from candlecast.features import FeatureSpec
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import models
from candlecast.store.migrate import ready_database
from candlecast.xgb import XGBForecaster, data_hash

log = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument("model_version", metavar="MODEL_ID", help="as `GET /v1/models` names it")


def run(arguments: Namespace, settings: Settings) -> int:
    """Print what was compared as JSON, and return the exit code: 0 where every byte is the same.

    Raises NotFound for an unknown version, UsageError for one that nobody fitted, FeatureMismatch where this code
    builds other features, DataError where the stored candles are no longer those it learned from.
    """
    with ready_database(settings).begin() as connection:
        version = models.version(connection, arguments.model_version)
        if version.kind != "xgboost":
            raise UsageError(f"{version.id} was never fitted: there is nothing to rebuild")
        candles = _candles(connection, version.manifest)
    rebuilt = rebuild(version.manifest, candles)
    answer = _compared(version.manifest, rebuilt)
    print(json.dumps({"model_version": version.id, **answer}))  # noqa: T201  # the answer that was asked for
    if not answer["same"]:
        log.error("%s is not what this code and these libraries make of its candles", version.id)
    return 0 if answer["same"] else ModelError.exit_code


def rebuild(manifest: Mapping[str, Any], candles: Mapping[Series, Candles]) -> XGBForecaster:
    """Fit what the manifest describes; raise FeatureMismatch or DataError where it cannot come out the same."""
    interval = Interval(manifest["interval"])
    theirs, ours = manifest["features"]["fingerprint"], FeatureSpec(interval).fingerprint
    if theirs != ours:
        raise FeatureMismatch(
            f"the model was fitted on features {theirs[:12]}, this code builds {ours[:12]}; take the code of its time"
        )
    _require_same_candles(manifest, candles)
    pool = {series: those for series, those in candles.items() if series.interval == interval}
    parts = {series: those for series, those in candles.items() if series not in pool}
    runtime = {"seed": manifest["seed"], "threads": manifest["threads"], "tuned": manifest.get("tuned", {})}
    return XGBForecaster.fit(pool, manifest["horizons"], known=parts, **runtime)


def _candles(connection: Connection, manifest: Mapping[str, Any]) -> dict[Series, Candles]:
    """Return the stored candles of the version's training windows."""
    found = {}
    for name, facts in manifest["training"].items():
        series = Series.parse(name)
        found[series] = Candles.empty(series.interval)
        if facts["candles"]:
            start, end = (datetime.fromisoformat(facts[bound]) for bound in ("start", "end"))
            try:
                found[series] = candle_store.read(connection, series, start=start, end=end)
            except UnknownSeries:
                log.warning("%s is not stored any more", series)
    return found


def _require_same_candles(manifest: Mapping[str, Any], candles: Mapping[Series, Candles]) -> None:
    if data_hash(candles) == manifest["data_hash"]:
        return
    counts = {name: facts["candles"] for name, facts in manifest["training"].items()}
    other = [
        f"{series} has {len(those)} instead of {counts[str(series)]}"
        for series, those in candles.items()
        if len(those) != counts[str(series)]
    ]
    how = "; ".join(other) or "as many, but some were corrected: candle_correction says which"
    raise DataError(f"the stored candles are not those that the model learned from: {how}")


def _compared(manifest: Mapping[str, Any], rebuilt: XGBForecaster) -> dict[str, Any]:
    registered: Mapping[str, str] = manifest["artefacts"]
    made = {name: hashlib.sha256(raw).hexdigest() for name, raw in rebuilt.to_bytes().items()}
    libraries = rebuilt.manifest["libraries"]
    return {
        "same": made == registered,
        "differing": sorted(name for name in made.keys() | registered.keys() if made.get(name) != registered.get(name)),
        "artefacts": made,
        "libraries": {
            name: {"registered": manifest["libraries"].get(name), "here": here} for name, here in libraries.items()
        },
        "same_settings": rebuilt.manifest["params"] == manifest["params"],
    }
