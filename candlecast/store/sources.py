"""The `source_status` and `archive_file` tables: what every run should know about the places candles come from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from candlecast.store import schema
from candlecast.store.database import Database


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A source as it was last met: until when it refuses us, and how far its clock is from ours."""

    source: str
    banned_until: datetime | None
    ban_reason: str | None
    skew: timedelta | None
    skew_at: datetime | None


def ban(connection: Connection, source: str, until: datetime, reason: str) -> None:
    """Remember that `source` must not be asked before `until`, by the wall clock; of two bans the longer counts."""
    s, values = schema.source_status.c, {"banned_until": until, "ban_reason": reason}
    connection.execute(
        insert(schema.source_status)
        .values(source=source, **values)
        .on_conflict_do_update(
            index_elements=["source"],
            set_=values | {"recorded_at": func.clock_timestamp()},
            where=s.banned_until.is_(None) | (s.banned_until < until),
        )
    )


def banned_until(connection: Connection, source: str) -> datetime | None:
    """Return until when `source` must not be asked; None where it may be."""
    s = schema.source_status.c
    until: datetime | None = connection.execute(
        select(s.banned_until).where(s.source == source, s.banned_until > func.clock_timestamp())
    ).scalar()
    return until.astimezone(UTC) if until else None


def record_skew(connection: Connection, source: str, skew: timedelta) -> None:
    """Write down how far the clock of `source` is ahead of ours, as just measured."""
    values = {"skew_seconds": skew.total_seconds(), "skew_at": func.clock_timestamp()}
    connection.execute(
        insert(schema.source_status)
        .values(source=source, **values)
        .on_conflict_do_update(index_elements=["source"], set_=values | {"recorded_at": func.clock_timestamp()})
    )


def statuses(connection: Connection) -> list[SourceStatus]:
    """Return every source that was ever banned or measured, by name; a ban that is over is still told."""
    rows = connection.execute(select(schema.source_status).order_by(schema.source_status.c.source))
    return [
        SourceStatus(
            source=row.source,
            banned_until=_utc(row.banned_until),
            ban_reason=row.ban_reason,
            skew=timedelta(seconds=row.skew_seconds) if row.skew_seconds is not None else None,
            skew_at=_utc(row.skew_at),
        )
        for row in rows
    ]


class ArchiveDigests:
    """The SHA-256 digests of archive files as they were when last read, so that a replaced file is noticed."""

    def __init__(self, database: Database, source: str) -> None:
        self._database, self._source = database, source

    def digest(self, name: str) -> str | None:
        """Return the hexadecimal digest that the file `name` had; None where it was never read."""
        f = schema.archive_file.c
        with self._database.begin() as connection:
            found: str | None = connection.execute(
                select(f.sha256).where(f.source == self._source, f.name == name)
            ).scalar()
        return found

    def remember(self, name: str, digest: str) -> None:
        """Write down that the file `name` was read with this digest."""
        values = {"sha256": digest, "verified_at": func.clock_timestamp()}
        with self._database.begin() as connection:
            connection.execute(
                insert(schema.archive_file)
                .values(source=self._source, name=name, **values)
                .on_conflict_do_update(index_elements=["source", "name"], set_=values)
            )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None
