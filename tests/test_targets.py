import math

import numpy as np
import pytest

from candlecast.targets import build_targets
from candlecast.volatility import LAGS, volatility
from tests.making import make_candles


@pytest.mark.parametrize("horizon", [1, 5])
def test_target_is_the_log_return_in_units_of_volatility(horizon: int) -> None:
    candles = make_candles(400)
    targets, sig = build_targets(candles, horizon), volatility(candles)
    for row in (LAGS, 300, 399 - horizon):
        move = math.log(candles.close[row + horizon] / candles.close[row])
        assert targets.scaled_return[row] == pytest.approx(move / (sig[row] * math.sqrt(horizon)))
        assert targets.scaled_return[row] * targets.unit[row] == pytest.approx(move)
        assert targets.up[row] == (move > 0)
        assert targets.target_time[row] == candles.close_time[row + horizon]


@pytest.mark.parametrize("horizon", [1, 5])
def test_end_of_the_data_is_never_labelled(horizon: int) -> None:
    targets = build_targets(make_candles(400), horizon)
    assert targets.known.tolist() == [False] * (LAGS - 1) + [True] * (401 - LAGS - horizon) + [False] * horizon
    assert np.isnan(targets.scaled_return[~targets.known]).all()
    assert not targets.up[~targets.known].any()


@pytest.mark.parametrize("horizon", [1, 5])
def test_row_whose_target_lies_behind_a_gap_is_not_labelled(horizon: int) -> None:
    candles = make_candles(900)
    holed = candles[np.arange(900) != 500]
    unknown = np.flatnonzero(~build_targets(holed, horizon).known)
    expected = [*range(LAGS - 1), *range(500 - horizon, 500 + LAGS - 1), *range(899 - horizon, 899)]
    assert unknown.tolist() == expected


def test_close_that_did_not_change_has_no_direction() -> None:
    candles = make_candles(300)
    candles.close[250] = candles.close[249]
    targets = build_targets(candles, 1)
    assert targets.known[249]
    assert not targets.moved[249]


def test_horizon_longer_than_the_data_labels_nothing() -> None:
    assert not build_targets(make_candles(300), 400).known.any()


def test_horizon_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="not 0"):
        build_targets(make_candles(10), 0)
