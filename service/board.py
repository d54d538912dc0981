"""What this replica knows: for every active series the forecasts it answers with, or why there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection

from candlecast.api import Skill
from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series
from candlecast.clock import VenueClock
from candlecast.errors import (
    CandlecastError,
    DataError,
    ForecastRefused,
    InvalidCandles,
    ModelError,
    NotEnoughCandles,
    StoreUnavailable,
    UsageError,
)
from candlecast.evaluation import MINIMUM_SCORED
from candlecast.features import WINDOW
from candlecast.forecast import Forecast, Forecaster
from candlecast.market import NOTHING, KnownCandles, neighbours
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, ledger, live, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.xgb import XGBForecaster
from service.windows import Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Champion:
    """A model version that answers."""

    id: str
    forecaster: Forecaster


@dataclass(frozen=True, slots=True)
class Said:
    """What the ledger holds for one cutoff and horizon: the answer, and what the baseline said beside it."""

    answer: Entry
    baseline: Entry


@dataclass(frozen=True, slots=True)
class SeriesBoard:
    """One series at its newest candle. `silence` is the error that kept the forecasters from speaking, if one did."""

    clock: VenueClock = field(default_factory=VenueClock)
    newest: datetime | None = None
    champion: str | None = None
    said: Mapping[int, Said] = field(default_factory=dict)
    skill: Mapping[int, Skill] = field(default_factory=dict)
    silence: CandlecastError | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """Forecasts of a caller's candles: who spoke, what, and whether anything of the market's newest moment was seen."""

    model_version: str
    forecasts: list[Forecast]
    market: bool


class Board:
    """The state of one worker process. `refresh` is called by one thread; anybody may read.

    `changes` counts how often what is answered may have changed: it grows after the change.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.naive = NaiveForecaster(settings.horizons)
        self.reached = False
        self.away_since: datetime | None = None
        self.changes = 0
        self.series: dict[Series, SeriesBoard] = {series: SeriesBoard() for series in settings.series}
        self._champions: dict[tuple[str, Interval], Champion] = {}
        self._broken: set[str] = set()
        self._awaited: dict[Series, tuple[datetime, float]] = {}
        self._refreshing = threading.Lock()

    def refresh(self) -> None:
        """Look for new candles and new champions, and say what they call for; raise StoreUnavailable when away."""
        with self._refreshing:
            with self.database.begin() as connection:
                if not self.reached:
                    candle_store.add_series(connection, self.settings.series)
                    models.register_naive(connection)
                active = candle_store.active_series(connection, self.settings.series)
                newest = candle_store.newest_close_times(connection)
                wanted = models.champions(connection)
                venues = {series.venue for series in active}
                known = {venue: clocks.venue_clock(connection, venue, self.settings) for venue in venues}
            before = self.series if self.reached else {}
            # A new dictionary: whoever goes through the old one is not disturbed.
            self.series = {series: before.get(series, SeriesBoard()) for series in active}
            windows, spoke = Windows(self.database, active), []
            for kind, model_version in wanted.items():
                self._load(kind, model_version, windows)
            for series, board in self.series.items():
                champion = self._champions.get((series.venue, series.interval))
                seen = (board.newest, board.champion, board.clock)
                now = (newest.get(series), champion.id if champion else None, known[series.venue])
                # A hole may have been filled, so who was silent tries again.
                speaks = series not in before or seen != now or board.silence
                if speaks and not (champion and self._awaits_market(series, newest)):
                    self.series[series] = self._speak(series, board, known[series.venue], champion, windows)
                    spoke.append(series)
            changed = self.away_since or not _is_same(self.series, before)
            self.away_since = None
            self.changes += bool(changed)
            # Afterwards: only the very first answer waits for it.
            for series in spoke:
                self._score(series)
            self.reached = True

    @property
    def waiting(self) -> bool:
        """Whether a forecast is put off until the other candles of its moment are there."""
        return bool(self._awaited)

    def away(self) -> None:
        """Note that the database cannot be reached; what was said before is still answered."""
        self.away_since = self.away_since or datetime.now(UTC)
        self.changes += 1

    def forecaster(self, series: Series | None, interval: Interval) -> Champion:
        """Return who forecasts a caller's candles: the champion of their venue and interval, else the baseline."""
        venues = [series.venue] if series else [s.venue for s in self.series if s.interval == interval]
        found = (self._champions[venue, interval] for venue in venues if (venue, interval) in self._champions)
        return next(found, Champion(models.NAIVE, self.naive))

    def own_forecasts(
        self, series: Series | None, candles: Candles, horizons: Sequence[int] | None, last: int
    ) -> Computed:
        """Forecast a caller's candles, beside what is stored of their market. Nothing is written down."""
        champion = self.forecaster(series, candles.interval)
        served = champion.forecaster.horizons
        if missing := [h for h in horizons or () if h not in served]:
            raise UsageError(f"horizon {missing[0]} is not served; served are {', '.join(map(str, served))}")
        known = self._stored_market(series, candles, last) if champion.id != models.NAIVE else NOTHING
        try:
            forecasts = champion.forecaster.forecast(series, candles, last, known)
        except ValueError as error:
            raise _no_forecast("these candles", error) from error
        wanted = [f for f in forecasts if horizons is None or f.horizon in horizons]
        return Computed(champion.id, wanted, any(len(one) and one.cutoff == candles.cutoff for one in known.values()))

    def _stored_market(self, series: Series | None, candles: Candles, last: int) -> KnownCandles:
        """Return what is stored beside the last cutoffs of a caller's candles, as much as a forecast reads.

        Nothing of a series that is not active, and nothing while the database is away.
        """
        if series not in self.series or not len(candles):
            return NOTHING
        try:
            with self.database.begin() as connection:
                return {
                    beside: candle_store.read_last(
                        connection,
                        beside,
                        WINDOW + (last - 1) * int(series.interval.step // beside.interval.step),
                        before=candles.cutoff,
                    )
                    for beside in neighbours(series, self.series)
                }
        except StoreUnavailable:
            return NOTHING

    def _awaits_market(self, series: Series, newest: Mapping[Series, datetime]) -> bool:
        """Return whether candles of the same moment are still to come, and the patience for them is not used up.

        Series that are further behind than one candle are not on their way.
        """
        mine = newest.get(series)
        beside = [newest[one] for one in neighbours(series, self.series) if one in newest]
        cutoff, since = self._awaited.pop(series, (None, 0.0))
        if mine is None or not any(mine - series.interval.delta <= one < mine for one in beside):
            return False
        if cutoff != mine:
            since = time.monotonic()
        awaits = time.monotonic() - since < self.settings.market_patience
        if awaits:
            self._awaited[series] = (mine, since)
        return awaits

    def _load(self, kind: tuple[str, Interval], model_version: str, windows: Windows) -> None:
        """Load a new champion and try it before it replaces the one that works; keep that one if it fails."""
        current = self._champions.get(kind)
        if (current and current.id == model_version) or model_version in self._broken:
            return
        try:
            with self.database.begin() as connection:
                artefacts = models.read_artefacts(connection, model_version)
                manifest = models.version(connection, model_version).manifest
            forecaster = XGBForecaster.from_bytes(artefacts, manifest)
            self._try(forecaster, kind, windows)
        except (ModelError, ValueError) as error:
            self._broken.add(model_version)
            log.error("champion %s is refused: %s", model_version, error)
            return
        self._champions[kind] = Champion(model_version, forecaster)
        log.info("champion %s answers for %s %s", model_version, *kind)

    def _try(self, forecaster: Forecaster, kind: tuple[str, Interval], windows: Windows) -> None:
        """Let a new champion forecast every series that it will answer for; raise ValueError when it talks nonsense."""
        for series in self.series:
            if (series.venue, series.interval) == kind:
                with suppress(DataError):
                    forecaster.forecast(series, windows.of(series), known=windows.around(series))

    def _speak(
        self, series: Series, before: SeriesBoard, clock: VenueClock, champion: Champion | None, windows: Windows
    ) -> SeriesBoard:
        """Forecast from the newest candle, write it down, and return what the ledger then holds."""
        candles = windows.of(series)
        newest = candles.cutoff if len(candles) else None
        champion_id = champion.id if champion else None
        try:
            entries = self._entries(series, clock, champion, windows)
        except (DataError, ValueError) as problem:
            # One series that makes no forecast must not keep the others waiting.
            error = problem if isinstance(problem, DataError) else _no_forecast(str(series), problem)
            return SeriesBoard(clock, newest, champion_id, skill=before.skill, silence=error)
        said = _paired(self._record(series, entries))
        return SeriesBoard(clock, newest, champion_id, {**before.said, **said}, before.skill)

    def _score(self, series: Series) -> None:
        """Bring the live skill of a series up to date; it ends with the newest candle."""
        board = self.series[series]
        if board.newest is None:
            return
        with self.database.begin() as connection:
            skill = {h: _live_skill(connection, series, h, board.newest) for h in self.settings.horizons}
        if skill != board.skill:
            self.series[series] = replace(board, skill=skill)
            self.changes += 1

    def _record(self, series: Series, entries: Sequence[Entry]) -> list[Entry]:
        """Write entries down; where the ledger refuses one of them, the others one by one."""
        try:
            with self.database.begin() as connection:
                return ledger.record(connection, series, entries)
        except ForecastRefused as error:
            log.warning("%s", error.message)
        if len(entries) < 2:
            return []
        return [held for entry in entries for held in self._record(series, [entry])]

    def _entries(self, series: Series, clock: VenueClock, champion: Champion | None, windows: Windows) -> list[Entry]:
        """Return what is said now, as far as it is not too late: its target must lie ahead."""
        candles = windows.of(series)
        said = [(models.NAIVE, "baseline", f) for f in self.naive.forecast(series, candles)]
        if champion:
            try:
                forecasts = champion.forecaster.forecast(series, candles, known=windows.around(series))
                said += [(champion.id, "champion", f) for f in forecasts]
            except (NotEnoughCandles, ModelError, ValueError) as error:
                log.info("the baseline answers for %s: %s", series, error)
        now = clock.now()
        horizons = self.settings.horizons
        return [
            Entry(f, who, role, now)
            for who, role, f in said
            if f.target_time > now >= f.cutoff and f.horizon in horizons
        ]


def _is_same(now: Mapping[Series, SeriesBoard], before: Mapping[Series, SeriesBoard]) -> bool:
    return list(now) == list(before) and all(board is before[series] for series, board in now.items())


def _no_forecast(whose: str, error: ValueError) -> InvalidCandles:
    return InvalidCandles(f"no forecast follows from {whose}: {error}; check their prices")


def _live_skill(connection: Connection, series: Series, horizon: int, end: datetime) -> Skill:
    found = live.headline(connection, series, horizon, end)
    if found.lower is None or found.upper is None:
        return Skill(scored=found.count, minimum=MINIMUM_SCORED, verdict="too_early")
    return Skill(
        scored=found.count,
        minimum=MINIMUM_SCORED,
        skill=found.value,
        lower=found.lower,
        upper=found.upper,
        verdict=_verdict(found.lower, found.upper),
    )


def _verdict(lower: float, upper: float) -> Literal["better", "worse", "not_distinguishable"]:
    if lower > 0:
        return "better"
    return "worse" if upper < 0 else "not_distinguishable"


def _paired(held: Sequence[Entry]) -> dict[int, Said]:
    by_horizon: dict[int, dict[str, Entry]] = {}
    for entry in held:
        by_horizon.setdefault(entry.forecast.horizon, {})[entry.role] = entry
    return {
        horizon: Said(roles.get("champion", roles["baseline"]), roles["baseline"])
        for horizon, roles in by_horizon.items()
        if "baseline" in roles
    }
