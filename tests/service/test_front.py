"""What stands around every route: request ids, log lines, other origins, tokens, and the limits of a request."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import psutil
import pytest

from tests.service.house import BTC, TOKEN, House
from tests.service.wire import problem_of, status_of, talk
from tests.waiting import eventually

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
MEGABYTE = 1_000_000


def _lines(house: House, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in house.log.read_text().splitlines()]
    return [line for line in lines if line.get("request_id") == request_id]


def _line(house: House, request_id: str) -> dict[str, Any]:
    (line,) = eventually(lambda: _lines(house, request_id), 5)
    return line


def test_a_sane_request_id_comes_back_and_stands_in_the_problem_and_the_log(house: House) -> None:
    response = house.http.get("/v1/candles?series=binance:NO-USDT:1h", headers={"x-request-id": "desk-7.a_B"})
    assert response.headers["x-request-id"] == "desk-7.a_B"
    assert response.json()["request_id"] == "desk-7.a_B"
    line = _line(house, "desk-7.a_B")
    known = {name: line[name] for name in ("level", "method", "path", "status", "code", "address")}
    assert known == {
        "level": "INFO",
        "method": "GET",
        "path": "/v1/candles",
        "status": 404,
        "code": "unknown_series",
        "address": "127.0.0.1",
    }
    assert 0 < line["seconds"] < 30


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü", 'a"b', "a\tb"])
def test_any_other_request_id_is_replaced(house: House, given: str) -> None:
    response = house.http.get("/v1/status", headers={b"x-request-id": given.encode()})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/status", "/", "/readyz", "/metrics", "/openapi.json"])
def test_every_answer_has_a_request_id_of_its_own(house: House, path: str) -> None:
    first, second = (house.http.get(path).headers["x-request-id"] for _ in range(2))
    assert first != second


def test_what_succeeds_is_not_logged(house: House) -> None:
    assert house.http.get("/v1/status", headers={"x-request-id": "calm"}).is_success
    house.http.get("/v1/nothing", headers={"x-request-id": "after-calm"})
    _line(house, "after-calm")
    assert _lines(house, "calm") == []


def test_every_line_of_the_log_is_json(house: House) -> None:
    lines = [json.loads(line) for line in house.log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))


def test_a_change_leaves_one_audit_line_and_no_token_anywhere(house: House) -> None:
    response = house.http.post("/v1/runs", json={"job": "drift"}, headers={**AUTHORIZED, "x-request-id": "change-1"})
    line = _line(house, "change-1")
    assert (line["caller"], line["audit"]) == ("anna", "asked for drift")
    assert line["run_request"] == response.json()["request_id"]
    assert line["time"]
    house.http.post("/v1/runs", json={"job": "drift"}, headers={"authorization": f"Basic {TOKEN}"})
    log = house.log.read_text()
    assert TOKEN not in log
    assert "Bearer " not in log.replace("`Authorization: Bearer", "")


def test_other_origins_are_let_in_only_where_they_are_listed(house: House) -> None:
    response = house.http.get("/v1/status", headers={"origin": "https://desk.example.org"})
    assert not [name for name in response.headers if name.startswith("access-control")]


def _resident(house: House) -> int:
    parent = psutil.Process(house.process.pid)
    return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])


def _pieces(megabytes: int) -> Iterator[bytes]:
    return (b" " * MEGABYTE for _ in range(megabytes))


@pytest.mark.parametrize("path", ["/v1/forecasts", "/v1/runs", "/forecast"])
@pytest.mark.parametrize("announced", [True, False])
def test_a_hundred_megabytes_are_refused_and_not_kept(house: House, path: str, announced: bool) -> None:
    before = _resident(house)
    size = {"content-length": str(100 * MEGABYTE)} if announced else {}
    headers = {"content-type": "application/json", **AUTHORIZED, **size}
    response = house.http.post(path, content=_pieces(100), headers=headers)
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert _resident(house) < before + 60 * MEGABYTE
    assert house.http.get("/livez").is_success


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"".join(b"x-%d: y\r\n" % number for number in range(10_000)), id="ten thousand headers"),
        pytest.param(b"x: " + b"y" * 10 * MEGABYTE + b"\r\n", id="a long header"),
        pytest.param(b"".join(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(90)), id="long headers"),
    ],
)
def test_a_head_without_end_is_refused_with_a_problem(house: House, head: bytes) -> None:
    before = _resident(house)
    received = talk(house, b"GET /livez HTTP/1.1\r\nhost: a\r\n" + head + b"\r\n")
    assert status_of(received) == 431
    assert problem_of(received)["code"] == "head_too_large"
    assert _resident(house) < before + 30 * MEGABYTE


def test_an_address_without_end_is_refused(house: House) -> None:
    assert status_of(talk(house, b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\nhost: a\r\n\r\n")) == 431


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"GET /livez HTTP/1.0\r\n\r\n", 200, id="HTTP/1.0"),
        pytest.param(b"GET /v1/nothing HTTP/1.0\r\n\r\n", 404, id="HTTP/1.0, nothing there"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", 400, id="another HTTP"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", 400, id="TLS"),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400, id="no ASCII"),
        pytest.param(b"GET /%ff%fe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, id="no UTF-8"),
        pytest.param(b"GET /%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, id="NUL"),
        pytest.param(b"GET /docs/../../etc/passwd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, id="dots"),
        pytest.param(
            b"GET /docs/%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, id="%2e"
        ),
        pytest.param(
            b"POST /v1/runs HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
            400,
            id="two lengths",
        ),
        pytest.param(b"POST /v1/runs HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400, id="negative length"),
    ],
)
def test_odd_requests_get_an_answer_and_what_is_wrong_a_problem(house: House, sent: bytes, status: int) -> None:
    received = talk(house, sent)
    assert status_of(received) == status
    assert status == 200 or problem_of(received)["status"] == status
    assert house.get("/v1/series")["series"]


POST = b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
UNFINISHED = (
    b"",
    b"GET /livez HTTP/1.1\r\nhost: a\r\nx:",
    b"POST /v1/forecasts" + POST + b"content-length: 9\r\n\r\n{",
    b"POST /v1/runs" + POST + b"content-length: 9\r\nauthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n{",
    b"POST /forecast" + POST + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_what_does_not_arrive_is_not_awaited_without_end(house: House) -> None:
    with ThreadPoolExecutor(len(UNFINISHED)) as askers:
        answers = list(askers.map(partial(talk, house, patience=60), UNFINISHED))
    assert [(status_of(one), problem_of(one)["code"]) for one in answers] == [(408, "too_slow")] * len(UNFINISHED)
    assert "traceback" not in house.log.read_text()


def test_a_caller_who_hangs_up_is_no_failure_of_the_service(house: House) -> None:
    head = b"POST /v1/forecasts HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-request-id: gone\r\n"
    with socket.create_connection(("127.0.0.1", house.http.base_url.port or 80)) as connection:
        connection.sendall(head + b"content-length: 9\r\n\r\n{")
    line = _line(house, "gone")
    assert (line["level"], line["status"], line["code"]) == ("INFO", 408, "too_slow")
    assert "traceback" not in line


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/livez",
        "/metrics",
        "/openapi.json",
        "/v1/status",
        "/v1/nothing",
        f"/v1/candles?series={BTC}",
        f"/v1/forecasts/latest?series={BTC}",
    ],
)
def test_head_is_get_without_the_body(house: House, path: str) -> None:
    headers = {"x-request-id": "twice"}
    got, head = (house.http.request(method, path, headers=headers) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    varying = {"/metrics", "/v1/status"}  # their length is that of the moment
    assert path in varying or head.headers["content-length"] == got.headers["content-length"]


def test_head_of_a_file_makes_none_of_it(house: House) -> None:
    head = house.http.head("/v1/candles", params={"series": str(BTC), "format": "csv"})
    assert (head.status_code, head.headers["content-type"], head.content) == (200, "text/csv; charset=utf-8", b"")
    assert house.get("/v1/series")["series"]


def test_a_wish_for_another_protocol_is_answered_as_if_it_were_not_there(house: House) -> None:
    wish = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-key": "a", "sec-websocket-version": "13"}
    assert house.http.get("/v1/nothing", headers=wish).json()["code"] == "not_found"


def test_a_path_that_is_no_text_is_a_problem_in_a_query_too(house: House) -> None:
    response = house.http.get("/v1/candles", params=httpx.QueryParams(f"series={BTC}%00%ff&last=1"))
    assert (response.status_code, response.json()["code"]) == (404, "unknown_series")
