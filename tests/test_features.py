import math
from datetime import UTC, datetime

import numpy as np
import pytest

from candlecast.candles import Candles, Interval
from candlecast.errors import GapInWindow, NotEnoughCandles
from candlecast.features import REVISION, WINDOW, FeatureSpec, build_features, complete_windows, newest_unbroken
from candlecast.frame import REACH
from candlecast.market import Market, Sight
from candlecast.volatility import volatility
from tests.making import make_candles
from tests.real import real_candles
from tests.shared import requires_shared


def _changed(candles: Candles, **columns: object) -> Candles:
    return Candles.of(candles.interval, **{**candles.columns(), **columns})


def _column(candles: Candles, name: str) -> np.ndarray:
    return build_features(candles, 2.0)[:, FeatureSpec(candles.interval).names.index(name)]


def _own(rows: np.ndarray, interval: Interval = Interval.M15) -> np.ndarray:
    """Return the columns that read nothing but the series' own candles."""
    return rows[..., : len(FeatureSpec(interval).own_names)]


@requires_shared
@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15, Interval.H1])
def test_512_candles_give_the_row_of_the_whole_history(interval: Interval) -> None:
    candles = real_candles("BTC", interval, datetime(2025, 2, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC))
    whole = build_features(candles, 1.0)
    rows = np.random.default_rng(5).integers(WINDOW - 1, len(candles), 150)
    served = np.array([build_features(candles[r - WINDOW + 1 : r + 1], 1.0, last=1)[0] for r in rows])
    assert np.isfinite(_own(served, interval)).all()
    np.testing.assert_allclose(served, whole[rows], rtol=1e-6)
    assert (_own(served, interval) == _own(whole[rows], interval)).mean() > 0.9999


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
    candles = make_candles(REACH + 1)
    wild = _changed(candles, high=1e3 * candles.high, volume=np.concatenate([[1e12], candles.volume[1:]]))
    wild = Candles.concatenate([wild[:1], candles[1:]])
    assert np.array_equal(build_features(candles)[-1], build_features(wild)[-1], equal_nan=True)
    assert not np.array_equal(build_features(candles)[-2], build_features(wild)[-2], equal_nan=True)


def _behind_the_gap(reach: int) -> np.ndarray:
    expected = np.ones(1399, dtype=bool)
    expected[: reach - 1] = False
    expected[600 : 600 + reach - 1] = False
    return expected


def test_gap_empties_exactly_the_rows_that_look_back_over_it() -> None:
    candles = make_candles(1400)
    holed = candles[np.arange(1400) != 600]
    rows, expected = build_features(holed, 0.0), _behind_the_gap(REACH)
    assert np.array_equal(complete_windows(holed), _behind_the_gap(WINDOW))
    assert np.array_equal(~np.isnan(rows).all(axis=1), expected)
    assert np.isfinite(_own(rows[expected])).all()


def test_fewer_candles_than_a_row_reads_give_empty_rows() -> None:
    rows = build_features(make_candles(REACH - 1))
    assert rows.shape == (REACH - 1, len(FeatureSpec(Interval.M15).names))
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

    def mean_range(weights: np.ndarray) -> float:
        spans = [math.log(high[row - lag] / low[row - lag]) / sig for lag in range(len(weights))]
        return float(np.average(np.log(spans), weights=weights))

    expected = {
        "return_0": change(1),
        "return_3": math.log(close[row - 3] / close[row - 4]) / sig,
        "momentum_48": change(48),
        "range_1": math.log(high[row - 1] / low[row - 1]) / sig,
        "body_2": math.log(close[row - 2] / candles.open[row - 2]) / sig,
        "upper_wick_0": math.log(high[row] / max(candles.open[row], close[row])) / sig,
        "lower_wick_0": math.log(min(candles.open[row], close[row]) / low[row]) / sig,
        "close_location_0": 2 * (close[row] - low[row]) / (high[row] - low[row]) - 1,
        "volatility_5": mean_range((1 - 2 / 6) ** np.arange(25)),
        "volatility_flat_320": mean_range(np.ones(320)),
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
    assert np.isfinite(_own(rows[-1], interval)).all()
    assert np.isnan(rows[-1, len(FeatureSpec(interval).own_names) :]).all()


def test_fingerprint_tells_definitions_apart() -> None:
    prints = {FeatureSpec(interval).fingerprint for interval in Interval}
    assert len(prints) == len(list(Interval))
    assert FeatureSpec(Interval.H1, window=256).fingerprint not in prints
    assert FeatureSpec(Interval.H1).fingerprint == FeatureSpec(Interval.H1).fingerprint


def _waves(interval: Interval, phase: float = 0.0, count: int = WINDOW, end: int = 1_756_684_800_000) -> Candles:
    steps = np.arange(count + 1)
    price = 100 * np.exp(
        0.02 * np.sin(steps / 7 + phase) + 0.03 * np.sin(steps / 61 + phase) + 0.01 * np.sin(steps**2 / 5)
    )
    opened, close = price[:-1], price[1:]
    return Candles.of(
        interval,
        open_time=end + interval.milliseconds * (steps[1:] - count - 1),
        open=opened,
        high=np.maximum(opened, close) * (1.002 + 0.001 * np.sin(steps[1:] / 3)),
        low=np.minimum(opened, close) * (0.997 + 0.001 * np.cos(steps[1:] / 5)),
        close=close,
        volume=10 + 5 * np.sin(steps[1:] / 11) + 3 * np.cos(steps[1:] ** 2 / 3),
    )


_PARTS = {Interval.M15: Interval.M5, Interval.H1: Interval.M15}


def _sight(interval: Interval, phase: float, count: int = WINDOW) -> Sight:
    inside = _PARTS.get(interval)
    factor = interval.seconds // inside.seconds if inside else 0
    return Sight(_waves(interval, phase, count), _waves(inside, phase, count * factor) if inside else None)


def _whole_market(interval: Interval, count: int = WINDOW) -> tuple[Candles, Market]:
    own = _sight(interval, 0.0, count)
    return own.candles, Market(own.parts, (_sight(interval, 1.0, count), _sight(interval, 2.0, count)))


def test_formulas_are_those_of_the_stated_revision() -> None:
    # When this fails because a formula was changed on purpose: raise REVISION in features.py, then change the number.
    last = [build_features(candles, 1.0, 1, market)[0] for candles, market in map(_whole_market, Interval)]
    rows = np.concatenate(last).astype(np.float64)
    assert np.isfinite(rows).all()
    assert REVISION == 3
    assert rows @ np.cos(np.arange(len(rows))) == pytest.approx(13.15579933, rel=1e-5)


@pytest.mark.parametrize("interval", [Interval.M15, Interval.H1])
def test_market_columns_are_the_mean_of_the_other_symbols_own(interval: Interval) -> None:
    candles, market = _whole_market(interval)
    names = FeatureSpec(interval).names
    row = dict(zip(names, build_features(candles, 0.0, 1, market)[0].tolist(), strict=True))
    others = [
        dict(zip(names, build_features(sight.candles, 0.0, 1, Market(sight.parts))[0].tolist(), strict=True))
        for sight in market.others
    ]
    shared = [name for name in names if name.startswith("market_")]
    assert len(shared) > 10
    for name in shared:
        mean = np.mean([other[name.removeprefix("market_")] for other in others])
        assert row[name] == pytest.approx(mean, rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("interval", [Interval.M15, Interval.H1])
def test_part_columns_show_the_candles_inside_the_newest_one(interval: Interval) -> None:
    candles, market = _whole_market(interval)
    parts, names = market.parts, FeatureSpec(interval).names
    assert parts is not None
    row = dict(zip(names, build_features(candles, 0.0, 1, market)[0].tolist(), strict=True))
    count = interval.seconds // parts.interval.seconds
    unit = volatility(candles)[-1] / math.sqrt(count)
    assert f"part_body_{count}" not in row
    for part in range(count):
        at = len(parts) - 1 - part
        assert row[f"part_body_{part}"] == pytest.approx(math.log(parts.close[at] / parts.open[at]) / unit, rel=1e-5)
        assert row[f"part_range_{part}"] == pytest.approx(math.log(parts.high[at] / parts.low[at]) / unit, rel=1e-5)
        place = (2 * parts.close[at] - parts.high[at] - parts.low[at]) / (parts.high[at] - parts.low[at])
        assert row[f"part_close_location_{part}"] == pytest.approx(place, rel=1e-5)
        share = parts.volume[at] / parts.volume[-count:].sum()
        assert row[f"part_volume_share_{part}"] == pytest.approx(share, rel=1e-5)


@pytest.mark.parametrize("interval", [Interval.M5, Interval.M15, Interval.H1])
def test_the_market_of_a_window_gives_the_row_of_the_whole_history(interval: Interval) -> None:
    candles, market = _whole_market(interval, 2 * WINDOW)
    whole = build_features(candles, 0.0, None, market)
    for end in range(2 * WINDOW - 40, 2 * WINDOW + 1):
        close = candles.close_time[end - 1]
        window = Market(
            _tail(market.parts, close) if market.parts else None,
            tuple(_window(sight, close) for sight in market.others),
        )
        row = build_features(candles[end - WINDOW : end], 0.0, 1, window)[0]
        np.testing.assert_allclose(row, whole[end - 1], rtol=1e-5, atol=1e-6)


def _window(sight: Sight, close: np.datetime64) -> Sight:
    return Sight(_tail(sight.candles, close), _tail(sight.parts, close) if sight.parts else None)


def _tail(candles: Candles, close: np.datetime64) -> Candles:
    return candles[candles.close_time <= close][-WINDOW:]


def test_later_candles_of_the_market_change_nothing() -> None:
    candles, market = _whole_market(Interval.M15)
    early = build_features(candles[:-5], 0.0, 3, market)
    assert np.array_equal(early, build_features(candles, 0.0, 8, market)[:3])
    assert np.isfinite(early).all()


def test_what_is_missing_of_the_market_is_left_out_and_changes_nothing_else() -> None:
    candles, market = _whole_market(Interval.M15)
    own = len(FeatureSpec(Interval.M15).own_names)
    first, second = market.others
    late = Sight(first.candles[:-1], first.parts)
    holed = Sight(first.candles[np.arange(WINDOW) != WINDOW - REACH + 1], first.parts)
    short = Sight(first.candles[-REACH + 1 :], first.parts)
    expected = build_features(candles, 0.0, 1, Market(market.parts, (second,)))[0]
    for lame in (late, holed, short):
        found = build_features(candles, 0.0, 1, Market(market.parts, (lame, second)))[0]
        assert np.array_equal(found, expected, equal_nan=True)
    alone = build_features(candles, 0.0, 1)[0]
    assert np.array_equal(alone[:own], expected[:own])
    assert np.isnan(alone[own:]).all()


def test_candle_with_a_missing_part_has_no_part_columns() -> None:
    candles, market = _whole_market(Interval.M15)
    assert market.parts is not None
    names = FeatureSpec(Interval.M15).names
    wanted = [at for at, name in enumerate(names) if name.startswith("part_")]
    for lost in (1, 2, 3):
        holed = market.parts[np.arange(len(market.parts)) != len(market.parts) - lost]
        rows = build_features(candles, 0.0, 2, Market(holed))[:, wanted]
        assert np.isnan(rows[1]).all()
        assert np.isfinite(rows[0]).all()


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
