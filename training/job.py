"""Training as a job: candles out of the store, the challenger and the decision about it back in."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import CandlecastError, ModelError, UnknownSeries
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.logs import log_context
from candlecast.market import KnownCandles, part_series
from candlecast.settings import Settings
from candlecast.sharing import Lane
from candlecast.store import candles as candle_store
from candlecast.store import evaluations, models, retraining, trials
from candlecast.store.clocks import read_clock
from candlecast.store.models import Score, Version
from candlecast.store.parts import Part
from candlecast.table import NOTHING_BUILT, Matrices
from candlecast.xgb import XGBForecaster
from training.hindsight import look_back
from training.pipeline import Challenger, ScoreRow, step_count, train

log = logging.getLogger(__name__)

Kind = tuple[str, Interval]

_SEED = 0


def train_models(run: Run, settings: Settings) -> str:
    """Train one model per venue and interval of the wanted series; return a summary sentence."""
    kinds: dict[Kind, list[Series]] = {}
    for series in run.wanted_series(settings):
        kinds.setdefault((series.venue, series.interval), []).append(series)
    waiting = _not_due(run, settings, kinds) if run.request_id is None else {}
    kinds = {kind: members for kind, members in kinds.items() if kind not in waiting}
    run.plan(sum(step_count(len(members), settings.train_trials) + 1 for members in kinds.values()))
    # The longest interval has the fewest candles: its model is there first.
    first = sorted(kinds.items(), key=lambda item: -item[0][1].seconds)
    came = _models(run, settings).share("model", {_name(kind): _task(members) for kind, members in first})
    outcomes = [f"{name} {'promoted' if promoted else 'refused'}" for name, promoted in came.items()]
    outcomes += [f"{venue} {interval} not due: {why}" for (venue, interval), why in waiting.items()]
    return ", ".join(outcomes) or "nothing trained"


def take_part(run: Run, settings: Settings) -> None:
    """Train models of a run that another process leads, until it ends."""
    _models(run, settings).take_part()


def _models(run: Run, settings: Settings) -> Lane:
    # One model at a time, in the main thread, which alone can be interrupted while it fits.
    work = partial(_train_each, run, settings)
    return Lane(run, "models", work, at_once=1, parallelism=settings.training_parallelism)


def _name(kind: Kind) -> str:
    return f"{kind[0]} {kind[1]}"


def _task(members: Sequence[Series]) -> dict[str, list[str]]:
    return {"series": list(map(str, members))}


def _train_each(run: Run, settings: Settings, parts: Sequence[Part]) -> dict[str, bool]:
    """Train models; return of those that did not fail whether they were promoted."""
    promoted = {}
    for part in parts:
        members = [Series.parse(name) for name in part.task["series"]]
        with log_context(model=part.name):
            try:
                promoted[part.name] = _train_one(run, settings, (members[0].venue, members[0].interval), members)
            except ENDS_A_RUN:
                raise
            except CandlecastError as error:
                run.fail(part.name, error)
    return promoted


def _not_due(run: Run, settings: Settings, kinds: Mapping[Kind, Sequence[Series]]) -> dict[Kind, str]:
    """Return which models a scheduled run leaves as they are, and why. Who asks for a training gets it."""
    with run.database.begin() as connection:
        decided = {
            kind: retraining.decide(connection, settings, kind, members, planned=True, run_id=run.id)
            for kind, members in kinds.items()
        }
    return {kind: decision.reason for kind, decision in decided.items() if not decision.train}


def _train_one(run: Run, settings: Settings, kind: Kind, members: Sequence[Series]) -> bool:
    with run.database.begin() as connection:
        now = read_clock(connection, kind[0]).now()
        candles = {series: _candles(connection, series) for series in members}
        parts = {part: _candles(connection, part) for part in filter(None, map(part_series, members))}
        champion = _champion(connection, kind)
    known = {part: those for part, those in parts.items() if len(those)}
    with run.interruptible():
        built = _built(settings, {s: c for s, c in candles.items() if len(c) >= settings.min_train_candles}, known)
        challenger = train(
            candles,
            settings.horizons,
            champion=champion,
            seed=_SEED,
            threads=settings.train_threads,
            minimum=settings.min_train_candles,
            progress=lambda message, done, target: run.advance(f"{kind[1]}: {message}", done=1),
            known=known,
            trials=settings.train_trials,
            built=built,
        )
    model_version = _register(run, kind, challenger, now)
    # Where a champion stays, its history is the one that is shown.
    shown = challenger.decision.promote or champion is None
    rows = _look_back(run, settings, model_version, challenger, candles, known) if shown else 0
    run.advance(f"{kind[1]}: looked back", done=1, rows=rows)
    return challenger.decision.promote


def _built(settings: Settings, candles: Mapping[Series, Candles], known: KnownCandles) -> Matrices:
    """Return the stored feature matrices that were made from these very candles, and store those that were not."""
    if settings.feature_dir is None:
        return NOTHING_BUILT
    # Reading Parquet costs more than a training without stored matrices should pay.
    from training.matrices import reuse

    parts = set(map(part_series, candles))
    return reuse(settings.feature_dir, candles, {part: those for part, those in known.items() if part in parts})


def _look_back(
    run: Run,
    settings: Settings,
    model_version: str,
    challenger: Challenger,
    candles: Mapping[Series, Candles],
    known: KnownCandles,
) -> int:
    """Write down what a version would have said before it was there; return how many forecasts that are."""
    with run.interruptible():
        found = look_back(
            challenger.forecaster,
            {series: those for series, those in candles.items() if series not in challenger.left_out},
            seed=_SEED,
            threads=settings.train_threads,
            minimum=settings.min_train_candles,
            known=known,
        )
    with run.database.begin() as connection:
        return sum(
            evaluations.record(connection, model_version, one.series, one.judged, in_sample=one.in_sample)
            for one in found
        )


def _candles(connection: Connection, series: Series) -> Candles:
    try:
        return candle_store.read(connection, series)
    except UnknownSeries:
        return Candles.empty(series.interval)


def _champion(connection: Connection, kind: Kind) -> XGBForecaster | None:
    """Load the champion; one that no longer loads cannot defend its place."""
    model_version = models.champions(connection).get(kind)
    if model_version is None:
        return None
    try:
        manifest = models.version(connection, model_version).manifest
        return XGBForecaster.from_bytes(models.read_artefacts(connection, model_version), manifest)
    except ModelError as error:
        log.warning("champion %s does not load: %s", model_version, error.message)
        return None


def _register(run: Run, kind: Kind, challenger: Challenger, now: datetime) -> str:
    decision = challenger.decision
    version = Version(
        id=f"{kind[0]}-{kind[1]}-{now:%Y%m%dT%H%MZ}-{run.id}",
        kind="xgboost",
        venue=kind[0],
        interval=kind[1],
        created_at=now,
        manifest=challenger.manifest,
        decision={"promote": decision.promote, "reason": decision.reason, "numbers": decision.numbers},
        promoted_at=None,
    )
    scores = [_score(row) for row in challenger.scores]
    with run.database.begin() as connection:
        models.register(connection, version, challenger.artefacts, scores, run.id)
        trials.record(connection, version.id, challenger.trials)
        if decision.promote:
            models.promote(connection, version, now=now, reason=decision.reason)
    log.info("%s %s: %s", version.id, "promoted" if decision.promote else "refused", decision.reason)
    return version.id


def _score(row: ScoreRow) -> Score:
    value = row.value if math.isfinite(row.value) else None
    return Score(row.series, row.horizon, row.forecaster, row.metric, value, row.count, row.start, row.end)
