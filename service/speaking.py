"""What is said from a series' newest candle, and what the ledger then holds of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Series
from candlecast.clock import VenueClock
from candlecast.errors import ForecastRefused, InvalidCandles, ModelError, NotEnoughCandles
from candlecast.forecast import Forecast
from candlecast.metrics import timed
from candlecast.settings import Settings
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from service.champions import Loaded
from service.windows import Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """What the ledger holds for one cutoff and horizon: the answer, and what the baseline said beside it."""

    answer: Entry
    baseline: Entry


class Speaker:
    """Lets forecasters speak about the newest candles in `windows`, and writes down what they said."""

    def __init__(self, settings: Settings, database: Database, windows: Windows) -> None:
        self.naive = NaiveForecaster(settings.horizons)
        self._horizons = settings.horizons
        self._database = database
        self._windows = windows

    @timed("forecast")
    def speak(self, series: Series, clock: VenueClock, champion: Loaded | None) -> list[Entry]:
        """Return what baseline and champion say now; raise DataError where not even the baseline can."""
        candles = self._windows.of(series)
        try:
            said = [(models.NAIVE, "baseline", f) for f in self.naive.forecast(series, candles)]
        except ValueError as error:
            raise no_forecast(str(series), error) from error
        if champion:
            try:
                said += [(champion.id, "champion", f) for f in self._forecasts(series, champion)]
            except (NotEnoughCandles, ModelError, ValueError) as error:
                log.info("the baseline answers for %s: %s", series, error)
        return self._entries(said, clock)

    def speak_in_shadow(self, series: Series, clock: VenueClock, challenger: Loaded) -> list[Entry]:
        """Return what a challenger says in time; raises what its forecaster raises."""
        said = [(challenger.id, "challenger", f) for f in self._forecasts(series, challenger)]
        return [entry for entry in self._entries(said, clock) if not _is_late(entry)]

    @timed("record")
    def record(self, said: Mapping[Series, Sequence[Entry]]) -> dict[Series, list[Entry]]:
        """Write down what is not too late, its target lies ahead, and return what the ledger then holds of all.

        What is too late now may have been said in time by another worker.
        """
        late = {series: found for series, several in said.items() if (found := [e for e in several if _is_late(e)])}
        held = self._record({series: [e for e in several if not _is_late(e)] for series, several in said.items()})
        if late:
            with self._database.begin() as connection:
                for series, found in ledger.find(connection, late).items():
                    held[series] += found
        return held

    def _record(self, said: Mapping[Series, Sequence[Entry]]) -> dict[Series, list[Entry]]:
        """Write entries down at once; where the ledger refuses one of them, those that it does not refuse."""
        try:
            with self._database.begin() as connection:
                return ledger.record_all(connection, said)
        except ForecastRefused as error:
            refused = error
        held: dict[Series, list[Entry]] = {series: [] for series in said}
        entries = [(series, entry) for series, several in said.items() for entry in several]
        if len(entries) == 1:
            log.warning("%s", refused.message)
            return held
        half = len(entries) // 2
        for part in (entries[:half], entries[half:]):
            for series, found in self._record(_by_series(part)).items():
                held[series] += found
        return held

    def _forecasts(self, series: Series, speaker: Loaded) -> list[Forecast]:
        known = self._windows.around(series, speaker.symbols)
        return speaker.forecaster.forecast(series, self._windows.of(series), known=known)

    def _entries(self, said: Sequence[tuple[str, str, Forecast]], clock: VenueClock) -> list[Entry]:
        now = clock.now()
        return [Entry(f, who, role, now) for who, role, f in said if now >= f.cutoff and f.horizon in self._horizons]


def _is_late(entry: Entry) -> bool:
    return entry.forecast.target_time <= entry.issued_at


def paired(held: Sequence[Entry]) -> dict[int, Said]:
    """Return by horizon the champion's entry, or where it has none the baseline's, beside the baseline's."""
    baseline = {entry.forecast.horizon: entry for entry in held if entry.model_version == models.NAIVE}
    champion = {entry.forecast.horizon: entry for entry in held if entry.model_version != models.NAIVE}
    return {horizon: Said(champion.get(horizon, entry), entry) for horizon, entry in baseline.items()}


def no_forecast(whose: str, error: ValueError) -> InvalidCandles:
    """Return what is wrong with candles that a forecaster makes no forecast of."""
    return InvalidCandles(f"no forecast follows from {whose}: {error}; check their prices")


def batches(series: Sequence[Series], size: int) -> Iterator[list[Series]]:
    """Yield series, `size` at once."""
    remaining = iter(series)
    while batch := list(islice(remaining, size)):
        yield batch


def _by_series(entries: Sequence[tuple[Series, Entry]]) -> dict[Series, list[Entry]]:
    found: dict[Series, list[Entry]] = {}
    for series, entry in entries:
        found.setdefault(series, []).append(entry)
    return found
