"""Every kind of leak is planted once, and the check that is there for it must find it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import NotEnoughCandles
from candlecast.forecast import Forecast, Forecaster
from candlecast.leaks import check_leaks, planted_signal, random_walk, shuffled_labels, truncated_future
from candlecast.market import NOTHING, KnownCandles
from candlecast.xgb import XGBForecaster
from candlecast.yardsticks.predecessors import LogisticRegression
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")


@pytest.fixture(scope="module")
def candles() -> dict[Series, Candles]:
    return {BTC: make_candles(4000), ETH: make_candles(4000, seed=2)}


class Honest:
    """Learns a logistic regression of momentum and says nothing it cannot know."""

    horizons = (1,)
    window = 512

    def __init__(self, history: Mapping[Series, Candles]) -> None:
        self._model = LogisticRegression(history[BTC], [1])

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        return self._model.forecast(series, candles, last)


class ReadsTheNextRow(Honest):
    """Looks one candle ahead where one is there, as a feature shifted the wrong way would."""

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        said = super().forecast(series, candles, last)
        following = [*candles.close[-last:].tolist()[1:], candles.close[-1]]
        return [replace(one, p_up=0.9 if to > one.last_close else 0.1) for one, to in zip(said, following, strict=True)]


class ReadsOtherCandlesTooLate(Honest):
    """Takes from the known candles what closed after the cutoff."""

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        said = super().forecast(series, candles, last)
        future = known[series] if series else candles
        at = np.searchsorted(future.close_time, np.datetime64(said[0].cutoff.replace(tzinfo=None), "ms"))
        following = future.close[at + 1 : at + 1 + last]
        return [replace(one, close=float(to)) for one, to in zip(said, following, strict=False)] + said[
            len(following) :
        ]


class IsOneCandleLate(Honest):
    """Answers from the row before the newest, as a feature table that drops its newest row does."""

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        newest = super().forecast(series, candles, last)
        late = super().forecast(series, candles[:-1], last)
        return [replace(one, p_up=old.p_up) for one, old in zip(newest, late, strict=True)]


class ScalesByTheWholeTable(Honest):
    """Centres its answers on all rows it was asked for, those after the cutoff included."""

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        said = super().forecast(series, candles, last)
        usual = float(np.mean([one.p_up or 0 for one in said]))
        return [replace(one, p_up=0.5 + ((one.p_up or 0) - usual) / 2) for one in said]


def _learn(kind: type[Honest]):  # type: ignore[no-untyped-def]  # a test's own short hand
    def learn(history: Mapping[Series, Candles], horizons: Sequence[int]) -> Forecaster:
        return kind(history)

    return learn


def test_honest_forecaster_passes_every_check(candles: dict[Series, Candles]) -> None:
    checks = check_leaks(_learn(Honest), candles)
    assert [check.name for check in checks] == ["shuffled_labels", "random_walk", "planted_signal", "truncated_future"]
    assert all(check.passed for check in checks), checks


def test_feature_of_the_next_row_shows_skill_on_shuffled_labels(candles: dict[Series, Candles]) -> None:
    check = shuffled_labels(_learn(ReadsTheNextRow), candles)
    assert not check.passed
    assert check.numbers["auc"] > 0.9


def test_candles_of_others_read_too_late_show_skill_on_a_random_walk(candles: dict[Series, Candles]) -> None:
    check = random_walk(_learn(ReadsOtherCandlesTooLate), candles)
    assert not check.passed
    assert check.numbers["mae_ratio"] < 0.1
    assert "where no skill is to be had" in check.reason


def test_answer_from_an_old_row_misses_the_planted_signal(candles: dict[Series, Candles]) -> None:
    check = planted_signal(_learn(IsOneCandleLate), candles)
    assert not check.passed
    assert check.numbers["auc"] < 0.53


@pytest.mark.parametrize("kind", [ScalesByTheWholeTable, ReadsTheNextRow, ReadsOtherCandlesTooLate])
def test_anything_taken_from_after_the_cutoff_changes_when_it_is_taken_away(
    candles: dict[Series, Candles], kind: type[Honest]
) -> None:
    check = truncated_future(_learn(kind), candles)
    assert not check.passed
    assert check.numbers["difference"] > 1e-9


def test_table_of_what_follows_each_close_shows_skill_where_there_is_none(candles: dict[Series, Candles]) -> None:
    class Memory(Honest):
        """Looks up what followed each close, as a model fitted on the judged candles could."""

        def forecast(
            self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
        ) -> list[Forecast]:
            assert series
            after = dict(zip(known[series].close.tolist(), known[series].close.tolist()[1:], strict=False))
            said = super().forecast(series, candles, last)
            return [replace(one, p_up=float(after.get(one.last_close, 0) > one.last_close)) for one in said]

    assert not shuffled_labels(_learn(Memory), candles).passed
    assert not random_walk(_learn(Memory), candles).passed


@requires_shared
def test_the_model_that_training_fits_passes_every_check_on_real_candles() -> None:
    start, end = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)
    real = {
        Series.parse(f"binance:{b}-USDT:15m"): real_candles(b, Interval.M15, start, end) for b in ("BTC", "ETH", "SOL")
    }
    checks = check_leaks(lambda history, horizons: XGBForecaster.fit(history, horizons), real)
    assert all(check.passed for check in checks), checks
    assert {check.name: check for check in checks}["planted_signal"].numbers["auc"] > 0.6


def test_gaps_and_short_histories_are_no_excuse(candles: dict[Series, Candles]) -> None:
    holed = {BTC: candles[BTC][:900][np.arange(900) % 50 != 0]}
    assert all(check.passed for check in check_leaks(_learn(Honest), holed))
    with pytest.raises(NotEnoughCandles, match="no candles"):
        check_leaks(_learn(Honest), {BTC: candles[BTC][:0]})


def test_same_seed_gives_the_same_numbers(candles: dict[Series, Candles]) -> None:
    first, again = (shuffled_labels(_learn(Honest), candles, seed=3) for _ in range(2))
    assert first == again != shuffled_labels(_learn(Honest), candles, seed=4)
