from importlib.util import find_spec

import numpy as np
import pytest

from candlecast.candles import Candles, Series
from candlecast.errors import ConfigurationError, NotEnoughCandles
from candlecast.yardsticks.lstm import Lstm
from tests.making import make_candles
from training.contenders import DEFAULT, contenders

SERIES = Series.parse("binance:BTC-USDT:15m")
requires_keras = pytest.mark.skipif(find_spec("keras") is None, reason="LSTM NOT TESTED: install candlecast[lstm]")


@pytest.fixture(scope="module")
def walked() -> Candles:
    return make_candles(1100)


@pytest.fixture(scope="module")
def network(walked: Candles) -> Lstm:
    return Lstm(walked[:800], [1])


@requires_keras
def test_cutoffs_read_only_their_own_past(network: Lstm, walked: Candles) -> None:
    together = network.forecast(SERIES, walked, 20)
    alone = [one for end in range(1081, 1101) for one in network.forecast(SERIES, walked[:end])]
    assert [one.close for one in together] == pytest.approx([one.close for one in alone], rel=1e-5)
    assert [one.p_up for one in together] == pytest.approx([one.p_up for one in alone], abs=1e-5)


@requires_keras
def test_closes_are_prices_near_the_last_one(network: Lstm, walked: Candles) -> None:
    said = network.forecast(SERIES, walked[:800], 300)
    usual = np.abs(np.diff(walked.close)).mean()
    assert np.mean([abs(one.close - one.last_close) for one in said]) < 20 * usual
    assert all(one.p_up is not None and 0 < one.p_up < 1 for one in said)


@requires_keras
def test_same_seed_gives_the_same_network(network: Lstm, walked: Candles) -> None:
    again = Lstm(walked[:800], [1])
    assert again.forecast(SERIES, walked, 3) == network.forecast(SERIES, walked, 3)


@requires_keras
def test_too_few_candles_are_an_error_with_have_and_need(walked: Candles) -> None:
    with pytest.raises(NotEnoughCandles, match="have 400 candles to learn from, need 559"):
        Lstm(walked[:400], [1])


@pytest.mark.skipif(find_spec("keras") is not None, reason="keras is installed")
def test_missing_packages_are_named_with_the_way_out(walked: Candles) -> None:
    with pytest.raises(ConfigurationError, match=r"install candlecast\[lstm\]"):
        Lstm(walked[:800], [1])


def test_it_is_compared_only_when_named_and_fitted_once() -> None:
    assert "lstm" not in DEFAULT
    (one,) = contenders(["lstm"], seed=0, threads=1)
    assert not one.refits
