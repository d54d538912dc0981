"""The library's clients against a real service: every route answers in the shape that the clients know."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, get_type_hints

import pytest
from pyarrow import parquet

from candlecast import api
from candlecast.client import AsyncClient, Client, TokenNeeded
from candlecast.drift import ColumnDrift, DriftSummary, Window
from candlecast.store import drift, models, runs
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from service.document import document
from service.routes import create_api
from tests.service.house import BTC, NOON, SHORT, TOKEN, TRAINED, WORLD, House, body, walk

SERIES = str(BTC)
DAILY = walk(BTC.interval, 60)
OWN = api.ForecastRequest.model_validate(body(DAILY, horizons=[1]))
Call = tuple[str, tuple[Any, ...]]


@pytest.fixture(scope="module")
def numbers(house: House) -> Mapping[str, Any]:
    """Return the names of things that the routes are about: a version, a report with a page, a run, two requests."""
    model = XGBForecaster.fit({TRAINED: WORLD[TRAINED]}, [1, 5], seed=4)
    version = Version(
        "of-the-client", "xgboost", "kraken", TRAINED.interval, NOON, json.loads(json.dumps(model.manifest)), None, None
    )
    windows = Window(NOON - timedelta(days=3), NOON - timedelta(days=1), 9), Window(NOON - timedelta(days=1), NOON, 9)
    summary = DriftSummary("wasserstein", {"range": ColumnDrift(0.1, 0.2)}, "<p>moved</p>")
    with house.database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        kind = ("kraken", TRAINED.interval)
        report = drift.record(
            connection, kind, summary, reference=windows[0], current=windows[1], model_version=None, now=NOON
        )
        asked = runs.ask(connection, "drift", {}, requested_by="anna")
        claimed = runs.claim(connection, "drift")
        while claimed and claimed.request_id != asked:
            claimed = runs.claim(connection, "drift")
        number = runs.start(connection, "drift", claimed, holder="a test")
        waiting = [runs.ask(connection, "drift", {}, requested_by="anna") for _ in range(2)]
    return {"report": report, "run": number, "waiting": waiting}


def _calls(numbers: Mapping[str, Any], place: int) -> dict[str, list[Call]]:
    """Return for every operation how both clients ask it; `place` is that of the client, for what goes only once."""
    return {
        "latest_forecasts": [("latest_forecasts", ()), ("latest_forecasts", (SERIES, 1))],
        "explain_latest": [("explanation", (SERIES, 1))],
        "forecast_own_candles": [("own_forecasts", (OWN,))],
        "read_ledger": [("forecasts", (SERIES, 1, 6000)), ("forecasts_file", (SERIES, 1, "parquet"))],
        "read_live_scores": [("live_scores", (SERIES, 1))],
        "read_candles": [("candles", (SERIES, 5)), ("candles_file", (SERIES, "parquet"))],
        "read_coverage": [("coverage", (SERIES,))],
        "latest_prices": [("latest_prices", ())],
        "list_series": [("series", ())],
        "list_models": [("models", (2,))],
        "read_model": [("model", ("of-the-client",))],
        "read_model_card": [("model_card", ("of-the-client",))],
        "list_trials": [("trials", ("of-the-client",))],
        "promote_model": [("promote_model", ("of-the-client", "a test says so"))],
        "list_evaluations": [("evaluations", (SERIES, 2))],
        "list_drift": [("drift_reports", ("kraken", "1h"))],
        "read_drift_page": [("drift_page", (numbers["report"],))],
        "list_runs": [("runs", (3,)), ("run", (numbers["waiting"][place],))],
        "read_run": [("run_by_id", (numbers["run"],))],
        "request_run": [("request_run", ("ingestion", [str(SHORT)], NOON - timedelta(days=1), NOON, True))],
        "cancel_run": [("cancel_run", (numbers["run"],))],
        "cancel_request": [("cancel_request", (numbers["waiting"][place],))],
        "read_status": [("status", ())],
    }


def test_every_method_of_the_client_understands_what_the_service_answers(
    house: House, numbers: Mapping[str, Any]
) -> None:
    with Client(str(house.http.base_url), TOKEN, timeout=60) as client:
        calls = _calls(numbers, 0)
        found = {name: getattr(client, name)(*given) for asked in calls.values() for name, given in asked}
        assert client.document()["paths"].keys() == house.get("/openapi.json")["paths"].keys()
        with client.opened("/v1/candles", series=SERIES, format="csv") as answer:
            assert len(list(answer.iter_lines())) == len(WORLD[BTC]) + 1
    _check(found, Client)


def test_and_so_does_every_method_of_the_asynchronous_one(house: House, numbers: Mapping[str, Any]) -> None:
    async def ask() -> dict[str, Any]:
        async with AsyncClient(str(house.http.base_url), TOKEN, timeout=60) as client:
            calls = [call for asked in _calls(numbers, 1).values() for call in asked]
            methods: dict[str, Callable[..., Awaitable[Any]]] = {name: getattr(client, name) for name, _ in calls}
            return {name: await methods[name](*given) for name, given in calls}

    _check(asyncio.run(ask()), AsyncClient)


def _check(found: Mapping[str, Any], client: type) -> None:
    for name, answer in found.items():
        wanted = get_type_hints(getattr(client, name))["return"]
        assert isinstance(answer, wanted), name
    assert found["latest_forecasts"].forecasts[0].series == SERIES
    assert found["own_forecasts"].forecasts[0].last_close == DAILY.close[-1]
    assert found["candles"].close == WORLD[BTC].close[-5:].tolist()
    candles, ledger = (parquet.read_table(io.BytesIO(found[name])) for name in ("candles_file", "forecasts_file"))
    assert candles["close"].to_pylist() == WORLD[BTC].close.tolist()
    assert ledger["close"].to_pylist() == [row.close for row in found["forecasts"].forecasts]
    assert found["promote_model"].champion is True
    assert found["drift_page"] == "<p>moved</p>"
    assert found["request_run"].parameters["again"] is True
    assert (found["run"].state, found["cancel_request"].state) == ("queued", "cancelled")


def test_every_route_is_asked(numbers: Mapping[str, Any]) -> None:
    known = document(create_api(), "")["paths"]
    assert set(_calls(numbers, 0)) == {one["operationId"] for methods in known.values() for one in methods.values()}


def test_without_a_token_the_client_says_that_it_needs_one(house: House) -> None:
    with Client(str(house.http.base_url)) as client, pytest.raises(TokenNeeded, match="needs a token"):
        client.request_run("drift")
