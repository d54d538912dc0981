"""The `run_part` table: what the processes of a run share out among themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from candlecast.store import schema


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run: one name, such as a series, in one phase.

    `task` is JSON that says what is to be done. In each process one thread takes the parts of a `lane`.
    """

    lane: str
    phase: str
    name: str
    task: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.phase} {self.name}"


def add(connection: Connection, run_id: int, parts: Sequence[Part]) -> None:
    """Write the parts of one phase down, in the order in which they should be done."""
    rows = [
        {
            "run_id": run_id,
            "phase": part.phase,
            "name": part.name,
            "lane": part.lane,
            "position": position,
            "task": dict(part.task),
        }
        for position, part in enumerate(parts)
    ]
    connection.execute(insert(schema.run_part), rows)


def forget(connection: Connection, run_id: int) -> None:
    """Throw away the parts of all earlier runs of the same job."""
    j, p = schema.job_run.c, schema.run_part.c
    job = select(j.job).where(j.id == run_id).scalar_subquery()
    connection.execute(delete(schema.run_part).where(p.run_id < run_id, p.run_id.in_(select(j.id).where(j.job == job))))


def unfinished(
    connection: Connection, run_id: int, lane: str, *, index: int, parallelism: int, limit: int
) -> tuple[list[Part], int]:
    """Return parts of a lane that are not done, at most `limit`, and how many there are.

    Those come first that the process `index` of `parallelism` should try first: each begins with other parts, so that
    they rarely try the same.
    """
    p = schema.run_part.c
    rows = connection.execute(
        select(p.lane, p.phase, p.name, p.task, func.count().over().label("total"))
        .where(p.run_id == run_id, p.lane == lane, p.outcome.is_(None))
        .order_by(p.position % parallelism != index, p.position)
        .limit(limit)
    ).all()
    return [Part(row.lane, row.phase, row.name, row.task) for row in rows], rows[0].total if rows else 0


def begin(connection: Connection, run_id: int, parts: Sequence[Part], *, holder: str) -> dict[str, int]:
    """Note that `holder` tries parts of one phase; return how often each was tried by now, without those done already.

    The caller holds the locks of the parts, so that nobody else does them.
    """
    p = schema.run_part.c
    rows = connection.execute(
        update(schema.run_part)
        .where(
            p.run_id == run_id,
            p.phase.in_({part.phase for part in parts}),
            p.name.in_([part.name for part in parts]),
            p.outcome.is_(None),
        )
        .values(tries=p.tries + 1, holder=holder)
        .returning(p.name, p.tries)
    )
    return {row.name: row.tries for row in rows}


def finish(connection: Connection, run_id: int, phase: str, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write down what came of parts of one phase, by their names."""
    p = schema.run_part.c
    statement = (
        update(schema.run_part)
        .where(p.run_id == run_id, p.phase == phase, p.name == bindparam("part"), p.outcome.is_(None))
        .values(outcome=bindparam("came"), finished_at=func.clock_timestamp())
    )
    connection.execute(statement, [{"part": name, "came": dict(outcome)} for name, outcome in outcomes.items()])


def outcomes(connection: Connection, run_id: int, lane: str, phase: str) -> dict[str, Mapping[str, Any]]:
    """Return what came of the parts of a phase that are done, by name, in their order."""
    p = schema.run_part.c
    rows = connection.execute(
        select(p.name, p.outcome)
        .where(p.run_id == run_id, p.lane == lane, p.phase == phase, p.outcome.is_not(None))
        .order_by(p.position)
    )
    return {row.name: row.outcome for row in rows}
