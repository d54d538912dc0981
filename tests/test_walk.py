from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series, from_datetime64, to_datetime64
from candlecast.errors import NotEnoughCandles
from candlecast.forecast import Forecast, Forecaster
from candlecast.walk import Contender, History, newest_days, walk, windows
from candlecast.yardsticks.statistical import Drift
from tests.making import make_candles

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def candles() -> dict[Series, Candles]:
    return {BTC: make_candles(2500), ETH: make_candles(2500, seed=2)}


class _Fits:
    """Fits drift and notes what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Series, History]] = []

    def __call__(self, history: History, series: Series, horizons: Sequence[int]) -> Forecaster:
        self.seen.append((series, history))
        return Drift(history[series], horizons)


def test_every_window_is_fitted_on_what_had_closed_an_embargo_before_it(candles: dict[Series, Candles]) -> None:
    start = from_datetime64(candles[BTC].close_time[1000])
    splits = windows(start, start + 10 * DAY, 4 * DAY, [1, 5], Interval.M15)
    fits = _Fits()
    found = walk(Contender("drift", fits, frozenset({"close"})), candles, [BTC, ETH], [1, 5], splits)
    assert [series for series, _ in fits.seen] == [BTC, ETH] * 3
    for split, (_, history) in zip(np.repeat(np.array(splits), 2), fits.seen, strict=True):
        assert {one.cutoff for one in history.values()} == {split.test_start - timedelta(minutes=75)}
    judged = found[ETH][5]
    assert judged.cutoff.tolist() == candles[ETH].close_time[1000:1960].tolist()
    assert judged.realised.tolist() == candles[ETH].close[1005:1965].tolist()
    assert np.isnan(judged.p_up).all()
    assert np.isnan(judged.quantiles).all()


def test_windows_are_joined_as_if_each_had_been_judged_alone(candles: dict[Series, Candles]) -> None:
    start = from_datetime64(candles[BTC].close_time[1000])
    contender = Contender("drift", lambda h, s, horizons: Drift(h[s], horizons))
    splits = windows(start, start + 8 * DAY, 4 * DAY, [1], Interval.M15)
    whole = walk(contender, candles, [BTC], [1], splits)[BTC][1]
    parts = [walk(contender, candles, [BTC], [1], [split])[BTC][1] for split in splits]
    assert whole.close.tolist() == [close for part in parts for close in part.close.tolist()]
    assert (
        len(
            set((parts[0].close / parts[0].last_close).round(12))
            ^ set((parts[1].close / parts[1].last_close).round(12))
        )
        > 0
    )


def test_pooled_contender_is_fitted_once_for_all_series_and_one_that_does_not_refit_once_for_all_windows(
    candles: dict[Series, Candles],
) -> None:
    start = from_datetime64(candles[BTC].close_time[1000])
    splits = windows(start, start + 8 * DAY, 4 * DAY, [1], Interval.M15)
    pooled, once = _Fits(), _Fits()
    walk(Contender("pooled", pooled, pooled=True), candles, [BTC, ETH], [1], splits)
    walk(Contender("once", once, refits=False), candles, [BTC, ETH], [1], splits)
    assert [set(history) for _, history in pooled.seen] == [{BTC, ETH}] * 2
    assert [series for series, _ in once.seen] == [BTC, ETH]
    assert {history[BTC].cutoff for _, history in once.seen} == {splits[0].train_end}


def test_other_series_are_there_to_be_read(candles: dict[Series, Candles]) -> None:
    class Reader(Drift):
        def forecast(
            self,
            series: Series | None,
            candles: Candles,
            last: int = 1,
            known: History = {},  # noqa: B006
        ) -> list[Forecast]:
            assert set(known) == {BTC, ETH}
            return super().forecast(series, candles, last)

    start = from_datetime64(candles[BTC].close_time[1000])
    splits = windows(start, start + DAY, DAY, [1], Interval.M15)
    found = walk(Contender("reader", lambda h, s, horizons: Reader(h[s], horizons)), candles, [BTC], [1], splits)
    assert len(found[BTC][1]) == 96


def test_progress_names_the_contender_and_the_window(candles: dict[Series, Candles]) -> None:
    start = from_datetime64(candles[BTC].close_time[1000])
    said: list[str] = []
    splits = windows(start, start + 2 * DAY, DAY, [1], Interval.M15)
    walk(Contender("drift", _Fits()), candles, [BTC], [1], splits, said.append)
    assert [line.split(",")[0] for line in said] == ["drift: window 1 of 2", "drift: window 2 of 2"]


def test_window_without_cutoffs_judges_nothing(candles: dict[Series, Candles]) -> None:
    splits = windows(candles[BTC].cutoff, candles[BTC].cutoff + DAY, DAY, [1], Interval.M15)
    assert len(walk(Contender("drift", _Fits()), candles, [BTC], [1], splits)[BTC][1]) == 0
    assert to_datetime64(splits[0].train_end) < candles[BTC].close_time[-1]


def test_newest_days_are_walked_to_the_last_known_target(candles: dict[Series, Candles]) -> None:
    fits = _Fits()
    found = newest_days(
        Contender("drift", fits), candles, [BTC, ETH], [1, 5], minimum=500, days=10, refit_every=4 * DAY
    )
    own = candles[ETH]
    assert found[ETH][1].cutoff.tolist() == own.close_time[-1 - 960 : -1].tolist()
    assert found[ETH][5].realised.tolist() == own.close[-960 + 4 :].tolist()
    assert [series for series, _ in fits.seen] == [BTC, ETH] * 3


def test_newest_days_start_where_enough_was_learned(candles: dict[Series, Candles]) -> None:
    fits = _Fits()
    found = newest_days(Contender("drift", fits), candles, [BTC], [5], minimum=1500, days=90)
    assert len(fits.seen[0][1][BTC]) == 1500
    assert found[BTC][5].cutoff[0] == candles[BTC].close_time[1504]
    with pytest.raises(NotEnoughCandles, match="have 2500 candles to walk over, need more than 2500"):
        newest_days(Contender("drift", fits), candles, [BTC], [1], minimum=2500)
