"""A stored feature matrix is taken only where it was made from exactly the same candles, and changes no byte."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import ConfigurationError
from candlecast.jobs import run_job
from candlecast.settings import load_settings
from candlecast.store import candles as candle_store
from candlecast.store import models, runs
from candlecast.store.database import Database
from candlecast.xgb import XGBForecaster
from tests.making import make_candles
from training.features import FeatureTable
from training.job import train_models
from training.matrices import matrix_path, reuse

BTC, ETH = Series.parse("replay:BTC-USDT:15m"), Series.parse("replay:ETH-USDT:15m")
PART = Series.parse("replay:BTC-USDT:5m")
POOL: dict[Series, Candles] = {BTC: make_candles(1500), ETH: make_candles(1400, seed=2)}
PARTS = {PART: make_candles(4500, Interval.M5, seed=3)}


@pytest.mark.parametrize("whole", [True, False], ids=["all candles", "an earlier end"])
def test_a_fit_on_stored_matrices_is_the_same_fit(tmp_path: Path, whole: bool) -> None:
    end = None if whole else POOL[ETH].cutoff - 200 * BTC.interval.delta
    reuse(tmp_path, POOL, PARTS)
    built = reuse(tmp_path, POOL, PARTS)
    assert set(built) == {BTC, ETH}
    fit = partial(XGBForecaster.fit, POOL, [1], seed=1, known=PARTS, train_end=end)
    plain = fit().to_bytes()
    assert fit(built=built).to_bytes() == plain
    # They are really read: other numbers make another model.
    shifted = {series: (times, rows + np.float32(1) * rows[::-1]) for series, (times, rows) in built.items()}
    assert fit(built=shifted).to_bytes() != plain


def test_a_matrix_that_lacks_a_row_is_not_used(tmp_path: Path) -> None:
    short = {series: (times[:-1], rows[:-1]) for series, (times, rows) in reuse(tmp_path, POOL, PARTS).items()}
    plain = XGBForecaster.fit(POOL, [1], seed=1, known=PARTS)
    assert XGBForecaster.fit(POOL, [1], seed=1, known=PARTS, built=short).to_bytes() == plain.to_bytes()


def test_what_was_made_from_other_candles_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reuse(tmp_path, POOL, PARTS)
    path = matrix_path(tmp_path, BTC)
    made = path.read_bytes()
    with caplog.at_level(logging.INFO):
        reuse(tmp_path, POOL, PARTS)
    assert path.read_bytes() == made
    assert [record for record in caplog.records if "its features are those of" in record.message]
    # The market of BTC is another one when a candle of ETH is.
    volume = POOL[ETH].volume.copy()
    volume[-1] += 1
    other = {BTC: POOL[BTC], ETH: replace(POOL[ETH], volume=volume)}
    reuse(tmp_path, other, PARTS)
    assert FeatureTable.read(path).is_of(BTC, {**other, **PARTS})
    assert not FeatureTable.read(path).is_of(BTC, {**POOL, **PARTS})


def test_a_file_that_is_no_matrix_is_replaced(tmp_path: Path) -> None:
    path = matrix_path(tmp_path, BTC)
    path.write_bytes(b"half a file")
    assert set(reuse(tmp_path, {BTC: POOL[BTC]}, {})) == {BTC}
    assert FeatureTable.read(path).series == BTC


def test_a_series_with_too_few_candles_has_none(tmp_path: Path) -> None:
    assert reuse(tmp_path, {BTC: POOL[BTC][:400]}, {}) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="CANDLECAST_FEATURE_DIR"):
        reuse(tmp_path / "file" / "below", POOL, PARTS)


def test_training_keeps_its_matrices_and_takes_them_again(
    database: Database, database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = load_settings(
        database_url=database_url, series=str(BTC), horizons="1", min_train_candles=1000, feature_dir=tmp_path / "kept"
    )
    with database.begin() as connection:
        candle_store.upsert(connection, BTC, POOL[BTC], source="replay", now=POOL[BTC].cutoff)
    for _ in range(2):
        with database.begin() as connection:
            runs.ask(connection, "training", {}, requested_by="anna")
        assert run_job("training", settings, lambda run: train_models(run, settings)) == 0
    assert len([record for record in caplog.records if "its features are those of" in record.message]) == 1
    with database.begin() as connection:
        first, second = models.versions(connection)
    assert first.manifest["artefacts"] == second.manifest["artefacts"]
