"""XGBoost's shared library called directly, beside XGBoost's own Python package."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import xgboost

from candlecast.features import FloatMatrix
from candlecast.xgb import library
from candlecast.xgb.library import Booster
from tests.programs import ROOT

COLUMNS = 12
KINDS: dict[str, dict[str, Any]] = {
    "logits of a small forest per round": {"objective": "binary:logistic", "num_parallel_tree": 4, "max_depth": 4},
    "logarithms": {"objective": "reg:gamma", "max_depth": 3},
    "squares, deep": {"objective": "reg:squarederror", "max_depth": 8, "max_bin": 16},
    "columns drawn by lot": {"objective": "reg:squarederror", "colsample_bytree": 0.4, "subsample": 0.6},
    "a start of its own": {"objective": "binary:logistic", "base_score": 0.2, "max_depth": 1},
}


def _rows(count: int, seed: int) -> FloatMatrix:
    """Return rows of which a tenth of the values is not known, and one row of which nothing is."""
    dice = np.random.default_rng(seed)
    rows = dice.standard_normal((count, COLUMNS), dtype=np.float32)
    rows[dice.random(rows.shape) < 0.1] = np.nan
    rows[-1] = np.nan
    return rows


def _fitted(kind: str, seed: int = 0, rounds: int = 30) -> xgboost.Booster:
    rows = _rows(2000, seed)
    label = np.abs(np.nan_to_num(rows[:, 0])) + np.random.default_rng(seed).random(len(rows))
    if "binary" in KINDS[kind]["objective"]:
        label = (label > 1).astype(np.float64)
    return xgboost.train({**KINDS[kind], "nthread": 1, "seed": seed}, xgboost.DMatrix(rows, label), rounds)


def _margins_of_the_package(booster: xgboost.Booster, rows: FloatMatrix) -> Any:
    return booster.inplace_predict(rows, predict_type="margin").astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2])
def test_predictions_are_the_packages_to_the_last_bit(kind: str, seed: int) -> None:
    theirs = _fitted(kind, seed)
    ours = Booster(bytes(theirs.save_raw("ubj")))
    for count in (1, 2, 63, 64, 65, 200):
        rows = _rows(count, seed + count)
        assert ours.margins(rows).tobytes() == _margins_of_the_package(theirs, rows).tobytes()
        parts = theirs.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True).astype(np.float64)
        assert ours.contributions(rows).tobytes() == parts.tobytes()
        assert ours.contributions(rows).shape == (count, COLUMNS + 1)


def test_bytes_are_those_that_the_package_writes() -> None:
    theirs = _fitted("logarithms")
    raw = bytes(theirs.save_raw("ubj"))
    assert Booster(raw).to_bytes() == raw
    assert Booster(bytes(theirs.save_raw("json"))).to_bytes() == raw
    assert library.version() == xgboost.__version__


def test_rows_may_lie_anyhow_in_memory() -> None:
    theirs = _fitted("squares, deep")
    ours, rows = Booster(bytes(theirs.save_raw("ubj"))), _rows(40, 7)
    wide = np.hstack([rows, rows])
    said = ours.margins(rows)
    assert (ours.margins(np.asfortranarray(rows)) == said).all()
    assert (ours.margins(wide[:, :COLUMNS]) == said).all()
    assert (ours.margins(rows[::2]) == said[::2]).all()
    assert (ours.contributions(np.asfortranarray(rows)) == ours.contributions(rows)).all()


@pytest.mark.parametrize("shape", [(3, COLUMNS - 1), (3, COLUMNS + 1), (0, COLUMNS), (COLUMNS,)])
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    ours = Booster(bytes(_fitted("logarithms").save_raw("ubj")))
    for predict in (ours.margins, ours.contributions):
        with pytest.raises(ValueError, match=f"rows of {COLUMNS} columns, not"):
            predict(np.zeros(shape, dtype=np.float32))


def test_what_is_no_booster_is_refused_in_xgboosts_words() -> None:
    raw = bytes(_fitted("logarithms").save_raw("ubj"))
    with pytest.raises(ValueError, match=r"^there is nothing to load$"):
        Booster(b"")
    with pytest.raises(ValueError, match=r"^Invalid model format\. Expecting UBJSON"):
        Booster(bytes(100))
    with pytest.raises(ValueError, match=r"^Expecting: "):
        Booster(b"{not a booster")
    for end in (1000, len(raw) // 2, len(raw) - 500):
        with pytest.raises(ValueError, match=r"\w"):
            Booster(raw[:end])


def test_threads_predict_with_one_booster_at_once() -> None:
    theirs = [_fitted(kind) for kind in ("logarithms", "squares, deep")]
    ours = [Booster(bytes(one.save_raw("ubj"))) for one in theirs]
    together = threading.Barrier(8)

    def ask(number: int) -> bool:
        rows = _rows(1 + 10 * number, number)
        wanted = [_margins_of_the_package(one, rows) for one in theirs]
        parts = [one.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True) for one in theirs]
        together.wait(30)
        return all(
            (one.margins(rows) == margins).all() and (turn % 30 or (one.contributions(rows) == contributions).all())
            for turn in range(60)
            for one, margins, contributions in zip(ours, wanted, parts, strict=True)
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))


def test_boosters_that_nobody_holds_leave_memory() -> None:
    raw = bytes(_fitted("squares, deep", rounds=200).save_raw("ubj"))
    assert len(raw) > 1_000_000
    rows = _rows(2, 3)

    def resident() -> int:
        for _ in range(20):
            Booster(raw).contributions(rows)
        size: int = psutil.Process().memory_info().rss
        return size

    before = resident()
    assert resident() - before < 10 * len(raw)


def test_without_the_library_the_way_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "xgboost").mkdir()
    (tmp_path / "xgboost" / "__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    program = "from candlecast.xgb.library import Booster; Booster(b'{}')"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "is not installed, the library of XGBoost; install candlecast with" in ended.stderr
