"""What was said and what came, over HTTP: the ledger, and before it what evaluation would have said."""

import io
from datetime import datetime
from typing import Any

import pytest
from pyarrow import parquet

from candlecast.baseline import NaiveForecaster
from candlecast.candles import from_datetime64
from candlecast.evaluation import judge
from candlecast.store import evaluations, models
from tests.service.house import TRAINED, WORLD, House
from tests.waiting import eventually

CANDLES = WORLD[TRAINED]
FIRST = from_datetime64(CANDLES.close_time[1150])


@pytest.fixture(scope="module")
def told(house: House) -> House:
    """Let a version tell what it would have said before the newest cutoff, which was answered."""
    forecaster = NaiveForecaster((1, 5))
    start, beyond = CANDLES.cutoff - 88 * TRAINED.interval.delta, CANDLES.cutoff + TRAINED.interval.delta
    version = models.Version("told", "xgboost", "replay", TRAINED.interval, CANDLES.cutoff, {}, None, None)
    with house.database.begin() as connection:
        models.register(connection, version, {}, [])
        for first, end, in_sample in ((start, FIRST, True), (FIRST, beyond, False)):
            judged = judge(forecaster, TRAINED, CANDLES, first, end)
            evaluations.record(connection, "told", TRAINED, judged, in_sample=in_sample)
    eventually(lambda: house.latest(TRAINED)["cutoff"])
    return house


def rows(house: House, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = house.get("/v1/forecasts", series=str(TRAINED), last=5000, **query)["forecasts"]
    return found


def predicted(house: House) -> dict[str, Any]:
    """Return the candle that the newest forecast predicts."""
    point = house.latest(TRAINED)["point"]
    return {name: point[name] for name in ("open", "high", "low", "close")}


def test_history_is_marked_from_the_first_hour(told: House) -> None:
    found = rows(told)
    cutoffs = [datetime.fromisoformat(row["cutoff"]) for row in found]
    assert cutoffs == sorted(set(cutoffs))
    assert [row["origin"] for row in found] == ["in_sample"] * 39 + ["out_of_sample"] * 49 + ["live"]
    for row in found[:-1]:
        assert (row["role"], row["issued_at"], row["model_version"]) == (None, None, "told")
        assert row["error"] == row["close"] - row["realised_close"]
    said = predicted(told)
    assert {name: found[-1][name] for name in said} == said
    assert found[-1]["role"] in ("baseline", "champion")
    assert found[-1]["issued_at"] is not None


@pytest.mark.parametrize(
    ("query", "origins"),
    [
        ({"origin": "live"}, {"live"}),
        ({"origin": "out_of_sample"}, {"out_of_sample"}),
        ({"origin": "in_sample"}, {"in_sample"}),
        ({"role": "baseline"}, {"live"}),
        ({"role": "baseline", "origin": "out_of_sample"}, set()),
    ],
)
def test_one_origin_alone_is_what_was_asked_for(told: House, query: dict[str, str], origins: set[str]) -> None:
    assert {row["origin"] for row in rows(told, **query)} == origins


def test_pages_go_from_what_was_answered_into_hindsight(told: House) -> None:
    whole = rows(told)
    newest = told.get("/v1/forecasts", series=str(TRAINED), last=3)
    assert newest["forecasts"] == whole[-3:]
    before = told.get("/v1/forecasts", series=str(TRAINED), last=3, end=newest["next_end"])
    assert before["forecasts"] == whole[-6:-3]


def test_a_file_holds_hindsight_before_the_ledger(told: House) -> None:
    content = told.http.get("/v1/forecasts", params={"series": str(TRAINED), "format": "parquet"}).content
    found = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [(row["origin"], row["close"], row["realised_close"]) for row in found] == [
        (row["origin"], row["close"], row["realised_close"]) for row in rows(told)
    ]


def test_an_unknown_origin_is_a_problem(told: House) -> None:
    response = told.http.get("/v1/forecasts", params={"series": str(TRAINED), "origin": "dreamt"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
