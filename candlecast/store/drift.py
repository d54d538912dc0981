"""The `drift_report` table: how far features and forecasts have moved, and the pages that show it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from candlecast.candles import Interval
from candlecast.drift import Calibration, ColumnDrift, DriftSummary, Window
from candlecast.errors import NotFound
from candlecast.store import schema

PAGES_KEPT = 30
"""Pages kept of each venue and interval; scores are kept of every report."""


@dataclass(frozen=True, slots=True)
class Report:
    """One comparison of a reference with a current window; the summary comes without its page."""

    id: int
    venue: str
    interval: Interval
    model_version: str | None
    created_at: datetime
    reference: Window
    current: Window
    summary: DriftSummary
    has_page: bool


def record(
    connection: Connection,
    kind: tuple[str, Interval],
    summary: DriftSummary,
    *,
    reference: Window,
    current: Window,
    model_version: str | None,
    now: datetime,
    run_id: int | None = None,
) -> int:
    """Write one report down, with its page where the summary has one; return its id. `now` is the venue's clock."""
    scores = {name: {"score": one.score, "threshold": one.threshold} for name, one in summary.columns.items()}
    number: int = connection.execute(
        insert(schema.drift_report)
        .values(
            venue=kind[0],
            interval=str(kind[1]),
            model_version=model_version,
            run_id=run_id,
            created_at=now,
            **{f"reference_{name}": getattr(reference, name) for name in ("start", "end", "rows")},
            **{f"current_{name}": getattr(current, name) for name in ("start", "end", "rows")},
            method=summary.method,
            share=summary.share,
            drifted=summary.drifted,
            scores=scores,
            calibration=_facts(summary.calibration) if summary.calibration else None,
            html=gzip.compress(summary.html.encode(), mtime=0) if summary.html is not None else None,
        )
        .returning(schema.drift_report.c.id)
    ).scalar_one()
    if summary.html is not None:
        _drop_old_pages(connection, kind)
    return number


def reports(
    connection: Connection,
    *,
    limit: int,
    venue: str | None = None,
    interval: Interval | None = None,
    before: int | None = None,
) -> list[Report]:
    """Return reports, newest first; only those before the report `before`."""
    d = schema.drift_report.c
    query = _reports().order_by(d.id.desc()).limit(limit)
    if venue is not None:
        query = query.where(d.venue == venue)
    if interval is not None:
        query = query.where(d.interval == str(interval))
    if before is not None:
        query = query.where(d.id < before)
    return [_report(row) for row in connection.execute(query)]


def newest(connection: Connection) -> dict[tuple[str, Interval], Report]:
    """Return the newest report of each venue and interval."""
    d = schema.drift_report.c
    ids = select(func.max(d.id)).group_by(d.venue, d.interval)
    found = [_report(row) for row in connection.execute(_reports().where(d.id.in_(ids)))]
    return {(report.venue, report.interval): report for report in found}


def newest_page(connection: Connection, kind: tuple[str, Interval]) -> datetime | None:
    """Return when, by the venue's clock, the newest page of a venue and interval was made."""
    d = schema.drift_report.c
    made = connection.execute(
        select(d.created_at)
        .where(d.venue == kind[0], d.interval == str(kind[1]), d.html.is_not(None))
        .order_by(d.id.desc())
        .limit(1)
    ).scalar()
    return made.astimezone(UTC) if made else None


def newest_watch(connection: Connection) -> dict[str, datetime]:
    """Return for each venue when, by its clock, its newest report was made."""
    d = schema.drift_report.c
    rows = connection.execute(select(d.venue, func.max(d.created_at)).group_by(d.venue))
    return {venue: created_at.astimezone(UTC) for venue, created_at in rows}


def page(connection: Connection, report_id: int) -> bytes:
    """Return a report's page, compressed with gzip; raise NotFound, with the way to one that is there."""
    d = schema.drift_report.c
    row = connection.execute(select(d.venue, d.interval, d.html).where(d.id == report_id)).first()
    if row is None:
        raise NotFound(f"there is no drift report {report_id}; GET /v1/drift lists them")
    if row.html is None:
        raise NotFound(
            f"drift report {report_id} has scores but keeps no page; "
            f"GET /v1/drift?venue={row.venue}&interval={row.interval} says which do"
        )
    return bytes(row.html)


def _drop_old_pages(connection: Connection, kind: tuple[str, Interval]) -> None:
    d = schema.drift_report.c
    own = (d.venue == kind[0], d.interval == str(kind[1]), d.html.is_not(None))
    kept = select(d.id).where(*own).order_by(d.id.desc()).limit(PAGES_KEPT)
    connection.execute(update(schema.drift_report).where(*own, d.id.not_in(kept)).values(html=None))


def _reports() -> Any:
    wanted = [column for column in schema.drift_report.c if column.name != "html"]
    return select(*wanted, schema.drift_report.c.html.is_not(None).label("has_page"))


def _facts(calibration: Calibration) -> dict[str, float | str]:
    return {name: one.isoformat() if isinstance(one, datetime) else one for name, one in asdict(calibration).items()}


def _calibration(facts: Mapping[str, Any] | None) -> Calibration | None:
    if facts is None:
        return None
    times = {name: datetime.fromisoformat(facts[name]) for name in ("start", "end", "made_at")}
    return Calibration(**{**facts, **times})


def _report(row: Row[Any]) -> Report:
    columns = {name: ColumnDrift(one["score"], one["threshold"]) for name, one in sorted(row.scores.items())}
    return Report(
        id=row.id,
        venue=row.venue,
        interval=Interval(row.interval),
        model_version=row.model_version,
        created_at=row.created_at.astimezone(UTC),
        reference=Window(row.reference_start.astimezone(UTC), row.reference_end.astimezone(UTC), row.reference_rows),
        current=Window(row.current_start.astimezone(UTC), row.current_end.astimezone(UTC), row.current_rows),
        summary=DriftSummary(row.method, columns, calibration=_calibration(row.calibration)),
        has_page=row.has_page,
    )
