"""Lists that grow: page by page every entry once, newest first, and nothing behind the last page."""

from datetime import timedelta
from typing import Any

import pytest

from candlecast.drift import ColumnDrift, DriftSummary, Window
from candlecast.store import drift, models, runs
from candlecast.store.models import Version
from tests.service.house import MOVING, NOON, House

COUNT = 5
KIND = (MOVING.venue, MOVING.interval)


@pytest.fixture(scope="module")
def lists(house: House) -> dict[str, list[Any]]:
    """Return what was added to each list, newest first."""
    with house.database.begin() as connection:
        reports = [_report(connection) for _ in range(COUNT)]
        started = [runs.start(connection, "retention", None, holder="a test") for _ in range(COUNT)]
        asked = [runs.ask(connection, "retention", {}, requested_by="anna") for _ in range(COUNT)]
    for number in range(COUNT):
        # Each in a transaction of its own, whose time is when it was registered.
        version = Version(f"page-{number}", "xgboost", *KIND, NOON, {}, None, None)
        with house.database.begin() as connection:
            models.register(connection, version, {}, [])
    return {
        "drift": reports[::-1],
        "runs": [*(("request", one) for one in asked[::-1]), *(("run", one) for one in started[::-1])],
        "models": [f"page-{number}" for number in reversed(range(COUNT))],
    }


def _report(connection: Any) -> int:
    newest = NOON - timedelta(days=1)
    reference, current = Window(NOON - timedelta(days=3), newest, 100), Window(newest, NOON, 9)
    summary = DriftSummary("wasserstein", {"range": ColumnDrift(0.1, 0.2)}, None)
    return drift.record(connection, KIND, summary, reference=reference, current=current, model_version=None, now=NOON)


def _pages(house: House, path: str, **query: Any) -> list[dict[str, Any]]:
    """Follow `next_before` from page to page."""
    found = [house.get(path, **query)]
    while found[-1]["next_before"] is not None:
        found.append(house.get(path, **query, before=found[-1]["next_before"]))
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 500])
def test_pages_of_drift_reports_hold_every_report_once(house: House, lists: dict[str, list[Any]], limit: int) -> None:
    pages = _pages(house, "/v1/drift", venue="replay", interval="1m", limit=limit)
    assert [one["id"] for page in pages for one in page["reports"]] == lists["drift"]
    assert len(pages) == -(-COUNT // limit)


@pytest.mark.parametrize("limit", [1, 3, 5, 7, 10, 500])
def test_pages_of_runs_hold_what_waits_and_then_what_ran(house: House, lists: dict[str, list[Any]], limit: int) -> None:
    pages = _pages(house, "/v1/runs", job="retention", limit=limit)
    assert [_name(run) for page in pages for run in page["runs"]] == lists["runs"]
    assert len(pages) == -(-2 * COUNT // limit)


def _name(run: dict[str, Any]) -> tuple[str, int]:
    return ("request", run["request_id"]) if run["id"] is None else ("run", run["id"])


@pytest.mark.parametrize("limit", [2, 500])
def test_pages_of_models_hold_every_version_once(house: House, lists: dict[str, list[Any]], limit: int) -> None:
    found = [one["id"] for page in _pages(house, "/v1/models", limit=limit) for one in page["models"]]
    assert len(found) == len(set(found))
    assert found[:COUNT] == lists["models"]
    assert "naive" in found


def test_pages_of_evaluations_hold_every_version_of_the_series(house: House, lists: dict[str, list[Any]]) -> None:
    pages = _pages(house, "/v1/evaluations", series=str(MOVING), limit=2)
    assert [one["model_version"] for page in pages for one in page["evaluations"]] == lists["models"]
    assert [len(page["evaluations"]) for page in pages] == [2, 2, 1]


@pytest.mark.parametrize(
    ("path", "before", "status", "code"),
    [
        ("/v1/drift", "0", 422, "invalid_request"),
        ("/v1/runs", "7", 422, "invalid_request"),
        ("/v1/runs", "run-1 OR 1=1", 422, "invalid_request"),
        ("/v1/runs", "run-٣", 422, "invalid_request"),
        ("/v1/models", "nobody", 404, "not_found"),
        ("/v1/models", "", 422, "invalid_request"),
    ],
)
def test_a_place_that_is_none_is_a_problem(house: House, path: str, before: str, status: int, code: str) -> None:
    response = house.http.get(path, params={"before": before})
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_behind_the_first_run_there_is_nothing(house: House) -> None:
    assert house.get("/v1/runs", before="run-1") == {"runs": [], "next_before": None}
