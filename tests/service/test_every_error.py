"""Every error that the document names for an operation, provoked on a real service; and nothing named in vain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from candlecast.candles import Candles, Interval, Series
from candlecast.store import models, runs
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from service.document import document
from service.examples import EVERYWHERE, EXAMPLES
from service.routes import create_api
from tests.making import make_candles
from tests.programs import free_port
from tests.service.house import (
    BTC,
    NOON,
    TOKEN,
    House,
    body,
    service_environment,
    serving,
    set_clock,
    store,
    wait_until_ready,
    walk,
)
from tests.service.wire import problem_of, status_of, talk
from tests.waiting import eventually

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json"}
PARQUET = {"content-type": "application/vnd.apache.parquet"}
UNKNOWN = "replay:DOGE-USDT:4h"
SERVED = Series.parse("replay:BTC-USDT:15m")
CANDLES = make_candles(60, Interval.M15)


@dataclass(frozen=True)
class Asked:
    """A request of an operation: what differs from the document's example."""

    query: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def _sent(**content: Any) -> Asked:
    return Asked(content=json.dumps(content).encode())


def _own(**more: Any) -> Asked:
    return _sent(**body(CANDLES, **more))


DOCUMENT = document(create_api(), "")
OPERATIONS: dict[str, tuple[str, str]] = {
    one["operationId"]: (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method, one in methods.items()
}
NO_SERIES = Asked({"series": UNKNOWN})
NAIVE_TIME = {"start": "2025-09-01T00:00:00"}
PLAIN = Asked(content=b"{}", headers={"content-type": "text/plain"})
CUT = Asked(content=b"{")
NOBODY = Asked(path="/v1/models/nobody")
CASES: dict[tuple[str, str], Asked] = {
    ("latest_forecasts", "unknown_series"): NO_SERIES,
    ("latest_forecasts", "usage_error"): Asked({"horizon": 2}),
    ("explain_latest", "unknown_series"): NO_SERIES,
    ("explain_latest", "usage_error"): Asked({"series": str(BTC), "horizon": 2}),
    ("forecast_own_candles", "not_json"): CUT,
    ("forecast_own_candles", "unsupported_media_type"): PLAIN,
    ("forecast_own_candles", "not_parquet"): Asked({"interval": "15m"}, content=b"PAR1", headers=PARQUET),
    ("forecast_own_candles", "usage_error"): _own(horizons=[2]),
    ("forecast_own_candles", "unknown_series"): _own(series="BTC"),
    ("forecast_own_candles", "invalid_candles"): _sent(**(body(CANDLES) | {"interval": "1h"})),
    ("forecast_own_candles", "not_enough_candles"): _sent(**body(CANDLES[:9])),
    ("forecast_own_candles", "gap_in_window"): _sent(**body(Candles.concatenate([CANDLES[:30], CANDLES[31:]]))),
    ("read_ledger", "unknown_series"): NO_SERIES,
    ("read_ledger", "usage_error"): Asked({"series": str(BTC), **NAIVE_TIME}),
    ("read_live_scores", "unknown_series"): NO_SERIES,
    ("read_candles", "unknown_series"): NO_SERIES,
    ("read_candles", "usage_error"): Asked({"series": str(BTC), **NAIVE_TIME}),
    ("read_coverage", "unknown_series"): Asked(path=f"/v1/series/{UNKNOWN}/coverage"),
    ("read_coverage", "usage_error"): Asked(NAIVE_TIME, path=f"/v1/series/{BTC}/coverage"),
    ("list_models", "not_found"): Asked({"before": "nobody"}),
    ("read_model", "not_found"): NOBODY,
    ("read_model_card", "not_found"): Asked(path="/v1/models/nobody/card"),
    ("list_trials", "not_found"): Asked(path="/v1/models/nobody/trials"),
    ("promote_model", "not_json"): Asked(path="/v1/models/naive/promote", content=b"{"),
    ("promote_model", "unsupported_media_type"): Asked(
        path="/v1/models/naive/promote", content=b"{}", headers={"content-type": "text/plain"}
    ),
    ("promote_model", "usage_error"): Asked(path="/v1/models/naive/promote", content=b'{"reason": "why not"}'),
    ("promote_model", "not_found"): Asked(path="/v1/models/nobody/promote", content=b'{"reason": "why not"}'),
    ("list_evaluations", "unknown_series"): NO_SERIES,
    ("list_evaluations", "not_found"): Asked({"series": str(BTC), "before": "nobody"}),
    ("list_drift", "usage_error"): Asked({"interval": "7m"}),
    ("read_drift_page", "not_found"): Asked(path="/v1/drift/1000000/report"),
    ("read_run", "not_found"): Asked(path="/v1/runs/1000000"),
    ("request_run", "not_json"): CUT,
    ("request_run", "unsupported_media_type"): PLAIN,
    ("request_run", "usage_error"): _sent(job="drift", again=True),
    ("request_run", "unknown_series"): _sent(job="drift", series=[UNKNOWN]),
    ("cancel_run", "not_found"): Asked(path="/v1/runs/1000000/cancel"),
    ("cancel_request", "not_found"): Asked(path="/v1/run-requests/1000000/cancel"),
}
"""For an operation and the code of an error a request that ends in it, whatever else the service holds."""

ELSEWHERE = {
    ("cancel_run", "usage_error"),
    ("cancel_request", "usage_error"),
    ("forecast_own_candles", "too_busy"),
    ("explain_latest", "feature_mismatch"),
    ("explain_latest", "artifact_corrupt"),
    ("promote_model", "feature_mismatch"),
    ("promote_model", "artifact_corrupt"),
}
"""Those that need a run or a model version of a certain kind: tests of their own below; and a queue that is full, see
`test_fairness`."""

FROM_MEMORY = {"latest_forecasts"}
"""What is answered without a look at the database, so that nothing in there can make it fail."""


def _example_path(operation: str) -> str:
    _, path = OPERATIONS[operation]
    for name, value in EXAMPLES[operation].values.items():
        path = path.replace(f"{{{name}}}", str(value))
    return path


def _ask(house: House, operation: str, asked: Asked) -> httpx.Response:
    method, path = OPERATIONS[operation]
    headers = {**(asked.headers if asked.content is not None else {}), **AUTHORIZED}
    return house.http.request(
        method, asked.path or path, params=dict(asked.query) or None, content=asked.content, headers=headers
    )


def _example(operation: str) -> Asked:
    """Return the document's own example; needed parameters only, and nothing where it names what is not there."""
    example = EXAMPLES[operation]
    needed = {
        one["name"]: example.values[one["name"]]
        for one in DOCUMENT["paths"][OPERATIONS[operation][1]][OPERATIONS[operation][0].lower()]["parameters"]
        if one["required"] and one["in"] == "query"
    }
    sent = example.body.model_dump_json(exclude_unset=True).encode() if example.body is not None else None
    return Asked(needed, _example_path(operation), sent)


def _expect(response: httpx.Response, status: int, code: str) -> None:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert problem["detail"].strip()
    assert problem["type"] == f"/docs/errors#{code}"
    assert problem["request_id"] == response.headers["x-request-id"]


def test_every_error_of_the_document_is_provoked_here() -> None:
    named = {(name, error.named()) for name, example in EXAMPLES.items() for error in example.errors}
    assert set(CASES) | ELSEWHERE == named
    assert {error.named() for error in EVERYWHERE} == {
        "unauthorized", "method_not_allowed", "too_slow", "too_large", "invalid_request", "too_many_attempts",
        "head_too_large", "internal_error", "store_unavailable", "temporary_error",
    }  # fmt: skip


@pytest.mark.parametrize(("operation", "code"), CASES, ids=lambda one: str(one))
def test_an_operation_ends_in_its_error(house: House, operation: str, code: str) -> None:
    (error,) = (one for one in EXAMPLES[operation].errors if one.named() == code)
    _expect(_ask(house, operation, CASES[operation, code]), error.http_status, code)


def test_what_has_ended_is_not_cancelled(house: House) -> None:
    with house.database.begin() as connection:
        number = runs.start(connection, "drift", None, holder="a test")
        runs.finish(connection, number, state="succeeded", exit_code=0)
        asked = runs.ask(connection, "drift", {}, requested_by="anna")
        claimed = runs.claim(connection, "drift")
        while claimed and claimed.request_id != asked:
            claimed = runs.claim(connection, "drift")
        runs.finish(connection, runs.start(connection, "drift", claimed, holder="a test"), state="failed", exit_code=1)
    for path in (f"/v1/runs/{number}/cancel", f"/v1/run-requests/{asked}/cancel"):
        _expect(house.http.post(path, headers=AUTHORIZED), 400, "usage_error")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_refuses_another_method(house: House, operation: str) -> None:
    response = house.http.put(_example_path(operation))
    _expect(response, 405, "method_not_allowed")
    assert OPERATIONS[operation][0] in response.headers["allow"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_refuses_a_parameter_that_it_does_not_know(house: House, operation: str) -> None:
    asked = _example(operation)
    response = _ask(house, operation, Asked({**asked.query, "nothing": "1"}, asked.path, asked.content))
    _expect(response, 422, "invalid_request")
    assert response.json()["detail"].startswith("query.nothing")


def _raw(operation: str, *headers: str) -> bytes:
    lines = [
        f"{OPERATIONS[operation][0]} {_example_path(operation)} HTTP/1.1",
        "host: a",
        "connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        (["content-length: 100000000", "content-type: application/json"], 413, "too_large"),
        ([f"x-{number}: y" for number in range(100)], 431, "head_too_large"),
    ],
    ids=["body", "head"],
)
def test_every_operation_refuses_what_is_too_large(
    house: House, operation: str, headers: list[str], status: int, code: str
) -> None:
    if code == "too_large" and operation in FROM_MEMORY:
        pytest.skip("answered at once; what would follow is never read")
    received = talk(house, _raw(operation, *headers) + b"\r\n\r\n")
    assert (status_of(received), problem_of(received)["code"]) == (status, code)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_no_operation_awaits_a_head_without_end(house: House) -> None:
    with ThreadPoolExecutor(len(OPERATIONS)) as askers:
        answers = list(askers.map(partial(talk, house, patience=60), map(_raw, OPERATIONS)))
    assert {(status_of(one), problem_of(one)["code"]) for one in answers} == {(408, "too_slow")}


@pytest.fixture(scope="module")
def model() -> XGBForecaster:
    return XGBForecaster.fit({SERVED: walk(SERVED.interval, 1200)}, [1, 5], seed=1)


@pytest.fixture
def guarded(database: Database, database_url: str, model: XGBForecaster, tmp_path: Path) -> Iterator[House]:
    """Return a service that lets only known callers read, with a champion and two versions that cannot be loaded."""
    set_clock(database, NOON)
    store(database, SERVED, walk(SERVED.interval, 1200))
    manifest = json.loads(json.dumps(model.manifest))
    other = manifest | {"features": manifest["features"] | {"fingerprint": "another"}}
    spoilt = dict.fromkeys(model.to_bytes(), b"x")
    with database.begin() as connection:
        for name, known, artefacts in (
            ("sound", manifest, model.to_bytes()),
            ("other", other, model.to_bytes()),
            ("spoilt", manifest, spoilt),
        ):
            version = Version(name, "xgboost", "replay", SERVED.interval, NOON, known, None, None)
            models.register(connection, version, artefacts, [])
            if name == "sound":
                models.promote(connection, version, now=NOON, reason="a test says so")
    environment = service_environment(database_url, tmp_path, str(SERVED), protect_reading="true")
    with serving(environment, database, tmp_path) as found:
        wait_until_ready(found)
        found.http.headers.update(AUTHORIZED)
        eventually(lambda: found.latest(SERVED)["status"] == "ok")
        yield found


def test_a_guarded_service_and_what_happens_when_its_database_is_not_what_it_was(guarded: House) -> None:
    """One service for all: it takes seconds to start, and each step leaves it as it was."""
    _check_strangers(guarded)
    _check_versions_that_do_not_load(guarded)
    _check_defects(guarded)


def _check_strangers(guarded: House) -> None:
    for operation, (method, _) in OPERATIONS.items():
        stranger = guarded.http.request(method, _example_path(operation), headers={"authorization": ""})
        _expect(stranger, 401, "unauthorized")
        assert stranger.headers["www-authenticate"] == "Bearer"
    guess = {"authorization": "Bearer guess", "x-forwarded-for": "203.0.113.9"}
    for _ in range(10):
        _expect(guarded.http.get("/v1/status", headers=guess), 401, "unauthorized")
    for operation, (method, _) in OPERATIONS.items():
        shut = guarded.http.request(method, _example_path(operation), headers=guess)
        _expect(shut, 429, "too_many_attempts")
        assert 0 < int(shut.headers["retry-after"]) <= 60


def _check_versions_that_do_not_load(guarded: House) -> None:
    promotion = {"reason": "it was better"}
    for name, code in (("other", "feature_mismatch"), ("spoilt", "artifact_corrupt")):
        _expect(guarded.http.post(f"/v1/models/{name}/promote", json=promotion), 409, code)
    explanation = partial(guarded.http.get, "/v1/forecasts/latest/explanation", params={"series": str(SERVED)})
    with guarded.database.begin() as connection:
        manifest = json.dumps(dict(models.version(connection, "sound").manifest))
        _update(connection, "manifest = (SELECT manifest FROM model_version WHERE id = 'other')")
    _expect(explanation(), 409, "feature_mismatch")
    with guarded.database.begin() as connection:
        _update(connection, "manifest = CAST(:manifest AS jsonb)", manifest=manifest)
        connection.execute(text("UPDATE model_artifact SET content = content || 'x'"))
    _expect(explanation(), 409, "artifact_corrupt")


def _update(connection: Connection, change: str, **values: str) -> None:
    connection.execute(text(f"UPDATE model_version SET {change} WHERE id = 'sound'"), values)  # noqa: S608  # our words


def _check_defects(guarded: House) -> None:
    with guarded.database.begin() as connection:
        connection.execute(text("ALTER SCHEMA public RENAME TO gone"))
    for operation in OPERATIONS.keys() - FROM_MEMORY - {"explain_latest", "forecast_own_candles"}:
        asked = _example(operation)
        given = Asked({**asked.query, **_known_series(asked)}, asked.path, asked.content)
        _expect(_ask(guarded, operation, given), 500, "internal_error")
    with guarded.database.begin() as connection:
        connection.execute(text("ALTER SCHEMA gone RENAME TO public"))
    assert guarded.log.read_text().count("traceback") >= len(OPERATIONS) - 3


def _known_series(asked: Asked) -> dict[str, str]:
    return {"series": str(SERVED)} if "series" in asked.query else {}


@pytest.fixture(scope="module")
def lonely(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a service that has never reached its database."""
    folder = tmp_path_factory.mktemp("lonely")
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    with serving(service_environment(url, folder, str(BTC)), house.database, folder) as found:
        yield found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_its_database_no_operation_answers(lonely: House, operation: str) -> None:
    response = _ask(lonely, operation, _example(operation))
    _expect(response, 503, "store_unavailable")
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.slow
def test_what_takes_too_long_is_given_up(house: House) -> None:
    with house.database.begin() as connection:
        connection.execute(text("LOCK TABLE drift_report IN ACCESS EXCLUSIVE MODE"))
        _expect(httpx.get(house.http.base_url.join("/v1/drift"), timeout=90), 503, "temporary_error")
    assert house.get("/v1/drift", limit=1)
