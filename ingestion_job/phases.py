"""What is done with the series of one venue: the newest candles of all of them first, then everybody's past."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from candlecast.candles import Series
from candlecast.errors import CandlecastError
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.logs import log_context
from candlecast.settings import Settings
from candlecast.sharing import Lane
from candlecast.store import candles as store
from candlecast.store import sources as statuses
from candlecast.store.clocks import venue_clock
from candlecast.store.parts import Part
from ingestion_job.audit import settle, survey
from ingestion_job.bounds import Bounds
from ingestion_job.fetch import Fetcher
from ingestion_job.findings import Findings, Tally
from ingestion_job.parallel import side_by_side
from ingestion_job.plan import Errand
from ingestion_job.sources import Sources

log = logging.getLogger(__name__)

_NEWS, _PAST = "news", "past"

_PLENTY = 8


class VenuePhases:
    """One process's share of a run, as far as it is about the series of one venue. A part is one series."""

    def __init__(self, run: Run, settings: Settings, sources: Sources, venue: str, bounds: Bounds) -> None:
        self._run = run
        self._settings = settings
        self._sources = sources
        self._venue = venue
        self._bounds = bounds
        self._lane = Lane(
            run,
            venue,
            self._work,
            at_once=settings.venue_concurrency,
            at_most=_PLENTY * settings.venue_concurrency,
            parallelism=settings.ingestion_parallelism,
        )
        self._kept: dict[str, Findings] = {}
        self._measured = False

    def ingest(self, members: Sequence[Series], *, thorough: bool) -> Tally:
        """Bring the series up to date, together with all that take part; return what that came to."""
        with log_context(venue=self._venue):
            news = self._lane.share(_NEWS, {str(series): {"thorough": thorough} for series in members})
            behind = {name: came["left"] for name, came in news.items() if came["left"] is not None}
            past = self._lane.share(
                _PAST, {name: {"thorough": thorough, "planned": left} for name, left in behind.items()}
            )
        return sum((Tally(**came["tally"]) for came in (*news.values(), *past.values())), Tally())

    def take_part(self) -> None:
        """Bring series up to date until the run ends."""
        with log_context(venue=self._venue):
            self._lane.take_part()

    def _work(self, parts: Sequence[Part]) -> dict[str, Any]:
        if self._settings.ingestion_parallelism > 1:
            self._sources.heed_bans()
        return self._news(parts) if parts[0].phase == _NEWS else self._past(parts)

    def _news(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Fetch the newest candles, and settle the series that lack no others; `left` are the candles still planned."""
        found = self._survey(parts)
        self._run.plan(sum(one.plan.candles for one in found.values()))
        with_news = [one for one in found.values() if one.plan.news]
        self._side_by_side(self._fetch_news, with_news)
        behind = {part.name: found[part.name] for part in parts if part.task["thorough"] or found[part.name].plan.past}
        self._side_by_side(self._settle, [one for one in with_news if str(one.series) not in behind])
        self._kept |= behind
        return {
            name: {
                "tally": asdict(Tally.of(one)),
                "left": one.plan.candles - one.done if name in behind else None,
            }
            for name, one in found.items()
        }

    def _past(self, parts: Sequence[Part]) -> dict[str, Any]:
        """Fetch what is missing further back. Series whose news another process fetched are looked at anew."""
        kept = {part.name: self._kept.pop(part.name) for part in parts if part.name in self._kept}
        others = [part for part in parts if part.name not in kept]
        fresh = self._survey(others)
        if fresh:
            planned = sum(part.task["planned"] for part in others)
            self._run.plan(sum(one.plan.candles for one in fresh.values()) - planned)
        before = {name: Tally.of(one) for name, one in (kept | fresh).items()}
        thorough = any(part.task["thorough"] for part in parts)
        tasks = [partial(self._fetch_past, one, one.plan.history, thorough=thorough) for one in kept.values()]
        tasks += [
            partial(self._fetch_past, one, one.plan.news + one.plan.history, thorough=thorough)
            for one in fresh.values()
        ]
        side_by_side(tasks, self._settings.venue_concurrency)
        return {name: {"tally": asdict(Tally.of(one) - before[name])} for name, one in (kept | fresh).items()}

    def _side_by_side(self, task: Callable[[Findings], None], found: Sequence[Findings]) -> None:
        side_by_side([partial(task, one) for one in found], self._settings.venue_concurrency)

    def _survey(self, parts: Sequence[Part]) -> dict[str, Findings]:
        if not parts:
            return {}
        tasks: Mapping[Series, Mapping[str, Any]] = {Series.parse(part.name): part.task for part in parts}
        now = self._measure_clock()
        clocks = {series: now or self._stand_in_clock(series) for series in tasks}
        with self._run.database.begin() as connection:
            store.add_series(connection, list(tasks))
            return {
                str(series): survey(
                    connection,
                    series,
                    self._sources.places(series),
                    self._bounds.window(series, clocks[series], self._settings.backfill_days),
                    now=clocks[series],
                    overlap=self._settings.overlap_candles,
                    thorough=task["thorough"],
                    again=self._bounds.again,
                )
                for series, task in tasks.items()
            }

    def _measure_clock(self) -> datetime | None:
        """Return the venue's clock and write down how far it is from ours; None where it does not answer."""
        try:
            with self._sources.asking(self._venue) as venue:
                now, skew = venue.now(), venue.skew()
        except ENDS_A_RUN:
            raise
        except CandlecastError as error:
            log.warning("%s does not tell its time: %s", self._venue, error.message)
            return None
        if not self._measured:
            with self._run.database.begin() as connection:
                statuses.record_skew(connection, self._venue, skew)
            self._measured = True
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
            measured = {one.source: one.skew for one in statuses.statuses(connection)}.get(self._venue)
            return venue_clock(connection, self._venue, self._settings).now() + (measured or timedelta())

    def _fetch_news(self, findings: Findings) -> None:
        with log_context(series=str(findings.series)):
            fetcher = Fetcher(self._run, self._sources, findings)
            for errand in findings.plan.news:
                fetcher.fill(errand)

    def _fetch_past(self, findings: Findings, errands: Sequence[Errand], *, thorough: bool) -> None:
        with log_context(series=str(findings.series)):
            fetcher = Fetcher(self._run, self._sources, findings)
            for errand in errands:
                fetcher.fill(errand)
            for errand in findings.plan.replacements:
                fetcher.replace(errand)
            if thorough:
                fetcher.take_replaced_files()
            settle(self._run, findings, self._settings.gap_rechecks)

    def _settle(self, findings: Findings) -> None:
        with log_context(series=str(findings.series)):
            settle(self._run, findings, self._settings.gap_rechecks)
