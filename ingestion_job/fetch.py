"""Asking the sources of one series in turn, and writing down every page as it comes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time

from candlecast.candles import Series
from candlecast.errors import CandlecastError, UnknownSeries
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.spans import Span, intersect, join, subtract
from candlecast.store import candles as store
from candlecast.store import gaps
from candlecast.venues import Fetched
from ingestion_job.findings import Findings
from ingestion_job.plan import NEAR, Errand
from ingestion_job.sources import Sources

log = logging.getLogger(__name__)

Page = tuple[Fetched, datetime]
"""A page, and the clock by which its candles are closed."""


class Fetcher:
    """Does the errands of one series, one after the other, and notes in its findings what came of them."""

    def __init__(self, run: Run, sources: Sources, findings: Findings) -> None:
        self._run = run
        self._sources = sources
        self._findings = findings

    def fill(self, errand: Errand) -> None:
        """Ask for the candles of an errand until none is missing or nobody is left to ask.

        What its own sources lack is asked of the exchange a second time before it is believed. Fall-backs are asked
        only for what none of the series' own sources has answered for.
        """
        spans: Sequence[Span] = [errand.span]
        for source in errand.own:
            self._ask(source, self._near(spans))
            spans = self._holes(errand.span)
            if not spans or self._is_unknown():
                return
        settled = [self._findings.settled]
        self._ask(self._series.venue, self._near(intersect(spans, intersect(self._findings.exhausted, settled))))
        for source in errand.fallbacks:
            self._ask(source, self._unanswered(self._holes(errand.span)))

    def replace(self, errand: Errand) -> None:
        """Ask the series' own sources for candles that fall-backs gave; what they do not have stays as it is."""
        spans: Sequence[Span] = [errand.span]
        for source in errand.own:
            self._ask(source, self._near(spans))
            with self._run.database.begin() as connection:
                spans = gaps.borrowed(connection, self._series, errand.span.start, errand.span.end)

    def take_replaced_files(self) -> None:
        """Take those files again that the venue's archive has replaced since they were read."""
        archive = self._findings.places.archive
        if archive:
            for page, now in self._replaced_pages(archive):
                self._write(archive, page, now)

    @property
    def _series(self) -> Series:
        return self._findings.series

    def _ask(self, source: str, spans: Sequence[Span]) -> None:
        answer = self._findings.answer(source)
        if source == self._findings.places.archive:
            spans = self._published(spans)
        for span in spans:
            for page, now in self._pages(source, span):
                answer.take(page)
                self._write(source, page, now)

    def _pages(self, source: str, span: Span) -> Iterator[Page]:
        """Yield what a source answers about a stretch, and note how that ended."""
        answer = self._findings.answer(source)
        try:
            if source == self._findings.places.archive:
                with self._sources.asking_archive(self._series.venue) as archive:
                    for page in archive.fetch(self._series, span.start, span.end):
                        yield page, self._findings.now
            else:
                with self._sources.asking(source) as venue:
                    for page in venue.fetch(self._series, span.start, span.end):
                        yield page, venue.now()
        except ENDS_A_RUN:
            raise
        except CandlecastError as error:
            answer.errors.append(error)
        else:
            answer.finish(span)

    def _replaced_pages(self, archive: str) -> Iterator[Page]:
        window = self._findings.window
        try:
            with self._sources.asking_archive(self._series.venue) as opened:
                for page in opened.replaced(self._series, window.start, window.end):
                    yield page, self._findings.now
        except ENDS_A_RUN:
            raise
        except CandlecastError as error:
            log.warning("%s: replaced files are looked for again tomorrow: %s", archive, error.message)

    def _write(self, source: str, page: Fetched, now: datetime) -> None:
        with self._run.database.begin() as connection:
            written = store.upsert(connection, self._series, page.candles, source=page.source, now=now)
        self._findings.answer(source).written += written
        done = self._findings.cover(Span(page.start, page.end))
        self._run.advance(str(self._series), done=done, rows=written.inserted + written.updated)

    def _holes(self, span: Span) -> list[Span]:
        with self._run.database.begin() as connection:
            return gaps.unexplained(connection, self._series, span.start, span.end, now=self._findings.now)

    def _near(self, spans: Sequence[Span]) -> list[Span]:
        return join(spans, NEAR * self._series.interval.delta)

    def _published(self, spans: Sequence[Span]) -> list[Span]:
        """Return what an archive may hold: files of whole days that are over; it has nothing to say about the rest."""
        midnight = datetime.combine(self._findings.now.date(), time(), UTC)
        today = [Span(midnight, max(midnight, self._findings.window.end))]
        for span in intersect(spans, today):
            self._findings.answer(self._findings.places.own[-1]).finish(span)
        return subtract(spans, today)

    def _unanswered(self, holes: Sequence[Span]) -> list[Span]:
        """Return the holes for which a fall-back is asked: an own source had an error, or nothing to say.

        Where the newest candles are only not published yet, the exchange is asked again first.
        """
        unpublished = subtract(self._findings.exhausted, [self._findings.settled])
        return subtract(subtract(holes, self._findings.claimed), unpublished)

    def _is_unknown(self) -> bool:
        return any(isinstance(error, UnknownSeries) for error in self._findings.answer(self._series.venue).errors)
