"""A real browser on the page: opens it, notes what goes wrong, keeps pictures.

    with open_page(url, pictures=tmp_path) as page:
        page.wait_for_chart()
        page.picture("light")
        assert page.complaints == []

Playwright drives Debian's own chromium; CANDLECAST_CHROMIUM names another one.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import ConsoleMessage, Page, Request, Response, sync_playwright

from tests.programs import ROOT

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = Path(os.environ.get("CANDLECAST_PICTURES") or ROOT / "var" / "screenshots")
"""Where what a browser saw is kept, to be looked at by people."""
_CHART = "#chart .js-plotly-plot .main-svg"
_LOCAL = ("data", "blob")


@dataclass
class Screen:
    """An open page with everything that a calm one does not have: errors, failures, requests to other hosts."""

    page: Page
    pictures: Path
    host: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    policy: str | None = None
    """The Content-Security-Policy that the page came with."""

    def watch(self) -> None:
        """Note console errors, uncaught exceptions, failed answers and requests to any other host from now on."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)

    def wait_for_chart(self, seconds: float = 30) -> None:
        """Wait until the chart is drawn."""
        self.page.wait_for_selector(_CHART, timeout=1000 * seconds)

    def picture(self, name: str, *, whole: bool = False) -> Path:
        """Keep a picture of what is visible, or of the whole page; return its path."""
        path = self.pictures / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path

    def scrolls_sideways(self) -> bool:
        """Return whether the page is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)
        address = urlsplit(request.url)
        if address.scheme not in _LOCAL and address.netloc != self.host:
            self.complaints.append(f"request to another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


def find_chromium() -> str | None:
    """Return the browser to use: CANDLECAST_CHROMIUM, else Debian's chromium; None where there is none."""
    named = os.environ.get("CANDLECAST_CHROMIUM")
    if named:
        return shutil.which(named)
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_page(
    url: str,
    pictures: Path,
    *,
    width: int = 1440,
    height: int = 1000,
    scheme: Literal["light", "dark"] = "light",
    locale: str = "en-US",
    password: str | None = None,
) -> Iterator[Screen]:
    """Open `url` in a new browser; skip the test, loudly, where no browser is installed."""
    executable = find_chromium() or _skip()
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                locale=locale,
                has_touch=width < 720,
                http_credentials={"username": "anna", "password": password, "send": "always"} if password else None,
            )
            screen = Screen(context.new_page(), pictures, urlsplit(url).netloc)
            screen.watch()
            answer = screen.page.goto(url)
            screen.policy = answer.header_value("content-security-policy") if answer else None
            yield screen
        finally:
            browser.close()


def _skip() -> NoReturn:
    line = "NO BROWSER: the screen is not tested; apt-get install chromium, or set CANDLECAST_CHROMIUM to its path"
    # Past pytest's capture: a skipped browser test must be seen.
    print(f"\n{line}", file=sys.__stderr__, flush=True)
    pytest.skip(line)
