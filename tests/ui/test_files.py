"""Files that the screen passes on from the service, over a real HTTP service that answers them."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from candlecast.client import Client
from ui.files import routes

CSV = b"cutoff,close\n2025-10-14T16:00:00Z,112892.2\n"
PAGE = b"<!doctype html><title>drift</title>"


class Files(BaseHTTPRequestHandler):
    """Answers one ledger as CSV and one drift page; anything else is a problem."""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = parse_qs(asked.query)
        if asked.path == "/v1/forecasts" and query == {
            "series": ["binance:BTC-USDT:15m"], "horizon": ["5"], "format": ["csv"],
            "origin": ["live"],
        }:  # fmt: skip
            self._send(200, CSV, {"Content-Type": "text/csv", "Content-Disposition": 'attachment; filename="a.csv"'})
        elif asked.path == "/v1/drift/3/report":
            policy = {"Content-Type": "text/html", "Content-Security-Policy": "sandbox allow-scripts"}
            self._send(200, PAGE, policy | {"Set-Cookie": "a=b"})
        else:
            self._send(404, b'{"title":"no"}', {"Content-Type": "application/problem+json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def screen() -> Iterator[TestClient]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = Thread(target=server.serve_forever)
    thread.start()
    app = FastAPI()
    with Client(f"http://127.0.0.1:{server.server_port}") as reader, TestClient(app) as browser:
        app.include_router(routes(reader))
        yield browser
    server.shutdown()
    server.server_close()
    thread.join()


def test_ledger_is_passed_on_as_the_file_that_it_is(screen: TestClient) -> None:
    answer = screen.get("/files/ledger.csv", params={"series": "binance:BTC-USDT:15m", "horizon": 5})
    assert answer.content == CSV
    assert answer.headers["content-disposition"] == 'attachment; filename="a.csv"'


def test_drift_page_keeps_its_sandbox_and_brings_nothing_else_along(screen: TestClient) -> None:
    answer = screen.get("/files/drift/3")
    assert answer.content == PAGE
    assert answer.headers["content-security-policy"] == "sandbox allow-scripts"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/files/ledger.xml?series=a", "/files/ledger.csv", "/files/drift/0", "/files/drift/../status"]
)
def test_nothing_but_these_files_can_be_asked_for(screen: TestClient, path: str) -> None:
    assert screen.get(path).status_code in (404, 422)


def test_what_the_service_refuses_is_refused_with_its_status(screen: TestClient) -> None:
    assert screen.get("/files/drift/4").status_code == 404


def test_service_that_is_away_is_a_bad_gateway() -> None:
    app = FastAPI()
    with Client("http://127.0.0.1:9") as reader, TestClient(app) as browser:
        app.include_router(routes(reader))
        assert browser.get("/files/drift/3").status_code == 502
