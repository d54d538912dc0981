"""The `run_request` and `job_run` tables: what was asked for, and what happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, false, func, literal, or_, select, text, true, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from candlecast.store import schema
from candlecast.store.database import REQUEST_CHANNEL, notify

MOST_TRIES = 5
"""How often a request is run before a temporary failure counts as its end."""

_NEWEST_LINES = text("'$[last - 4 to last]'::jsonpath")


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, or a request that waits (then `id` is None and the state is `queued`)."""

    id: int | None
    request_id: int | None
    job: str
    state: str
    parameters: Mapping[str, Any]
    requested_by: str | None
    requested_at: datetime | None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    heartbeat_at: datetime | None = None
    holder: str | None = None
    done: int = 0
    failed: int = 0
    target: int | None = None
    rows: int = 0
    message: str | None = None
    exit_code: int | None = None
    error_code: str | None = None
    error: str | None = None
    reason: str | None = None
    """What the retraining trigger decided that it is about."""
    log: tuple[Mapping[str, str], ...] = ()
    """Its newest lines, oldest first: in a list of runs a few, of one run all that are kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the list of requests and runs: that of a request that waits, or, behind all of them, of a run."""

    waits: bool
    number: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that a run took on."""

    request_id: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Counts:
    """Finished steps, planned steps (None before there is a plan) and written rows."""

    done: int = 0
    target: int | None = None
    rows: int = 0

    def __add__(self, more: Counts) -> Counts:
        targets = [target for target in (self.target, more.target) if target is not None]
        return Counts(self.done + more.done, sum(targets) if targets else None, self.rows + more.rows)


@dataclass(frozen=True, slots=True)
class Standing:
    """What all processes of a run have counted by now, and whether somebody asked that it stops."""

    counts: Counts
    cancelled: bool


def ask(connection: Connection, job: str, parameters: Mapping[str, Any], *, requested_by: str) -> int:
    """Ask for a run of `job`; return the request's id."""
    statement = (
        insert(schema.run_request)
        .values(job=job, parameters=dict(parameters), requested_by=requested_by)
        .returning(schema.run_request.c.id)
    )
    number: int = connection.execute(statement).scalar_one()
    notify(connection, REQUEST_CHANNEL, job)
    return number


def waiting(connection: Connection) -> dict[str, int]:
    """Return how many requests of each job nobody has claimed."""
    r = schema.run_request.c
    unclaimed = select(r.job, func.count().label("waiting")).where(r.claimed_at.is_(None), ~r.cancel)
    rows = connection.execute(unclaimed.group_by(r.job).order_by(func.min(r.id)))
    return {row.job: row.waiting for row in rows}


def claim(connection: Connection, job: str) -> Claim | None:
    """Take the oldest unclaimed request of `job`, if there is one; two runs never take the same."""
    r = schema.run_request.c
    oldest = (
        select(r.id)
        .where(r.job == job, r.claimed_at.is_(None), ~r.cancel)
        .order_by(r.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = connection.execute(
        update(schema.run_request)
        .where(r.id == oldest)
        .values(claimed_at=func.clock_timestamp())
        .returning(r.id, r.parameters)
    ).first()
    return Claim(row.id, row.parameters) if row else None


def cancel(connection: Connection, request_id: int) -> None:
    """Ask that the run of this request stops after its current step; a waiting request is never started."""
    r = schema.run_request.c
    connection.execute(update(schema.run_request).where(r.id == request_id).values(cancel=true()))


def close_lost(connection: Connection, job: str) -> None:
    """Close the row of a run whose process died, and let its request be claimed again.

    The caller holds the job's lock, so a row of that job that still says running belongs to nobody.
    """
    j = schema.job_run.c
    lost = connection.execute(
        update(schema.job_run)
        .where(j.job == job, j.state == "running")
        .values(state="failed", finished_at=func.clock_timestamp(), error_code="lost", error="the process vanished")
        .returning(j.request_id)
    ).scalars()
    for request_id in lost.all():
        if request_id is not None:
            give_back(connection, request_id)


def give_back(connection: Connection, request_id: int) -> None:
    """Let a request be claimed again, unless it was cancelled or has been tried `MOST_TRIES` times."""
    r, j = schema.run_request.c, schema.job_run.c
    tries = select(func.count()).where(j.request_id == request_id).scalar_subquery()
    connection.execute(
        update(schema.run_request).where(r.id == request_id, ~r.cancel, tries < MOST_TRIES).values(claimed_at=None)
    )


def start(connection: Connection, job: str, claimed: Claim | None, *, holder: str) -> int:
    """Write the row of a run that begins; return its id."""
    j = schema.job_run.c
    statement = (
        insert(schema.job_run)
        .values(
            job=job,
            request_id=claimed.request_id if claimed else None,
            parameters=dict(claimed.parameters) if claimed else {},
            state="running",
            holder=holder,
        )
        .returning(j.id)
    )
    number: int = connection.execute(statement).scalar_one()
    return number


def report(connection: Connection, run_id: int, more: Counts, *, failed: int, message: str | None) -> Standing | None:
    """Add to a run's counters, and write down what its leader says of it; None when its row is closed already."""
    return _add(connection, run_id, more, {"failed": failed, "message": message})


def contribute(connection: Connection, run_id: int, more: Counts) -> Standing | None:
    """Add to the counters of a run that another process leads; None when its row is closed already."""
    return _add(connection, run_id, more, {})


def _add(connection: Connection, run_id: int, more: Counts, said: Mapping[str, Any]) -> Standing | None:
    j, r = schema.job_run.c, schema.run_request.c
    values: dict[str, Any] = {"done": j.done + more.done, "rows": j.rows + more.rows, **said}
    if more.target is not None:
        values["target"] = func.coalesce(j.target, 0) + more.target
    row = connection.execute(
        update(schema.job_run)
        .where(j.id == run_id, j.state == "running")
        .values(heartbeat_at=func.clock_timestamp(), **values)
        .returning(j.request_id, j.done, j.target, j.rows)
    ).first()
    if row is None:
        return None
    cancelled = connection.execute(select(r.cancel).where(r.id == row.request_id)).scalar()
    return Standing(Counts(row.done, row.target, row.rows), bool(cancelled))


def keep_log(connection: Connection, run_id: int, lines: Sequence[Mapping[str, str]]) -> None:
    """Keep these lines as those that a run logged last; each has `at`, `level` and `message`."""
    statement = insert(schema.run_log).values(run_id=run_id, lines=list(lines))
    connection.execute(
        statement.on_conflict_do_update(index_elements=["run_id"], set_={"lines": statement.excluded.lines})
    )


def finish(
    connection: Connection,
    run_id: int,
    *,
    state: str,
    exit_code: int,
    message: str | None = None,
    error_code: str | None = None,
    error: str | None = None,
) -> None:
    """Close a run's row, unless another run has closed it as lost."""
    values: dict[str, Any] = {"state": state, "exit_code": exit_code, "error_code": error_code, "error": error}
    if message is not None:
        values["message"] = message
    j = schema.job_run.c
    connection.execute(
        update(schema.job_run)
        .where(j.id == run_id, j.state == "running")
        .values(finished_at=func.clock_timestamp(), **values)
    )


def running(connection: Connection, job: str) -> RunRow | None:
    """Return the run of `job` that holds its lock, as far as the table knows."""
    j = schema.job_run.c
    row = connection.execute(_runs().where(j.job == job, j.state == "running").order_by(j.id.desc()).limit(1)).first()
    return _run(row) if row else None


def newest(connection: Connection, job: str) -> RunRow | None:
    """Return the run of `job` that began last, ended or not."""
    j = schema.job_run.c
    row = connection.execute(_runs().where(j.job == job).order_by(j.id.desc()).limit(1)).first()
    return _run(row) if row else None


def last_success(connection: Connection, job: str) -> datetime | None:
    """Return when the newest successful run of `job` started."""
    j = schema.job_run.c
    return connection.execute(select(func.max(j.started_at)).where(j.job == job, j.state == "succeeded")).scalar()


def recent(
    connection: Connection,
    *,
    limit: int,
    job: str | None = None,
    request_id: int | None = None,
    before: Place | None = None,
) -> list[RunRow]:
    """Return waiting requests and then runs, both newest first; only those that come after the place `before`."""
    j, r = schema.job_run.c, schema.run_request.c
    reason = _reason(schema.retraining_decision.c.request_id == r.id)
    queued = (
        select(schema.run_request, reason).where(r.claimed_at.is_(None), ~r.cancel).order_by(r.id.desc()).limit(limit)
    )
    runs = _runs().order_by(j.id.desc()).limit(limit)
    if job is not None:
        queued, runs = queued.where(r.job == job), runs.where(j.job == job)
    if request_id is not None:
        queued, runs = queued.where(r.id == request_id), runs.where(j.request_id == request_id)
    if before is not None and before.waits:
        queued = queued.where(r.id < before.number)
    elif before is not None:
        queued, runs = queued.where(false()), runs.where(j.id < before.number)
    return [*map(_waiting, connection.execute(queued)), *map(_run, connection.execute(runs))][:limit]


def run(connection: Connection, run_id: int) -> RunRow | None:
    """Return one run."""
    row = connection.execute(_runs(schema.run_log.c.lines).where(schema.job_run.c.id == run_id)).first()
    return _run(row) if row else None


def _runs(log: ColumnElement[Any] | None = None) -> Any:
    """Select runs with their newest lines, or with `log`."""
    if log is None:
        log = func.jsonb_path_query_array(schema.run_log.c.lines, _NEWEST_LINES)
    r, j, d = schema.run_request.c, schema.job_run.c, schema.retraining_decision.c
    reason = _reason(or_(d.run_id == j.id, d.request_id == j.request_id))
    return (
        select(schema.job_run, r.requested_by, r.requested_at, reason, log.label("log"))
        .outerjoin(schema.run_request, r.id == j.request_id)
        .outerjoin(schema.run_log, schema.run_log.c.run_id == j.id)
    )


def _reason(about: ColumnElement[bool]) -> Any:
    d = schema.retraining_decision.c
    words = d.venue + " " + d.interval + ": " + d.reason
    joined = func.string_agg(words, aggregate_order_by(literal("; "), d.id))
    return select(joined).where(about).scalar_subquery().label("reason")


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


def _run(row: Row[Any]) -> RunRow:
    return RunRow(
        id=row.id,
        request_id=row.request_id,
        job=row.job,
        state=row.state,
        parameters=row.parameters,
        requested_by=row.requested_by,
        requested_at=_utc(row.requested_at),
        started_at=_utc(row.started_at),
        finished_at=_utc(row.finished_at),
        heartbeat_at=_utc(row.heartbeat_at),
        holder=row.holder,
        done=row.done,
        failed=row.failed,
        target=row.target,
        rows=row.rows,
        message=row.message,
        exit_code=row.exit_code,
        error_code=row.error_code,
        error=row.error,
        reason=row.reason,
        log=tuple(row.log or ()),
    )


def _waiting(row: Row[Any]) -> RunRow:
    return RunRow(
        None, row.id, row.job, "queued", row.parameters, row.requested_by, _utc(row.requested_at), reason=row.reason
    )
