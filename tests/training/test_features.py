from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.features import FeatureSpec, build_features, complete_windows
from candlecast.market import market_around
from candlecast.settings import Settings
from candlecast.store import candles as candle_store
from candlecast.store.database import Database
from candlecast.xgb import data_hash
from tests.making import make_candles
from tests.training.test_evaluate import write
from training.__main__ import main
from training.features import FeatureTable

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")


@pytest.fixture(scope="module")
def candles() -> dict[Series, Candles]:
    return {BTC: make_candles(1200), ETH: make_candles(1200, seed=2)}


@pytest.fixture
def files(tmp_path: Path, candles: dict[Series, Candles]) -> list[str]:
    found = []
    for number, (series, those) in enumerate(candles.items()):
        found += ["--candles", f"{series}={write(tmp_path / f'{number}.csv', those)}"]
    return found


def test_matrix_is_what_a_model_sees_with_cutoff_fingerprint_and_data_hash(
    tmp_path: Path, files: list[str], candles: dict[Series, Candles]
) -> None:
    out = tmp_path / "features.parquet"
    assert main(["features", "--series", str(BTC), "--out", str(out), *files]) == 0
    table = pq.read_table(out)
    usable = complete_windows(candles[BTC])
    assert table.column_names == ["cutoff", *FeatureSpec(Interval.M15).names]
    assert table["cutoff"].to_numpy().astype("datetime64[ms]").tolist() == candles[BTC].close_time[usable].tolist()
    expected = build_features(candles[BTC], market=market_around(BTC, candles))[usable]
    found = np.column_stack([table[name].to_numpy() for name in table.column_names[1:]])
    assert np.array_equal(found, expected, equal_nan=True)
    assert found.dtype == np.float32
    facts = table.schema.metadata
    assert facts[b"candlecast.series"].decode() == str(BTC)
    assert facts[b"candlecast.fingerprint"].decode() == FeatureSpec(Interval.M15).fingerprint
    assert facts[b"candlecast.data_hash"].decode() == data_hash(candles)


def test_matrix_that_is_there_is_not_written_again_until_a_candle_changes(
    tmp_path: Path, files: list[str], candles: dict[Series, Candles]
) -> None:
    out = tmp_path / "features.parquet"
    command = ["features", "--series", str(BTC), "--out", str(out), *files]
    assert main(command) == 0
    first = out.stat()
    assert main(command) == 0
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == (first.st_mtime_ns, first.st_ino)
    write(Path(files[-1].split("=")[1]), candles[ETH][:-1])
    assert main(command) == 0
    assert out.stat().st_mtime_ns > first.st_mtime_ns
    assert FeatureTable.read(out).data_hash == data_hash({BTC: candles[BTC], ETH: candles[ETH][:-1]})


def test_candles_come_from_the_database_where_no_file_is_named(
    tmp_path: Path,
    database: Database,
    database_url: str,
    candles: dict[Series, Candles],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with database.begin() as connection:
        candle_store.add_series(connection, candles)
        for series, those in candles.items():
            candle_store.upsert(connection, series, those, source="test", now=those.cutoff)
    monkeypatch.setenv("CANDLECAST_DATABASE_URL", database_url)
    monkeypatch.setenv("CANDLECAST_SERIES", f"{BTC},{ETH}")
    assert Settings().series == (BTC, ETH)
    out = tmp_path / "features.parquet"
    assert main(["features", "--series", str(BTC), "--out", str(out)]) == 0
    assert FeatureTable.read(out).is_of(BTC, candles)
    assert main(["features", "--series", "binance:SOL-USDT:15m", "--out", str(out)]) == 65


def test_too_few_candles_a_missing_file_and_a_foreign_one_end_by_name(
    tmp_path: Path, files: list[str], candles: dict[Series, Candles], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "features.parquet"
    write(Path(files[1].split("=")[1]), candles[BTC][:500])
    assert main(["features", "--series", str(BTC), "--out", str(out), *files]) == 65
    assert "have 500 candles, need 512" in capsys.readouterr().err
    assert main(["features", "--series", "binance:SOL-USDT:15m", "--out", str(out), *files]) == 65
    assert "no file was given for binance:SOL-USDT:15m" in capsys.readouterr().err
    assert main(["features", "--series", str(ETH), "--out", str(tmp_path / "no" / "where.parquet"), *files]) == 78
    out.write_text("no parquet")
    assert main(["features", "--series", str(ETH), "--out", str(out), *files]) == 65
    assert "is no feature matrix of this version" in capsys.readouterr().err
