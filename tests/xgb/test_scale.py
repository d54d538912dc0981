import numpy as np
import pytest

from candlecast.candles import Interval
from candlecast.xgb.recipe import recipe
from candlecast.xgb.scale import Scale
from candlecast.xgb.season import Season

STARTS = np.datetime64("2025-06-02T00:00", "ms") + np.arange(6000) * np.timedelta64(3_600_000, "ms")


@pytest.fixture(scope="module")
def scale() -> Scale:
    """Return what was learned from noise that is three times as large after 14:00 in New York, 18:00 UTC."""
    random = np.random.default_rng(4)
    loud = np.where(STARTS.astype(np.int64) // 3_600_000 % 24 >= 18, 3.0, 1.0)
    size, rows = loud * random.gamma(4, 0.25, 6000), random.normal(0, 1, (6000, 3)).astype(np.float32)
    season = Season.fit(Interval.H1, STARTS, np.log(size))
    labels = {"scale": size, "range": np.log(size)}
    return Scale.fit(rows, STARTS, season, labels, recipe(Interval.H1, 1).scales, {"seed": 1, "nthread": 1})


def test_the_season_is_heeded(scale: Scale) -> None:
    day = STARTS[48:72]
    said = scale.of(np.zeros((24, 3), dtype=np.float32), day)
    assert said[18:].mean() > 2 * said[:18].mean()


def test_columns_beside_its_own_are_not_read(scale: Scale) -> None:
    rows = np.random.default_rng(5).normal(0, 1, (50, 3)).astype(np.float32)
    wider = np.hstack([rows, np.full((50, 2), np.nan, dtype=np.float32)])
    assert scale.of(wider, STARTS[:50]).tolist() == scale.of(rows, STARTS[:50]).tolist()


def test_round_trip_through_bytes(scale: Scale) -> None:
    artefacts = {f"{name}-1.{suffix}": raw for name, suffix, raw in scale.raw()}
    assert sorted(artefacts) == ["range-1.ubj", "scale-1.ubj", "season-1.npy"]
    rows = np.random.default_rng(6).normal(0, 1, (50, 3)).astype(np.float32)
    loaded = Scale.load(1, artefacts, scale.facts())
    assert loaded.of(rows, STARTS[:50]).tolist() == scale.of(rows, STARTS[:50]).tolist()
