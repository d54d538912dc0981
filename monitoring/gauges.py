"""From what the exporter has read to the values of its metrics, each by its labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args

from candlecast import metrics
from candlecast.api import ScheduledJob
from candlecast.candles import Interval, Series
from candlecast.drift import DriftSummary
from candlecast.errors import RateLimited, RestrictedLocation, VenueUnavailable
from candlecast.forecast import INTERVALS
from candlecast.metrics import Measured
from candlecast.store.sources import SourceStatus
from candlecast.store.state import State
from monitoring.watches import Checked, Quality

Labels = tuple[str, ...]
Values = dict[Labels, float]
Told = Iterator[tuple[Measured, Values]]

_ENDED = ("succeeded", "failed", "cancelled")
_DECISIONS = ("promoted", "refused")
_JOBS: tuple[str, ...] = get_args(ScheduledJob)
_OF_VENUES = (VenueUnavailable, RateLimited, RestrictedLocation)

_WINDOWS = ("24h", "7d", "30d")
_COLUMNS = 10
"""Columns shown of a drift report."""


def values(state: State, quality: Quality, checked: Checked | None) -> Told:
    """Yield every metric of the exporter with its values."""
    yield from _candles(state)
    yield from _sources(state)
    yield from _jobs(state)
    yield from _models(state)
    yield from _drift(state)
    yield from _quality(state, quality)
    yield from _ledger(state, checked)


def _candles(state: State) -> Told:
    lag: Values = {}
    for series in state.active:
        newest = state.newest.get(series)
        now = state.clocks[series.venue].now()
        lag[_series(series)] = (now - newest).total_seconds() if newest else math.inf
    yield metrics.CANDLE_LAG, lag
    yield metrics.CANDLE_INTERVAL, {_series(one): float(one.interval.seconds) for one in state.active}
    audits = {_series(one): state.audits[one] for one in state.active if one in state.audits}
    yield metrics.CANDLES_MISSING, {labels: float(audit.missing) for labels, audit in audits.items()}
    yield metrics.CANDLES_CONFIRMED_MISSING, {labels: float(audit.confirmed) for labels, audit in audits.items()}
    complete = {labels: 1 - audit.missing / audit.expected for labels, audit in audits.items() if audit.expected}
    yield metrics.COMPLETENESS, complete


def _sources(state: State) -> Told:
    now = datetime.now(UTC)
    skews: Values = {(one.source,): one.skew.total_seconds() for one in state.sources if one.skew is not None}
    yield metrics.SOURCE_SKEW, skews
    left: Values = {(one.source,): _ban_left(one, now) for one in state.sources}
    yield metrics.SOURCE_BANNED, {source: float(seconds > 0) for source, seconds in left.items()}
    yield metrics.SOURCE_BAN_LEFT, left
    age, disagreements = Values(), Values()
    for one in state.prices:
        labels = str(one.price.symbol), one.price.source
        age[labels] = (now - one.price.priced_at).total_seconds()
        disagreements[labels] = float(one.disagreements)
    yield metrics.PRICE_AGE, age
    yield metrics.PRICE_DISAGREEMENTS, disagreements


def _ban_left(status: SourceStatus, now: datetime) -> float:
    return max(0.0, (status.banned_until - now).total_seconds()) if status.banned_until else 0.0


def _jobs(state: State) -> Told:
    runs, waiting = state.jobs.runs, state.jobs.waiting
    successes = {job: one for job, one in state.jobs.successes.items() if job in _JOBS}
    # A job that never succeeded is waited for since there was something to do.
    since = state.known_since or datetime.now(UTC)
    last = {job: successes[job].finished_at if job in successes else since for job in _JOBS}
    yield metrics.JOB_LAST_SUCCESS, {(job,): moment.timestamp() for job, moment in last.items()}
    yield metrics.JOB_DURATION, {(job,): one.seconds for job, one in successes.items()}
    yield metrics.JOB_ROWS, {(job,): float(one.rows) for job, one in successes.items()}
    yield metrics.JOB_RUNS, {(job, end): float(runs.get((job, end), 0)) for job in _JOBS for end in _ENDED}
    none = {("ingestion", error.named()): 0 for error in _OF_VENUES}
    failures = {**none, **{key: count for key, count in state.jobs.failures.items() if key[0] in _JOBS}}
    yield metrics.JOB_FAILURES, {key: float(count) for key, count in failures.items()}
    yield metrics.JOB_RUNNING, {(job,): float(runs.get((job, "running"), 0) > 0) for job in _JOBS}
    yield metrics.QUEUE_DEPTH, {(job,): float(waiting.get(job, 0)) for job in _JOBS}


def _models(state: State) -> Told:
    kinds = _kinds(state)
    champions = {kind: one for kind, one in state.champions.items() if kind in kinds}
    yield metrics.CHAMPION_PRESENT, {_kind(kind): float(kind in champions) for kind in kinds}
    yield metrics.CHAMPION_INFO, {(*_kind(kind), one.model_version): 1.0 for kind, one in champions.items()}
    now = {venue: clock.now() for venue, clock in state.clocks.items()}
    age = {_kind(kind): (now[kind[0]] - one.created_at).total_seconds() for kind, one in champions.items()}
    yield metrics.CHAMPION_AGE, age
    decided = {
        (*_kind(kind), decision): float(state.decisions.get((kind, decision), 0))
        for kind in kinds
        for decision in _DECISIONS
    }
    yield metrics.MODEL_DECISIONS, decided


def _drift(state: State) -> Told:
    reports = {kind: report for kind, report in state.drift.items() if kind in _kinds(state)}
    yield metrics.DRIFT_SHARE, {_kind(kind): report.summary.share for kind, report in reports.items()}
    yield metrics.DRIFT_DETECTED, {_kind(kind): float(report.summary.drifted) for kind, report in reports.items()}
    age = {
        _kind(kind): (state.clocks[kind[0]].now() - report.created_at).total_seconds()
        for kind, report in reports.items()
    }
    yield metrics.DRIFT_AGE, age
    columns = {
        (*_kind(kind), column): distance
        for kind, report in reports.items()
        for column, distance in _most_moved(report.summary).items()
    }
    yield metrics.DRIFT_COLUMN, columns


def _most_moved(summary: DriftSummary) -> dict[str, float]:
    distances = {name: one.score / one.threshold for name, one in summary.columns.items() if one.score is not None}
    return dict(sorted(distances.items(), key=lambda one: -one[1])[:_COLUMNS])


def _quality(state: State, quality: Quality) -> Told:
    found = {
        (*_series(series), str(horizon), window): windows[window]
        for (series, horizon), windows in quality.scores.items()
        if series in state.active
        for window in _WINDOWS
    }
    yield metrics.LIVE_SCORED, {labels: float(scores["mae"].count) for labels, scores in found.items()}
    for metric, name in ((metrics.LIVE_ERROR, "mape"), (metrics.LIVE_SKILL, "skill"), (metrics.LIVE_BRIER, "brier")):
        shown = {labels: scores[name].value for labels, scores in found.items()}
        yield metric, {labels: value for labels, value in shown.items() if value is not None}
    covered = {
        (*labels, str(percent)): scores[f"coverage_{percent}"].value
        for labels, scores in found.items()
        for percent in INTERVALS
    }
    yield metrics.LIVE_COVERAGE, {labels: value for labels, value in covered.items() if value is not None}
    pooled = {
        (*_kind(kind), str(horizon), bound): getattr(score, bound)
        for (kind, horizon), score in quality.pooled.items()
        if kind in _kinds(state)
        for bound in ("value", "lower", "upper")
    }
    yield metrics.POOLED_SKILL, {labels: value for labels, value in pooled.items() if value is not None}


def _ledger(state: State, checked: Checked | None) -> Told:
    held = {series: state.ledger.get(series) for series in state.active}
    yield metrics.LEDGER_ROWS, {_series(series): float(one.forecasts if one else 0) for series, one in held.items()}
    lag = {
        _series(series): (state.newest[series] - one.cutoff).total_seconds()
        for series, one in held.items()
        if one and series in state.newest
    }
    yield metrics.FORECAST_LAG, lag
    if checked:
        yield metrics.LEDGER_INTACT, {(): float(checked.state.intact)}
        yield metrics.LEDGER_CHECKED, {(): checked.at.timestamp()}


def _kinds(state: State) -> list[tuple[str, Interval]]:
    return list(dict.fromkeys((series.venue, series.interval) for series in state.active))


def _kind(kind: tuple[str, Interval]) -> Labels:
    return kind[0], str(kind[1])


def _series(series: Series) -> Labels:
    return series.venue, str(series.symbol), str(series.interval)
