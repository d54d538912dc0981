"""The `retraining_decision` table: when it was decided to train again, and what such a decision has to know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Interval, Series
from candlecast.retraining import LiveSkill, RetrainingDecision, RetrainingPolicy, RetrainingState, decide_retraining
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store import drift, live, runs, schema
from candlecast.store.clocks import read_clock

Kind = tuple[str, Interval]

ASKER = "retraining"
"""Who asks for a training that live skill, drift or age calls for."""

_SKILL_WINDOW = timedelta(days=7)
_DAY = timedelta(days=1)


def policy(settings: Settings) -> RetrainingPolicy:
    """Return the policy of the settings."""
    return RetrainingPolicy(
        minimum_hours=settings.retrain_minimum_hours,
        maximum_hours=settings.retrain_maximum_hours,
        daily_budget=settings.retrain_daily_budget,
    )


def decide(
    connection: Connection,
    settings: Settings,
    kind: Kind,
    members: Sequence[Series],
    *,
    planned: bool = False,
    run_id: int | None = None,
) -> RetrainingDecision:
    """Decide whether the model of a venue and interval is trained now, and write that down.

    `members` are the series that it is trained on; `planned` says that the schedule's moment has come, `run_id` which
    run it is about.
    """
    state = replace(_state(connection, kind, members, min(settings.horizons)), planned=planned)
    decision = decide_retraining(state, policy(settings))
    connection.execute(
        insert(schema.retraining_decision).values(
            venue=kind[0],
            interval=str(kind[1]),
            train=decision.train,
            reason=decision.reason,
            ringing=sorted(decision.ringing),
            numbers=decision.numbers,
            decided_at=state.now,
            run_id=run_id,
        )
    )
    return decision


def ask_where_due(connection: Connection, settings: Settings, kinds: Sequence[Kind]) -> dict[Kind, RetrainingDecision]:
    """Ask for one training of the models among `kinds` that need it now; return what was decided about each.

    Nothing is decided about a model that was never trained, which is the schedule's task, nor while a training waits
    or goes on.
    """
    if runs.waiting(connection).get("training") or runs.running(connection, "training"):
        return {}
    members: dict[Kind, list[Series]] = {}
    for series in candle_store.active_series(connection, settings.series):
        members.setdefault((series.venue, series.interval), []).append(series)
    trained = [kind for kind in kinds if kind in members and _trained_at(connection, kind)]
    decided = {kind: decide(connection, settings, kind, members[kind]) for kind in trained}
    due = [kind for kind, decision in decided.items() if decision.train]
    if due:
        wanted = [str(series) for kind in due for series in members[kind]]
        request = runs.ask(connection, "training", {"series": wanted}, requested_by=ASKER)
        _belongs_to(connection, due, request)
    return decided


def _state(connection: Connection, kind: Kind, members: Sequence[Series], horizon: int) -> RetrainingState:
    now = read_clock(connection, kind[0]).now()
    trained_at = _trained_at(connection, kind)
    return RetrainingState(
        now=now,
        trained_at=trained_at,
        trainings=_trainings(connection, kind, now - _DAY),
        skill=_live_skill(connection, members, horizon),
        drift_share=_drift_share(connection, kind, trained_at),
        ringing=_ringing(connection, kind),
    )


def _trained_at(connection: Connection, kind: Kind) -> datetime | None:
    """Return when the model was last trained, or last decided to be: a training may have failed."""
    m, d = schema.model_version.c, schema.retraining_decision.c
    trained = select(func.max(m.created_at)).where(m.venue == kind[0], m.interval == str(kind[1]))
    decided = select(func.max(d.decided_at)).where(d.venue == kind[0], d.interval == str(kind[1]), d.train)
    found = [connection.execute(query).scalar() for query in (trained, decided)]
    return max((one.astimezone(UTC) for one in found if one), default=None)


def _trainings(connection: Connection, kind: Kind, since: datetime) -> int:
    m, d = schema.model_version.c, schema.retraining_decision.c
    made = select(func.count()).where(m.venue == kind[0], m.interval == str(kind[1]), m.created_at > since)
    tried = select(func.count()).where(d.venue == kind[0], d.interval == str(kind[1]), d.train, d.decided_at > since)
    return max(int(connection.execute(query).scalar_one()) for query in (made, tried))


def _live_skill(connection: Connection, members: Sequence[Series], horizon: int) -> LiveSkill | None:
    newest = candle_store.newest_close_times(connection)
    ends = [newest[series] for series in members if series in newest]
    if not ends:
        return None
    found = live.pooled_skill(connection, members, horizon, max(ends), _SKILL_WINDOW)
    if found.value is None or found.lower is None or found.upper is None:
        return None
    return LiveSkill(found.value, found.lower, found.upper, found.count)


def _drift_share(connection: Connection, kind: Kind, trained_at: datetime | None) -> float | None:
    """Return the drift since the last training; a report from before it says nothing about the model of now."""
    report = drift.newest(connection).get(kind)
    if report is None or (trained_at and report.created_at <= trained_at):
        return None
    return report.summary.share


def _ringing(connection: Connection, kind: Kind) -> frozenset[str]:
    d = schema.retraining_decision.c
    newest = select(d.ringing).where(d.venue == kind[0], d.interval == str(kind[1])).order_by(d.id.desc()).limit(1)
    return frozenset(connection.execute(newest).scalar() or ())


def _belongs_to(connection: Connection, kinds: Sequence[Kind], request: int) -> None:
    d = schema.retraining_decision.c
    for venue, interval in kinds:
        newest = select(func.max(d.id)).where(d.venue == venue, d.interval == str(interval)).scalar_subquery()
        connection.execute(update(schema.retraining_decision).where(d.id == newest).values(request_id=request))
