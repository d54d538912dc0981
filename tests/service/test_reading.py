"""Everything else that can be read: candles, series, models, runs, status, the index, and what is not there."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from candlecast.candles import Candles, to_ms
from candlecast.store import ledger
from tests.service.house import BTC, EMPTY, GAP, NOON, WORLD, House
from tests.waiting import eventually

COLUMNS = ("open", "high", "low", "close", "volume")
STEP = timedelta(hours=4)


def _columns(candles: Candles) -> dict[str, list[float]]:
    columns = {name: candles.columns()[name].tolist() for name in COLUMNS}
    return {"open_time": candles.open_time.astype(np.int64).tolist(), **columns}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({}, slice(100, 600)),
        ({"last": "3"}, slice(597, 600)),
        ({"last": "5000"}, slice(0, 600)),
        ({"start": (NOON - 2 * STEP).isoformat()}, slice(598, 600)),
        ({"end": (NOON - 2 * STEP).isoformat(), "last": "2"}, slice(596, 598)),
        ({"end": str(to_ms(NOON - 2 * STEP)), "last": "2"}, slice(596, 598)),
        ({"start": "2025-09-01T00:00:00Z", "end": "2025-09-01T12:00:00Z"}, slice(543, 546)),
        ({"start": "2025-09-01T02:00:00+02:00", "end": "2025-09-01T14:00:00+02:00"}, slice(543, 546)),
        ({"start": "2025-09-01T00:00:00Z", "end": "2025-09-02T00:00:00Z", "last": "2"}, slice(547, 549)),
        ({"start": "2030-01-01T00:00:00Z"}, slice(600, 600)),
    ],
)
def test_candles_are_those_that_were_stored(house: House, query: dict[str, str], rows: slice) -> None:
    found = house.get("/v1/candles", series=str(BTC), **query)
    more = {"next_end": found["next_end"]}
    assert found == {"series": str(BTC), "interval": "4h", "gaps": 0, **more, **_columns(WORLD[BTC][rows])}


def test_missing_candles_are_counted(house: House) -> None:
    assert house.get("/v1/candles", series=str(GAP), last=300)["gaps"] == 1
    assert house.get("/v1/candles", series=str(GAP), last=100)["gaps"] == 0


@pytest.mark.parametrize(
    ("path", "query", "status", "code", "named"),
    [
        ("/v1/candles", {"series": "replay:DOGE-USDT:4h"}, 404, "unknown_series", "replay:DOGE-USDT:4h"),
        ("/v1/candles", {}, 422, "invalid_request", "query.series"),
        ("/v1/candles", {"series": str(BTC), "last": "5001"}, 422, "invalid_request", "query.last"),
        ("/v1/candles", {"series": str(BTC), "start": "yesterday"}, 422, "invalid_request", "query.start"),
        (
            "/v1/candles",
            {"series": str(BTC), "start": "2025-09-01T00:00:00"},
            400,
            "usage_error",
            "start has no time zone",
        ),
        (
            "/v1/forecasts",
            {"series": str(BTC), "end": "2025-09-01T00:00:00"},
            400,
            "usage_error",
            "end has no time zone",
        ),
        (
            "/v1/candles",
            {"series": str(BTC), "start": "0001-01-01T00:00:00+14:00"},
            400,
            "usage_error",
            "start is before 1970",
        ),
        ("/v1/candles", {"series": str(BTC), "end": "0.5"}, 422, "invalid_request", "write a time like"),
        ("/v1/candles", {"series": str(BTC), "end": "1" * 30}, 422, "invalid_request", "after 9999"),
        ("/v1/drift", {"venue": "a\0b"}, 422, "invalid_request", "query.venue"),
        ("/v1/forecasts", {"series": str(BTC), "role": "queen"}, 422, "invalid_request", "query.role"),
        ("/v1/forecasts", {"series": "replay:DOGE-USDT:4h"}, 404, "unknown_series", "replay:DOGE-USDT:4h"),
        ("/v1/runs/1000000", {}, 404, "not_found", "there is no run 1000000"),
        ("/v1/runs/99999999999999999999", {}, 404, "not_found", "there is no run 99999999999999999999"),
        ("/v1/runs/one", {}, 422, "invalid_request", "path.run_id"),
        ("/v1/nothing", {}, 404, "not_found", "there is no GET /v1/nothing"),
        ("/wp-login.php", {}, 404, "not_found", "there is no GET /wp-login.php"),
    ],
)
def test_what_cannot_be_read_is_a_problem_that_names_it(
    house: House, path: str, query: dict[str, str], status: int, code: str, named: str
) -> None:
    _expect_problem(house.http.get(path, params=query), status, code, named)


def test_a_method_that_a_route_does_not_know_is_a_problem(house: House) -> None:
    response = house.http.delete("/v1/forecasts")
    _expect_problem(response, 405, "method_not_allowed", "there is no DELETE /v1/forecasts")
    assert response.headers["allow"] == "GET, HEAD, POST"


def _expect_problem(response: httpx.Response, status: int, code: str, named: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert named in problem["detail"]


def test_series_say_how_far_they_reach(house: House) -> None:
    answer = house.get("/v1/series")
    assert answer["horizons"] == [1, 5]
    series: dict[str, dict[str, Any]] = {one["series"]: one for one in answer["series"]}
    assert set(series) == {str(one) for one in [*WORLD, EMPTY]}
    known, empty = series[str(BTC)], series[str(EMPTY)]
    assert (known["venue"], known["symbol"], known["interval"]) == ("replay", "BTC-USDT", "4h")
    assert (known["configured"], known["simulated"], known["fresh"], known["champion"]) == (True, False, True, None)
    assert known["candles"] == 600
    assert datetime.fromisoformat(known["first_open_time"]) == NOON - 600 * STEP
    assert datetime.fromisoformat(known["last_close_time"]) == NOON
    assert 0 < known["age_seconds"] < 3600
    assert (empty["candles"], empty["last_close_time"], empty["fresh"]) == (0, None, False)
    assert series[str(GAP)]["candles"] == 599


def test_models_begin_with_the_baseline(house: House) -> None:
    models = house.get("/v1/models")["models"]
    (naive,) = (one for one in models if one["id"] == "naive")
    assert (naive["kind"], naive["champion"], naive["manifest"]) == ("naive", False, {})


def test_status_counts_what_there_is(house: House) -> None:
    status = eventually(lambda: _audited(house), 10)
    assert status["version"] == house.get("/")["version"]
    assert status["database"] == "ok"
    (venue,) = status["venues"]
    assert (venue["venue"], venue["clock_speed"], venue["simulated"]) == ("replay", 1.0, False)
    assert NOON < datetime.fromisoformat(venue["now"]) < NOON + timedelta(hours=2)
    assert status["series"] == len(WORLD) + 1
    # All but the empty one; LATE closed two intervals ago and counts as fresh.
    assert 5 <= status["fresh_series"] <= len(WORLD)
    with house.database.begin() as connection:
        assert 0 < status["ledger_rows"] <= ledger.length(connection)
    assert status["ledger_intact"] is True
    assert status["ledger_broken_at"] is None


def _audited(house: House) -> dict[str, Any]:
    status: dict[str, Any] = house.get("/v1/status")
    assert status["ledger_checked_at"]
    return status


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_the_service_says_that_it_lives(house: House, path: str) -> None:
    assert house.http.get(path).status_code == 200
