"""Model versions for tests of the service: fitted once on made-up candles, sound and unsound ones."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from sqlalchemy import text

from candlecast.candles import Series
from candlecast.store import models
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from tests.making import START, make_candles, saved

JUDGED = {"promote": False, "reason": "a test judged it", "numbers": {}}


@dataclass(frozen=True, slots=True)
class Made:
    """A model version as the registry holds it."""

    artefacts: Mapping[str, bytes]
    manifest: Mapping[str, Any]

    def of_other_features(self) -> Made:
        """Return one that was fitted on features that this code does not build."""
        features = {**self.manifest["features"], "fingerprint": "0" * 64}
        return replace(self, manifest={**self.manifest, "features": features})

    def of_no_number(self) -> Made:
        """Return one whose arrays hold NaN."""
        spoilt = {name: _without_numbers(raw) if name.endswith(".npy") else raw for name, raw in self.artefacts.items()}
        assert spoilt != self.artefacts
        digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in spoilt.items()}
        return Made(spoilt, {**self.manifest, "artefacts": digests})

    def of_nonsense(self) -> Made:
        """Return one that loads, and whose forecasts no number can hold."""
        manifest = json.loads(json.dumps(self.manifest))
        for one in _calibrations(manifest["calibration"]):
            one["quantiles"] = [1e9] * 13
        return replace(self, manifest=manifest)


@cache
def fitted(series: Series) -> Made:
    """Return a version that was fitted on made-up candles of one series."""
    return made_of(XGBForecaster.fit({series: make_candles(1500, series.interval)}, [1, 5]))


def made_of(model: XGBForecaster) -> Made:
    """Return a model as the registry holds it."""
    return Made(model.to_bytes(), json.loads(json.dumps(model.manifest)))


def register(
    database: Database, name: str, series: Series, made: Made, decision: Mapping[str, Any] | None = None
) -> Version:
    """Store a version for the series' venue and interval."""
    version = Version(name, "xgboost", series.venue, series.interval, START, made.manifest, decision, None)
    with database.begin() as connection:
        models.register(connection, version, made.artefacts, [])
    return version


def promote(database: Database, version: Version) -> None:
    """Make a version the champion, and tell the service."""
    with database.begin() as connection:
        models.promote(connection, version, now=START, reason="a test says so")


def spoil(database: Database, name: str) -> None:
    """Change the stored bytes of a version behind the registry's back."""
    with database.begin() as connection:
        connection.execute(
            text("UPDATE model_artifact SET content = content || 'x'::bytea WHERE model_version = :name"),
            {"name": name},
        )


def mend(database: Database, name: str, made: Made) -> None:
    """Give a version its bytes back."""
    with database.begin() as connection:
        for artefact, content in made.artefacts.items():
            connection.execute(
                text("UPDATE model_artifact SET content = :content WHERE (model_version, name) = (:version, :name)"),
                {"content": content, "version": name, "name": artefact},
            )


def _without_numbers(raw: bytes) -> bytes:
    array = np.load(io.BytesIO(raw), allow_pickle=False)
    return saved(np.full_like(array, np.nan))


def _calibrations(node: Any) -> list[dict[str, Any]]:
    """Return every part of a manifest's calibration that holds quantiles."""
    if not isinstance(node, dict):
        return []
    own = [node] if "quantiles" in node else []
    return own + [found for child in node.values() for found in _calibrations(child)]
