"""The newest forecast: what it says, what makes it change, and when the service says that it does not know."""

import json
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Interval, Series
from candlecast.forecast import LEVELS, Forecast
from candlecast.store import ledger, models
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from tests.making import make_candles
from tests.service.house import (
    BTC,
    EMPTY,
    GAP,
    LATE,
    MOVING,
    NOON,
    SHORT,
    STALLED,
    TRAINED,
    WORLD,
    House,
    body,
    set_clock,
    store,
    walk,
)
from tests.waiting import eventually


def _naive(series: Series, candles: Candles, horizon: int) -> Forecast:
    (said,) = NaiveForecaster([horizon]).forecast(series, candles)
    return said


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _says(answer: dict[str, Any], said: Forecast) -> bool:
    """Return whether the answer is this forecast, to the last digit."""
    assert answer["horizon"] == said.horizon
    assert _moment(answer["cutoff"]) == said.cutoff
    assert _moment(answer["target_time"]) == said.target_time
    assert answer["last_close"] == said.last_close
    assert answer["point"]["close"] == said.close
    assert answer["quantiles"] == {f"{level:g}": value for level, value in zip(LEVELS, said.quantiles, strict=True)}
    for percent in (80, 95):
        lower, upper = said.interval(percent)
        assert answer["intervals"][str(percent)] == {"lower": lower, "upper": upper}
    assert answer["p_up"] == said.p_up
    return True


@pytest.mark.parametrize("horizon", [1, 5])
def test_without_a_champion_the_baseline_answers_and_says_so(house: House, horizon: int) -> None:
    answer = house.latest(BTC, horizon)
    assert answer["status"] == "baseline"
    assert answer["model_version"] == "naive"
    assert answer["reason"] is None
    assert answer["stale"] is False
    assert answer["simulated"] is False
    assert answer["clock_speed"] == 1.0
    assert _moment(answer["cutoff"]) == NOON
    assert _says(answer, _naive(BTC, WORLD[BTC], horizon))


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_answer_is_the_ledgers_row(house: House, horizon: int) -> None:
    answer = house.latest(BTC, horizon)
    with house.database.begin() as connection:
        (row,) = ledger.read(connection, BTC, horizon)
    assert _says(answer, row.entry.forecast)
    assert _moment(answer["issued_at"]) == row.entry.issued_at
    assert row.entry.forecast.cutoff <= row.entry.issued_at < row.entry.forecast.target_time
    assert row.entry.role == "baseline"
    (read,) = house.get("/v1/forecasts", series=str(BTC), horizon=horizon)["forecasts"]
    assert (read["close"], read["cutoff"], read["realised_close"]) == (answer["point"]["close"], answer["cutoff"], None)


def test_all_series_and_horizons_are_answered_when_none_is_named(house: House) -> None:
    found = house.get("/v1/forecasts/latest")["forecasts"]
    assert [(one["series"], one["horizon"]) for one in found] == [
        (str(series), horizon) for series in [*WORLD, EMPTY] for horizon in (1, 5)
    ]


def test_a_new_candle_changes_the_answer_and_grows_the_ledger(house: House) -> None:
    candles = make_candles(601, Interval.M1, start=NOON - timedelta(minutes=600), seed=5)
    before = _ledger(house, MOVING)
    set_clock(house.database, candles.cutoff)
    store(house.database, MOVING, candles)
    for horizon in (1, 5):
        expected = _naive(MOVING, candles, horizon)
        eventually(partial(_answers, house, MOVING, expected), 10)
    assert _ledger(house, MOVING) == before + 2
    (first, second) = house.get("/v1/forecasts", series=str(MOVING), horizon=1)["forecasts"]
    assert first["realised_close"] == candles.close[-1]
    assert first["error"] == first["close"] - candles.close[-1]
    assert second["realised_close"] is None


def _answers(house: House, series: Series, said: Forecast) -> bool:
    answer = house.latest(series, said.horizon)
    assert answer["status"] != "abstained"
    return _says(answer, said)


def _ledger(house: House, series: Series) -> int:
    with house.database.begin() as connection:
        return len(ledger.read(connection, series, 1)) + len(ledger.read(connection, series, 5))


@pytest.mark.parametrize(
    ("series", "horizon", "reason", "detail"),
    [
        (EMPTY, 1, "no_candles", "no candles of replay:ETH-USDT:4h yet"),
        (SHORT, 1, "not_enough_candles", "replay:SOL-USDT:4h: have 20 candles, need 50"),
        (GAP, 5, "gap_in_window", "replay:XRP-USDT:4h: 1 candles are missing from 2025-08-08 04:00"),
        (LATE, 1, "too_late", "the newest candle of replay:BNB-USDT:4h arrived after its target time"),
    ],
)
def test_the_service_says_why_it_does_not_know(
    house: House, series: Series, horizon: int, reason: str, detail: str
) -> None:
    answer = house.latest(series, horizon)
    assert (answer["status"], answer["reason"]) == ("abstained", reason)
    assert answer["detail"].startswith(detail)
    assert answer["point"] is None
    assert answer["quantiles"] is None
    with house.database.begin() as connection:
        assert not ledger.read(connection, series, horizon)


def test_a_horizon_whose_target_lies_ahead_is_answered_where_a_nearer_one_is_too_late(house: House) -> None:
    answer = house.latest(LATE, 5)
    assert answer["status"] == "baseline"
    assert _says(answer, _naive(LATE, WORLD[LATE], 5))


def test_an_old_forecast_is_first_marked_and_then_withheld(house: House) -> None:
    start = NOON + timedelta(minutes=10)
    candles = walk(Interval.M1, 600, end=start, seed=6)
    set_clock(house.database, start)
    store(house.database, STALLED, candles)
    said = _naive(STALLED, candles, 1)
    eventually(partial(_answers, house, STALLED, said), 10)
    assert not house.latest(STALLED)["stale"]
    moment = said.target_time + timedelta(seconds=30)
    set_clock(house.database, moment)
    waited = eventually(lambda: found if (found := house.latest(STALLED))["now"] >= f"{moment:%FT%T}" else None, 30)
    assert not waited["stale"], "the candle that closes at the target time may take a moment"
    set_clock(house.database, said.target_time + timedelta(minutes=2))
    eventually(lambda: house.latest(STALLED)["stale"], 10)
    assert _says(house.latest(STALLED), said)
    set_clock(house.database, said.target_time + timedelta(minutes=3, seconds=1))
    answer = eventually(lambda: _abstained(house.latest(STALLED)), 10)
    assert answer["reason"] == "stale"
    assert answer["detail"] == f"the newest candle of {STALLED} closed at 2025-09-10 12:10 UTC"
    assert answer["point"] is None
    assert house.latest(STALLED, 5)["status"] == "baseline"


def _abstained(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["status"] == "abstained"
    return answer


@pytest.mark.parametrize(
    ("query", "status", "code", "named"),
    [
        ({"series": "replay:DOGE-USDT:4h"}, 404, "unknown_series", "replay:DOGE-USDT:4h is not configured"),
        ({"series": "BTC"}, 404, "unknown_series", "'BTC' is no series"),
        ({"series": ""}, 404, "unknown_series", "'' is no series"),
        ({"series": str(BTC), "horizon": "2"}, 400, "usage_error", "horizon 2 is not configured; configured are 1, 5"),
        ({"series": str(BTC), "horizon": "0"}, 422, "invalid_request", "query.horizon"),
        ({"series": str(BTC), "horizon": "next"}, 422, "invalid_request", "query.horizon"),
    ],
)
def test_what_is_not_there_is_a_problem_that_names_it(
    house: House, query: dict[str, str], status: int, code: str, named: str
) -> None:
    response = house.http.get("/v1/forecasts/latest", params=query)
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert named in problem["detail"]


@pytest.fixture(scope="module")
def model() -> XGBForecaster:
    return XGBForecaster.fit({TRAINED: WORLD[TRAINED]}, [1, 5], seed=1)


def _promote(house: House, name: str, model: XGBForecaster, spoil: str = "") -> None:
    """Register and promote a model version; `spoil` is SQL for the new bytes of its artefacts."""
    manifest = json.loads(json.dumps(model.manifest))
    version = Version(name, "xgboost", "replay", Interval.H1, NOON, manifest, {"promote": True, "reason": "test"}, None)
    with house.database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        if spoil:
            statement = f"UPDATE model_artifact SET {spoil} WHERE model_version = :name"  # noqa: S608  # our own words
            connection.execute(text(statement), {"name": name})
        models.promote(connection, version, now=NOON, reason="a test says so")


def test_a_promoted_champion_takes_over_and_a_corrupt_one_does_not(house: House, model: XGBForecaster) -> None:
    candles = WORLD[TRAINED]
    assert house.latest(TRAINED)["status"] == "baseline"
    _promote(house, "good", model)
    for said in model.forecast(TRAINED, candles):
        answer = eventually(partial(_by, house, said.horizon, "good"), 15)
        assert answer["status"] == "ok"
        assert _says(answer, said)
        naive = _naive(TRAINED, candles, said.horizon)
        assert answer["baseline"]["model_version"] == "naive"
        assert answer["baseline"]["close"] == naive.close
        with house.database.begin() as connection:
            roles = {row.entry.role: row.entry for row in ledger.read(connection, TRAINED, said.horizon)}
        assert (roles["champion"].forecast, roles["champion"].model_version) == (said, "good")
        assert (roles["baseline"].forecast, roles["baseline"].model_version) == (naive, "naive")

    (own,) = house.http.post("/v1/forecasts", json=body(candles, series=str(TRAINED), horizons=[5])).json()["forecasts"]
    assert (own["status"], own["model_version"]) == ("ok", "good")
    assert _says(own, model.forecast(TRAINED, candles)[1])

    answered = house.latest(TRAINED)
    changed_bytes = "content = content || 'x'"
    changed_bytes_and_digest = "content = substr(content, 1, 1000), sha256 = sha256(substr(content, 1, 1000))"
    for name, spoil in (("changed", changed_bytes), ("cut", changed_bytes_and_digest)):
        _promote(house, name, model, spoil)
        eventually(partial(_refused, house, name), 15)
        assert house.latest(TRAINED) | {"now": None} == answered | {"now": None}


def _by(house: House, horizon: int, model_version: str) -> dict[str, Any]:
    answer = house.latest(TRAINED, horizon)
    assert answer["model_version"] == model_version
    return answer


def _refused(house: House, model_version: str) -> bool:
    return f"champion {model_version} is refused" in house.log.read_text()
