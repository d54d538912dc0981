"""The `venue_status` table: one clock per venue that every process and pod agrees on."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from candlecast.clock import VenueClock
from candlecast.settings import Settings
from candlecast.store import schema

_NEWEST = text(
    """
    SELECT greatest(
        (SELECT max(c.ingested_at) FROM candle c JOIN series s ON s.id = c.series_id WHERE s.venue = :venue),
        (SELECT max(f.issued_at) FROM forecast f JOIN series s ON s.id = f.series_id WHERE s.venue = :venue)
    )
    """
)


def read_clock(connection: Connection, venue: str) -> VenueClock:
    """Return the venue's clock; the wall clock for a venue without a row."""
    v = schema.venue_status.c
    row = connection.execute(select(v.clock_start, v.clock_epoch, v.clock_speed).where(v.venue == venue)).first()
    if row is None:
        return VenueClock()
    return VenueClock(row.clock_start.astimezone(UTC), row.clock_epoch.astimezone(UTC), row.clock_speed)


def venue_clock(connection: Connection, venue: str, settings: Settings) -> VenueClock:
    """Return the venue's clock, and start the replay's the first time that anybody asks."""
    if venue == "replay":
        return start_clock(connection, venue, start=settings.replay_start, speed=settings.replay_speed)
    return read_clock(connection, venue)


def start_clock(connection: Connection, venue: str, *, start: datetime, speed: float) -> VenueClock:
    """Start the venue's clock at `start`, unless it runs already; return the one that counts."""
    if connection.execute(select(schema.venue_status.c.venue).where(schema.venue_status.c.venue == venue)).first():
        return read_clock(connection, venue)
    connection.execute(
        insert(schema.venue_status)
        .values(venue=venue, clock_start=start, clock_epoch=func.clock_timestamp(), clock_speed=speed)
        .on_conflict_do_nothing()
    )
    return read_clock(connection, venue)


def resume_clock(connection: Connection, venue: str, *, speed: float) -> VenueClock:
    """Let a replay's clock go on from the last thing it saw, so that the time it was stopped is not missed.

    The clock never goes behind a stored candle or forecast; where there is none it goes on from where it started.
    """
    v = schema.venue_status.c
    newest = connection.execute(_NEWEST, {"venue": venue}).scalar()
    values: dict[str, Any] = {"clock_epoch": func.clock_timestamp(), "clock_speed": speed}
    if newest is not None:
        values["clock_start"] = func.greatest(v.clock_start, newest)
    connection.execute(update(schema.venue_status).where(v.venue == venue).values(values))
    return read_clock(connection, venue)
