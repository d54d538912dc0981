"""One running product for all browser tests: as `make run` starts it, on replayed real candles."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.programs import free_port, running
from tests.shared import SHARED
from tests.waiting import eventually

SERIES = "replay:BTC-USDT:15m"


@dataclass(frozen=True, slots=True)
class House:
    """Where the running product is."""

    service: str
    screen: str


@pytest.fixture(scope="session")
def screen_url(house: House) -> str:
    """Return the address of the screen."""
    return house.screen


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run everything until there is a forecast to show. A candle closes every six seconds."""
    folder: Path = tmp_path_factory.mktemp("house")
    ports = {"CANDLECAST_SERVICE_PORT": str(free_port()), "CANDLECAST_UI_PORT": str(free_port())}
    environment = (
        clean_environment()
        | ports
        | {
            "CANDLECAST_DATA_DIR": str(folder / "var"),
            "CANDLECAST_BACKFILL_DAYS": "40",
        }
    )
    options = ["--venue", "replay", "--data", str(SHARED / "data"), "--series", SERIES, "--speed", "150"]
    log = folder / "log"
    with running([sys.executable, "-m", "tools.run", *options], environment, log) as process:
        found = House(*(f"http://127.0.0.1:{port}" for port in ports.values()))

        def up() -> bool:
            assert process.poll() is None, log.read_text()
            said = httpx.get(f"{found.service}/v1/forecasts/latest")
            forecasts = said.json()["forecasts"] if said.is_success else []
            return (
                any(f["status"] != "abstained" for f in forecasts) and httpx.get(f"{found.screen}/healthz").is_success
            )

        eventually(up, 180)
        yield found


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
