import math
from datetime import UTC, datetime

import numpy as np
import pytest

from candlecast.candles import Candles, Interval
from candlecast.errors import GapInWindow, NotEnoughCandles
from candlecast.features import REVISION, WINDOW, FeatureSpec, build_features, complete_windows, newest_unbroken
from candlecast.volatility import volatility
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared


def _changed(candles: Candles, **columns: object) -> Candles:
    return Candles.of(candles.interval, **{**candles.columns(), **columns})


def _column(candles: Candles, name: str) -> np.ndarray:
    return build_features(candles, 2.0)[:, FeatureSpec(candles.interval).names.index(name)]


@requires_shared
@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15, Interval.H1])
def test_512_candles_give_the_row_of_the_whole_history(interval: Interval) -> None:
    candles = real_candles("BTC", interval, datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC))
    whole = build_features(candles, 1.0)
    rows = np.random.default_rng(5).integers(WINDOW - 1, len(candles), 150)
    served = np.array([build_features(candles[r - WINDOW + 1 : r + 1], 1.0, last=1)[0] for r in rows])
    assert np.isfinite(served).all()
    np.testing.assert_allclose(served, whole[rows], rtol=1e-6)
    assert (served == whole[rows]).mean() > 0.9999


def test_later_candles_do_not_change_earlier_rows() -> None:
    candles = make_candles(900)
    other = make_candles(900, seed=2)
    mixed = Candles.of(
        candles.interval,
        **{
            name: np.concatenate([column[:700], other.columns()[name][700:]])
            for name, column in candles.columns().items()
        },
    )
    assert np.array_equal(build_features(candles)[:700], build_features(mixed)[:700], equal_nan=True)
    assert not np.array_equal(build_features(candles)[700], build_features(mixed)[700], equal_nan=True)


def test_rows_do_not_read_beyond_the_window() -> None:
    candles = make_candles(WINDOW + 1)
    wild = _changed(candles, volume=np.concatenate([[1e12], candles.volume[1:]]))
    assert np.array_equal(build_features(candles)[-1], build_features(wild)[-1], equal_nan=True)


def test_gap_empties_exactly_the_rows_whose_window_holds_it() -> None:
    candles = make_candles(1400)
    holed = candles[np.arange(1400) != 600]
    rows = build_features(holed, 0.0)
    expected = np.ones(1399, dtype=bool)
    expected[: WINDOW - 1] = False
    expected[600 : 600 + WINDOW - 1] = False
    assert np.array_equal(complete_windows(holed), expected)
    assert np.array_equal(~np.isnan(rows).all(axis=1), expected)
    assert np.isfinite(rows[expected]).all()


def test_fewer_candles_than_a_window_give_empty_rows() -> None:
    rows = build_features(make_candles(WINDOW - 1))
    assert rows.shape == (WINDOW - 1, len(FeatureSpec(Interval.M15).names))
    assert np.isnan(rows).all()
    assert build_features(Candles.empty(Interval.H1)).shape == (0, len(FeatureSpec(Interval.H1).names))


@pytest.mark.parametrize("last", [1, 7, 600, 2000])
def test_last_rows_are_the_end_of_the_matrix(last: int) -> None:
    candles = make_candles(1000)
    assert np.array_equal(build_features(candles, last=last), build_features(candles)[-last:], equal_nan=True)


def test_features_have_no_scale() -> None:
    candles = make_candles(700)
    prices = {name: candles.columns()[name] * 1024 for name in ("open", "high", "low", "close")}
    scaled = _changed(candles, **prices, volume=candles.volume * 64)
    np.testing.assert_allclose(build_features(scaled, 0.0), build_features(candles, 0.0), rtol=2e-4, atol=1e-6)


def test_features_are_what_their_names_say() -> None:
    candles = make_candles(WINDOW + 40)
    row, sig = WINDOW + 20, volatility(candles)[WINDOW + 20]
    close, high, low = candles.close, candles.high, candles.low

    def change(count: int) -> float:
        return float(np.log(close[row] / close[row - count]) / sig / math.sqrt(count))

    expected = {
        "return_0": change(1),
        "return_3": math.log(close[row - 3] / close[row - 4]) / sig,
        "momentum_48": change(48),
        "range_1": math.log(high[row - 1] / low[row - 1]) / sig,
        "body_2": math.log(close[row - 2] / candles.open[row - 2]) / sig,
        "upper_wick_0": math.log(high[row] / max(candles.open[row], close[row])) / sig,
        "lower_wick_0": math.log(min(candles.open[row], close[row]) / low[row]) / sig,
        "close_location_0": 2 * (close[row] - low[row]) / (high[row] - low[row]) - 1,
        "volume_1_12": math.log(candles.volume[row] / candles.volume[row - 11 : row + 1].mean()),
        "symbol": 2.0,
    }
    for name, value in expected.items():
        assert _column(candles, name)[row] == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15])
def test_slot_features_tell_where_the_next_candle_starts(interval: Interval) -> None:
    candles = make_candles(WINDOW + 100, interval)
    per_hour, sig = 3600 // interval.seconds, volatility(candles)
    price = np.log(candles.close)
    gated, ungated = _column(candles, "hour_return_at_hour"), _column(candles, "hour_return_off_hour")
    for row in range(WINDOW, WINDOW + 100):
        begins = candles.close_time[row].astype(datetime)
        hour_return = (price[row] - price[row - per_hour]) / sig[row] / math.sqrt(per_hour)
        at_hour = begins.minute == 0
        assert _column(candles, "slot")[row] == begins.minute * 60 // interval.seconds
        assert _column(candles, "hour")[row] == pytest.approx(begins.hour + begins.minute / 60)
        assert _column(candles, "weekday")[row] == begins.weekday()
        assert gated[row] == pytest.approx(hour_return if at_hour else 0, rel=1e-5)
        assert ungated[row] == pytest.approx(0 if at_hour else hour_return, rel=1e-5)


def test_quarter_return_shows_only_at_the_inner_quarters() -> None:
    candles = make_candles(WINDOW + 60, Interval.M5)
    values = _column(candles, "first_return_at_quarter")[WINDOW:]
    minutes = (candles.close_time[WINDOW:].astype(np.int64) // 60_000) % 60
    assert set(minutes[values != 0].tolist()) == {15, 30, 45}


def test_volatility_of_yesterday_is_centred_on_the_next_candles_time() -> None:
    candles = make_candles(WINDOW, Interval.H1)
    spiked = candles.high.copy()
    spiked[WINDOW - 24] *= 1.5  # opens 24 hours before the next candle
    before, after = _column(candles, "volatility_yesterday")[-1], _column(_changed(candles, high=spiked), "range_0")
    assert after[-1] < _column(candles, "range_0")[-1]  # sig saw the spike too
    assert _column(_changed(candles, high=spiked), "volatility_yesterday")[-1] > before + 1


def test_market_that_never_moves_or_trades_gives_no_infinite_number() -> None:
    flat = np.full(600, 3.0)
    candles = Candles.of(
        Interval.M15, open_time=900_000 * np.arange(600), open=flat, high=flat, low=flat, close=flat, volume=0 * flat
    )
    assert not np.isinf(build_features(candles)).any()


def test_candle_without_trades_counts_as_a_thousandth_of_the_usual_volume() -> None:
    candles = make_candles(WINDOW)
    quiet = _changed(candles, volume=np.append(candles.volume[:-1], 0.0))
    assert _column(quiet, "volume_1_96")[-1] == pytest.approx(math.log(1e-3))


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval_has_features(interval: Interval) -> None:
    rows = build_features(make_candles(WINDOW, interval), 0.0)
    assert np.isfinite(rows[-1]).all()


def test_fingerprint_tells_definitions_apart() -> None:
    prints = {FeatureSpec(interval).fingerprint for interval in Interval}
    assert len(prints) == len(list(Interval))
    assert FeatureSpec(Interval.H1, window=256).fingerprint not in prints
    assert FeatureSpec(Interval.H1).fingerprint == FeatureSpec(Interval.H1).fingerprint


def _waves(interval: Interval) -> Candles:
    steps = np.arange(WINDOW + 1)
    price = 100 * np.exp(0.02 * np.sin(steps / 7) + 0.03 * np.sin(steps / 61) + 0.01 * np.sin(steps**2 / 5))
    opened, close = price[:-1], price[1:]
    return Candles.of(
        interval,
        open_time=1_756_684_800_000 + interval.milliseconds * steps[1:],
        open=opened,
        high=np.maximum(opened, close) * (1.002 + 0.001 * np.sin(steps[1:] / 3)),
        low=np.minimum(opened, close) * (0.997 + 0.001 * np.cos(steps[1:] / 5)),
        close=close,
        volume=10 + 5 * np.sin(steps[1:] / 11) + 3 * np.cos(steps[1:] ** 2 / 3),
    )


def test_formulas_are_those_of_the_stated_revision() -> None:
    # When this fails because a formula was changed on purpose: raise REVISION in features.py, then change the number.
    rows = np.concatenate([build_features(_waves(interval), 1.0)[-1] for interval in Interval]).astype(np.float64)
    assert REVISION == 1
    assert rows @ np.cos(np.arange(len(rows))) == pytest.approx(-28.756241, rel=1e-5)


def test_newest_unbroken_names_what_it_has_and_needs() -> None:
    candles = make_candles(10)
    assert newest_unbroken(candles, 4, "x") == candles[6:]
    with pytest.raises(NotEnoughCandles, match="have 10 candles, need 11") as caught:
        newest_unbroken(candles, 11, "binance:BTC-USDT:15m")
    assert caught.value.details == {"have": 10, "need": 11}


def test_newest_unbroken_ignores_gaps_before_what_it_returns() -> None:
    holed = make_candles(10)[np.arange(10) != 3]
    assert len(newest_unbroken(holed, 6, "x")) == 6
    with pytest.raises(GapInWindow, match="1 candles are missing from 2025-09-01 00:45"):
        newest_unbroken(holed, 7, "x")
