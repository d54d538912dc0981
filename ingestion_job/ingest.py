"""One run of ingestion: look at every series, ask for what is missing, and say what is still missing then."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

from candlecast.candles import Series
from candlecast.errors import CandlecastError, UsageError
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.logs import log_context
from candlecast.settings import Settings
from candlecast.spans import Span
from candlecast.store import candles as store
from candlecast.store import runs
from candlecast.store import sources as statuses
from candlecast.store.candles import Written
from candlecast.store.clocks import venue_clock
from ingestion_job.audit import settle, survey
from ingestion_job.fetch import Fetcher
from ingestion_job.findings import Findings
from ingestion_job.parallel import side_by_side
from ingestion_job.prices import check_prices
from ingestion_job.sources import Sources

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which time a run is about: from `start`, else as far back as the settings say, to `end`, else to now.

    With `again` what is stored is asked for too, and replaced by what the venue says now.
    """

    start: datetime | None = None
    end: datetime | None = None
    again: bool = False

    @classmethod
    def parse(cls, parameters: Mapping[str, Any]) -> Bounds:
        """Return the bounds that a run's parameters name; raise UsageError for times that cannot be read."""
        start, end = (_moment(name, parameters.get(name)) for name in ("start", "end"))
        if start and end and start >= end:
            raise UsageError(f"start {start.isoformat()} is not before end {end.isoformat()}")
        return cls(start, end, bool(parameters.get("again")))

    def window(self, series: Series, now: datetime, days: float) -> Span:
        """Return the bounds on a series' grid, up to its newest candle that is closed at `now`."""
        floor = series.interval.floor
        end = floor(min(self.end, now) if self.end else now)
        return Span(min(end, floor(self.start or now - timedelta(days=days))), end)


def ingest(run: Run, settings: Settings) -> str:
    """Ingest what the run's parameters name, or all active series; return a summary sentence."""
    bounds = Bounds.parse(run.parameters)
    with closing(Sources(run.database, settings, run.sleep)) as sources:
        wanted = _wanted(run, settings, sources)
        by_venue: dict[str, list[Series]] = {}
        for series in wanted:
            by_venue.setdefault(series.venue, []).append(series)
        thorough = _is_first_of_the_day(run)
        venues = [
            _Venue(run, settings, sources, name, bounds, thorough=thorough, members=members)
            for name, members in by_venue.items()
        ]
        # Each venue in a thread of its own, so that a slow one holds up nobody else.
        findings = list(chain.from_iterable(side_by_side([venue.ingest for venue in venues], len(venues))))
    check_prices(run, settings, wanted)
    return _summary(findings, len(wanted))


class _Venue:
    """The part of a run that is about the series of one venue."""

    def __init__(
        self,
        run: Run,
        settings: Settings,
        sources: Sources,
        name: str,
        bounds: Bounds,
        *,
        thorough: bool,
        members: Sequence[Series],
    ) -> None:
        self._run = run
        self._settings = settings
        self._sources = sources
        self._name = name
        self._bounds = bounds
        self._thorough = thorough
        self._members = members

    def ingest(self) -> list[Findings]:
        """Bring the series up to date: the newest candles of each first, then their past."""
        with log_context(venue=self._name):
            found = self._survey()
            self._run.plan(sum(one.plan.candles for one in found))
            threads = self._settings.venue_concurrency
            side_by_side([partial(self._fetch_news, one) for one in found if one.plan.news], threads)
            side_by_side(
                [partial(self._fetch_past, one) for one in found if one.plan.errands or self._thorough], threads
            )
        return found

    def _survey(self) -> list[Findings]:
        now = self._measure_clock()
        clocks = {series: now or self._stand_in_clock(series) for series in self._members}
        with self._run.database.begin() as connection:
            store.add_series(connection, self._members)
            return [
                survey(
                    connection,
                    series,
                    self._sources.places(series),
                    self._bounds.window(series, clocks[series], self._settings.backfill_days),
                    now=clocks[series],
                    overlap=self._settings.overlap_candles,
                    thorough=self._thorough,
                    again=self._bounds.again,
                )
                for series in self._members
            ]

    def _measure_clock(self) -> datetime | None:
        """Return the venue's clock and write down how far it is from ours; None where it does not answer."""
        try:
            with self._sources.asking(self._name) as venue:
                now, skew = venue.now(), venue.skew()
        except ENDS_A_RUN:
            raise
        except CandlecastError as error:
            log.warning("%s does not tell its time: %s", self._name, error.message)
            return None
        with self._run.database.begin() as connection:
            statuses.record_skew(connection, self._name, skew)
        return now

    def _stand_in_clock(self, series: Series) -> datetime:
        """Return the clock of a venue that stands in; where none answers this machine's, corrected as last measured."""
        for fallback in self._settings.fallbacks_of(series):
            try:
                return self._sources.now(fallback)
            except ENDS_A_RUN:
                raise
            except CandlecastError as error:
                log.warning("%s does not tell its time: %s", fallback, error.message)
        with self._run.database.begin() as connection:
            measured = {one.source: one.skew for one in statuses.statuses(connection)}.get(self._name)
            return venue_clock(connection, self._name, self._settings).now() + (measured or timedelta())

    def _fetch_news(self, findings: Findings) -> None:
        with log_context(series=str(findings.series)):
            fetcher = Fetcher(self._run, self._sources, findings)
            for errand in findings.plan.news:
                fetcher.fill(errand)

    def _fetch_past(self, findings: Findings) -> None:
        with log_context(series=str(findings.series)):
            fetcher = Fetcher(self._run, self._sources, findings)
            for errand in findings.plan.history:
                fetcher.fill(errand)
            for errand in findings.plan.replacements:
                fetcher.replace(errand)
            if self._thorough:
                fetcher.take_replaced_files()
            settle(self._run, findings, self._settings.gap_rechecks)


def _wanted(run: Run, settings: Settings, sources: Sources) -> tuple[Series, ...]:
    """Return the series of this run, and add those that it names for the first time.

    Raise UsageError when they would be too many. One that its venue does not have fails, the others go on.
    """
    named = run.named_series
    with run.database.begin() as connection:
        active = store.active_series(connection, settings.series)
    new = [series for series in named if series not in active]
    if len(active) + len(new) > settings.max_series and new:
        names = ", ".join(map(str, new))
        raise UsageError(f"{names} would be more than {settings.max_series} series; raise CANDLECAST_MAX_SERIES")
    refused = [series for series in new if not _is_added(run, sources, series)]
    return tuple(series for series in named or active if series not in refused)


def _is_added(run: Run, sources: Sources, series: Series) -> bool:
    try:
        with sources.asking(series.venue) as venue:
            venue.require(series)
    except ENDS_A_RUN:
        raise
    except CandlecastError as error:
        run.fail(str(series), error)
        return False
    with run.database.begin() as connection:
        store.ask_series(connection, series)
    return True


def _is_first_of_the_day(run: Run) -> bool:
    """Return whether ingestion succeeded before, but not yet on this UTC day."""
    with run.database.begin() as connection:
        last = runs.last_success(connection, "ingestion")
    return last is not None and last.astimezone(UTC).date() < datetime.now(UTC).date()


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; write it like 2025-09-01T00:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _summary(findings: Sequence[Findings], series: int) -> str:
    total, borrowed = Written(0, 0, 0), Written(0, 0, 0)
    for one in findings:
        for source, written in one.written.items():
            total += written
            if source in one.places.fallbacks:
                borrowed += written
    parts = [f"{total.inserted} new and {total.updated} corrected candles in {series} series"]
    if borrowed.inserted:
        parts.append(f"{borrowed.inserted} of them from venues that stand in")
    if confirmed := sum(one.confirmed for one in findings):
        parts.append(f"{confirmed} that their venue does not have")
    return "; ".join(parts)
