import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series, from_datetime64
from candlecast.errors import ArtifactCorrupt, FeatureMismatch, GapInWindow, NotEnoughCandles, UsageError
from candlecast.evaluation import judge, score, skill_interval
from candlecast.features import FeatureSpec
from candlecast.forecast import LEVELS, Forecaster
from candlecast.xgb import XGBForecaster, data_hash
from tests.making import START, make_candles
from tests.real import BTC_15M, real_candles
from tests.shared import requires_shared

BTC, ETH = Series.parse("binance:BTC-USDT:15m"), Series.parse("binance:ETH-USDT:15m")
DOGE = Series.parse("binance:DOGE-USDT:15m")


@pytest.fixture(scope="module")
def histories() -> dict[Series, Candles]:
    return {BTC: make_candles(2500), ETH: make_candles(2200, seed=2)}


@pytest.fixture(scope="module")
def model(histories: dict[Series, Candles]) -> XGBForecaster:
    return XGBForecaster.fit(histories, [5, 1], seed=3)


def _stored(model: XGBForecaster) -> tuple[dict[str, bytes], dict[str, Any]]:
    manifest: dict[str, Any] = json.loads(json.dumps(model.manifest))
    return model.to_bytes(), manifest


def _market(count: int, seed: int, reversal: float) -> Candles:
    """Return a walk whose returns turn back by `reversal` of the return before, under changing volatility."""
    random = np.random.default_rng(seed)
    size = 0.002 * np.exp(0.5 * np.sin(np.arange(count) / 60))
    returns = random.normal(0, 1, count)
    for i in range(1, count):
        returns[i] -= reversal * returns[i - 1]
    close = 100 * np.exp(np.cumsum(size * returns))
    opened = np.concatenate([[100.0], close[:-1]])
    width = np.exp(np.abs(random.normal(0, 0.4, (2, count))) * size)
    return Candles.of(
        Interval.M15,
        open_time=make_candles(count).open_time,
        open=opened,
        high=np.maximum(opened, close) * width[0],
        low=np.minimum(opened, close) / width[1],
        close=close,
        volume=random.exponential(10, count),
    )


def _scored(candles: Candles, train: int) -> tuple[dict[str, float], tuple[float, float, float], float]:
    """Return scores, skill interval and pinball ratio to the naive forecaster after the first `train` candles."""
    end = from_datetime64(candles.close_time[train])
    model = XGBForecaster.fit({BTC: candles}, [1], seed=1, train_end=end)
    judged = judge(model, BTC, candles, end, candles.cutoff)[1]
    naive = judge(NaiveForecaster([1]), BTC, candles, end, candles.cutoff)[1]
    skill = skill_interval(judged.absolute_error, judged.naive_error, 1)
    return score(judged), skill, float(judged.pinball.mean() / naive.pinball.mean())


def test_planted_reversal_is_found() -> None:
    scores, (_, lower, _), pinball = _scored(_market(9000, seed=1, reversal=0.35), 7000)
    assert scores["auc"] > 0.58
    assert lower > 0.01
    assert pinball < 0.99
    assert scores["coverage_80"] == pytest.approx(0.8, abs=0.04)
    assert scores["coverage_95"] == pytest.approx(0.95, abs=0.025)


def test_random_walks_show_no_skill() -> None:
    scored = [_scored(_market(9000, seed, reversal=0.0), 7000) for seed in (2, 3, 4, 5)]
    assert np.mean([scores["auc"] for scores, *_ in scored]) == pytest.approx(0.5, abs=0.02)
    assert sum(lower > 0 for _, (_, lower, _), _ in scored) <= 1  # a 95 % interval is wrong once in 40 on this side
    assert all(abs(skill) < 0.004 for _, (skill, *_), _ in scored)
    assert np.mean([scores["coverage_80"] for scores, *_ in scored]) == pytest.approx(0.8, abs=0.03)


@requires_shared
def test_real_candles_are_forecast_better_than_by_the_naive_forecaster() -> None:
    split = datetime(2025, 5, 1, tzinfo=UTC)
    candles = real_candles("BTC", Interval.M15, datetime(2025, 1, 1, tzinfo=UTC), split + timedelta(days=45))
    model = XGBForecaster.fit({BTC_15M: candles}, [1], seed=1, train_end=split)
    judged = judge(model, BTC_15M, candles, split, candles.cutoff)[1]
    naive = judge(NaiveForecaster([1]), BTC_15M, candles, split, candles.cutoff)[1]
    assert judged.pinball.mean() < 0.995 * naive.pinball.mean()
    assert score(judged)["auc"] > 0.51


def test_round_trip_through_bytes_gives_identical_forecasts(
    model: XGBForecaster, histories: dict[Series, Candles]
) -> None:
    artefacts, manifest = _stored(model)
    loaded = XGBForecaster.from_bytes(artefacts, manifest)
    for series in (BTC, ETH, DOGE, None):
        candles = histories[BTC]
        assert loaded.forecast(series, candles, last=50) == model.forecast(series, candles, last=50)
    assert loaded.manifest == manifest
    assert loaded.to_bytes() == artefacts


def test_same_seed_and_candles_give_the_same_model(model: XGBForecaster, histories: dict[Series, Candles]) -> None:
    again = XGBForecaster.fit(dict(reversed(histories.items())), [1, 5], seed=3)
    assert again.to_bytes() == model.to_bytes()
    assert again.manifest == model.manifest
    assert XGBForecaster.fit(histories, [1, 5], seed=4).to_bytes() != model.to_bytes()


def test_forecasts_keep_the_promises_of_the_protocol(model: XGBForecaster, histories: dict[Series, Candles]) -> None:
    forecaster: Forecaster = model
    assert forecaster.horizons == (1, 5)
    assert forecaster.window == 512
    forecasts = forecaster.forecast(BTC, histories[BTC], last=3)
    assert [one.horizon for one in forecasts] == [1, 5] * 3
    assert [one.cutoff for one in forecasts[::2]] == [from_datetime64(t) for t in histories[BTC].close_time[-3:]]
    for one in forecasts:
        assert one.target_time - one.cutoff == one.horizon * Interval.M15.delta
        assert one.quantiles[0] < one.close < one.quantiles[-1]
        assert one.p_up is not None
        assert one.open is not None
        assert one.high is not None
        assert one.low is not None
        assert one.range is not None
        assert one.low < min(one.open, one.close) <= max(one.open, one.close) < one.high
        assert one.range > 0
        assert (one.close - one.last_close) * (one.p_up - 0.5) >= 0
    assert forecasts[0].open == forecasts[0].last_close


def test_tails_follow_the_direction_less_than_the_middle(
    model: XGBForecaster, histories: dict[Series, Candles]
) -> None:
    half = np.array([0.0975, 0.19, 0.36, 0.64, 0.84, 0.96, 1.0])
    for said in model.forecast(BTC, histories[BTC], last=20):
        quantiles = np.log(np.array(said.quantiles) / said.last_close)
        shift = np.log(said.close / said.last_close)
        assert shift != 0
        centres = (quantiles + quantiles[::-1])[:7] / 2
        assert centres == pytest.approx(shift * half, rel=1e-6)


def test_window_history_and_batch_give_the_same_forecast(
    model: XGBForecaster, histories: dict[Series, Candles]
) -> None:
    candles = histories[BTC]
    batch = model.forecast(BTC, candles, last=60)
    alone = [one for end in range(len(candles) - 59, len(candles) + 1) for one in model.forecast(BTC, candles[:end])]
    window = [
        one
        for end in range(len(candles) - 59, len(candles) + 1)
        for one in model.forecast(BTC, candles[end - 512 : end])
    ]
    assert batch == alone == window


@pytest.fixture(scope="module")
def opposites() -> dict[Series, Candles]:
    return {BTC: _market(7000, seed=11, reversal=0.35), ETH: _market(7000, seed=12, reversal=-0.35)}


def test_pooled_model_tells_symbols_apart(opposites: dict[Series, Candles]) -> None:
    candles = opposites[BTC]
    rising, falling = (
        Candles.of(
            candles.interval,
            **candles.columns() | {n: candles.columns()[n] * np.exp(drift) for n in ("open", "high", "low", "close")},
        )
        for drift in (0.0005 * np.arange(7000), -0.0005 * np.arange(7000))
    )
    model = XGBForecaster.fit({BTC: rising, ETH: falling}, [1])
    chances = {
        series: np.mean([one.p_up for one in model.forecast(series, candles, last=500) if one.p_up is not None])
        for series in (BTC, ETH)
    }
    assert chances[BTC] > chances[ETH] + 0.02


def test_symbol_has_its_own_intervals_and_an_unknown_one_the_pooled(opposites: dict[Series, Candles]) -> None:
    artefacts, manifest = _stored(XGBForecaster.fit(opposites, [1]))
    calibrations = manifest["calibration"]["1"]["symbols"]
    assert sorted(calibrations) == ["", "BTC-USDT", "ETH-USDT"]
    assert all(len(one["quantiles"]) == len(LEVELS) for one in calibrations.values())

    def widths() -> list[float]:
        loaded = XGBForecaster.from_bytes(artefacts, manifest)
        forecasts = [loaded.forecast(series, opposites[BTC])[0] for series in (BTC, ETH, DOGE, None)]
        return [float(np.log(one.quantiles[-1] / one.quantiles[0])) for one in forecasts]

    before = widths()
    calibrations["BTC-USDT"]["quantiles"] = [2 * value for value in calibrations["BTC-USDT"]["quantiles"]]
    calibrations[""]["quantiles"] = [3 * value for value in calibrations[""]["quantiles"]]
    after = widths()
    # Wider quantiles covered more lately, for which they are narrowed a little.
    assert 1.7 * before[0] < after[0] < 2 * before[0]
    assert after[1] == before[1]
    assert 2.5 * before[2] < after[2] == after[3] < 3 * before[2]


def test_symbol_with_few_held_out_rows_gets_the_pooled_intervals(model: XGBForecaster) -> None:
    assert sorted(model.manifest["calibration"]["1"]["symbols"]) == [""]


def test_candles_closed_after_the_end_of_training_change_nothing(histories: dict[Series, Candles]) -> None:
    end = from_datetime64(histories[BTC].close_time[1999])
    cut = {series: candles[:2000] for series, candles in histories.items()}
    limited = XGBForecaster.fit(histories, [1], seed=3, train_end=end)
    assert limited.to_bytes() == XGBForecaster.fit(cut, [1], seed=3).to_bytes()
    assert limited.trained_until == end


def test_manifest_says_where_the_model_comes_from(model: XGBForecaster, histories: dict[Series, Candles]) -> None:
    manifest = model.manifest
    assert manifest["interval"] == "15m"
    assert manifest["venue"] == "binance"
    assert manifest["symbols"] == ["BTC-USDT", "ETH-USDT"]
    assert manifest["horizons"] == [1, 5]
    assert manifest["seed"] == 3
    assert manifest["data_hash"] == data_hash(histories)
    assert manifest["training"][str(BTC)] == {
        "candles": 2500,
        "start": START.isoformat(),
        "end": histories[BTC].cutoff.isoformat(),
    }
    assert manifest["params"]["1"]["direction"]["objective"] == "binary:logistic"
    assert set(manifest["libraries"]) == {"python", "numpy", "xgboost"}


def test_data_hash_sees_every_value_and_name(histories: dict[Series, Candles]) -> None:
    changed = Candles.of(
        Interval.M15,
        **{**histories[BTC].columns(), "volume": histories[BTC].volume + np.eye(1, 2500, 7)[0]},
    )
    hashes = {
        data_hash(histories),
        data_hash({**histories, BTC: changed}),
        data_hash({DOGE: histories[BTC], ETH: histories[ETH]}),
    }
    assert len(hashes) == 3


def test_model_of_other_features_is_refused(model: XGBForecaster) -> None:
    artefacts, manifest = _stored(model)
    manifest["features"]["fingerprint"] = "0" * 64
    with pytest.raises(FeatureMismatch, match="000000000000"):
        XGBForecaster.from_bytes(artefacts, manifest)


def _flip(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    raw = bytearray(artefacts["scale-1.ubj"])
    raw[len(raw) // 2] ^= 1
    artefacts["scale-1.ubj"] = bytes(raw)


def _lose(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    del artefacts["direction-5.ubj"]


def _swap(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    artefacts["scale-1.ubj"] = artefacts["scale-5.ubj"]


def _forge(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    artefacts["scale-1.ubj"] = b"{not a booster"


def _forget(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    del manifest["calibration"]["5"]


def _shorten(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["calibration"]["1"]["symbols"][""]["quantiles"].pop()


def _unknown(artefacts: dict[str, bytes], manifest: dict[str, Any]) -> None:
    manifest["interval"] = "7m"


@pytest.mark.parametrize("damage", [_flip, _lose, _swap, _forge, _forget, _shorten, _unknown])
def test_damaged_model_is_refused(model: XGBForecaster, damage: Any) -> None:
    artefacts, manifest = _stored(model)
    damage(artefacts, manifest)
    with pytest.raises(ArtifactCorrupt):
        XGBForecaster.from_bytes(artefacts, manifest)


def test_bytes_that_are_no_booster_are_refused_even_with_the_right_hash(model: XGBForecaster) -> None:
    artefacts, manifest = _stored(model)
    artefacts["scale-1.ubj"] = b'{"learner": 1}'
    manifest["artefacts"]["scale-1.ubj"] = hashlib.sha256(artefacts["scale-1.ubj"]).hexdigest()
    with pytest.raises(ArtifactCorrupt, match="does not load"):
        XGBForecaster.from_bytes(artefacts, manifest)


def test_candles_that_cannot_be_forecast_are_refused_by_name(
    model: XGBForecaster, histories: dict[Series, Candles]
) -> None:
    candles = histories[BTC]
    with pytest.raises(NotEnoughCandles, match="have 511 candles, need 512"):
        model.forecast(BTC, candles[:511])
    with pytest.raises(NotEnoughCandles, match="have 520 candles, need 521"):
        model.forecast(BTC, candles[:520], last=10)
    with pytest.raises(GapInWindow, match="binance:BTC-USDT:15m"):
        model.forecast(BTC, candles[np.arange(2500) != 2200])
    with pytest.raises(FeatureMismatch, match="15m candles, not 1h"):
        model.forecast(BTC, make_candles(600, Interval.H1))


def test_training_refuses_what_one_model_cannot_learn(histories: dict[Series, Candles]) -> None:
    hourly = Series.parse("binance:BTC-USDT:1h")
    simulated = Series.parse("simulated:BTC-USDT:15m")
    with pytest.raises(UsageError, match="not of 0"):
        XGBForecaster.fit({}, [1])
    with pytest.raises(UsageError, match="not of 2"):
        XGBForecaster.fit({**histories, hourly: make_candles(3000, Interval.H1)}, [1])
    with pytest.raises(UsageError, match="not of 2"):
        XGBForecaster.fit({**histories, simulated: make_candles(3000)}, [1])
    with pytest.raises(NotEnoughCandles, match="have 900 candles"):
        XGBForecaster.fit({BTC: make_candles(900)}, [1])


def test_gaps_in_the_history_cost_rows_and_nothing_else(histories: dict[Series, Candles]) -> None:
    holed = histories[BTC][np.arange(2500) != 700]
    model = XGBForecaster.fit({BTC: holed}, [1])
    assert model.manifest["rows"] == 2499 - 2 * 511
    assert len(model.forecast(BTC, holed, last=100)) == 100


def test_candle_is_forecast_at_its_usual_size() -> None:
    """High, low and range are medians: each lies above what comes half of the time."""
    candles = _market(6000, seed=3, reversal=0.0)
    model = XGBForecaster.fit({BTC: candles[:4500]}, [1, 5])
    said = model.forecast(BTC, candles, last=1400)
    for horizon in (1, 5):
        mine = [one for one in said if one.horizon == horizon][: 1400 - horizon]
        came = candles[4600 + horizon : 6000]
        high, low, size = np.array([(one.high, one.low, one.range) for one in mine], dtype=np.float64).T
        assert np.mean(high > came.high) == pytest.approx(0.5, abs=0.06)
        assert np.mean(low < came.low) == pytest.approx(0.5, abs=0.06)
        assert np.mean(size > came.high - came.low) == pytest.approx(0.5, abs=0.06)


def _followers(count: int) -> dict[Series, Candles]:
    """Return two symbols of which the first does half of what the second did one candle before, and a third alone."""
    leader, alone = _market(count, seed=21, reversal=0.0), _market(count, seed=23, reversal=0.0)
    own = _market(count, seed=22, reversal=0.0)
    led = np.concatenate([[0.0], np.log(leader.close[:-1] / leader.open[:-1])])
    factor = np.exp(np.cumsum(0.5 * led))
    prices = {name: own.columns()[name] * factor for name in ("open", "high", "low", "close")}
    prices["open"] = np.concatenate([prices["open"][:1], prices["close"][:-1]])
    prices["high"] = np.maximum(prices["high"], prices["open"])
    prices["low"] = np.minimum(prices["low"], prices["open"])
    follower = Candles.of(own.interval, open_time=own.open_time, volume=own.volume, **prices)
    return {BTC: follower, ETH: leader, DOGE: alone}


@pytest.fixture(scope="module")
def market() -> dict[Series, Candles]:
    return _followers(7000)


@pytest.fixture(scope="module")
def watcher(market: dict[Series, Candles]) -> XGBForecaster:
    return XGBForecaster.fit({s: market[s][:5500] for s in (BTC, ETH)}, [1, 5], seed=1)


def _auc(model: XGBForecaster, market: dict[Series, Candles], known: dict[Series, Candles]) -> float:
    start = from_datetime64(market[BTC].close_time[5500])
    return score(judge(model, BTC, market[BTC], start, market[BTC].cutoff, known)[1])["auc"]


def test_other_symbols_are_heeded_where_they_are_known(watcher: XGBForecaster, market: dict[Series, Candles]) -> None:
    assert _auc(watcher, market, market) > 0.58
    assert _auc(watcher, market, {}) == pytest.approx(0.5, abs=0.04)


def test_forecast_without_the_market_is_that_of_a_model_that_never_needed_it(
    watcher: XGBForecaster, market: dict[Series, Candles]
) -> None:
    candles = market[BTC]
    alone = watcher.forecast(BTC, candles, last=30)
    late = {ETH: market[ETH][:-30]}
    assert watcher.forecast(BTC, candles, last=30, known=late) == alone
    artefacts, manifest = _stored(watcher)
    for stored in manifest["directions"].values():
        del stored["market-direction"]
    assert XGBForecaster.from_bytes(artefacts, manifest).forecast(BTC, candles, last=30, known=market) == alone
    assert watcher.forecast(BTC, candles, last=30, known=market) != alone


def test_symbols_that_training_did_not_know_are_not_heeded(
    watcher: XGBForecaster, market: dict[Series, Candles]
) -> None:
    candles = market[BTC]
    known = {ETH: market[ETH]}
    assert watcher.forecast(BTC, candles, known=market) == watcher.forecast(BTC, candles, known=known)
    assert watcher.forecast(BTC, candles, known={DOGE: market[DOGE]}) == watcher.forecast(BTC, candles)


def test_windows_and_histories_of_the_market_give_the_same_forecast(
    watcher: XGBForecaster, market: dict[Series, Candles]
) -> None:
    batch = watcher.forecast(BTC, market[BTC], last=40, known=market)
    windows = [{s: c[end - 512 : end] for s, c in market.items()} for end in range(6961, 7001)]
    assert batch == [one for known in windows for one in watcher.forecast(BTC, known[BTC], known=known)]


def test_parts_belong_to_the_model_and_its_data_hash() -> None:
    histories = {BTC: make_candles(1500), ETH: make_candles(1500, seed=2)}
    inside = {
        Series.parse(f"binance:{symbol}-USDT:5m"): make_candles(4500, Interval.M5, seed=seed)
        for seed, symbol in enumerate(("BTC", "ETH"), 5)
    }
    model = XGBForecaster.fit(histories, [1], known=inside)
    assert set(model.manifest["training"]) == {str(series) for series in (*histories, *inside)}
    assert model.manifest["data_hash"] == data_hash({**histories, **inside})
    own, every = len(FeatureSpec(Interval.M15).own_names), len(FeatureSpec(Interval.M15).names)
    assert model.manifest["directions"]["1"]["market-direction"]["beside"] == list(range(own, every))
    whole = model.forecast(BTC, histories[BTC], known={**histories, **inside})
    assert whole != model.forecast(BTC, histories[BTC], known=histories)
    alone = model.forecast(BTC, histories[BTC])
    assert model.forecast(BTC, histories[BTC], known=histories) == alone
    late = {series: candles[:-1] for series, candles in inside.items()}
    assert model.forecast(BTC, histories[BTC], known={**histories, **late}) == alone


def test_newest_part_has_a_say_of_its_own() -> None:
    candles, part = make_candles(1500), Series.parse("binance:BTC-USDT:5m")
    inside = {part: make_candles(4500, Interval.M5, seed=5)}
    model = XGBForecaster.fit({BTC: candles}, [1, 5], known=inside)
    artefacts, manifest = _stored(model)
    assert sorted(manifest["directions"]["1"]) == ["direction", "market-direction", "part-direction"]
    assert sorted(manifest["directions"]["5"]) == ["direction", "market-direction"]
    batch = model.forecast(BTC, candles, last=20, known=inside)
    windows = [{part: inside[part][: 3 * end][-512:]} for end in range(1481, 1501)]
    assert batch == [
        one for end, known in enumerate(windows, 1481) for one in model.forecast(BTC, candles[:end], known=known)
    ]
    del manifest["directions"]["1"]["part-direction"]
    mute = XGBForecaster.from_bytes(artefacts, manifest).forecast(BTC, candles, last=20, known=inside)
    assert [one for one in mute if one.horizon == 5] == [one for one in batch if one.horizon == 5]
    assert all(a != b for a, b in zip(mute, batch, strict=True) if a.horizon == 1)
