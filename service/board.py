"""What this replica knows: for every active series the forecasts it answers with, or why there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from candlecast.api import Skill
from candlecast.candles import Candles, Interval, Series
from candlecast.clock import VenueClock
from candlecast.errors import CandlecastError, DataError, StoreUnavailable, UsageError
from candlecast.evaluation import MINIMUM_SCORED
from candlecast.features import WINDOW
from candlecast.forecast import Forecast
from candlecast.market import NOTHING, KnownCandles
from candlecast.metrics import timed
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import clocks, live, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.live import LiveScore
from candlecast.store.models import Promotion
from service.champions import Challengers, Champions, Kind, Loaded
from service.speaking import Said, Speaker, batches, no_forecast, paired
from service.windows import Windows

log = logging.getLogger(__name__)

_AT_ONCE = 100  # series that speak before what they said is written down and answered
_IN_SHADOW_AT_ONCE = 10


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


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at the database found."""

    active: tuple[Series, ...]
    changed: set[Series]
    promotions: Mapping[Kind, Promotion]
    challengers: Mapping[Kind, str]
    clocks: Mapping[str, VenueClock]


class Board:
    """The state of one worker process. `refresh` and `speak_in_shadow` are called by one thread; anybody may read.

    `changes` counts how often what is answered may have changed: it grows after the change.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.reached = False
        self.away_since: datetime | None = None
        self.changes = 0
        self.series: dict[Series, SeriesBoard] = {series: SeriesBoard() for series in settings.series}
        self.windows = Windows()
        self.champions = Champions(database)
        self.challengers = Challengers(database)
        self._speaker = Speaker(settings, database, self.windows)
        self._due: set[Series] = set()
        self._in_shadow: list[Series] = []
        self._wanted_in_shadow: Mapping[Kind, str] = {}
        self._awaited: dict[Series, tuple[datetime, float]] = {}
        self._refreshing = threading.Lock()

    @timed("refresh")
    def refresh(self) -> None:
        """Look for new candles and new champions, and say what they call for; raise StoreUnavailable when away."""
        with self._refreshing:
            look = self._look()
            before = self.series if self.reached else {}
            # A new dictionary: whoever goes through the old one is not disturbed.
            self.series = {series: before.get(series, SeriesBoard()) for series in look.active}
            # Until it has spoken: what was read is not read again when the database goes away in between.
            self._due = {series for series in self._due | look.changed if series in self.series}
            self.champions.follow(look.promotions, self.windows)
            spoken = [series for series in self.series if self._is_due(series, series in before, look)]
            for batch in batches(spoken, _AT_ONCE):
                self._speak(batch, look.clocks)
            changed = self.away_since or not _is_same(self.series, before)
            self.away_since = None
            self.changes += bool(changed)
            # Afterwards: only the very first answer waits for it.
            for batch in batches(spoken, _AT_ONCE):
                self._score(batch)
            self._in_shadow = list(dict.fromkeys([*self._in_shadow, *spoken]))
            self._wanted_in_shadow = look.challengers
            self.reached = True

    def speak_in_shadow(self) -> bool:
        """Let challengers speak about a few of the series that were answered about; return whether more are waiting."""
        with self._refreshing:
            for venue, interval in self.challengers.follow(self._wanted_in_shadow, self.windows):
                self._in_shadow += self.windows.of_kind(venue, interval)
            batch, self._in_shadow = self._in_shadow[:_IN_SHADOW_AT_ONCE], self._in_shadow[_IN_SHADOW_AT_ONCE:]
            if said := {series: entries for series in batch if (entries := self._said_in_shadow(series))}:
                self._speaker.record(said)
            return bool(self._in_shadow)

    @property
    def waiting(self) -> bool:
        """Whether a forecast is put off until the other candles of its moment are there."""
        return bool(self._awaited)

    def away(self) -> None:
        """Note that the database cannot be reached; what was said before is still answered."""
        self.away_since = self.away_since or datetime.now(UTC)
        self.changes += 1

    def forecaster(self, series: Series | None, interval: Interval) -> Loaded:
        """Return who forecasts a caller's candles: the champion of their venue and interval, else the baseline."""
        venues = [series.venue] if series else [s.venue for s in self.series if s.interval == interval]
        found = filter(None, (self.champions.of((venue, interval)) for venue in dict.fromkeys(venues)))
        return next(found, Loaded(models.NAIVE, self._speaker.naive))

    @timed("own_candles")
    def own_forecasts(
        self, series: Series | None, candles: Candles, horizons: Sequence[int] | None, last: int
    ) -> Computed:
        """Forecast a caller's candles, beside what is stored of their market. Nothing is written down."""
        champion = self.forecaster(series, candles.interval)
        served = champion.forecaster.horizons
        if missing := [h for h in horizons or () if h not in served]:
            raise UsageError(f"horizon {missing[0]} is not served; served are {', '.join(map(str, served))}")
        known = self._stored_market(series, candles, champion, last)
        try:
            forecasts = champion.forecaster.forecast(series, candles, last, known)
        except ValueError as error:
            raise no_forecast("these candles", error) from error
        wanted = [f for f in forecasts if horizons is None or f.horizon in horizons]
        return Computed(champion.id, wanted, any(len(one) and one.cutoff == candles.cutoff for one in known.values()))

    def _stored_market(self, series: Series | None, candles: Candles, champion: Loaded, last: int) -> KnownCandles:
        """Return what is stored beside the last cutoffs of a caller's candles, as much as a forecast reads.

        Nothing of a series that is not active, and nothing that only the store knows while the database is away.
        """
        if series not in self.series or not len(candles) or champion.id == models.NAIVE:
            return NOTHING
        beside = self.windows.beside(series, champion.symbols)
        kept = {one: self.windows.before(one, candles.cutoff) for one in beside}
        if last == 1 and None not in kept.values():
            return {one: found for one, found in kept.items() if found is not None}
        try:
            with self.database.begin() as connection:
                return {
                    one: candle_store.read_last(
                        connection,
                        one,
                        WINDOW + (last - 1) * int(series.interval.step // one.interval.step),
                        before=candles.cutoff,
                    )
                    for one in beside
                }
        except StoreUnavailable:
            return NOTHING

    def _look(self) -> _Look:
        if not self.reached:
            # In a transaction of its own: what is read below is remembered, and must not be undone by what fails there.
            with self.database.begin() as connection:
                candle_store.add_series(connection, self.settings.series)
                models.register_naive(connection)
        with self.database.begin() as connection:
            active = candle_store.active_series(connection, self.settings.series)
            return _Look(
                active,
                self.windows.catch_up(connection, active),
                models.promotions(connection),
                models.challengers(connection) if self.settings.shadow_challenger else {},
                {venue: clocks.venue_clock(connection, venue, self.settings) for venue in {s.venue for s in active}},
            )

    def _is_due(self, series: Series, is_known: bool, look: _Look) -> bool:
        """Return whether a series is to be spoken about, and the patience for the rest of its market used up."""
        board, champion = self.series[series], self.champions.of((series.venue, series.interval))
        heard = (board.champion, board.clock) != (champion.id if champion else None, look.clocks[series.venue])
        if is_known and series not in self._due and not heard:
            return False
        return not (champion and self._awaits_market(series, champion))

    def _awaits_market(self, series: Series, champion: Loaded) -> bool:
        """Return whether candles of the same moment are still to come, and the patience for them is not used up.

        Series that are further behind than one candle are not on their way.
        """
        mine = self.windows.newest(series)
        beside = [self.windows.newest(one) for one in self.windows.beside(series, champion.symbols)]
        cutoff, since = self._awaited.pop(series, (None, 0.0))
        if mine is None or not any(mine - series.interval.delta <= one < mine for one in beside if one):
            return False
        if cutoff != mine:
            since = time.monotonic()
        awaits = time.monotonic() - since < self.settings.market_patience
        if awaits:
            self._awaited[series] = (mine, since)
        return awaits

    def _speak(self, batch: Sequence[Series], venue_clocks: Mapping[str, VenueClock]) -> None:
        """Forecast from the newest candles, write it down, and answer with what the ledger then holds."""
        said, silent = {}, {}
        for series in batch:
            champion = self.champions.of((series.venue, series.interval))
            try:
                said[series] = self._speaker.speak(series, venue_clocks[series.venue], champion)
            except DataError as error:
                # One series that makes no forecast must not keep the others waiting.
                silent[series] = error
        held = self._speaker.record(said)
        for series in batch:
            before, champion = self.series[series], self.champions.of((series.venue, series.interval))
            self.series[series] = SeriesBoard(
                venue_clocks[series.venue],
                self.windows.newest(series),
                champion.id if champion else None,
                {} if series in silent else {**before.said, **paired(held[series])},
                before.skill,
                silent.get(series),
            )
        self._due -= set(batch)

    def _said_in_shadow(self, series: Series) -> list[Entry]:
        challenger = self.challengers.of((series.venue, series.interval))
        if challenger is None or series not in self.series or series in self._awaited:
            return []
        try:
            return self._speaker.speak_in_shadow(series, self.series[series].clock, challenger)
        except DataError:
            return []
        # Whatever is wrong with a challenger, nobody waits for it.
        except Exception as error:
            self.challengers.refuse(challenger.id, error)
            return []

    @timed("score")
    def _score(self, batch: Sequence[Series]) -> None:
        """Bring the live skill of some series up to date; it ends with the newest candle."""
        ends = {series: newest for series in batch if (newest := self.series[series].newest)}
        with self.database.begin() as connection:
            found = {h: live.headlines(connection, ends, h) for h in self.settings.horizons}
        for series in ends:
            skill = {horizon: _skill(scores[series]) for horizon, scores in found.items()}
            if skill != self.series[series].skill:
                self.series[series] = replace(self.series[series], skill=skill)
                self.changes += 1


def _is_same(now: Mapping[Series, SeriesBoard], before: Mapping[Series, SeriesBoard]) -> bool:
    return list(now) == list(before) and all(board is before[series] for series, board in now.items())


def _skill(found: LiveScore) -> Skill:
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
