"""The model versions that a worker has loaded: champions, who answer, and challengers, who speak in their shadow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from candlecast.candles import Candles, Interval
from candlecast.errors import CandlecastError, DataError, ModelError, StoreUnavailable
from candlecast.features import WINDOW
from candlecast.forecast import Forecaster
from candlecast.metrics import CHAMPION_REFUSED, timed
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.models import Promotion
from candlecast.xgb import XGBForecaster
from service.windows import Windows

log = logging.getLogger(__name__)

Kind = tuple[str, Interval]
"""A venue and an interval: what a model version speaks for."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model version in memory; `symbols` are those whose candles it looks at beside the ones it forecasts."""

    id: str
    forecaster: Forecaster
    symbols: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A promoted model version that does not answer here, and why."""

    promotion: Promotion
    reason: str
    refused_at: datetime


class Champions:
    """Who answers for each venue and interval. A promoted version that fails never replaces one that works."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: dict[Kind, Loaded] = {}
        self.refusals: dict[Kind, Refusal] = {}

    def follow(self, promotions: Mapping[Kind, Promotion], windows: Windows) -> None:
        """Load what was promoted since the last look, and try it before it replaces the one that works."""
        for kind, promotion in promotions.items():
            self._follow(kind, promotion, windows)
            CHAMPION_REFUSED.labels(*kind).set(kind in self.refusals)

    def of(self, kind: Kind) -> Loaded | None:
        """Return who answers for a venue and interval; None where only the baseline does."""
        return self._loaded.get(kind)

    def reason(self, model_version: str) -> str | None:
        """Return why a promoted version is refused, None for one that is not."""
        refusals = self.refusals.values()
        return next((one.reason for one in refusals if one.promotion.model_version == model_version), None)

    def _follow(self, kind: Kind, promotion: Promotion, windows: Windows) -> None:
        current, refused = self._loaded.get(kind), self.refusals.get(kind)
        if current and current.id == promotion.model_version:
            self._forget_refusal(kind)
            return
        # What was refused is tried again only when it is promoted anew.
        if refused and refused.promotion == promotion:
            return
        try:
            self._loaded[kind] = admit(self._database, promotion.model_version, kind, windows)
        except ModelError as error:
            self._refuse(kind, promotion, error)
            if current is None:
                self._go_back(kind, promotion.model_version, windows)
            return
        self._forget_refusal(kind)
        log.info("champion %s answers for %s %s", promotion.model_version, *kind)

    def _refuse(self, kind: Kind, promotion: Promotion, error: ModelError) -> None:
        # A new dictionary: whoever goes through the old one is not disturbed.
        self.refusals = {**self.refusals, kind: Refusal(promotion, error.message, datetime.now(UTC))}
        log.error("champion %s is refused: %s", promotion.model_version, error)

    def _forget_refusal(self, kind: Kind) -> None:
        if kind in self.refusals:
            self.refusals = {other: refusal for other, refusal in self.refusals.items() if other != kind}

    def _go_back(self, kind: Kind, model_version: str, windows: Windows) -> None:
        """Let the newest version that has answered before go on; a worker that starts has none in memory."""
        refused = {model_version}
        while (found := self._last(kind, refused)) is not None:
            try:
                self._loaded[kind] = admit(self._database, found, kind, windows)
            except ModelError as error:
                log.warning("champion %s before it is refused too: %s", found, error)
                refused.add(found)
                continue
            log.warning("champion %s before it goes on for %s %s", found, *kind)
            return

    def _last(self, kind: Kind, refused: set[str]) -> str | None:
        with self._database.begin() as connection:
            return ledger.last_champion(connection, *kind, refused)


class Challengers:
    """Who speaks in the champions' shadow; one that fails is left out and asked no more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: dict[Kind, Loaded] = {}
        self._refused: set[str] = set()

    def follow(self, wanted: Mapping[Kind, str], windows: Windows) -> list[Kind]:
        """Load the challengers that are wanted now, let go of all others, and return for what one was loaded."""
        self._loaded = {kind: one for kind, one in self._loaded.items() if wanted.get(kind) == one.id}
        missing = {kind: one for kind, one in wanted.items() if kind not in self._loaded and one not in self._refused}
        for kind, model_version in missing.items():
            try:
                self._loaded[kind] = admit(self._database, model_version, kind, windows)
            except ModelError as error:
                self.refuse(model_version, error)
        return [kind for kind in missing if kind in self._loaded]

    def of(self, kind: Kind) -> Loaded | None:
        """Return who speaks in the shadow of a venue's and interval's champion, None where nobody does."""
        return self._loaded.get(kind)

    def refuse(self, model_version: str, error: Exception) -> None:
        """Ask a challenger no more."""
        self._refused.add(model_version)
        self._loaded = {kind: one for kind, one in self._loaded.items() if one.id != model_version}
        log.warning("challenger %s is left out: %s", model_version, error)


@timed("load")
def admit(database: Database, model_version: str, kind: Kind, windows: Windows) -> Loaded:
    """Load a model version and let it forecast every series that it will speak for; raise ModelError if it fails."""
    try:
        with database.begin() as connection:
            artefacts = models.read_artefacts(connection, model_version)
            manifest = models.version(connection, model_version).manifest
        forecaster = XGBForecaster.from_bytes(artefacts, manifest)
        loaded = Loaded(model_version, forecaster, frozenset(manifest["symbols"]))
        _try(loaded, kind, windows)
    except (StoreUnavailable, ModelError):
        raise
    # What others have made may fail in any way, and must not end what works.
    except Exception as error:
        reason = error.message if isinstance(error, CandlecastError) else f"{type(error).__name__}: {error}"
        raise ModelError(f"{model_version} makes no forecast: {reason}") from error
    return loaded


def _try(loaded: Loaded, kind: Kind, windows: Windows) -> None:
    for series in windows.of_kind(*kind):
        with suppress(DataError):
            loaded.forecaster.forecast(series, windows.of(series), known=windows.around(series, loaded.symbols))
    # No series may have enough candles yet.
    loaded.forecaster.forecast(None, _made_up_candles(kind[1]))


def _made_up_candles(interval: Interval) -> Candles:
    """Return a window that any model must be able to forecast from."""
    at = np.arange(WINDOW + 1)
    close = 100 * np.exp(0.01 * np.sin(0.7 * at) + 0.001 * np.sin(2.3 * at**1.5))
    opened, closed = close[:-1], close[1:]
    return Candles.of(
        interval,
        open_time=interval.milliseconds * at[1:],
        open=opened,
        high=np.maximum(opened, closed) * 1.001,
        low=np.minimum(opened, closed) * 0.999,
        close=closed,
        volume=10 + np.sin(1.1 * at[1:]),
    )
