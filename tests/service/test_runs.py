"""Asking for runs: who may, what is written down, and how it is read back."""

from typing import Any

import httpx
import pytest

from candlecast.store import runs
from candlecast.store.runs import Counts
from tests.service.house import BTC, TOKEN, House

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


def _ask(house: House, headers: dict[str, str] = AUTHORIZED, **request: Any) -> httpx.Response:
    return house.http.post("/v1/runs", json={"job": "ingestion", **request}, headers=headers)


def _waiting(house: House) -> int:
    with house.database.begin() as connection:
        return sum(runs.waiting(connection).values())


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "this needs a token"),
        ({"authorization": "Bearer"}, "this needs a token"),
        ({"authorization": f"Basic {TOKEN}"}, "this needs a token"),
        ({"authorization": "Bearer wrong"}, "this token is not known"),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, "this token is not known"),
    ],
)
def test_without_a_known_token_nothing_is_asked_for(house: House, headers: dict[str, str], detail: str) -> None:
    before = _waiting(house)
    response = _ask(house, headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unauthorized"
    assert response.json()["detail"].startswith(detail)
    assert _waiting(house) == before


def test_an_asked_for_run_is_written_down_with_who_asked(house: House) -> None:
    response = _ask(house, series=[str(BTC)], start="2025-09-01T02:00:00+02:00", again=True)
    assert response.status_code == 202, response.text
    answer = response.json()
    with house.database.begin() as connection:
        (row,) = runs.recent(connection, limit=10, request_id=answer["request_id"])
    assert (row.state, row.job, row.requested_by) == ("queued", "ingestion", "anna")
    assert row.parameters == {"series": [str(BTC)], "start": "2025-09-01T00:00:00+00:00", "again": True}
    assert (answer["id"], answer["state"], answer["requested_by"]) == (None, "queued", "anna")
    assert house.get(response.headers["location"])["runs"] == [answer]


def test_ingestion_may_be_asked_for_a_series_that_is_not_configured(house: House) -> None:
    answer = _ask(house, series=["replay:DOGE-USDT:4h"], start="2025-09-01T00:00:00Z", end="2025-09-02T00:00:00Z")
    assert answer.status_code == 202, answer.text
    assert answer.json()["parameters"] == {
        "series": ["replay:DOGE-USDT:4h"],
        "start": "2025-09-01T00:00:00+00:00",
        "end": "2025-09-02T00:00:00+00:00",
    }


def test_every_token_goes_by_its_own_name(house: House) -> None:
    assert _ask(house, {"authorization": "bearer other"}).json()["requested_by"] == "bert"


@pytest.mark.parametrize(
    ("request_", "status", "code", "named"),
    [
        ({"job": "mining"}, 422, "invalid_request", "body.job"),
        (
            {"job": "training", "series": ["replay:DOGE-USDT:4h"]},
            404,
            "unknown_series",
            "replay:DOGE-USDT:4h is not configured",
        ),
        ({"series": str(BTC)}, 422, "invalid_request", "body.series"),
        ({"series": ["replay:DOGE:4h"]}, 404, "unknown_series", "'DOGE' is no symbol"),
        ({"start": "2025-09-01T00:00:00"}, 400, "usage_error", "start has no time zone"),
        ({"start": "2025-09-01T00:00:00Z", "end": "2025-09-01T00:00:00Z"}, 400, "usage_error", "not before end"),
        ({"now": True}, 422, "invalid_request", "body.now"),
        ({"again": "yes"}, 422, "invalid_request", "body.again"),
        ({"job": "drift", "again": True}, 400, "usage_error", "again is for ingestion; drift decides itself"),
        ({"job": "training", "end": "2025-09-01T00:00:00Z"}, 400, "usage_error", "end is for ingestion"),
    ],
)
def test_a_wrong_request_is_not_written_down(
    house: House, request_: dict[str, Any], status: int, code: str, named: str
) -> None:
    before = _waiting(house)
    response = _ask(house, **request_)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert named in response.json()["detail"]
    assert _waiting(house) == before


def test_a_run_is_read_while_it_goes_on_and_after(house: House) -> None:
    with house.database.begin() as connection:
        number = runs.start(connection, "training", None, holder="a test")
        runs.report(connection, number, Counts(2, 8, 5), failed=0, message="fitting")
    running = house.get(f"/v1/runs/{number}")
    assert (running["state"], running["done"], running["target"], running["message"]) == ("running", 2, 8, "fitting")
    assert running["rate"] == pytest.approx(2 / running["elapsed_seconds"])
    assert running["eta_seconds"] == pytest.approx(3 * running["elapsed_seconds"])
    with house.database.begin() as connection:
        runs.finish(connection, number, state="failed", exit_code=75, error_code="venue_unavailable", error="away")
    ended = house.get(f"/v1/runs/{number}")
    assert (ended["state"], ended["exit_code"], ended["error_code"], ended["error"]) == (
        "failed",
        75,
        "venue_unavailable",
        "away",
    )
    assert ended["eta_seconds"] is None
    assert ended["rate"] == pytest.approx(2 / ended["elapsed_seconds"])
    assert ended in house.get("/v1/runs", job="training", limit=500)["runs"]
    assert ended not in house.get("/v1/runs", job="ingestion", limit=500)["runs"]


def _cancel(house: House, path: str, headers: dict[str, str] = AUTHORIZED) -> httpx.Response:
    return house.http.post(f"/v1/{path}/cancel", headers=headers)


def test_a_waiting_request_is_taken_back_and_never_starts(house: House) -> None:
    asked = _ask(house, job="ingestion").json()
    before = _waiting(house)
    response = _cancel(house, f"run-requests/{asked['request_id']}")
    assert (response.status_code, response.json()["state"]) == (202, "cancelled")
    assert _waiting(house) == before - 1
    again = _cancel(house, f"run-requests/{asked['request_id']}")
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


def test_a_run_that_goes_on_learns_that_it_is_to_stop(house: House) -> None:
    asked = _ask(house, job="drift").json()["request_id"]
    with house.database.begin() as connection:
        claimed = runs.claim(connection, "drift")
        while claimed and claimed.request_id != asked:
            claimed = runs.claim(connection, "drift")
        number = runs.start(connection, "drift", claimed, holder="a test")
    assert _cancel(house, f"runs/{number}", {}).status_code == 401
    assert _report(house, number) is False
    response = _cancel(house, f"runs/{number}")
    assert (response.status_code, response.json()["state"]) == (202, "running")
    assert _report(house, number) is True
    with house.database.begin() as connection:
        runs.finish(connection, number, state="cancelled", exit_code=0)
    late = _cancel(house, f"runs/{number}")
    assert (late.status_code, late.json()["code"]) == (400, "usage_error")
    assert "has ended already: cancelled" in late.json()["detail"]


def _report(house: House, number: int) -> bool | None:
    with house.database.begin() as connection:
        standing = runs.report(connection, number, Counts(), failed=0, message=None)
    return standing.cancelled if standing else None


def test_what_nobody_asked_for_cannot_be_cancelled(house: House) -> None:
    with house.database.begin() as connection:
        number = runs.start(connection, "training", None, holder="a test")
        runs.finish(connection, number, state="succeeded", exit_code=0)
    response = _cancel(house, f"runs/{number}")
    assert (response.status_code, response.json()["code"]) == (400, "usage_error")
    assert "was started by the schedule" in response.json()["detail"]
    missing = _cancel(house, "runs/1000000")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
