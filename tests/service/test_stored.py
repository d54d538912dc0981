"""How complete the stored candles are, and the prices they are held against."""

from datetime import UTC, datetime, timedelta

import pytest

from candlecast.candles import Price, Symbol
from candlecast.store import gaps, prices
from tests.service.house import BTC, EMPTY, GAP, NOON, House

STEP = timedelta(hours=4)
HOLE = NOON - 200 * STEP
"""The open time of the candle that GAP lacks."""


def test_coverage_of_a_whole_day_is_complete(house: House) -> None:
    found = house.get(f"/v1/series/{BTC}/coverage", start="2025-09-01T00:00:00Z", end="2025-09-02T00:00:00Z")
    assert found == {
        "series": str(BTC),
        "start": "2025-09-01T00:00:00Z",
        "end": "2025-09-02T00:00:00Z",
        "expected": 6,
        "stored": 6,
        "confirmed": 0,
        "missing": 0,
        "completeness": 1.0,
        "days": [{"day": "2025-09-01", "expected": 6, "stored": 6, "confirmed": 0, "missing": 0}],
    }


def test_coverage_is_about_the_configured_window_up_to_the_venues_now(house: House) -> None:
    found = house.get(f"/v1/series/{BTC}/coverage")
    assert (found["start"], found["end"]) == ("2025-06-12T12:00:00Z", "2025-09-10T12:00:00Z")
    assert (found["expected"], found["stored"], found["missing"]) == (540, 540, 0)
    assert [found["days"][place]["expected"] for place in (0, 1, -1)] == [3, 6, 3]
    empty = house.get(f"/v1/series/{EMPTY}/coverage")
    assert (empty["stored"], empty["missing"], empty["completeness"]) == (0, 540, 0.0)


def test_coverage_names_the_day_of_a_hole_and_what_the_venue_lacks_itself(house: House) -> None:
    found = house.get(f"/v1/series/{GAP}/coverage")
    holes = [day for day in found["days"] if day["missing"]]
    assert holes == [{"day": str(HOLE.date()), "expected": 6, "stored": 5, "confirmed": 0, "missing": 1}]
    assert found["completeness"] == 539 / 540
    with house.database.begin() as connection:
        (span,) = gaps.missing(connection, GAP, HOLE - STEP, HOLE + 2 * STEP)
        gaps.confirm(
            connection, GAP, [span], source="replay", evidence="not in the file", now=NOON, recheck_at=NOON + STEP
        )
    found = house.get(f"/v1/series/{GAP}/coverage")
    assert (found["confirmed"], found["missing"], found["completeness"]) == (1, 0, 1.0)


@pytest.mark.parametrize("end", ["2025-09-10T16:00:00Z", "9999-12-31T23:59:59Z"])
def test_what_is_still_to_come_is_not_missing(house: House, end: str) -> None:
    found = house.get(f"/v1/series/{BTC}/coverage", start="2025-09-10T00:00:00Z", end=end)
    assert (found["end"], found["expected"], found["missing"]) == ("2025-09-10T12:00:00Z", 3, 0)


@pytest.mark.parametrize(
    ("path", "query", "status", "code", "named"),
    [
        ("replay:DOGE-USDT:4h", {}, 404, "unknown_series", "no such series"),
        ("DOGE", {}, 404, "unknown_series", "is no series"),
        (str(BTC), {"start": "2025-09-01T00:00:00"}, 400, "usage_error", "start has no time zone"),
        (str(BTC), {"start": "1980-01-01T00:00:00Z"}, 400, "usage_error", "longer than 3700 days"),
    ],
)
def test_coverage_that_cannot_be_told_is_a_problem(
    house: House, path: str, query: dict[str, str], status: int, code: str, named: str
) -> None:
    response = house.http.get(f"/v1/series/{path}/coverage", params=query)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert named in response.json()["detail"]


def test_the_latest_prices_say_how_old_they_are_and_whether_the_close_agrees(house: House) -> None:
    assert house.get("/v1/prices/latest") == {"prices": []}
    now = datetime.now(UTC)
    asked = [Price(Symbol(base, "USD"), 9.5, "coingecko", now - timedelta(minutes=3)) for base in ("BTC", "DOT")]
    with house.database.begin() as connection:
        prices.record(connection, asked, tolerance=0.02)
        prices.record(connection, [Price(Symbol("BTC", "USDT"), 1.0, "coingecko", NOON)], tolerance=0.02)
    found = {one["symbol"]: one for one in house.get("/v1/prices/latest")["prices"]}
    assert list(found) == ["BTC-USD", "BTC-USDT", "DOT-USD"]
    assert 180 <= found["BTC-USD"]["age_seconds"] < 240
    assert (found["BTC-USD"]["price"], found["BTC-USD"]["source"]) == (9.5, "coingecko")
    assert [one["disagrees"] for one in found.values()] == [None, True, None]
    assert [one["disagreements"] for one in found.values()] == [0, 1, 0]
