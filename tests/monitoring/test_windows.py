"""Which windows are compared, and which columns of their rows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series, from_datetime64, to_datetime64
from candlecast.drift import Window
from candlecast.errors import NotEnoughCandles
from candlecast.forecast import Forecast
from candlecast.market import NOTHING, KnownCandles
from candlecast.volatility import volatility
from candlecast.xgb import XGBForecaster
from monitoring.windows import (
    MOST_ROWS,
    Rows,
    choose_windows,
    lead_in,
    null_past,
    sample,
    watched_features,
    window_rows,
)
from tests.making import START, make_candles

BTC = Series.parse("binance:BTC-USDT:1h")
NOW = datetime(2025, 9, 10, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def test_reference_ends_where_training_ended_and_both_windows_are_whole_days() -> None:
    trained = (NOW - 200 * DAY, NOW - 30 * DAY)
    reference, current = choose_windows(Interval.M15, first=NOW - 300 * DAY, newest=NOW, trained=trained)
    assert current == Window(NOW - 7 * DAY, NOW)
    assert reference == Window(NOW - 58 * DAY, NOW - 30 * DAY)


def test_reference_never_overlaps_the_current_window() -> None:
    trained = (NOW - 200 * DAY, NOW)
    reference, current = choose_windows(Interval.H1, first=NOW - 300 * DAY, newest=NOW, trained=trained)
    assert reference.end == current.start


def test_without_a_champion_the_reference_is_what_came_before_as_far_as_it_is_stored() -> None:
    reference, _ = choose_windows(Interval.H1, first=NOW - 19.6 * DAY, newest=NOW, trained=None)
    assert reference == Window(NOW - 19 * DAY, NOW - 7 * DAY)


def test_reference_leaves_two_thirds_of_a_short_past_to_null_windows() -> None:
    reference, _ = choose_windows(Interval.M15, first=NOW - 70.5 * DAY, newest=NOW, trained=None)
    assert reference == Window(NOW - 28 * DAY, NOW - 7 * DAY)
    assert null_past(Interval.M15, first=NOW - 70.5 * DAY, reference=reference) == Window(NOW - 70 * DAY, NOW - 7 * DAY)
    reference, _ = choose_windows(Interval.M15, first=NOW - 40.5 * DAY, newest=NOW, trained=None)
    assert reference.end - reference.start == 28 * DAY, "too short for null windows, whatever is left"


@pytest.mark.parametrize(("interval", "days"), [(Interval.M5, 182), (Interval.H1, 182), (Interval.H4, 728)])
def test_past_of_null_windows_is_26_current_windows_up_to_the_end_of_the_reference(
    interval: Interval, days: int
) -> None:
    reference, current = choose_windows(interval, first=NOW - 3000 * DAY, newest=NOW, trained=None)
    past = null_past(interval, first=NOW - 3000 * DAY, reference=reference)
    assert past == Window(reference.end - days * DAY, reference.end)
    assert past.length == 26 * current.length


def test_training_that_began_late_shortens_the_reference() -> None:
    trained = (NOW - 20 * DAY, NOW - 8 * DAY)
    reference, _ = choose_windows(Interval.H1, first=NOW - 300 * DAY, newest=NOW, trained=trained)
    assert reference == Window(*trained)


def test_too_short_a_history_says_what_is_missing() -> None:
    with pytest.raises(NotEnoughCandles, match=r"needs 3\.5") as caught:
        choose_windows(Interval.H1, first=NOW - 10 * DAY, newest=NOW, trained=None)
    assert caught.value.details == {"have": 10.0, "need": 10.5}


@pytest.mark.parametrize(
    ("interval", "days"), [(Interval.M1, 7), (Interval.H1, 7), (Interval.H4, 28), (Interval.D1, 168)]
)
def test_current_window_holds_at_least_a_week_of_hours(interval: Interval, days: int) -> None:
    _, current = choose_windows(interval, first=NOW - 2000 * DAY, newest=NOW, trained=None)
    assert current.end - current.start == days * DAY
    assert days * DAY >= 168 * interval.delta


def test_lagged_copies_and_the_calendar_are_not_watched() -> None:
    watched = watched_features(Interval.M15)
    assert {"return_0", "momentum_288", "range_0", "volatility_yesterday", "volume_1_12"} <= set(watched)
    assert not {"return_1", "upper_wick_3", "hour", "weekday", "slot", "symbol"} & set(watched)


def _times(candles: Candles, scale: float) -> Candles:
    prices = {name: scale * getattr(candles, name) for name in ("open", "high", "low", "close")}
    return replace(candles, **prices)


@pytest.fixture(scope="module")
def candles() -> Candles:
    return make_candles(1400, Interval.H1)


@pytest.fixture(scope="module")
def model(candles: Candles) -> XGBForecaster:
    return XGBForecaster.fit({BTC: candles}, [1, 5])


def _window(candles: Candles, days: int) -> Window:
    return Window(candles.cutoff - days * DAY, candles.cutoff)


def test_columns_do_not_depend_on_the_price_level(candles: Candles, model: XGBForecaster) -> None:
    window = _window(candles, 7)
    cheap = window_rows(BTC, candles, window, model)
    dear = window_rows(BTC, _times(candles, 1000.0), window, model)
    assert len(cheap) == 168
    assert list(cheap.columns)[-6:] == [
        f"{name}_{h}" for h in (1, 5) for name in ("p_up", "predicted_move", "predicted_width")
    ]
    for name, column in cheap.columns.items():
        # One more or fewer recent miss moves an interval by a hundredth, and rounding may decide it.
        tolerance = 3e-2 if name.startswith("predicted_width") else 1e-3
        np.testing.assert_allclose(dear.columns[name], column, rtol=tolerance, atol=1e-5, err_msg=name)


class _Bold:
    """A forecaster that believes that every rise of the last candle goes on."""

    horizons = (1, 5)
    window = 512

    def forecast(
        self, series: Series | None, candles: Candles, last: int = 1, known: KnownCandles = NOTHING
    ) -> list[Forecast]:
        return [self._say(one, candles) for one in NaiveForecaster(self.horizons).forecast(series, candles, last)]

    def _say(self, one: Forecast, candles: Candles) -> Forecast:
        row = int(np.searchsorted(candles.close_time, to_datetime64(one.cutoff)))
        step = float(candles.close[row] - candles.open[row])
        return replace(one, close=one.last_close + one.horizon * step, p_up=0.75 if step > 0 else 0.25)


def test_forecasts_are_compared_in_units_of_the_volatility_at_their_cutoff(candles: Candles) -> None:
    rows = window_rows(BTC, candles, _window(candles, 2), _Bold())
    said = [one for one in _Bold().forecast(BTC, candles, last=48) if one.horizon == 5]
    assert [from_datetime64(cutoff) for cutoff in rows.cutoff] == [one.cutoff for one in said]
    assert rows.columns["p_up_5"].tolist() == [one.p_up for one in said]
    unit = volatility(candles)[-48:] * np.sqrt(5)
    moved = np.log([one.close / one.last_close for one in said])
    assert (moved != 0).all()
    width = np.log([one.quantiles[10] / one.quantiles[2] for one in said])  # the central 80 per cent
    np.testing.assert_allclose(rows.columns["predicted_move_5"], moved / unit)
    np.testing.assert_allclose(rows.columns["predicted_width_5"], width / unit)


def test_reading_from_the_lead_in_on_changes_nothing(candles: Candles, model: XGBForecaster) -> None:
    window = _window(candles, 7)
    short = candles.between(lead_in(window, Interval.H1), window.end)
    whole, read = (window_rows(BTC, those, window, model) for those in (candles, short))
    assert len(read) == len(whole) == 168
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(read.columns[name], column, err_msg=name)


def test_rows_are_the_same_whether_they_are_made_in_one_piece_or_in_several(
    candles: Candles, model: XGBForecaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = _window(candles, 14)
    whole = window_rows(BTC, candles, window, model)
    monkeypatch.setattr("monitoring.windows._ROWS_AT_ONCE", 100)
    pieces = window_rows(BTC, candles, window, model)
    np.testing.assert_array_equal(pieces.cutoff, whole.cutoff)
    for name, column in whole.columns.items():
        np.testing.assert_array_equal(pieces.columns[name], column, err_msg=name)


def test_rows_behind_a_gap_are_left_out_and_no_row_is_invented(candles: Candles) -> None:
    holed = Candles.concatenate([candles[:800], candles[801:]])
    window = Window(START, candles.cutoff)
    assert len(window_rows(BTC, candles, window, None)) == 1400 - 511
    assert len(window_rows(BTC, holed, window, None)) == (800 - 511) + (599 - 511)
    empty = window_rows(BTC, candles[:100], window, None)
    assert len(empty) == 0
    assert list(empty.columns) == watched_features(Interval.H1)


def _rows(column: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Rows:
    cutoff = np.datetime64("2025-09-01", "ms") + np.arange(len(column)) * np.timedelta64(3_600_000, "ms")
    return Rows(cutoff, {"x": column})


def test_large_windows_are_sampled_always_in_the_same_way() -> None:
    rows = _rows(np.arange(12_000.0))
    chosen = sample(rows)
    assert len(chosen) == MOST_ROWS
    assert np.array_equal(chosen.columns["x"], sample(rows).columns["x"])
    assert (np.diff(chosen.columns["x"]) > 0).all()
    assert chosen.columns["x"].mean() == pytest.approx(6000, rel=0.02)
    assert len(sample(rows, 100)) == 100
    few = rows[rows.columns["x"] < 10]
    assert sample(few) is few
