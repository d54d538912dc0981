"""Throwing away what is old, as the settings say."""

from __future__ import annotations

import logging
from datetime import timedelta

from candlecast.jobs import Run
from candlecast.settings import Settings
from candlecast.store.database import Database
from candlecast.store.migrate import ready_database
from candlecast.store.retention import RetentionPolicy, prune

log = logging.getLogger(__name__)


def throw_away(run: Run, settings: Settings) -> str:
    """Prune in one transaction; return a summary sentence."""
    counts = _pruned(run.database, settings, dry_run=False)
    run.advance("pruned", rows=sum(counts.values()))
    return f"threw away {_sentence(counts)}"


def say_what_would_go(settings: Settings) -> int:
    """Print what a run of retention would throw away now; return the exit code. Nothing is changed."""
    counts = _pruned(ready_database(settings), settings, dry_run=True)
    print(f"would throw away {_sentence(counts)}")  # noqa: T201  # the answer that the command was asked for
    return 0


def _pruned(database: Database, settings: Settings, *, dry_run: bool) -> dict[str, int]:
    with database.begin() as connection:
        return prune(connection, _policy(settings), dry_run=dry_run)


def _policy(settings: Settings) -> RetentionPolicy:
    candles = settings.retention_candle_days
    return RetentionPolicy(
        runs=timedelta(days=settings.retention_run_days),
        drift_pages=timedelta(days=settings.retention_drift_page_days),
        artefacts=timedelta(days=settings.retention_artefact_days),
        candles=timedelta(days=candles) if candles is not None else None,
    )


def _sentence(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items())
