"""One run of ingestion: look at every series, ask for what is missing, and say what is still missing then."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from functools import partial

from candlecast.candles import Series
from candlecast.errors import CandlecastError, UsageError
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.settings import Settings
from candlecast.store import candles as store
from candlecast.store import runs
from ingestion_job.bounds import Bounds
from ingestion_job.findings import Tally
from ingestion_job.parallel import side_by_side
from ingestion_job.phases import VenuePhases
from ingestion_job.prices import check_prices
from ingestion_job.sources import Sources


def ingest(run: Run, settings: Settings) -> str:
    """Ingest what the run's parameters name, or all active series; return a summary sentence."""
    bounds = Bounds.parse(run.parameters)
    with closing(Sources(run.database, settings, run.sleep)) as sources:
        wanted = _wanted(run, settings, sources)
        by_venue: dict[str, list[Series]] = {}
        for series in wanted:
            by_venue.setdefault(series.venue, []).append(series)
        thorough = _is_first_of_the_day(run)
        # Each venue in a thread of its own, so that a slow one holds up nobody else.
        tallies = side_by_side(
            [
                partial(VenuePhases(run, settings, sources, venue, bounds).ingest, members, thorough=thorough)
                for venue, members in by_venue.items()
            ],
            len(by_venue),
        )
    check_prices(run, settings, wanted)
    return _summary(sum(tallies, Tally()), len(wanted))


def take_part(run: Run, settings: Settings) -> None:
    """Ingest series of a run that another process leads, until it ends."""
    bounds = Bounds.parse(run.parameters)
    with run.database.begin() as connection:
        series = run.named_series or store.active_series(connection, settings.series)
    venues = list(dict.fromkeys(one.venue for one in series))
    with closing(Sources(run.database, settings, run.sleep)) as sources:
        phases = [VenuePhases(run, settings, sources, venue, bounds) for venue in venues]
        side_by_side([one.take_part for one in phases], len(venues))


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


def _summary(tally: Tally, series: int) -> str:
    parts = [f"{tally.inserted} new and {tally.updated} corrected candles in {series} series"]
    if tally.borrowed:
        parts.append(f"{tally.borrowed} of them from venues that stand in")
    if tally.confirmed:
        parts.append(f"{tally.confirmed} that their venue does not have")
    return "; ".join(parts)
