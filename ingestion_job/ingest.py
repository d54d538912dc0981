"""One run of ingestion: plan the missing range of every series, fetch it page by page, write each page."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from candlecast.candles import Series
from candlecast.errors import CandlecastError
from candlecast.jobs import Interrupted, Run
from candlecast.logs import log_context
from candlecast.settings import Settings
from candlecast.store import candles as store
from candlecast.store.candles import Written
from candlecast.store.clocks import venue_clock
from candlecast.venues import Venue, open_venue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Range:
    """The candles of one series that are missing: start <= open_time < end."""

    series: Series
    start: datetime
    end: datetime

    @property
    def candles(self) -> int:
        """How many candles lie in the range, if none is missing."""
        return max(0, (self.end - self.start) // self.series.interval.delta)


def ingest(run: Run, settings: Settings) -> str:
    """Ingest what the run's parameters name, or all configured series; return a summary sentence."""
    wanted = settings.wanted_series(run.parameters)
    by_venue: dict[str, list[Series]] = {}
    for series in wanted:
        by_venue.setdefault(series.venue, []).append(series)
    total = Written(0, 0, 0)
    for name, members in by_venue.items():
        total += _ingest_venue(run, settings, name, members)
    return f"{total.inserted} new and {total.updated} restated candles in {len(wanted)} series"


def _ingest_venue(run: Run, settings: Settings, name: str, members: Sequence[Series]) -> Written:
    total = Written(0, 0, 0)
    with run.database.begin() as connection:
        clock = venue_clock(connection, name, settings)
    with closing(open_venue(name, settings, clock)) as venue:
        try:
            ranges = _plan(run, settings, venue.now(), members)
        except CandlecastError as error:
            run.fail(name, error)
            return total
        run.plan(sum(missing.candles for missing in ranges))
        for missing in ranges:
            with log_context(series=str(missing.series)):
                try:
                    total += _ingest_range(run, venue, missing)
                except Interrupted:
                    raise
                except CandlecastError as error:
                    run.fail(str(missing.series), error)
    return total


def _plan(run: Run, settings: Settings, now: datetime, members: Sequence[Series]) -> list[Range]:
    """Return the missing range of each series, the shortest first so that news is not kept waiting by a backfill."""
    asked = run.parameters.get("start")
    start = datetime.fromisoformat(asked).astimezone(UTC) if asked else None
    with run.database.begin() as connection:
        store.add_series(connection, members)
        ranges = [
            _missing(series, now, start, store.last_open_time(connection, series), settings) for series in members
        ]
    return sorted(ranges, key=lambda missing: missing.candles)


def _missing(series: Series, now: datetime, start: datetime | None, last: datetime | None, settings: Settings) -> Range:
    step = series.interval.delta
    if start is None:
        start = last + step if last else now - timedelta(days=settings.backfill_days)
    return Range(series, series.interval.floor(start), series.interval.floor(now))


def _ingest_range(run: Run, venue: Venue, missing: Range) -> Written:
    total = Written(0, 0, 0)
    refused: Counter[str] = Counter()
    if missing.candles == 0:
        return total
    for page in venue.fetch(missing.series, missing.start, missing.end):
        refused.update(refusal.reason for refusal in page.refused)
        with run.database.begin() as connection:
            written = store.upsert(connection, missing.series, page.candles, source=page.source, now=venue.now())
        total += written
        run.advance(str(missing.series), done=len(page.candles), rows=written.inserted + written.updated)
    fields = {"inserted": total.inserted, "updated": total.updated, "unchanged": total.unchanged}
    if refused:
        log.warning("refused %d rows", refused.total(), extra={"fields": {"refused": dict(refused)}})
    log.debug("%s", missing.series, extra={"fields": fields})
    return total
