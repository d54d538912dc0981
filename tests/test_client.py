"""The client against a real local HTTP server that speaks the API's shapes."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from candlecast.api import (
    CallerCandles,
    CandleColumns,
    ForecastRequest,
    LatestForecast,
    LatestForecasts,
    LedgerRow,
    LedgerRows,
    Problem,
    Runs,
    SeriesList,
    Shape,
    Skill,
)
from candlecast.client import ApiError, AsyncClient, Client, ServiceAway, ServiceBusy, TokenNeeded
from candlecast.client import base as client_base
from service.document import document
from service.routes import create_api
from tests.making import a_run

NOW = datetime(2025, 10, 14, 16, 4, 12, tzinfo=UTC)
SERIES = "binance:BTC-USDT:15m"


class Service(ThreadingHTTPServer):
    """A local server that answers from a list and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        self.asked: list[tuple[str, str, dict[str, list[str]], dict[str, str], str]] = []
        self.delay = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, body: Shape | str, status: int = 200, **headers: str) -> None:
        text = body if isinstance(body, str) else body.model_dump_json()
        self.answers.append((status, text, {name.replace("_", "-"): value for name, value in headers.items()}))


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def _handle(self) -> None:
        address = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        service = self.server
        service.asked.append(
            (self.command, address.path, parse_qs(address.query, keep_blank_values=True), dict(self.headers), body)
        )
        time.sleep(service.delay)
        # The last answer is given again and again.
        status, text, headers = service.answers.pop(0) if len(service.answers) > 1 else service.answers[0]
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())
        except BrokenPipeError:
            pass  # the client gave up waiting, which is what a test wanted

    do_GET = do_POST = _handle  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        return


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, timeout=5) as opened:
        yield opened


def forecast() -> LatestForecast:
    skill = Skill(scored=3, minimum=200, verdict="too_early")
    return LatestForecast(
        series=SERIES, horizon=1, status="ok", simulated=False, now=NOW, clock_speed=90, cutoff=NOW, live_skill=skill
    )


def problem(status: int, code: str, **more: Any) -> Problem:
    return Problem(title="No", status=status, detail=f"{code}, do this", code=code, **more)


def test_latest_forecast_comes_back_as_it_was_sent(service: Service, client: Client) -> None:
    sent = LatestForecasts(forecasts=[forecast()])
    service.answer(sent)
    assert client.latest_forecasts(SERIES, 5) == sent
    method, path, query, headers, _ = service.asked[0]
    assert (method, path, query) == ("GET", "/v1/forecasts/latest", {"series": [SERIES], "horizon": ["5"]})
    assert "Authorization" not in headers


def test_what_was_not_asked_for_is_left_out_of_the_address(service: Service, client: Client) -> None:
    service.answer(LatestForecasts(forecasts=[]))
    client.latest_forecasts()
    assert service.asked[0][2] == {}


def test_ledger_is_asked_with_series_horizon_last_and_role(service: Service, client: Client) -> None:
    service.answer('{"forecasts": []}')
    assert client.forecasts(SERIES, 1, 60, role="champion").forecasts == []
    assert service.asked[0][1:3] == (
        "/v1/forecasts",
        {"series": [SERIES], "horizon": ["1"], "last": ["60"], "role": ["champion"]},
    )


def test_candles_keep_their_columns(service: Service, client: Client) -> None:
    columns = CandleColumns(
        series=SERIES, interval="15m", open_time=[0], open=[1], high=[2], low=[0.5], close=[1.5], volume=[3], gaps=0
    )
    service.answer(columns)
    assert client.candles(SERIES, 1) == columns
    assert service.asked[0][2] == {"series": [SERIES], "last": ["1"]}


def test_run_is_asked_for_with_token_and_body(service: Service) -> None:
    service.answer(a_run("queued"), status=202)
    with Client(service.url, token="secret") as client:  # noqa: S106 - made up
        assert client.request_run("ingestion", [SERIES], START, END).request_id == 7
    method, path, _, headers, body = service.asked[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/v1/runs", "Bearer secret")
    days = {"start": "2025-09-01T00:00:00Z", "end": "2025-09-02T00:00:00Z"}
    assert json.loads(body) == {"job": "ingestion", "series": [SERIES], **days}


def test_token_is_not_sent_where_nothing_changes_and_never_printed(service: Service) -> None:
    service.answer(SeriesList(series=[], horizons=[1]))
    with Client(service.url, token="secret") as client:  # noqa: S106 - made up
        client.series()
        assert "secret" not in repr(client)
    assert "Authorization" not in service.asked[0][3]


def test_run_is_found_by_its_request(service: Service, client: Client) -> None:
    service.answer(Runs(runs=[a_run("running")]))
    found = client.run(7)
    assert found is not None
    assert found.state == "running"
    assert service.asked[0][1:3] == ("/v1/runs", {"request_id": ["7"]})


def test_unknown_request_is_none(service: Service, client: Client) -> None:
    service.answer(Runs(runs=[]))
    assert client.run(8) is None


def test_problem_becomes_an_error_with_code_and_sentence(service: Service, client: Client) -> None:
    service.answer(problem(404, "unknown_series"), status=404)
    with pytest.raises(ApiError, match="unknown_series, do this") as caught:
        client.candles("binance:NO-USDT:15m", 1)
    assert (caught.value.status, caught.value.code) == (404, "unknown_series")
    assert len(service.asked) == 1


def test_missing_token_has_an_error_of_its_own(service: Service, client: Client) -> None:
    service.answer(problem(401, "unauthorized"), status=401)
    with pytest.raises(TokenNeeded):
        client.request_run("training")


def test_busy_service_says_when_to_come_back_and_is_not_asked_at_once_again(service: Service, client: Client) -> None:
    service.answer(problem(429, "too_busy"), status=429, Retry_After="5")
    candles = CallerCandles(open_time=[0], open=[1], high=[1], low=[1], close=[1], volume=[1])
    with pytest.raises(ServiceBusy) as caught:
        client.own_forecasts(ForecastRequest(interval="15m", candles=candles))
    assert (caught.value.code, caught.value.retry_after) == ("too_busy", 5)
    assert len(service.asked) == 1


def test_failure_of_the_service_is_not_tried_again(service: Service, client: Client) -> None:
    service.answer(problem(500, "internal", request_id="abc"), status=500)
    with pytest.raises(ApiError) as caught:
        client.status()
    assert caught.value.status == 500
    assert caught.value.problem.request_id == "abc"
    assert len(service.asked) == 1


def test_passing_failure_is_tried_again_and_the_answer_counts(service: Service, client: Client) -> None:
    service.answer(problem(503, "store_unavailable"), status=503)
    service.answer(SeriesList(series=[], horizons=[1, 5]))
    assert client.series().horizons == [1, 5]
    assert len(service.asked) == 2


def test_broken_connection_is_tried_again() -> None:
    attempts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        attempts.append(request.url.path)
        if len(attempts) == 1:
            raise httpx.RemoteProtocolError("hung up")
        return httpx.Response(200, text=SeriesList(series=[], horizons=[1]).model_dump_json())

    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        assert client.series().horizons == [1]
    assert len(attempts) == 2


def test_lasting_failure_is_given_up_after_three_attempts_within_seconds(service: Service, client: Client) -> None:
    service.answer(problem(503, "store_unavailable"), status=503, Retry_After="60")
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        client.series()
    assert caught.value.status == 503
    assert len(service.asked) == 3
    assert time.monotonic() - began < 5


def test_asking_for_a_run_is_never_repeated(service: Service, client: Client) -> None:
    service.answer(problem(503, "store_unavailable"), status=503)
    with pytest.raises(ApiError):
        client.request_run("ingestion")
    assert len(service.asked) == 1


def test_slow_service_is_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_base, "PAUSES", ())
    service.answer(SeriesList(series=[], horizons=[]))
    service.delay = 0.5
    with Client(service.url, timeout=0.1) as client, pytest.raises(ServiceAway, match="does not answer in time"):
        client.series()


def test_nobody_at_the_address_is_away_and_the_address_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(ServiceAway, match=str(port)):
        client.status()


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "[]", ""])
def test_error_of_a_proxy_is_a_problem_too(service: Service, client: Client, body: str) -> None:
    service.answer(body, status=404)
    with pytest.raises(ApiError) as caught:
        client.models()
    assert caught.value.code == "http_404"
    assert "/v1/models" in caught.value.message


@pytest.mark.parametrize("body", ["not json", '{"forecasts": [{"series": 1}]}', '{"forecasts": [], "new_field": 1}'])
def test_answer_of_another_version_says_so(service: Service, client: Client, body: str) -> None:
    service.answer(body)
    with pytest.raises(ApiError, match="same version") as caught:
        client.latest_forecasts()
    assert caught.value.code == "unreadable_answer"


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (lambda client: client.status(), "/v1/status"),
        (lambda client: client.models(), "/v1/models"),
        (lambda client: client.runs(5), "/v1/runs"),
        (lambda client: client.coverage(SERIES), f"/v1/series/{SERIES}/coverage"),
        (lambda client: client.latest_prices(), "/v1/prices/latest"),
    ],
)
def test_each_question_goes_to_its_route(
    service: Service, client: Client, ask: Callable[[Client], object], path: str
) -> None:
    service.answer(problem(404, "not_found"), status=404)
    with pytest.raises(ApiError):
        ask(client)
    assert service.asked[0][1] == path


START, END = datetime(2025, 9, 1, tzinfo=UTC), datetime(2025, 9, 2, tzinfo=UTC)
OWN = ForecastRequest(
    interval="15m", candles=CallerCandles(open_time=[], open=[], high=[], low=[], close=[], volume=[])
)
METHODS: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "latest_forecasts": [("latest_forecasts", ())],
    "explain_latest": [("explanation", (SERIES, 1))],
    "forecast_own_candles": [("own_forecasts", (OWN,))],
    "read_ledger": [("forecasts", (SERIES, 1, 5, None, START, END, "live")), ("forecasts_file", (SERIES, 1, "csv"))],
    "read_live_scores": [("live_scores", (SERIES, 1))],
    "read_candles": [("candles", (SERIES, 5, START, END)), ("candles_file", (SERIES, "parquet", START, END))],
    "read_coverage": [("coverage", (SERIES, START, END))],
    "latest_prices": [("latest_prices", ())],
    "list_series": [("series", ())],
    "list_models": [("models", (3, "m-7"))],
    "read_model": [("model", ("m-1",))],
    "read_model_card": [("model_card", ("m-1",))],
    "list_trials": [("trials", ("m-1",))],
    "promote_model": [("promote_model", ("m-1", "better"))],
    "list_evaluations": [("evaluations", (SERIES, 3, "m-7"))],
    "list_drift": [("drift_reports", ("binance", "15m", 3, 7))],
    "read_drift_page": [("drift_page", (4,))],
    "list_runs": [("runs", (3, "drift", "run-7")), ("run", (3,))],
    "read_run": [("run_by_id", (7,))],
    "request_run": [("request_run", ("ingestion", [SERIES], START, END, True))],
    "cancel_run": [("cancel_run", (7,))],
    "cancel_request": [("cancel_request", (3,))],
    "read_status": [("status", ())],
}
"""For every operation of the API the methods that ask it, and something to call them with."""


def _document() -> dict[str, Any]:
    return document(create_api(), "")


def test_the_clients_have_a_method_for_every_route_and_for_nothing_else() -> None:
    operations = {one["operationId"] for methods in _document()["paths"].values() for one in methods.values()}
    assert set(METHODS) == operations
    named = {name for methods in METHODS.values() for name, _ in methods}
    for client in (Client, AsyncClient):
        own = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
        assert own - {"close", "document", "opened"} == named


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("operation", METHODS)
def test_every_method_asks_its_route_with_parameters_that_it_knows(
    service: Service, operation: str, asynchronous: bool
) -> None:
    ((path, method, known),) = (
        (path, method, one)
        for path, methods in _document()["paths"].items()
        for method, one in methods.items()
        if one["operationId"] == operation
    )
    for name, arguments in METHODS[operation]:
        service.asked.clear()
        service.answers[:] = [(404, problem(404, "not_found").model_dump_json(), {})]
        with pytest.raises(ApiError, match="not_found"):
            _call(service, name, arguments, asynchronous)
        ((asked_method, asked_path, query, _, body),) = service.asked
        assert asked_method == method.upper()
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), asked_path)
        assert set(query) <= {one["name"] for one in known["parameters"] if one["in"] == "query"}
        assert bool(body) == ("requestBody" in known)


def _call(service: Service, name: str, arguments: tuple[Any, ...], asynchronous: bool) -> Any:
    async def ask() -> Any:
        async with AsyncClient(service.url, token="secret") as client:  # noqa: S106 - made up
            return await getattr(client, name)(*arguments)

    if asynchronous:
        return asyncio.run(ask())
    with Client(service.url, token="secret") as client:  # noqa: S106 - made up
        return getattr(client, name)(*arguments)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_more_rows_of_the_ledger_than_the_service_gives_at_once_come_page_by_page(
    service: Service, asynchronous: bool
) -> None:
    newer, older = (ledger_row(cutoff) for cutoff in (END, START))
    service.answer(LedgerRows(forecasts=[newer] * client_base.MOST_ROWS, next_end=END))
    service.answer(LedgerRows(forecasts=[older] * 10, next_end=START))
    found = _call(service, "forecasts", (SERIES, 1, client_base.MOST_ROWS + 10, "champion", START), asynchronous)
    assert found == LedgerRows(forecasts=[older] * 10 + [newer] * client_base.MOST_ROWS, next_end=START)
    first, second = (query for _, _, query, *_ in service.asked)
    assert (first["last"], second["last"]) == (["5000"], ["10"])
    assert first | second == first | {"last": ["10"], "end": ["2025-09-02T00:00:00+00:00"]}


def ledger_row(cutoff: datetime) -> LedgerRow:
    known = {"series": SERIES, "horizon": 1, "model_version": "m-1", "role": "champion", "cutoff": cutoff}
    times = {"target_time": END, "issued_at": cutoff}
    numbers: dict[str, Any] = {
        "last_close": 1.0,
        "close": 1.0,
        "p_up": None,
        "intervals": {},
        "realised_close": None,
        "error": None,
    }
    return LedgerRow.model_validate(known | times | numbers)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_file_is_read_piece_by_piece_after_what_passes_and_with_the_token_where_it_is_wanted(
    service: Service, asynchronous: bool
) -> None:
    service.answer(problem(503, "store_unavailable"), status=503)
    service.answer(problem(401, "unauthorized"), status=401)
    service.answer("ts,open\n" * 3, Content_Type="text/csv")
    assert _opened(service, asynchronous) == ("text/csv", b"ts,open\n" * 3)
    assert [query for _, _, query, *_ in service.asked] == [{"format": ["csv"]}] * 3
    service.answers[:] = [(404, problem(404, "not_found").model_dump_json(), {})]
    with pytest.raises(ApiError, match="not_found"):
        _opened(service, asynchronous)


def _opened(service: Service, asynchronous: bool) -> tuple[str, bytes]:
    async def ask() -> tuple[str, bytes]:
        async with (
            AsyncClient(service.url, token="secret") as client,  # noqa: S106 - made up
            client.opened("/v1/candles", format="csv") as answer,
        ):
            return answer.headers["content-type"], b"".join([piece async for piece in answer.aiter_bytes()])

    if asynchronous:
        return asyncio.run(ask())
    with (
        Client(service.url, token="secret") as client,  # noqa: S106 - made up
        client.opened("/v1/candles", format="csv") as answer,
    ):
        return answer.headers["content-type"], b"".join(answer.iter_bytes())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_document_comes_as_it_is(service: Service, asynchronous: bool) -> None:
    service.answer('{"openapi": "3.1.0"}')
    assert _call(service, "document", (), asynchronous) == {"openapi": "3.1.0"}
    assert service.asked[0][1] == "/openapi.json"


def test_both_clients_take_the_same_arguments() -> None:
    for name in {name for methods in METHODS.values() for name, _ in methods}:
        assert inspect.signature(getattr(Client, name)) == inspect.signature(getattr(AsyncClient, name)), name


def test_the_asynchronous_client_tries_again_and_reads_the_answer(service: Service) -> None:
    service.answer(problem(503, "store_unavailable"), status=503)
    service.answer(SeriesList(series=[], horizons=[1, 5]))
    assert _call(service, "series", (), True) == SeriesList(series=[], horizons=[1, 5])
    assert len(service.asked) == 2


def test_the_asynchronous_client_never_repeats_a_change(service: Service) -> None:
    service.answer(problem(503, "store_unavailable"), status=503)
    with pytest.raises(ApiError):
        _call(service, "request_run", ("drift",), True)
    assert len(service.asked) == 1


def test_nobody_at_the_address_is_away_for_the_asynchronous_client_too() -> None:
    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:1") as client:
            await client.status()

    with pytest.raises(ServiceAway, match=r"127\.0\.0\.1:1"):
        asyncio.run(ask())


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_where_reading_needs_a_token_it_is_sent(service: Service, asynchronous: bool) -> None:
    service.answer(problem(401, "unauthorized"), status=401)
    service.answer(SeriesList(series=[], horizons=[1]))
    assert _call(service, "series", (), asynchronous).horizons == [1]
    assert [headers.get("Authorization", headers.get("authorization")) for *_, headers, _ in service.asked] == [
        None,
        "Bearer secret",
    ]


def test_after_that_it_is_sent_at_once(service: Service) -> None:
    service.answer(problem(401, "unauthorized"), status=401)
    service.answer(SeriesList(series=[], horizons=[1]))
    with Client(service.url, token="secret") as client:  # noqa: S106 - made up
        client.series()
        client.series()
    assert len(service.asked) == 3


def test_without_a_token_or_with_a_wrong_one_reading_is_refused(service: Service, client: Client) -> None:
    service.answer(problem(401, "unauthorized"), status=401)
    with pytest.raises(TokenNeeded):
        client.series()
    with Client(service.url, token="wrong") as other, pytest.raises(TokenNeeded):  # noqa: S106 - made up
        other.series()
    assert len(service.asked) == 3


def test_a_file_comes_as_its_bytes(service: Service, client: Client) -> None:
    service.answer("ts,open\n")
    assert client.candles_file(SERIES, "csv") == b"ts,open\n"
    assert service.asked[0][2] == {"series": [SERIES], "format": ["csv"]}


def test_a_name_stays_one_segment_of_the_path(service: Service, client: Client) -> None:
    service.answer(problem(404, "not_found"), status=404)
    with pytest.raises(ApiError):
        client.model("../runs?limit=1")
    assert service.asked[0][1:3] == ("/v1/models/..%2Fruns%3Flimit%3D1", {})
