"""The `trial` table: settings that a training tried before it fitted a version, and how they scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from candlecast.store import schema


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: `parameters` in place of the recipe's, `scores` on what came after its fit and before the hold-out.

    Number 0 is the recipe as it is. `chosen` is what the version was then fitted with.
    """

    number: int
    parameters: Mapping[str, float]
    seed: int
    scores: Mapping[str, float]
    seconds: float
    chosen: bool


def record(connection: Connection, model_version: str, trials: Sequence[Trial]) -> None:
    """Write the trials of a version down."""
    rows = [
        {
            "model_version": model_version,
            "number": one.number,
            "parameters": dict(one.parameters),
            "seed": one.seed,
            "scores": dict(one.scores),
            "seconds": one.seconds,
            "chosen": one.chosen,
        }
        for one in trials
    ]
    if rows:
        connection.execute(insert(schema.trial), rows)


def read(connection: Connection, model_version: str) -> list[Trial]:
    """Return the trials of a version in their order; none where its training tried none."""
    t = schema.trial.c
    rows = connection.execute(
        select(t.number, t.parameters, t.seed, t.scores, t.seconds, t.chosen)
        .where(t.model_version == model_version)
        .order_by(t.number)
    )
    return [Trial(*row) for row in rows]
