"""What a model version would have said: stored beside the ledger, read where nothing was answered, exported with it."""

import io
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from pyarrow import parquet
from sqlalchemy import text

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series, from_datetime64
from candlecast.evaluation import Judged, judge
from candlecast.store import candles as candle_store
from candlecast.store import evaluations, ledger, models
from candlecast.store.database import Database
from candlecast.store.evaluations import Hindsight, Recalled
from candlecast.store.export import LEDGER_KINDS, stream_hindsight
from candlecast.store.files import encode
from candlecast.store.ledger import Entry
from candlecast.store.retention import RetentionPolicy, prune
from tests.making import START, make_candles, make_forecast

SERIES = Series.parse("replay:BTC-USDT:15m")
STEP = Interval.M15.delta
CANDLES = make_candles(700)
FIRST = START + 550 * STEP
"""The first cutoff that is told out of sample; those from the 512th on before it are in sample."""


def told(start: datetime, end: datetime, candles: Candles = CANDLES) -> dict[int, Judged]:
    judged = judge(NaiveForecaster((1, 5)), SERIES, candles, start, end)
    return {h: replace(one, p_up=np.where(np.arange(len(one)) % 2, 0.25, np.nan)) for h, one in judged.items()}


def register(database: Database, name: str, *, promote: bool = False) -> None:
    version = models.Version(name, "xgboost", "replay", Interval.M15, START, {}, None, None)
    with database.begin() as connection:
        models.register(connection, version, {}, [])
        if promote:
            models.promote(connection, version, now=START, reason="a test")
        evaluations.record(connection, name, SERIES, told(START, FIRST), in_sample=True)
        evaluations.record(connection, name, SERIES, told(FIRST, CANDLES.cutoff), in_sample=False)


@pytest.fixture
def known(database: Database) -> Database:
    with database.begin() as connection:
        candle_store.upsert(connection, SERIES, CANDLES, source="replay", now=CANDLES.cutoff)
        models.register_naive(connection)
    register(database, "first")
    return database


def read(database: Database, horizon: int = 1, rows: int = 5000, origin: Hindsight | None = None) -> list[Recalled]:
    with database.begin() as connection:
        return evaluations.read(connection, SERIES, horizon, rows=rows, origin=origin)


def speak(database: Database, cutoff: datetime, role: str) -> None:
    said = make_forecast(cutoff, Interval.M15)
    with database.begin() as connection:
        ledger.record(connection, SERIES, [Entry(said, models.NAIVE, role, cutoff)])


@pytest.mark.parametrize("horizon", [1, 5])
def test_what_was_told_is_read_with_what_came(known: Database, horizon: int) -> None:
    rows = read(known, horizon)
    judged = Judged.concatenate([told(START, FIRST)[horizon], told(FIRST, CANDLES.cutoff)[horizon]])
    assert [row.forecast.cutoff for row in rows] == [from_datetime64(one) for one in judged.cutoff]
    assert [row.forecast.target_time for row in rows] == [row.forecast.cutoff + horizon * STEP for row in rows]
    assert [row.forecast.close for row in rows] == judged.close.tolist()
    assert [row.forecast.last_close for row in rows] == judged.last_close.tolist()
    assert [list(row.forecast.quantiles) for row in rows] == judged.quantiles.tolist()
    assert [row.forecast.p_up for row in rows] == [None if np.isnan(one) else one for one in judged.p_up]
    assert [row.realised_close for row in rows] == judged.realised.tolist()
    assert {row.origin for row in rows if row.forecast.cutoff < FIRST} == {"in_sample"}
    assert {row.origin for row in rows if row.forecast.cutoff >= FIRST} == {"out_of_sample"}


def test_the_newest_rows_of_one_origin_come_oldest_first(known: Database) -> None:
    everything, newest = read(known, origin="in_sample"), read(known, rows=3, origin="in_sample")
    assert {row.origin for row in everything} == {"in_sample"}
    assert newest == everything[-3:]
    assert newest[-1].forecast.cutoff == FIRST - STEP


@pytest.mark.parametrize(("role", "hidden"), [("champion", 1), ("baseline", 1), ("challenger", 0)])
def test_where_something_was_answered_nothing_is_recalled(known: Database, role: str, hidden: int) -> None:
    before = read(known)
    speak(known, FIRST, role)
    after = read(known)
    assert len(before) - len(after) == hidden
    assert (FIRST in {row.forecast.cutoff for row in after}) is not bool(hidden)


def test_the_champion_tells_else_the_newest_version_that_can(known: Database) -> None:
    assert {row.model_version for row in read(known)} == {"first"}
    register(known, "second", promote=True)
    register(known, "third")
    assert {row.model_version for row in read(known)} == {"second"}
    with known.begin() as connection:
        connection.execute(text("DELETE FROM champion"))
    assert {row.model_version for row in read(known)} == {"third"}


def test_a_candle_that_is_missing_leaves_no_error(known: Database) -> None:
    with known.begin() as connection:
        connection.execute(text("DELETE FROM candle WHERE open_time = :time"), {"time": FIRST})
    rows = {row.forecast.cutoff: row for row in read(known)}
    assert (rows[FIRST].realised_close, rows[FIRST].error) == (None, None)
    later = rows[FIRST + STEP]
    assert later.realised_close is not None
    assert later.error == later.forecast.close - later.realised_close


@pytest.mark.parametrize("chunk_rows", [7, 5000])
def test_a_file_holds_all_rows_with_the_ledgers_columns(known: Database, chunk_rows: int) -> None:
    batches = stream_hindsight(known, SERIES, horizon=5, start=FIRST - STEP, chunk_rows=chunk_rows)
    rows = parquet.read_table(io.BytesIO(b"".join(encode(batches, LEDGER_KINDS, "parquet")))).to_pylist()
    want = [row for row in read(known, 5) if row.forecast.cutoff >= FIRST - STEP]
    assert [row["cutoff"] for row in rows] == [row.forecast.cutoff for row in want]
    assert [row["error"] for row in rows] == [row.error for row in want]
    assert [row["q0.975"] for row in rows] == [row.forecast.quantiles[-1] for row in want]
    assert [row["origin"] for row in rows[:2]] == ["in_sample", "out_of_sample"]
    assert {row[name] for row in rows for name in ("role", "issued_at", "hash", "position")} == {None}


def test_retention_keeps_the_champions_rows_and_the_newest(known: Database) -> None:
    month = timedelta(days=30)
    policy = RetentionPolicy(month, month, month)
    register(known, "second", promote=True)
    register(known, "third")
    with known.begin() as connection:
        counts = prune(connection, policy, dry_run=False)
        kept = connection.execute(text("SELECT DISTINCT model_version FROM evaluation_forecast ORDER BY 1")).scalars()
        assert list(kept) == ["second", "third"]
    assert counts["evaluation_forecasts"] == sum(
        len(one) for span in (told(START, FIRST), told(FIRST, CANDLES.cutoff)) for one in span.values()
    )
