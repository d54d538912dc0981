"""The ledger: the append-only `forecast` table and the view of realised errors. Triggers number and chain its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, and_, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from candlecast.candles import Interval, Series
from candlecast.errors import ForecastRefused
from candlecast.forecast import Forecast
from candlecast.store import schema
from candlecast.store.candles import series_id, series_ids

_BROKEN = text(
    """
    SELECT f.series_id || '#' || f.position
    FROM (
        SELECT forecast AS row, series_id, position,
               lag(hash) OVER chain AS previous, lag(position) OVER chain AS previous_position
        FROM forecast WINDOW chain AS (PARTITION BY series_id ORDER BY position)
    ) f
    WHERE (f.row).hash IS DISTINCT FROM ledger_digest(f.previous, f.row)
       OR f.position <> coalesce(f.previous_position, 0) + 1
    ORDER BY f.series_id, f.position LIMIT 1
    """
)

_LAST_CHAMPION = text(
    """
    SELECT said.model_version
    FROM series s
    CROSS JOIN LATERAL (
        SELECT model_version, cutoff, position FROM forecast
        WHERE series_id = s.id AND role = 'champion' AND model_version <> ALL (CAST(:refused AS text[]))
        ORDER BY cutoff DESC, position DESC LIMIT 1
    ) said
    WHERE s.venue = :venue AND s.interval = :interval
    ORDER BY said.cutoff DESC, said.position DESC LIMIT 1
    """
)

_Key = tuple[int, datetime, int, str]
"""What a row of the ledger is found by: series, cutoff, horizon and model version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A forecast as the ledger holds it: who said it, in which role, and when."""

    forecast: Forecast
    model_version: str
    role: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Scored:
    """An entry and the close that came, None where it is not known yet."""

    entry: Entry
    realised_close: float | None


@dataclass(frozen=True, slots=True)
class ChainState:
    """Whether every row's hash follows from the row before it; `broken_at` is the first that does not."""

    rows: int
    broken_at: str | None

    @property
    def intact(self) -> bool:
        """No row is broken."""
        return self.broken_at is None


def record(connection: Connection, series: Series, entries: Sequence[Entry]) -> list[Entry]:
    """Write forecasts of one series down as `record_all` does, and return what the ledger holds for them."""
    return record_all(connection, {series: entries})[series]


def record_all(connection: Connection, said: Mapping[Series, Sequence[Entry]]) -> dict[Series, list[Entry]]:
    """Write forecasts down, unless they are there already, and return what the ledger holds for them.

    Two replicas agree by asking in turn: the row that was there first is the one that both return. Raise
    ForecastRefused, and write none of them, when the database refuses one: its target is not after `issued_at`, or is
    past by the database's own clock. A series that the store does not know raises UnknownSeries.
    """
    ids = _ids(connection, said)
    keys = {(ids[series], *_key(entry)): entry for series, entries in said.items() for entry in entries}
    held = _held(connection, keys)
    # In order of the series, so that two replicas wait for each other's chains without a deadlock.
    missing = [_row(key[0], entry) for key, entry in sorted(keys.items(), key=lambda one: one[0][0]) if key not in held]
    if missing:
        _append(connection, missing, said)
        held = _held(connection, keys)
    return {series: [held[(ids[series], *_key(entry))] for entry in entries] for series, entries in said.items()}


def find(connection: Connection, said: Mapping[Series, Sequence[Entry]]) -> dict[Series, list[Entry]]:
    """Return what the ledger holds for some forecasts, without writing any."""
    ids = _ids(connection, said)
    keys = {(ids[series], *_key(entry)): series for series, entries in said.items() for entry in entries}
    found: dict[Series, list[Entry]] = {series: [] for series in said}
    for key, entry in _held(connection, keys).items():
        if key in keys:
            found[keys[key]].append(entry)
    return found


def _ids(connection: Connection, said: Mapping[Series, Sequence[Entry]]) -> dict[Series, int]:
    if len(said) == 1:
        return {series: series_id(connection, series) for series in said}
    known = series_ids(connection)
    return {series: known[series] if series in known else series_id(connection, series) for series in said}


def _held(connection: Connection, keys: Collection[_Key]) -> dict[_Key, Entry]:
    f = schema.forecast.c
    numbers, cutoffs = {key[0] for key in keys}, {key[1] for key in keys}
    query = select(schema.forecast).where(f.series_id.in_(numbers), f.cutoff.in_(cutoffs))
    rows = connection.execute(query).mappings() if keys else ()
    return {(row["series_id"], *_key(entry)): entry for row in rows for entry in [_entry(row)]}


def _append(connection: Connection, rows: Sequence[Mapping[str, object]], said: Collection[Series]) -> None:
    try:
        with connection.begin_nested():
            connection.execute(insert(schema.forecast).on_conflict_do_nothing(), rows)
    except IntegrityError as error:
        reason = str(error.orig).partition("\n")[0]
        whose = str(next(iter(said))) if len(said) == 1 else f"{len(said)} series"
        raise ForecastRefused(f"the ledger refuses a forecast of {whose}: {reason}") from error


def last_champion(connection: Connection, venue: str, interval: Interval, refused: Collection[str]) -> str | None:
    """Return the model version that last spoke as champion of a venue and interval, those in `refused` aside."""
    values = {"venue": venue, "interval": str(interval), "refused": list(refused)}
    found: str | None = connection.execute(_LAST_CHAMPION, values).scalar()
    return found


def read(
    connection: Connection,
    series: Series,
    horizon: int,
    *,
    roles: Sequence[str] = ("champion", "baseline"),
    last: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[Scored]:
    """Return entries with start <= cutoff < end and what came, oldest first; the newest `last` of them."""
    f, c, s = schema.forecast.c, schema.candle.c, schema.series.c
    target_candle = and_(
        c.series_id == f.series_id,
        c.open_time == f.target_time - func.make_interval(0, 0, 0, 0, 0, 0, s.interval_seconds),
    )
    query = (
        select(schema.forecast, c.close.label("realised_close"))
        .join(schema.series, s.id == f.series_id)
        .outerjoin(schema.candle, target_candle)
        .where(f.series_id == series_id(connection, series), f.horizon == horizon, f.role.in_(roles))
        .order_by(f.cutoff.desc(), f.position.desc())
        .limit(last)
    )
    if start is not None:
        query = query.where(f.cutoff >= start)
    if end is not None:
        query = query.where(f.cutoff < end)
    rows = connection.execute(query).mappings().all()
    return [Scored(_entry(row), row["realised_close"]) for row in reversed(rows)]


def length(connection: Connection) -> int:
    """Return how many forecasts the ledger holds: the sum over series of the last position."""
    f = schema.forecast.c
    last = select(func.max(f.position).label("position")).group_by(f.series_id).subquery()
    return int(connection.execute(select(func.coalesce(func.sum(last.c.position), 0))).scalar_one())


def verify(connection: Connection) -> ChainState:
    """Recompute the hash of every row, inside the database, and say where the chain breaks first."""
    rows: int = connection.execute(select(func.count()).select_from(schema.forecast)).scalar_one()
    return ChainState(rows, connection.execute(_BROKEN).scalar())


def _row(number: int, entry: Entry) -> dict[str, object]:
    f = entry.forecast
    return {
        "series_id": number,
        "cutoff": f.cutoff,
        "horizon": f.horizon,
        "model_version": entry.model_version,
        "role": entry.role,
        "target_time": f.target_time,
        "issued_at": entry.issued_at,
        "last_close": f.last_close,
        "close": f.close,
        "p_up": f.p_up,
        "open": f.open,
        "high": f.high,
        "low": f.low,
        "range": f.range,
        "quantiles": list(f.quantiles),
    }


def _key(entry: Entry) -> tuple[datetime, int, str]:
    return entry.forecast.cutoff, entry.forecast.horizon, entry.model_version


def told(row: RowMapping) -> Forecast:
    """Return the forecast that a row holds; a row need not have the candle's other prices."""
    return Forecast(
        cutoff=row["cutoff"].astimezone(UTC),
        horizon=row["horizon"],
        target_time=row["target_time"].astimezone(UTC),
        last_close=row["last_close"],
        close=row["close"],
        quantiles=tuple(row["quantiles"]),
        p_up=row["p_up"],
        open=row.get("open"),
        high=row.get("high"),
        low=row.get("low"),
        range=row.get("range"),
    )


def _entry(row: RowMapping) -> Entry:
    return Entry(told(row), row["model_version"], row["role"], row["issued_at"].astimezone(UTC))
