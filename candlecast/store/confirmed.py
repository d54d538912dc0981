"""The `confirmed_gap` table: candles that the venue itself lacks, with the evidence. Series go by their ids here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from candlecast.spans import Span, subtract
from candlecast.store import schema


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which source said that it has no such candle, how, when (the venue's clock), and when to ask again."""

    source: str
    evidence: str
    confirmed_at: datetime
    recheck_at: datetime


@dataclass(frozen=True, slots=True)
class ConfirmedGap:
    """A stretch whose candles do not exist at the venue."""

    span: Span
    because: Evidence


def overlapping(connection: Connection, series_id: int, span: Span) -> list[ConfirmedGap]:
    """Return the confirmed gaps that share time with `span`, oldest first, each as long as it is."""
    g = schema.confirmed_gap.c
    rows = connection.execute(
        select(schema.confirmed_gap)
        .where(g.series_id == series_id, g.start_time < span.end, g.end_time > span.start)
        .order_by(g.start_time)
    )
    return [
        ConfirmedGap(
            Span(row.start_time.astimezone(UTC), row.end_time.astimezone(UTC)),
            Evidence(row.source, row.evidence, row.confirmed_at.astimezone(UTC), row.recheck_at.astimezone(UTC)),
        )
        for row in rows
    ]


def add(connection: Connection, series_id: int, spans: Sequence[Span], because: Evidence) -> None:
    """Write gaps down; none may overlap one that is there."""
    rows = [_row(series_id, ConfirmedGap(span, because)) for span in spans]
    if rows:
        connection.execute(insert(schema.confirmed_gap), rows)


def no_longer_confirmed(connection: Connection, series_id: int, spans: Sequence[Span]) -> None:
    """Take `spans` (ascending, without overlap) out of the confirmed gaps; what is left of one keeps its evidence."""
    if not spans:
        return
    found = overlapping(connection, series_id, Span(spans[0].start, spans[-1].end))
    left = subtract([gap.span for gap in found], spans)
    untouched = set(left)
    touched = [gap for gap in found if gap.span not in untouched]
    if not touched:
        return
    starts = [gap.span.start for gap in touched]
    g = schema.confirmed_gap.c
    connection.execute(delete(schema.confirmed_gap).where(g.series_id == series_id, g.start_time.in_(starts)))
    whole = {gap.span for gap in found}
    parts = [(touched[bisect_right(starts, part.start) - 1], part) for part in left if part not in whole]
    if parts:
        rows = [_row(series_id, ConfirmedGap(part, gap.because)) for gap, part in parts]
        connection.execute(insert(schema.confirmed_gap), rows)


def _row(series_id: int, gap: ConfirmedGap) -> dict[str, Any]:
    return {"series_id": series_id, "start_time": gap.span.start, "end_time": gap.span.end, **asdict(gap.because)}
