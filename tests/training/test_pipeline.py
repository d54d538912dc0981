from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series
from candlecast.errors import NotEnoughCandles, UsageError
from candlecast.evaluation import judge, score
from candlecast.forecast import Forecast
from candlecast.market import NOTHING, KnownCandles
from candlecast.xgb import XGBForecaster
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared
from training.pipeline import Challenger, ScoreRow, train

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")


class _Steps:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def __call__(self, message: str, done: int, target: int) -> None:
        self.calls.append((message, done, target))


def _train(candles: dict[Series, Candles], **changed: object) -> Challenger:
    arguments = {"champion": None, "seed": 1, "threads": 1, "minimum": 2000, "progress": _Steps()} | changed
    return train(candles, [1, 5], **arguments)  # type: ignore[arg-type]  # one dictionary of several types


@pytest.fixture(scope="module")
def walks() -> dict[Series, Candles]:
    return {BTC: make_candles(4000), ETH: make_candles(3500, seed=2)[500:]}


@pytest.fixture(scope="module")
def challenger(walks: dict[Series, Candles]) -> Challenger:
    return _train(walks)


def _value(challenger: Challenger, series: Series, horizon: int, forecaster: str, metric: str) -> ScoreRow:
    (row,) = [
        row
        for row in challenger.scores
        if (row.series, row.horizon, row.forecaster, row.metric) == (series, horizon, forecaster, metric)
    ]
    return row


def test_random_walk_is_refused_with_its_numbers(challenger: Challenger) -> None:
    assert not challenger.decision.promote
    assert challenger.decision.numbers["mae_ratio"] == pytest.approx(1, abs=0.01)
    assert challenger.manifest["evaluation"]["promote"] is False
    assert challenger.manifest["evaluation"]["reason"] == challenger.decision.reason


@requires_shared
def test_real_candles_make_a_challenger_that_is_promoted() -> None:
    start, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 8, 1, tzinfo=UTC)
    candles = {
        Series.parse(f"binance:{base}-USDT:1h"): real_candles(base, Interval.H1, start, end)
        for base in ("BTC", "ETH", "SOL")
    }
    challenger = _train(candles)
    assert challenger.decision.promote, challenger.decision.reason
    assert challenger.decision.numbers["pinball_ratio"] < 0.995


def test_scores_belong_to_a_twin_that_saw_nothing_of_the_hold_out(
    challenger: Challenger, walks: dict[Series, Candles]
) -> None:
    facts = challenger.manifest["evaluation"]
    train_end, start, end = (datetime.fromisoformat(facts[name]) for name in ("train_end", "start", "end"))
    assert start - train_end == timedelta(minutes=75)
    twin = XGBForecaster.fit(walks, [1, 5], seed=1, train_end=train_end)
    for horizon in (1, 5):
        judged = judge(twin, ETH, walks[ETH], start, end, walks)[horizon]
        for metric, value in score(judged).items():
            row = _value(challenger, ETH, horizon, "challenger", metric)
            assert (row.value, row.count, row.start, row.end) == (value, len(judged), start, end)


def test_every_training_is_checked_for_leaks(challenger: Challenger) -> None:
    checks = challenger.manifest["evaluation"]["leak_checks"]
    assert [one["name"] for one in checks] == ["shuffled_labels", "random_walk", "planted_signal", "truncated_future"]
    assert all(one["passed"] for one in checks), checks
    assert {name for name in challenger.decision.numbers if name.startswith("leak_")} == {
        f"leak_{one['name']}" for one in checks
    }


def test_served_model_learned_from_everything(challenger: Challenger, walks: dict[Series, Candles]) -> None:
    everything = XGBForecaster.fit(walks, [1, 5], seed=1)
    assert challenger.artefacts == everything.to_bytes() == challenger.forecaster.to_bytes()
    assert challenger.forecaster.trained_until == walks[BTC].cutoff
    loaded = XGBForecaster.from_bytes(challenger.artefacts, challenger.manifest)
    assert loaded.forecast(BTC, walks[BTC]) == everything.forecast(BTC, walks[BTC])


def test_shorter_candles_inside_reach_the_model_and_its_judge(walks: dict[Series, Candles]) -> None:
    part = Series.parse("binance:BTC-USDT:5m")
    inside = {part: make_candles(7500, Interval.M5, seed=3)}
    own = {BTC: walks[BTC][:2500]}
    challenger = _train(own, known=inside)
    assert str(part) in challenger.manifest["training"]
    facts = challenger.manifest["evaluation"]
    train_end, start, end = (datetime.fromisoformat(facts[name]) for name in ("train_end", "start", "end"))
    twin = XGBForecaster.fit(own, [1, 5], seed=1, train_end=train_end, known=inside)
    with_parts, without = (score(judge(twin, BTC, own[BTC], start, end, known)[1])["auc"] for known in (inside, {}))
    assert _value(challenger, BTC, 1, "challenger", "auc").value == with_parts != without


def test_every_series_horizon_and_forecaster_is_scored_on_the_same_cutoffs(challenger: Challenger) -> None:
    named = {(row.series, row.horizon, row.forecaster): row.count for row in challenger.scores}
    assert set(named) == {(s, h, f) for s in (BTC, ETH) for h in (1, 5) for f in ("challenger", "naive")}
    assert all(named[s, h, "challenger"] == named[s, h, "naive"] for s in (BTC, ETH) for h in (1, 5))
    assert _value(challenger, BTC, 1, "naive", "mae_ratio").value == 1


def test_series_with_too_few_candles_is_left_out_by_name(walks: dict[Series, Candles]) -> None:
    challenger = _train(walks, minimum=3500)
    assert challenger.left_out == {ETH: "have 3000 candles, need 3500"}
    assert challenger.manifest["left_out"] == {str(ETH): "have 3000 candles, need 3500"}
    assert challenger.manifest["symbols"] == ["BTC-USDT"]
    assert {row.series for row in challenger.scores} == {BTC}


def test_no_series_with_enough_candles_is_an_error_with_have_and_need(walks: dict[Series, Candles]) -> None:
    with pytest.raises(NotEnoughCandles, match=r"BTC-USDT:15m.*have 4000, need 5000") as caught:
        _train(walks, minimum=5000)
    assert caught.value.code == "not_enough_candles"
    with pytest.raises(NotEnoughCandles, match="have 2000, need 512"):
        _train({BTC: make_candles(4000)[np.arange(4000) % 2 == 0]})
    with pytest.raises(UsageError):
        _train({})


def test_progress_counts_to_its_target(walks: dict[Series, Candles]) -> None:
    steps = _Steps()
    _train({BTC: walks[BTC][:2500]}, progress=steps)
    assert [done for _, done, _ in steps.calls] == [1, 2, 3, 4, 5, 6]
    assert {target for *_, target in steps.calls} == {6}
    assert "judged binance:BTC-USDT:15m" in [message for message, *_ in steps.calls]


def test_progress_may_end_the_run(walks: dict[Series, Candles]) -> None:
    class Cancelled(Exception):
        pass

    def cancel(message: str, done: int, target: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        _train(walks, progress=cancel)


class _Oracle:
    """A champion that knows the future, which no challenger can match."""

    horizons = (1, 5)
    window = 512

    def __init__(self, candles: dict[Series, Candles]) -> None:
        self._naive, self._candles = NaiveForecaster(self.horizons), candles

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        return [self._told(one, series) for one in self._naive.forecast(series, candles, last)]

    def _told(self, one: Forecast, series: Series | None) -> Forecast:
        assert series
        known = self._candles[series].between(one.cutoff, one.target_time)
        close = float(known.close[-1]) if len(known) else one.close
        return Forecast(one.cutoff, one.horizon, one.target_time, one.last_close, close, one.quantiles)


def test_champion_is_judged_beside_the_challenger_on_all_it_did_not_learn_from(walks: dict[Series, Candles]) -> None:
    challenger = _train(walks, champion=_Oracle(walks))
    assert _value(challenger, BTC, 1, "champion", "mae").value == pytest.approx(0, abs=1e-12)
    assert challenger.decision.numbers["champion_mae_worse_p_value"] < 0.001
    assert "of the champion's" in challenger.decision.reason


def test_champion_is_not_compared_on_what_it_learned(walks: dict[Series, Candles]) -> None:
    seen = {series: candles[:-300] for series, candles in walks.items()}
    champion = XGBForecaster.fit(seen, [1, 5], seed=2)
    challenger = _train(walks, champion=champion)
    assert _value(challenger, BTC, 1, "champion", "mae").count == 300
    assert challenger.decision.numbers["champion_count"] == 300
    assert not [row for row in challenger.scores if row.forecaster == "champion" and row.series == ETH]  # ended before
