"""The registry over HTTP: model versions, promotion by hand, and how they scored."""

import json
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from candlecast.store import models, trials
from candlecast.store.models import Score, Version
from candlecast.store.trials import Trial
from candlecast.xgb import XGBForecaster
from tests.service.house import NOON, PROMOTED, TOKEN, WORLD, House, set_clock
from tests.waiting import eventually

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def versions(house: House) -> tuple[str, str]:
    """Register two versions of one model: the first is sound, the bytes of the second have changed."""
    model = XGBForecaster.fit({PROMOTED: WORLD[PROMOTED]}, [1, 5], seed=2)
    manifest = json.loads(json.dumps(model.manifest))
    start = NOON - timedelta(days=9)
    score = Score(PROMOTED, 1, "challenger", "mae", 12.5, 200, start, NOON)
    with house.database.begin() as connection:
        for name, artefacts in (("sound", model.to_bytes()), ("spoilt", dict.fromkeys(model.to_bytes(), b"x"))):
            version = Version(name, "xgboost", "replay", PROMOTED.interval, NOON, manifest, None, None)
            models.register(connection, version, artefacts, [score])
    return "sound", "spoilt"


def _promote(house: House, name: str, headers: dict[str, str] = AUTHORIZED, **body: Any) -> httpx.Response:
    return house.http.post(f"/v1/models/{name}/promote", json={"reason": "it was better", **body}, headers=headers)


def test_a_version_is_read_by_its_id(house: House, versions: tuple[str, str]) -> None:
    found = house.get(f"/v1/models/{versions[0]}")
    assert (found["id"], found["kind"], found["venue"], found["interval"]) == ("sound", "xgboost", "replay", "5m")
    (score,) = found["scores"]
    assert (score["series"], score["forecaster"], score["metric"], score["value"]) == (
        str(PROMOTED),
        "challenger",
        "mae",
        12.5,
    )
    assert found in house.get("/v1/models")["models"]


@pytest.mark.parametrize("name", ["nobody", "a%00b", "%2e%2e", "x" * 201])
def test_an_unknown_version_is_a_problem(house: House, name: str) -> None:
    response = house.http.get(f"/v1/models/{name}")
    assert response.status_code in (404, 422)
    assert response.json()["code"] in ("not_found", "invalid_request")


def test_promoted_by_hand_a_version_answers_and_the_registry_says_who_did_it(
    house: House, versions: tuple[str, str]
) -> None:
    # However long the tests before took, the target of the candle after the newest must lie ahead.
    set_clock(house.database, NOON)
    response = _promote(house, versions[0], headers={**AUTHORIZED, "x-request-id": "back"})
    assert response.status_code == 200, response.text
    assert response.json()["champion"] is True
    eventually(partial(_answers, house, versions[0]))
    log = [json.loads(line) for line in house.log.read_text().splitlines()]
    (line,) = [line for line in log if line.get("request_id") == "back"]
    assert (line["caller"], line["audit"], line["reason"]) == ("anna", "promoted sound", "it was better")


def _answers(house: House, name: str) -> bool:
    return bool(house.latest(PROMOTED)["model_version"] == name)


def test_a_version_that_cannot_be_loaded_is_not_promoted(house: House, versions: tuple[str, str]) -> None:
    before = [one["id"] for one in house.get("/v1/models")["models"] if one["champion"]]
    response = _promote(house, versions[1])
    assert (response.status_code, response.json()["code"]) == (409, "artifact_corrupt")
    assert [one["id"] for one in house.get("/v1/models")["models"] if one["champion"]] == before


@pytest.mark.parametrize(
    ("name", "body", "headers", "status", "code"),
    [
        ("sound", {}, {}, 401, "unauthorized"),
        ("nobody", {}, AUTHORIZED, 404, "not_found"),
        ("naive", {}, AUTHORIZED, 400, "usage_error"),
        ("sound", {"reason": ""}, AUTHORIZED, 422, "invalid_request"),
        ("sound", {"reason": "a\0b"}, AUTHORIZED, 422, "invalid_request"),
        ("sound", {"reason": 7}, AUTHORIZED, 422, "invalid_request"),
        ("sound", {"force": True}, AUTHORIZED, 422, "invalid_request"),
    ],
)
def test_a_wrong_promotion_changes_nothing(
    house: House,
    versions: tuple[str, str],
    name: str,
    body: dict[str, Any],
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    assert versions
    response = _promote(house, name, headers, **body)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_evaluations_are_those_of_the_series(house: House, versions: tuple[str, str]) -> None:
    found = house.get("/v1/evaluations", series=str(PROMOTED))
    assert found["series"] == str(PROMOTED)
    assert set(found["live"]) == {"1", "5"}
    assert found["live"]["1"]["verdict"] == "too_early"
    assert {one["model_version"] for one in found["evaluations"]} >= set(versions)
    assert all({score["series"] for score in one["scores"]} <= {str(PROMOTED)} for one in found["evaluations"])
    assert house.get("/v1/evaluations", series="replay:BTC-USDT:4h")["evaluations"] == []
    unknown = house.http.get("/v1/evaluations", params={"series": "replay:DOGE-USDT:1h"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_series")


def test_a_version_has_a_card_in_words(house: House, versions: tuple[str, str]) -> None:
    where = house.get(f"/v1/models/{versions[0]}")["card"]
    response = house.http.get(where)
    assert (response.status_code, response.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    card = response.text
    assert card.startswith("# Model card: sound\n")
    assert "**Not for trading.**" in card
    for heading in ("Intended use", "Limits", "What it learned from", "How it was judged", "Scores", "How it was made"):
        assert f"\n## {heading}\n" in card
    manifest = house.get(f"/v1/models/{versions[0]}")["manifest"]
    assert f"| {PROMOTED} | 1,200 | 2025-09-06T08:00 | 2025-09-10T12:00 |" in card
    assert f"candles with the hash `{manifest['data_hash']}`" in card
    for name, digest in manifest["artefacts"].items():
        assert f"`{name}`: sha256 `{digest}`" in card


def test_the_baseline_has_a_card_and_who_is_not_there_has_none(house: House) -> None:
    assert "no model has earned it" in house.http.get("/v1/models/naive/card").text
    response = house.http.get("/v1/models/nobody/card")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_trials_are_those_of_the_version(house: House, versions: tuple[str, str]) -> None:
    made = [Trial(0, {}, 5, {"auc": 0.5}, 1.5, False), Trial(1, {"max_depth": 3}, 5, {"auc": 0.6}, 2.0, True)]
    with house.database.begin() as connection:
        trials.record(connection, versions[0], made)
    found = house.get(f"/v1/models/{versions[0]}/trials")
    assert found == {"model_version": versions[0], "trials": [asdict(one) for one in made]}
    assert house.get(f"/v1/models/{versions[1]}/trials")["trials"] == []
    response = house.http.get("/v1/models/nobody/trials")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
