import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as SkLogisticRegression  # type: ignore[import-untyped]

from candlecast.candles import Candles, Series
from candlecast.errors import NotEnoughCandles
from candlecast.yardsticks.predecessors import LogisticRegression, RandomForest
from tests.making import make_candles

SERIES = Series.parse("binance:BTC-USDT:15m")


@pytest.fixture(scope="module")
def walked() -> Candles:
    return make_candles(1200)


@pytest.fixture(scope="module")
def forest(walked: Candles) -> RandomForest:
    return RandomForest(walked[:800], [1])


def test_forest_knows_no_price_it_never_saw(forest: RandomForest, walked: Candles) -> None:
    higher = replace(walked, **{name: 3 * getattr(walked, name) for name in ("open", "high", "low", "close")})
    (one,) = forest.forecast(SERIES, higher)
    assert one.close <= walked.close[:801].max()
    assert one.p_up is None


def test_forest_says_the_next_close_of_what_it_learned(forest: RandomForest, walked: Candles) -> None:
    said = np.array([one.close for one in forest.forecast(SERIES, walked[:700], 600)])
    assert np.abs(said - walked.close[101:701]).mean() < 0.6 * np.abs(np.diff(walked.close[100:701])).mean()


def test_forest_and_its_forecasts_are_the_same_for_the_same_seed(forest: RandomForest, walked: Candles) -> None:
    again = RandomForest(walked[:800], [1])
    assert again.forecast(SERIES, walked, 5) == forest.forecast(SERIES, walked, 5)


def test_logistic_regression_is_the_predecessors(walked: Candles) -> None:
    (one,) = LogisticRegression(walked[:1000], [5]).forecast(SERIES, walked)
    close = walked.close.tolist()

    def row(t: int) -> list[float]:
        returns = [math.log(close[i] / close[i - 1]) for i in range(t - 4, t + 1)]
        mean = sum(returns) / 5
        return [
            returns[-1],
            math.log(close[t] / close[t - 3]),
            math.sqrt(sum((r - mean) ** 2 for r in returns) / 4),
            sum(close[t - 4 : t + 1]) / 5,
            sum(close[t - 14 : t + 1]) / 15,
            close[t] - close[t - 5],
        ]

    known = range(14, 995)
    learned = list(known)[: int(0.75 * len(known))]
    rows = np.array([row(t) for t in learned])
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    model = SkLogisticRegression(max_iter=1000).fit(
        (rows - centre) / spread, [close[t + 5] > close[t] for t in learned]
    )
    expected = model.predict_proba(((np.array(row(1199)) - centre) / spread)[None])[0, 1]
    assert one.p_up == pytest.approx(expected, rel=1e-6)
    assert one.close == one.last_close


def test_logistic_regression_does_not_learn_from_its_newest_quarter(walked: Candles) -> None:
    history = walked[:1000]
    changed = Candles.concatenate(
        [history[:800], make_candles(200, start=history[800:].cutoff - 200 * history.interval.delta, seed=9)]
    )
    first, second = (LogisticRegression(one, [1]).forecast(SERIES, walked) for one in (history, changed))
    assert first == second


@pytest.mark.parametrize("kind", [RandomForest, LogisticRegression])
def test_too_few_candles_are_an_error_with_have_and_need(
    kind: type[RandomForest | LogisticRegression], walked: Candles
) -> None:
    with pytest.raises(NotEnoughCandles, match="have 150 candles") as caught:
        kind(walked[:150], [1])
    assert caught.value.details["need"] > 200
