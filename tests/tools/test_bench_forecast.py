"""The program that judges forecasts, on small made-up candles with the real forecasters."""

import gzip
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from candlecast.candles import Candles, Interval
from tests.making import make_candles
from tools.bench_forecast import END_MARK, JUDGED_FROM, START_MARK, load, main, walked, write

DAYS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of candles whose last days are judged."""
    found = tmp_path_factory.mktemp("candles")
    for number, base in enumerate(("BTC", "ETH", "SOL", "XRP", "BNB", "ADA")):
        for interval, count in ((Interval.H1, 2000), (Interval.M15, 2200), (Interval.M5, 3000)):
            start = JUDGED_FROM + (DAYS * 86400 // interval.seconds - count) * interval.delta
            _write(
                found / f"binance-{base}USDT-{interval}-2025-01-01-2025-08-05.csv.gz",
                make_candles(count, interval, start=start, seed=number),
            )
    _write(found / "binance-BTCUSDT-1h-2017-08-17-2024-04-21.csv.gz", make_candles(10, Interval.H1))
    return found


def _write(path: Path, candles: Candles) -> None:
    columns = (
        candles.open_time.astype(np.int64),
        candles.open,
        candles.high,
        candles.low,
        candles.close,
        candles.volume,
    )
    text = io.StringIO("ts,open,high,low,close,volume\n")
    text.seek(0, io.SEEK_END)
    text.writelines(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def test_study_pools_five_symbols_beside_shorter_candles_and_one_that_no_fit_sees(folder: Path) -> None:
    study = load(folder, Interval.H1)
    assert [str(series.symbol) for series in study.pool] == ["BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "BNB-USDT"]
    assert [str(series) for series in study.unseen] == ["binance:ADA-USDT:1h"]
    assert {series.interval for series in study.candles} == {Interval.H1, Interval.M15}
    assert len(study.candles[study.pool[0]]) == 2000


FEW = ["--intervals", "1h", "--forecasters", "candlecast,drift,logistic_regression", "--threads", "1"]


def test_tables_name_everybody_and_a_second_run_fits_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, store = tmp_path / "quality.md", tmp_path / "store"
    document.write_text(f"# Forecast quality\n\nWhat was tried.\n\n{START_MARK}\nstale\n{END_MARK}\n\nNotes.\n")
    command = ["--data", str(folder), "--store", str(store), "--out", str(document), *FEW]
    assert main(command) == 0
    first = document.read_text()
    for word in ("candlecast", "persistence", "fhs", "drift", "ADA-USDT 1h", "After costs", "Five candles ahead"):
        assert word in first
    assert first.startswith("# Forecast quality\n\nWhat was tried.")
    assert first.endswith("\n\nNotes.\n")
    assert "stale" not in first
    kept = {path: path.stat().st_mtime_ns for path in store.rglob("*.npz")}
    assert len(kept) == 3 * 6 + 2 * 5  # ours and the references judge the symbol that no fit saw, too
    assert capsys.readouterr().out.strip() in first
    assert main(command) == 0
    assert "window" not in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.npz")} == kept
    assert document.read_text() == first

    next(store.rglob("BTC-USDT/drift-*.npz")).unlink()
    assert main([*command, "--stored"]) == 0
    assert document.read_text().count("| drift |") == first.count("| drift |") - 1
    assert main(command) == 0
    assert document.read_text() == first


def test_scores_in_the_table_are_those_of_a_walk(folder: Path, tmp_path: Path) -> None:
    study = load(folder, Interval.H1)
    found = walked(study, tmp_path, ["drift"])
    judged = found.said["drift"][study.pool[0]][1]
    own = study.candles[study.pool[0]]
    (first,) = np.flatnonzero(own.close_time == np.datetime64("2025-08-01T00:00", "ms"))
    assert judged.cutoff.tolist() == own.close_time[first:-1].tolist()
    slope = np.log(own.close[first - 5] / own.close[0]) / (first - 5)  # five hours of embargo
    assert judged.close == pytest.approx(own.close[first:-1] * np.exp(slope))


def test_model_never_sees_the_symbols_that_are_kept_from_it(folder: Path, tmp_path: Path) -> None:
    study = load(folder, Interval.H1)
    with_it = walked(study, tmp_path / "with", ["candlecast"])
    inside = {series: those for series, those in study.candles.items() if series.symbol.base != "ADA"}
    without = walked(replace(study, unseen=(), candles=inside), tmp_path / "without", ["candlecast"])
    for series in study.pool:
        for horizon in (1, 5):
            one, other = (found.said["candlecast"][series][horizon] for found in (with_it, without))
            assert np.array_equal(one.quantiles, other.quantiles)
            assert np.array_equal(one.p_up, other.p_up)


def test_section_is_added_where_the_document_has_none(tmp_path: Path) -> None:
    document = tmp_path / "new.md"
    write(document, "tables")
    assert document.read_text() == f"# Forecast quality\n\n{START_MARK}\ntables\n{END_MARK}\n"
    write(document, "others")
    assert document.read_text() == f"# Forecast quality\n\n{START_MARK}\nothers\n{END_MARK}\n"


def test_folder_without_candles_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "quality.md")]) == 78
    assert f"{tmp_path} has no candles of binance:BTC-USDT:1h" in capsys.readouterr().err
    assert not (tmp_path / "quality.md").exists()
