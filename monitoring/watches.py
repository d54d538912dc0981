"""What the exporter knows between scrapes: how good the live forecasts have been, and whether the ledger is intact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from candlecast.candles import Interval, Series
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import ledger, live
from candlecast.store.database import Database
from candlecast.store.ledger import ChainState
from candlecast.store.live import LiveScore

Kind = tuple[str, Interval]
Windows = Mapping[str, Mapping[str, LiveScore]]

_POOLED = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Quality:
    """Live scores by series and horizon, window and metric; and the skill of all series of a kind together."""

    scores: Mapping[tuple[Series, int], Windows] = field(default_factory=dict)
    pooled: Mapping[tuple[Kind, int], LiveScore] = field(default_factory=dict)


class QualityWatch:
    """Keeps `quality` up to date. Scores end with the newest candle, so only a new one calls for new scores."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._ends: dict[Series, datetime] = {}
        self.quality = Quality()

    def look(self) -> None:
        """Score the series that have a new candle, and their kinds."""
        with self._database.begin() as connection:
            active = candle_store.active_series(connection, self._settings.series)
            newest = candle_store.newest_close_times(connection)
        known = [series for series in active if series in newest]
        moved = [series for series in known if self._ends.get(series) != newest[series]]
        scores = {
            (series, horizon): self._scores(series, horizon, newest[series])
            for series in moved
            for horizon in self._settings.horizons
        }
        pooled = {
            (kind, horizon): self._pooled(members, horizon, max(newest[series] for series in members))
            for kind, members in _kinds(known).items()
            for horizon in self._settings.horizons
            if not set(members).isdisjoint(moved)
        }
        self.quality = Quality({**self.quality.scores, **scores}, {**self.quality.pooled, **pooled})
        self._ends.update({series: newest[series] for series in moved})

    def _scores(self, series: Series, horizon: int, end: datetime) -> Windows:
        with self._database.begin() as connection:
            return live.scores(connection, series, horizon, end)

    def _pooled(self, members: Sequence[Series], horizon: int, end: datetime) -> LiveScore:
        with self._database.begin() as connection:
            return live.pooled_skill(connection, members, horizon, end, _POOLED)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the last check of the ledger's chain found, and when."""

    state: ChainState
    at: datetime


class LedgerWatch:
    """Keeps `checked` up to date: every look recomputes the hash of every row, inside the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.checked: Checked | None = None

    def look(self) -> None:
        """Check the whole chain."""
        with self._database.begin() as connection:
            self.checked = Checked(ledger.verify(connection), datetime.now(UTC))


def _kinds(active: Sequence[Series]) -> dict[Kind, list[Series]]:
    kinds: dict[Kind, list[Series]] = {}
    for series in active:
        kinds.setdefault((series.venue, series.interval), []).append(series)
    return kinds
