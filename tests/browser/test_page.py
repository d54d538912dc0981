"""The page in a real browser, over the whole product as `make run` starts it, on replayed real candles."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.page import Screen, open_page
from tests.programs import ROOT, free_port, running
from tests.shared import SHARED, requires_shared
from tests.waiting import eventually

pytestmark = requires_shared

PICTURES = ROOT / "var" / "screenshots"
SERIES = "replay:BTC-USDT:15m"


@pytest.fixture(scope="module")
def screen_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of the screen, once there is a forecast to show. A candle closes every six seconds."""
    folder: Path = tmp_path_factory.mktemp("house")
    ports = {"CANDLECAST_SERVICE_PORT": str(free_port()), "CANDLECAST_UI_PORT": str(free_port())}
    environment = (
        _clean_environment()
        | ports
        | {
            "CANDLECAST_DATA_DIR": str(folder / "var"),
            "CANDLECAST_BACKFILL_DAYS": "40",
        }
    )
    options = ["--venue", "replay", "--data", str(SHARED / "data"), "--series", SERIES, "--speed", "150"]
    log = folder / "log"
    with running([sys.executable, "-m", "tools.run", *options], environment, log) as process:
        latest = f"http://127.0.0.1:{ports['CANDLECAST_SERVICE_PORT']}/v1/forecasts/latest"
        url = f"http://127.0.0.1:{ports['CANDLECAST_UI_PORT']}"

        def up() -> bool:
            assert process.poll() is None, log.read_text()
            said = httpx.get(latest)
            forecasts = said.json()["forecasts"] if said.is_success else []
            return any(f["status"] != "abstained" for f in forecasts) and httpx.get(f"{url}/healthz").is_success

        eventually(up, 180)
        yield url


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}


def cutoff(screen: Screen) -> str:
    """Return the cutoff that the page shows in its panel "As written down"."""
    row = screen.page.locator("#written").get_by_text("Cutoff", exact=True).locator("xpath=following-sibling::*[1]")
    return row.inner_text()


def test_the_page_shows_a_forecast_and_the_next_candle_without_a_reload(screen_url: str) -> None:
    with open_page(screen_url, PICTURES) as screen:
        screen.wait_for_chart()
        verdict = screen.page.locator("h1")
        assert verdict.count() == 1
        assert verdict.inner_text().strip()
        assert "BTC-USDT" in screen.page.locator("#verdict-card").inner_text()
        assert "80" in screen.page.locator("#cards").inner_text()
        first = eventually(lambda: cutoff(screen))
        screen.picture("forecast-1440-light")
        eventually(lambda: cutoff(screen) != first)
        assert screen.complaints == []


def test_forecast_now_starts_a_real_run_and_says_how_it_ended(screen_url: str) -> None:
    with open_page(screen_url, PICTURES, scheme="dark") as screen:
        screen.wait_for_chart()
        screen.page.locator("#now").click()
        asked = screen.page.locator("#asked")
        said = eventually(lambda: text if "UTC" in (text := asked.inner_text()) else None)
        assert "Written down at" in said or "No candle has closed since" in said
        screen.picture("forecast-1440-dark")
        assert screen.complaints == []


def test_train_starts_a_real_run_and_shows_its_outcome(screen_url: str) -> None:
    with open_page(screen_url, PICTURES) as screen:
        screen.wait_for_chart()
        screen.page.locator("#train").click()
        progress = screen.page.locator("#progress")
        eventually(lambda: "replay 15m" in progress.inner_text(), 120)
        outcome = progress.inner_text()
        assert "promoted" in outcome or "refused" in outcome
        assert screen.complaints == []


def test_the_page_fits_a_phone_and_speaks_portuguese(screen_url: str) -> None:
    with open_page(screen_url, PICTURES, width=390, height=844) as screen:
        screen.wait_for_chart()
        assert not screen.scrolls_sideways()
        screen.page.get_by_label("PT", exact=True).check()
        eventually(lambda: "Último fechamento" in screen.page.locator("#cards").inner_text())
        screen.picture("forecast-390-pt")
        assert not screen.scrolls_sideways()
        assert screen.complaints == []
