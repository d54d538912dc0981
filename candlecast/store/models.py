"""The registry: `model_version`, `model_artifact`, `champion` and `evaluation`. Artefacts are bytes, never pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Interval, Series
from candlecast.errors import ArtifactCorrupt, NotFound
from candlecast.store import schema
from candlecast.store.candles import add_series
from candlecast.store.database import CHAMPION_CHANNEL, notify

NAIVE = "naive"
"""The baseline's model version: it has no artefact and answers where there is no champion."""

_CHALLENGERS = text(
    """
    SELECT DISTINCT ON (m.venue, m.interval) m.venue, m.interval, m.id
    FROM model_version m
    LEFT JOIN champion c ON (c.venue, c.interval) = (m.venue, m.interval)
    LEFT JOIN model_version answering ON answering.id = c.model_version
    WHERE m.venue IS NOT NULL AND jsonb_typeof(m.decision) = 'object' AND m.id IS DISTINCT FROM c.model_version
      AND (answering.id IS NULL OR (m.recorded_at, m.id) > (answering.recorded_at, answering.id))
      AND EXISTS (SELECT FROM model_artifact a WHERE a.model_version = m.id)
    ORDER BY m.venue, m.interval, m.recorded_at DESC, m.id DESC
    """
)


@dataclass(frozen=True, slots=True)
class Version:
    """A model version; `promoted_at` is None unless it is the champion of its venue and interval now."""

    id: str
    kind: str
    venue: str | None
    interval: Interval | None
    created_at: datetime
    manifest: Mapping[str, Any]
    decision: Mapping[str, Any] | None
    promoted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Score:
    """One number of an evaluation: `metric` of `forecaster` over `count` forecasts with start <= cutoff < end."""

    series: Series
    horizon: int
    forecaster: str
    metric: str
    value: float | None
    count: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Promotion:
    """What made a model version champion; one that is promoted anew has another `recorded_at`."""

    model_version: str
    recorded_at: datetime


def register_naive(connection: Connection) -> None:
    """Make sure that the baseline has its row, so that the ledger can name it."""
    connection.execute(
        insert(schema.model_version)
        .values(id=NAIVE, kind="naive", created_at=datetime(1970, 1, 1, tzinfo=UTC), manifest={})
        .on_conflict_do_nothing()
    )


def register(
    connection: Connection,
    version: Version,
    artefacts: Mapping[str, bytes],
    scores: Sequence[Score],
    run_id: int | None = None,
) -> None:
    """Store a new model version with its bytes and its scores."""
    connection.execute(
        insert(schema.model_version).values(
            id=version.id,
            kind=version.kind,
            venue=version.venue,
            interval=str(version.interval) if version.interval else None,
            created_at=version.created_at,
            manifest=dict(version.manifest),
            decision=dict(version.decision) if version.decision else None,
            run_id=run_id,
        )
    )
    for name, content in artefacts.items():
        connection.execute(
            insert(schema.model_artifact).values(
                model_version=version.id, name=name, sha256=hashlib.sha256(content).digest(), content=content
            )
        )
    ids = add_series(connection, {score.series for score in scores})
    rows = [_score_row(version.id, ids[score.series], score) for score in scores]
    if rows:
        connection.execute(insert(schema.evaluation), rows)


def promote(connection: Connection, version: Version, *, now: datetime, reason: str) -> None:
    """Make `version` the champion of its venue and interval, and tell the service."""
    values = {"model_version": version.id, "promoted_at": now, "reason": reason}
    connection.execute(
        insert(schema.champion)
        .values(venue=version.venue, interval=str(version.interval), **values)
        .on_conflict_do_update(
            index_elements=["venue", "interval"], set_={**values, "recorded_at": func.clock_timestamp()}
        )
    )
    notify(connection, CHAMPION_CHANNEL, f"{version.venue}:{version.interval}")


def champions(connection: Connection) -> dict[tuple[str, Interval], str]:
    """Return the champions' ids by venue and interval."""
    c = schema.champion.c
    rows = connection.execute(select(c.venue, c.interval, c.model_version))
    return {(row.venue, Interval(row.interval)): row.model_version for row in rows}


def promotions(connection: Connection) -> dict[tuple[str, Interval], Promotion]:
    """Return what made the champions champions, by venue and interval."""
    c = schema.champion.c
    rows = connection.execute(select(c.venue, c.interval, c.model_version, c.recorded_at))
    return {(row.venue, Interval(row.interval)): Promotion(row.model_version, row.recorded_at) for row in rows}


def challengers(connection: Connection) -> dict[tuple[str, Interval], str]:
    """Return by venue and interval the newest model version that was judged and is not the champion.

    None that was registered before the champion, and none whose artefacts are gone.
    """
    rows = connection.execute(_CHALLENGERS)
    return {(row.venue, Interval(row.interval)): row.id for row in rows}


def newest_training(connection: Connection) -> dict[str, datetime]:
    """Return for each venue when, by its clock, the interval that was trained longest ago was trained."""
    m = schema.model_version.c
    newest = (
        select(m.venue, func.max(m.created_at).label("created_at"))
        .where(m.venue.is_not(None))
        .group_by(m.venue, m.interval)
        .subquery()
    )
    rows = connection.execute(select(newest.c.venue, func.min(newest.c.created_at)).group_by(newest.c.venue))
    return {venue: created_at.astimezone(UTC) for venue, created_at in rows}


def versions(
    connection: Connection,
    *,
    limit: int | None = None,
    kind: tuple[str, Interval] | None = None,
    before: str | None = None,
) -> list[Version]:
    """Return model versions, newest first; only of one venue and interval, only those registered before `before`.

    Raises NotFound where there is no version `before`.
    """
    m = schema.model_version.c
    query = _versions().order_by(m.recorded_at.desc(), m.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(m.venue == kind[0], m.interval == str(kind[1]))
    if before is not None:
        last = connection.execute(select(m.recorded_at).where(m.id == version(connection, before).id)).scalar_one()
        query = query.where(tuple_(m.recorded_at, m.id) < (last, before))
    return [_version(row) for row in connection.execute(query)]


def version(connection: Connection, model_version: str) -> Version:
    """Return one model version; raise NotFound."""
    row = connection.execute(_versions().where(schema.model_version.c.id == model_version)).first()
    if row is None:
        raise NotFound(f"no such model version: {model_version}; GET /v1/models lists them")
    return _version(row)


def scores(connection: Connection, model_versions: Sequence[str]) -> dict[str, list[Score]]:
    """Return the hold-out scores of some model versions by id."""
    e, s = schema.evaluation.c, schema.series.c
    rows = connection.execute(
        select(schema.evaluation, s.venue, s.symbol, s.interval)
        .join(schema.series, s.id == e.series_id)
        .where(e.model_version.in_(model_versions))
        .order_by(s.symbol, e.horizon, e.forecaster, e.metric)
    ).mappings()
    found: dict[str, list[Score]] = {name: [] for name in model_versions}
    for row in rows:
        series = Series.parse(f"{row['venue']}:{row['symbol']}:{row['interval']}")
        score = Score(
            series,
            **{name: row[name] for name in ("horizon", "forecaster", "metric", "value", "count")},
            start=row["start_time"].astimezone(UTC),
            end=row["end_time"].astimezone(UTC),
        )
        found[row["model_version"]].append(score)
    return found


def read_artefacts(connection: Connection, model_version: str) -> dict[str, bytes]:
    """Return a version's artefacts by name; raise ArtifactCorrupt when the bytes are not those that were registered."""
    a = schema.model_artifact.c
    rows = connection.execute(select(a.name, a.sha256, a.content).where(a.model_version == model_version))
    artefacts = {}
    for row in rows:
        content = bytes(row.content)
        if hashlib.sha256(content).digest() != bytes(row.sha256):
            raise ArtifactCorrupt(f"{row.name} of {model_version} has changed since it was registered; train again")
        artefacts[row.name] = content
    return artefacts


def _versions() -> Any:
    m, c = schema.model_version.c, schema.champion.c
    return select(schema.model_version, c.promoted_at).outerjoin(
        schema.champion, and_(c.model_version == m.id, c.venue == m.venue, c.interval == m.interval)
    )


def _version(row: Row[Any]) -> Version:
    return Version(
        id=row.id,
        kind=row.kind,
        venue=row.venue,
        interval=Interval(row.interval) if row.interval else None,
        created_at=row.created_at.astimezone(UTC),
        manifest=row.manifest,
        decision=row.decision,
        promoted_at=row.promoted_at.astimezone(UTC) if row.promoted_at else None,
    )


def _score_row(model_version: str, number: int, score: Score) -> dict[str, object]:
    return {
        "model_version": model_version,
        "series_id": number,
        "horizon": score.horizon,
        "forecaster": score.forecaster,
        "metric": score.metric,
        "value": score.value,
        "count": score.count,
        "start_time": score.start,
        "end_time": score.end,
    }
