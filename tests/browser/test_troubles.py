"""The page while its service is stopped, fails or refuses: it says so, keeps what it had, and recovers by itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import House, clean_environment
from tests.browser.page import PICTURES, Screen, open_page
from tests.programs import free_port, running
from tests.shared import requires_shared
from tests.waiting import eventually

pytestmark = [requires_shared, pytest.mark.slow]

SENTENCES = {
    "stopped": "The service does not answer",
    "500": "The service failed on this request",
    "401": "The service failed on this request",
    "429": "Too many requests",
}


class Road(ThreadingHTTPServer):
    """The way to a real service, which can be blocked; `trouble` is how, and empty while it is open."""

    trouble = ""

    def __init__(self, service: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.service = service
        self.http = httpx.Client(timeout=30)

    @property
    def address(self) -> str:
        """Where the screen finds its service."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Passing(BaseHTTPRequestHandler):
    """Pass on what is asked, or cause the trouble."""

    server: Road

    def do_GET(self) -> None:
        """Answer one request."""
        trouble = self.server.trouble
        if trouble == "stopped":
            self.close_connection = True
        elif trouble.isdigit():
            self._say(int(trouble), b"", "text/plain")
        else:
            answer = self.server.http.get(self.server.service + self.path)
            self._say(answer.status_code, answer.content, answer.headers.get("content-type", ""))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def road(service: str) -> Iterator[Road]:
    """Open a road to the service for as long as the block runs."""
    with Road(service) as server, server.http:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def screen_on_a_road(house: House, tmp_path: Path) -> Iterator[tuple[str, Road]]:
    port = str(free_port())
    with road(house.service) as way:
        settings = {"CANDLECAST_UI_PORT": port, "CANDLECAST_API_BASE_URL": way.address}
        with running([sys.executable, "-m", "ui"], clean_environment() | settings, tmp_path / "log"):
            eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz").is_success)
            yield f"http://127.0.0.1:{port}/", way


def test_each_trouble_is_said_beside_the_old_figures_and_ends_by_itself(screen_on_a_road: tuple[str, Road]) -> None:
    url, way = screen_on_a_road
    with open_page(url, PICTURES) as screen:
        screen.wait_for_chart()
        eventually(lambda: "Last close" in screen.page.locator("#cards").inner_text())
        for trouble, sentence in SENTENCES.items():
            troubled(screen, way, trouble, sentence)
        assert screen.complaints == []


def troubled(screen: Screen, way: Road, trouble: str, sentence: str) -> None:
    """Block the road, see that the page says so and keeps its figures, open it, see that nothing is said any more."""
    notice, verdict = screen.page.locator("#notice"), screen.page.locator("h1")
    way.trouble = trouble
    eventually(lambda: sentence in notice.inner_text())
    assert verdict.inner_text().strip()
    assert screen.page.locator("#chart .boxlayer path.box").count() > 0
    screen.picture(f"trouble-{trouble}-1440")
    way.trouble = ""
    eventually(lambda: not notice.is_visible())


def test_page_that_opens_while_the_service_is_stopped_fills_itself_when_it_is_back(
    screen_on_a_road: tuple[str, Road],
) -> None:
    url, way = screen_on_a_road
    way.trouble = "stopped"
    with open_page(url, PICTURES, width=390, height=844) as screen:
        card = screen.page.locator("#verdict-card")
        eventually(lambda: SENTENCES["stopped"] in card.inner_text())
        screen.picture("trouble-stopped-390")
        way.trouble = ""
        eventually(lambda: "BTC-USDT" in card.inner_text())
        screen.page.wait_for_selector("#chart .boxlayer path.box", state="attached")
        assert screen.complaints == []
