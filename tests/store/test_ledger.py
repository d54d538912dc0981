import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from candlecast.candles import Interval, Series
from candlecast.errors import ForecastRefused
from candlecast.store import candles as candle_store
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from tests.making import START, make_candles, make_forecast
from tests.waiting import eventually

SERIES = Series.parse("replay:BTC-USDT:15m")
CUTOFF = START + timedelta(hours=10)


def entry(horizon: int = 1, *, close: float = 101.0, cutoff: datetime = CUTOFF, late: bool = False) -> Entry:
    said = make_forecast(cutoff, Interval.M15, horizon, close)
    return Entry(said, models.NAIVE, "baseline", said.target_time if late else cutoff + timedelta(seconds=1))


@pytest.fixture
def known(database: Database) -> Database:
    with database.begin() as connection:
        candle_store.add_series(connection, [SERIES])
        models.register_naive(connection)
    return database


def record(database: Database, *entries: Entry, series: Series = SERIES) -> list[Entry]:
    with database.begin() as connection:
        return ledger.record(connection, series, entries)


def test_a_forecast_is_written_down_as_it_was_said(known: Database) -> None:
    said = [entry(1), entry(5)]
    assert record(known, *said) == said


def test_the_row_that_was_there_first_is_the_one_that_counts(known: Database) -> None:
    first = record(known, entry(close=101.0))
    assert record(known, entry(close=999.0)) == first
    with known.begin() as connection:
        assert ledger.length(connection) == 1


def test_a_forecast_issued_at_its_target_or_later_is_refused(known: Database) -> None:
    with pytest.raises(ForecastRefused, match="issued_before_target"):
        record(known, entry(late=True))


def test_a_target_that_is_not_horizon_intervals_away_is_refused(known: Database) -> None:
    said = entry()
    wrong = make_forecast(CUTOFF, Interval.H1)
    with pytest.raises(ForecastRefused, match="is not 1 intervals after"):
        record(known, Entry(wrong, said.model_version, said.role, said.issued_at))


def test_a_live_venue_cannot_be_told_a_forecast_of_the_past(known: Database) -> None:
    live = Series.parse("simulated:BTC-USDT:15m")
    with known.begin() as connection:
        candle_store.add_series(connection, [live])
    with pytest.raises(ForecastRefused, match="too late"):
        record(known, entry(), series=live)
    now = Interval.M15.floor(datetime.now(UTC))
    said = make_forecast(now, Interval.M15, 2)
    assert record(known, Entry(said, models.NAIVE, "baseline", now + timedelta(seconds=1)), series=live)


def test_the_ledger_looks_at_the_clock_after_it_waited_for_its_turn(known: Database) -> None:
    """Whoever waits for another writer may wait past the target, so the time that counts is taken afterwards."""
    waiting = text("SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as other, known.begin() as holder:
        number = candle_store.series_id(holder, SERIES)
        lock = text("SELECT pg_advisory_xact_lock(hashtext('candlecast:ledger'), :series)")
        holder.execute(lock, {"series": number})
        written = other.submit(record, known, entry())
        eventually(lambda: holder.execute(waiting).scalar(), 10)
        released = holder.execute(text("SELECT clock_timestamp()")).scalar_one()
        holder.commit()
        written.result(10)
    with known.begin() as connection:
        assert connection.execute(text("SELECT recorded_at FROM forecast")).scalar_one() >= released


@pytest.mark.parametrize(
    "statement",
    ["UPDATE forecast SET close = 1", "DELETE FROM forecast", "TRUNCATE forecast", "TRUNCATE series CASCADE"],
)
def test_the_past_cannot_be_changed(known: Database, statement: str) -> None:
    record(known, entry())
    with pytest.raises(DBAPIError, match="append-only"), known.begin() as connection:
        connection.execute(text(statement))


def test_each_row_carries_the_hash_of_the_one_before_it(known: Database) -> None:
    record(known, entry(1), entry(5))
    record(known, entry(1, cutoff=CUTOFF + Interval.M15.delta))
    with known.begin() as connection:
        rows = connection.execute(text("SELECT * FROM forecast ORDER BY position")).mappings().all()
    previous = None
    for position, row in enumerate(rows, start=1):
        assert row["position"] == position
        assert bytes(row["hash"]) == _digest(previous, row)
        previous = bytes(row["hash"])


def test_a_changed_row_and_a_missing_row_are_found_and_named(known: Database) -> None:
    record(known, *(entry(1, cutoff=CUTOFF + i * Interval.M15.delta) for i in range(5)))
    with known.begin() as connection:
        assert ledger.verify(connection) == ledger.ChainState(5, None)
        number = candle_store.series_id(connection, SERIES)
        connection.execute(text("ALTER TABLE forecast DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE forecast SET close = close + 1 WHERE position = 3"))
        assert ledger.verify(connection).broken_at == f"{number}#3"
        connection.execute(text("UPDATE forecast SET close = close - 1 WHERE position = 3"))
        connection.execute(text("DELETE FROM forecast WHERE position = 2"))
        assert ledger.verify(connection).broken_at == f"{number}#3"


def test_the_realised_error_appears_when_the_target_candle_does(known: Database) -> None:
    candles = make_candles(50)
    cutoff = START + timedelta(hours=10)
    record(known, entry(1, cutoff=cutoff))
    target = int((cutoff - START) / Interval.M15.delta)
    later = START + timedelta(days=1)
    with known.begin() as connection:
        candle_store.upsert(connection, SERIES, candles[:target], source="test", now=later)
        assert connection.execute(text("SELECT count(*) FROM forecast_error")).scalar() == 0
        assert [row.realised_close for row in ledger.read(connection, SERIES, 1)] == [None]
        candle_store.upsert(connection, SERIES, candles, source="test", now=later)
        row = connection.execute(text("SELECT * FROM forecast_error")).one()
        assert row.realised_close == candles.close[target]
        assert row.error == 101.0 - candles.close[target]
    assert row.absolute_error == abs(101.0 - candles.close[target])
    assert row.naive_absolute_error == abs(100.0 - candles.close[target])


def _digest(previous: bytes | None, row: Any) -> bytes:
    """Follow the description of the chain in the migration, without looking at its code."""

    def field(value: bytes | None) -> bytes:
        return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value

    def moment(value: datetime) -> bytes:
        return struct.pack(">q", (value - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))

    def number(value: float | None) -> bytes | None:
        return None if value is None else struct.pack(">d", value)

    quantiles = struct.pack(">iiiii", 1, 0, 701, len(row["quantiles"]), 1)
    quantiles += b"".join(field(number(value)) for value in row["quantiles"])
    parts = [
        previous,
        struct.pack(">i", row["series_id"]),
        struct.pack(">q", row["position"]),
        moment(row["cutoff"]),
        struct.pack(">h", row["horizon"]),
        row["model_version"].encode(),
        row["role"].encode(),
        moment(row["target_time"]),
        moment(row["issued_at"]),
        moment(row["recorded_at"]),
        *(number(row[name]) for name in ("last_close", "close", "p_up", "open", "high", "low", "range")),
        quantiles,
    ]
    return sha256(b"".join(field(part) for part in parts)).digest()
