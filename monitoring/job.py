"""The drift job: windows out of the store, a report per venue and interval back in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from candlecast.candles import Candles, Interval, Series
from candlecast.drift import DriftSummary, Window
from candlecast.errors import CandlecastError, Interrupted, ModelError, NotEnoughCandles
from candlecast.features import WINDOW
from candlecast.jobs import Run
from candlecast.logs import log_context
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import drift as reports
from candlecast.store import models, retraining
from candlecast.store.candles import Extent
from candlecast.store.clocks import read_clock
from candlecast.store.drift import Report
from candlecast.xgb import XGBForecaster
from monitoring.drift import compare
from monitoring.pooling import calibrated_thresholds, compared_rows
from monitoring.thresholds import Thresholds, by_rule_of_thumb
from monitoring.windows import Rows, choose_windows, lead_in, null_past

log = logging.getLogger(__name__)

Kind = tuple[str, Interval]

PAGE_EVERY = timedelta(days=1)
"""A new page of a kind, when drift does not ask for one earlier."""

CALIBRATE_EVERY = timedelta(days=1)
"""New thresholds for a model; a new model gets its own at once. They cost more than the comparison does."""

_STEPS = 3


class _Champion:
    """The model whose training window is the reference."""

    def __init__(self, model_version: str, forecaster: XGBForecaster) -> None:
        self.id = model_version
        self.forecaster = forecaster

    @property
    def trained(self) -> tuple[datetime, datetime]:
        windows = [facts for facts in self.forecaster.manifest["training"].values() if facts["candles"]]
        start = min(datetime.fromisoformat(facts["start"]) for facts in windows)
        return start + WINDOW * self.forecaster.interval.delta, self.forecaster.trained_until


@dataclass(frozen=True, slots=True)
class _Sight:
    """What is compared at `now`, by the venue's clock, and the thresholds for it."""

    now: datetime
    windows: tuple[Window, Window]
    reference: Rows
    current: Rows
    limits: Thresholds
    model_version: str | None


def watch_drift(run: Run, settings: Settings) -> str:
    """Compare each venue's intervals, as far as the run's parameters name them; return a summary sentence."""
    kinds: dict[Kind, list[Series]] = {}
    for series in run.wanted_series(settings):
        kinds.setdefault((series.venue, series.interval), []).append(series)
    run.plan(_STEPS * len(kinds))
    outcomes = []
    for kind, members in sorted(kinds.items(), key=lambda item: -item[0][1].seconds):
        name = f"{kind[0]} {kind[1]}"
        with log_context(drift=name):
            try:
                summary = _watch_one(run, kind, members)
                outcomes.append(f"{name} {summary.share:.0%}{' drifted' if summary.drifted else ''}")
            except Interrupted:
                raise
            except CandlecastError as error:
                run.fail(name, error)
    outcomes += _ask_for_training(run, settings, list(kinds))
    return ", ".join(outcomes) or "nothing compared"


def _ask_for_training(run: Run, settings: Settings, kinds: Sequence[Kind]) -> list[str]:
    """Ask for what drift, live skill or age call for; return whose training was asked for, and why."""
    with run.database.begin() as connection:
        decided = retraining.ask_where_due(connection, settings, kinds)
    due = {kind: decision.reason for kind, decision in decided.items() if decision.train}
    return [f"asked for training of {venue} {interval}: {why}" for (venue, interval), why in due.items()]


def _watch_one(run: Run, kind: Kind, members: Sequence[Series]) -> DriftSummary:
    name = f"{kind[0]} {kind[1]}"
    sight = _look(run, kind, members)  # candles and champion are let go before Evidently takes its memory
    with run.database.begin() as connection:
        before = reports.newest(connection).get(kind)
        paged = reports.newest_page(connection, kind)
    with run.interruptible():
        reference, current, limits = sight.reference.columns, sight.current.columns, sight.limits
        summary = compare(reference, current, limits.columns)
        news = summary.drifted and not (before and before.summary.drifted)
        if news or paged is None or sight.now - paged >= PAGE_EVERY:
            summary = compare(reference, current, limits.columns, with_page=True)
        summary = replace(summary, calibration=limits.calibration)
    with run.database.begin() as connection:
        reports.record(
            connection,
            kind,
            summary,
            reference=replace(sight.windows[0], rows=len(sight.reference)),
            current=replace(sight.windows[1], rows=len(sight.current)),
            model_version=sight.model_version,
            now=sight.now,
            run_id=run.id,
        )
    run.advance(f"{name}: {summary.share:.0%} drifted", done=1, rows=1)
    _tell(summary)
    return summary


def _look(run: Run, kind: Kind, members: Sequence[Series]) -> _Sight:
    """Read the candles, and make of them what is compared and the thresholds for it."""
    name = f"{kind[0]} {kind[1]}"
    with run.database.begin() as connection:
        now = read_clock(connection, kind[0]).now()
        champion = _champion(connection, kind)
        first, newest = _stored(connection, kind, members)
        windows = choose_windows(kind[1], first=first, newest=newest, trained=champion.trained if champion else None)
        past = null_past(kind[1], first=first, reference=windows[0])
        known = _known_thresholds(reports.newest(connection).get(kind), champion, now)
        oldest = windows[0] if known else min(past, windows[0], key=lambda window: window.start)
        candles = {series: _read(connection, series, oldest, windows[1]) for series in members}
    run.advance(f"{name}: candles read", done=1)
    with run.interruptible():
        forecaster = champion.forecaster if champion else None
        reference, current = compared_rows(candles, windows, forecaster)
        limits = known or calibrated_thresholds(candles, past, windows, forecaster, now)
        limits = limits or by_rule_of_thumb(reference)
    run.advance(f"{name}: {len(reference)} and {len(current)} rows", done=1)
    return _Sight(now, windows, reference, current, limits, champion.id if champion else None)


def _known_thresholds(before: Report | None, champion: _Champion | None, now: datetime) -> Thresholds | None:
    """Return the thresholds of the report before, where they were calibrated for this model within the last day."""
    if before is None or before.model_version != (champion.id if champion else None):
        return None
    found, columns = before.summary.calibration, before.summary.columns
    if found is None or now - found.made_at >= CALIBRATE_EVERY:
        return None
    return Thresholds({name: column.threshold for name, column in columns.items()}, found)


def _champion(connection: Connection, kind: Kind) -> _Champion | None:
    """Load the champion; one that does not load cannot say what it expects."""
    model_version = models.champions(connection).get(kind)
    if model_version is None:
        return None
    try:
        manifest = models.version(connection, model_version).manifest
        return _Champion(
            model_version, XGBForecaster.from_bytes(models.read_artefacts(connection, model_version), manifest)
        )
    except ModelError as error:
        log.warning("champion %s does not load: %s", model_version, error.message)
        return None


def _stored(connection: Connection, kind: Kind, members: Sequence[Series]) -> tuple[datetime, datetime]:
    """Return the first and the newest cutoff that have features."""
    stored = [(e.first_open_time, e.last_open_time) for e in candle_store.extents(connection) if _has(e, members)]
    known = [(first, last) for first, last in stored if first and last]
    if not known:
        raise NotEnoughCandles(f"no candles of {kind[0]} {kind[1]} yet; run ingestion first", have=0, need=WINDOW)
    first, last = min(first for first, _ in known), max(last for _, last in known)
    return first + WINDOW * kind[1].delta, last + kind[1].delta


def _has(extent: Extent, members: Sequence[Series]) -> bool:
    return extent.series in members and extent.candles > 0


def _read(connection: Connection, series: Series, oldest: Window, newest: Window) -> Candles:
    if series not in candle_store.series_ids(connection):
        return Candles.empty(series.interval)
    return candle_store.read(connection, series, start=lead_in(oldest, series.interval), end=newest.end)


def _tell(summary: DriftSummary) -> None:
    moved = {name: round(one.score, 3) for name, one in summary.columns.items() if one.drifted and one.score}
    empty = [name for name, one in summary.columns.items() if one.score is None]
    log.info(
        "%d of %d columns drifted",
        len(moved),
        len(summary.columns),
        extra={"fields": {"moved": moved} | ({"empty": empty} if empty else {})},
    )
