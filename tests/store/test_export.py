"""Candles and the ledger as files: all of them, exactly, and never half."""

import csv
import gzip
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from candlecast.candles import Candles, Interval, Series, Symbol, from_datetime64
from candlecast.clock import VenueClock
from candlecast.forecast import LEVELS
from candlecast.store import candles as candle_store
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.export import CANDLE_KINDS, LEDGER_KINDS, stream_candles, stream_ledger
from candlecast.store.files import Format, complete_file, encode
from candlecast.store.ledger import Entry
from candlecast.venues.replay import ReplayVenue
from tests.making import START, make_candles, make_forecast

SERIES = Series.parse("replay:BTC-USDT:15m")
OTHER = Series.parse("replay:ETH-USDT:15m")
STEP = Interval.M15.delta
LATER = START + timedelta(days=90)

# What doubles can hold and prices can be, far beyond what they are.
_PRICES = st.floats(min_value=1e-300, max_value=1e300)
_AMOUNTS = st.floats(min_value=0, max_value=1e300)


@st.composite
def some_candles(draw: st.DrawFn) -> Candles:
    """Candles with gaps, odd numbers, and optional values that come and go."""
    places = sorted(draw(st.sets(st.integers(0, 300), min_size=1, max_size=25)))
    prices = [sorted(draw(st.lists(_PRICES, min_size=4, max_size=4))) for _ in places]

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=len(places), max_size=len(places)))

    return Candles.of(
        Interval.M15,
        open_time=np.datetime64(START.replace(tzinfo=None), "ms") + np.array(places) * Interval.M15.step,
        low=[four[0] for four in prices],
        open=[four[1] for four in prices],
        close=[four[2] for four in prices],
        high=[four[3] for four in prices],
        volume=column(_AMOUNTS),
        quote_volume=column(_AMOUNTS | st.just(np.nan)),
        trades=column(st.integers(0, 2**53).map(float) | st.just(np.nan)),
        taker_buy_volume=column(_AMOUNTS | st.just(np.nan)),
    )


def write(database: Database, candles: Candles, series: Series = SERIES, source: str = "replay") -> None:
    with database.begin() as connection:
        candle_store.upsert(connection, series, candles, source=source, now=LATER)


def candle_file(database: Database, format: Format, chunk_rows: int = 7, **bounds: datetime) -> bytes:  # noqa: A002
    return b"".join(encode(stream_candles(database, SERIES, chunk_rows=chunk_rows, **bounds), CANDLE_KINDS, format))


def read_file(content: bytes, format: Format) -> Candles:  # noqa: A002
    table = arrow_csv.read_csv(io.BytesIO(content)) if format == "csv" else parquet.read_table(io.BytesIO(content))
    columns = {name: table[name].to_numpy().astype(float) for name in CANDLE_KINDS if name not in ("ts", "source")}
    return Candles.of(Interval.M15, open_time=table["ts"].to_numpy(), **columns)


@pytest.mark.parametrize("format_", ["csv", "parquet"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(candles=some_candles())
def test_export_then_import_is_the_identity(database: Database, format_: Format, candles: Candles) -> None:
    with database.begin() as connection:
        candle_store.upsert(connection, SERIES, candles, source="replay", now=LATER)
        held = candle_store.read(connection, SERIES)
    again = read_file(candle_file(database, format_), format_)
    assert again == held
    write(database, again, OTHER)
    with database.begin() as connection:
        others = candle_store.read(connection, OTHER)
    assert others[np.isin(others.open_time, again.open_time)] == again


def test_every_row_names_its_source(database: Database) -> None:
    candles = make_candles(20)
    write(database, candles[:5], source="replay_archive")
    write(database, candles[5:], source="kraken")
    rows = list(csv.DictReader(io.StringIO(candle_file(database, "csv").decode())))
    assert [row["source"] for row in rows] == ["replay_archive"] * 5 + ["kraken"] * 15
    assert {row["trades"] for row in rows} == {""}


@pytest.mark.parametrize("chunk_rows", [1, 7, 10, 11, 1000])
def test_chunks_of_any_size_give_the_same_rows(database: Database, chunk_rows: int) -> None:
    candles = make_candles(30)
    write(database, candles)
    bounds = {"start": START + 5 * STEP, "end": START + 15 * STEP}
    assert read_file(candle_file(database, "csv", chunk_rows, **bounds), "csv") == candles[5:15]


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_no_candles_are_a_file_without_rows(database: Database, format_: Format) -> None:
    with database.begin() as connection:
        candle_store.add_series(connection, [SERIES])
    content = candle_file(database, format_)
    if format_ == "csv":
        assert content.decode() == ",".join(CANDLE_KINDS) + "\n"
    else:
        table = parquet.read_table(io.BytesIO(content))
        assert (table.num_rows, table.column_names) == (0, list(CANDLE_KINDS))


def test_an_export_can_be_replayed(database: Database, tmp_path: Path) -> None:
    candles = make_candles(200)
    write(database, candles)
    first, last = from_datetime64(candles.open_time[0]).date(), from_datetime64(candles.open_time[-1]).date()
    with complete_file(tmp_path / f"binance-BTCUSDT-15m-{first}-{last}.csv.gz") as file:
        file.write(candle_file(database, "csv"))
    venue = ReplayVenue(tmp_path, VenueClock(LATER, datetime.now(UTC), 1.0))
    pages = list(venue.fetch(Series("replay", Symbol("BTC", "USDT"), Interval.M15), START, candles.cutoff))
    assert Candles.concatenate([page.candles for page in pages]) == candles


def entries(count: int) -> Iterator[Entry]:
    for place in range(count):
        cutoff = START + place * STEP
        for horizon in (1, 5):
            said = make_forecast(cutoff, Interval.M15, horizon, close=100 + place / 3)
            yield Entry(said, models.NAIVE, "baseline", cutoff + timedelta(seconds=1))
            if place % 2:
                yield Entry(said, "better", "champion", cutoff + timedelta(seconds=1))


@pytest.fixture
def spoken(database: Database) -> Database:
    candles = make_candles(10)
    write(database, candles)
    with database.begin() as connection:
        models.register_naive(connection)
        version = models.Version("better", "xgboost", "replay", Interval.M15, START, {}, None, None)
        models.register(connection, version, {}, [])
        ledger.record(connection, SERIES, list(entries(12)))
    return database


def test_the_whole_ledger_is_exported_in_the_order_of_its_chain(spoken: Database) -> None:
    content = b"".join(encode(stream_ledger(spoken, SERIES, chunk_rows=7), LEDGER_KINDS, "parquet"))
    rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    said = list(entries(12))
    assert [row["position"] for row in rows] == list(range(1, len(said) + 1))
    candles = make_candles(10)
    for row, entry in zip(rows, said, strict=True):
        f = entry.forecast
        assert (row["cutoff"], row["target_time"], row["issued_at"]) == (f.cutoff, f.target_time, entry.issued_at)
        assert (row["horizon"], row["model_version"], row["role"]) == (f.horizon, entry.model_version, entry.role)
        assert (row["last_close"], row["close"], row["p_up"]) == (f.last_close, f.close, f.p_up)
        assert tuple(row[f"q{level:g}"] for level in LEVELS) == f.quantiles
        target = (f.target_time - START) // STEP - 1
        came = candles.close[target] if target < 10 else None
        assert row["realised_close"] == came
        assert row["error"] == (None if came is None else f.close - came)
        assert len(row["hash"]) == 64


def test_what_was_answered_is_the_champions_row_where_it_spoke(spoken: Database) -> None:
    (batch,) = stream_ledger(spoken, SERIES, horizon=1, answered=True, roles=("champion", "baseline"))
    assert batch["role"] == ["baseline", "champion"] * 6
    (late,) = stream_ledger(
        spoken, SERIES, horizon=5, roles=("baseline",), start=START + 3 * STEP, end=START + 5 * STEP
    )
    assert late["cutoff"] == [START + 3 * STEP, START + 4 * STEP]


def command(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "candlecast.store", "export", *arguments]
    return subprocess.run(line, env=environment, capture_output=True, timeout=120, check=False)


def test_the_command_writes_files_and_says_how_many_rows(
    spoken: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "candles.csv.gz"
    ended = command(environment, "candles", "--series", str(SERIES), "--start", "2025-09-01T01:00", "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    assert b'"rows": 6' in ended.stdout
    assert read_file(gzip.decompress(out.read_bytes()), "csv") == make_candles(10)[4:]
    ended = command(environment, "ledger", "--series", str(SERIES), "--format", "parquet", "--out", "-")
    assert parquet.read_table(io.BytesIO(ended.stdout)).num_rows == 36


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--series", "replay:DOGE-USDT:15m"), 65, "no such series"),
        (("--series", "DOGE"), 64, "is no series"),
        (("--series", str(SERIES), "--start", "soon"), 64, "--start 'soon' is no time"),
    ],
)
def test_an_export_that_fails_leaves_nothing_and_spares_what_was_there(
    spoken: Database, environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], code: int, named: str
) -> None:
    out = tmp_path / "candles.csv"
    out.write_text("what was there")
    ended = command(environment, "candles", *arguments, "--out", str(out))
    assert (ended.returncode, named in ended.stderr.decode()) == (code, True), ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["candles.csv"]
    assert out.read_text() == "what was there"


def test_without_pyarrow_the_images_that_have_it_are_named(spoken: Database, environment: dict[str, str]) -> None:
    without = "import sys; sys.modules['pyarrow'] = None; from candlecast.store.__main__ import main; sys.exit(main())"
    line = [sys.executable, "-c", without, "export", "candles", "--series", str(SERIES), "--out", "-"]
    ended = subprocess.run(line, env=environment, capture_output=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (78, b"")
    assert b"exports need pyarrow, which is not installed here" in ended.stderr


def test_a_folder_that_cannot_be_written_is_named(spoken: Database, environment: dict[str, str]) -> None:
    ended = command(environment, "candles", "--series", str(SERIES), "--out", os.devnull + "/x.csv")
    assert ended.returncode == 78
    assert b"cannot write /dev/null/x.csv" in ended.stderr


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with complete_file(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    with pytest.raises(TypeError), complete_file(path) as file:
        file.write("text")  # type: ignore[call-overload]  # the mistake that is made here
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"half"]
