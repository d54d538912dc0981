"""A real service on a real database, and the means to let things happen in its world."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import numpy as np
from sqlalchemy import func, update

from candlecast.candles import Candles, Interval, Series
from candlecast.store import candles as candle_store
from candlecast.store import schema
from candlecast.store.clocks import start_clock
from candlecast.store.database import CANDLE_CHANNEL, Database, notify
from tests.making import make_candles
from tests.programs import ROOT, free_port, running
from tests.waiting import eventually

NOON = datetime(2025, 9, 10, 12, tzinfo=UTC)
"""Where the venue's clock starts; on the grid of every interval up to 4h."""

TOKEN = "a token of the tests"  # noqa: S105
TOKENS = f"anna:{hashlib.sha256(TOKEN.encode()).hexdigest()},bert:{hashlib.sha256(b'other').hexdigest()}"


def walk(interval: Interval, count: int, *, end: datetime = NOON, seed: int = 1) -> Candles:
    """Return a random walk whose newest candle closes at `end`."""
    return make_candles(count, interval, start=end - count * interval.delta, seed=seed)


def body(candles: Candles, **more: Any) -> dict[str, Any]:
    """Return candles as the body of POST /v1/forecasts."""
    names = ("open", "high", "low", "close", "volume")
    columns = {name: candles.columns()[name].tolist() for name in names}
    return {
        "interval": str(candles.interval),
        "candles": {"open_time": candles.open_time.astype(np.int64).tolist(), **columns},
        **more,
    }


BTC = Series.parse("replay:BTC-USDT:4h")
EMPTY = Series.parse("replay:ETH-USDT:4h")
SHORT = Series.parse("replay:SOL-USDT:4h")
GAP = Series.parse("replay:XRP-USDT:4h")
LATE = Series.parse("replay:BNB-USDT:4h")
MOVING = Series.parse("replay:BTC-USDT:1m")
STALLED = Series.parse("replay:ETH-USDT:1m")
TRAINED = Series.parse("replay:BTC-USDT:1h")
PROMOTED = Series.parse("replay:BTC-USDT:5m")
SCORED = Series.parse("replay:BTC-USDT:15m")

_WHOLE = walk(Interval.H4, 600, seed=3)
WORLD: dict[Series, Candles] = {
    BTC: walk(Interval.H4, 600),
    SHORT: walk(Interval.H4, 20, seed=2),
    GAP: Candles.concatenate([_WHOLE[:400], _WHOLE[401:]]),
    LATE: walk(Interval.H4, 600, end=NOON - 2 * Interval.H4.delta, seed=4),
    MOVING: walk(Interval.M1, 600, seed=5),
    STALLED: walk(Interval.M1, 600, seed=6),
    TRAINED: walk(Interval.H1, 1200, seed=7),
    PROMOTED: walk(Interval.M5, 1200, seed=8),
    SCORED: walk(Interval.M15, 600, seed=9),
}
"""What the shared service's database starts with. A test changes only what belongs to series of its own."""

LIVE = Series.parse("simulated:BTC-USDT:1m")
REPLAYED = Series.parse("replay:BTC-USDT:15m")
"""Those of a board without the web around it."""


@dataclass(frozen=True, slots=True)
class House:
    """A running service, its database, and its log."""

    database: Database
    process: Popen[bytes]
    http: httpx.Client
    log: Path

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a successful GET."""
        response = self.http.get(path, params=params or None)  # an empty mapping would take the path's own away
        assert response.status_code == 200, response.text
        return response.json()

    def alone(self, path: str, **params: Any) -> httpx.Response:
        """Ask on a connection of its own, which any worker may take."""
        return httpx.get(self.http.base_url.join(path), params=params or None, timeout=30)

    def latest(self, series: Series, horizon: int = 1) -> dict[str, Any]:
        """Return the newest forecast of one series and horizon."""
        (found,) = self.get("/v1/forecasts/latest", series=str(series), horizon=horizon)["forecasts"]
        assert isinstance(found, dict)
        return found


def store(database: Database, series: Series, candles: Candles) -> None:
    """Write candles as ingestion does."""
    with database.begin() as connection:
        candle_store.upsert(connection, series, candles, source="test", now=candles.cutoff)


def set_clock(database: Database, moment: datetime) -> None:
    """Let the replay's clock show `moment` and go on from there at the wall's pace; wake whoever follows."""
    with database.begin() as connection:
        start_clock(connection, "replay", start=moment, speed=1.0)
        values = {"clock_start": moment, "clock_epoch": func.clock_timestamp(), "clock_speed": 1.0}
        connection.execute(update(schema.venue_status).where(schema.venue_status.c.venue == "replay").values(values))
        notify(connection, CANDLE_CHANNEL, "clock")


def begin(database: Database, *series: Series) -> None:
    """Let it be noon, with the candles that the world has of some series."""
    set_clock(database, NOON)
    for one in series:
        store(database, one, WORLD[one])


def service_environment(url: str, folder: Path, series: str, **settings: str) -> dict[str, str]:
    """Return the environment of a service under test, without anything of the caller's settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    given = {
        "database_url": url,
        "database_direct_url": url,
        "data_dir": str(folder / "var"),
        "series": series,
        "service_port": str(free_port()),
        "api_tokens": TOKENS,
        **settings,
    }
    return ours | {f"CANDLECAST_{name.upper()}": value for name, value in given.items()} | {"TMPDIR": str(folder)}


@contextmanager
def serving(
    environment: Mapping[str, str],
    database: Database,
    folder: Path,
    *arguments: str,
    python: Path = Path(sys.executable),
    cwd: Path = ROOT,
) -> Iterator[House]:
    """Run `python -m service` (or other arguments of Python) and wait until it answers at all."""
    log = folder / "service.log"
    command = [str(python), *(arguments or ("-m", "service"))]
    url = f"http://127.0.0.1:{environment['CANDLECAST_SERVICE_PORT']}"
    with running(command, environment, log, cwd) as process, httpx.Client(base_url=url, timeout=30) as http:
        house = House(database, process, http, log)
        eventually(lambda: _alive(house), 120)
        yield house


def wait_until_ready(house: House) -> None:
    """Return once the service says that it is ready."""
    eventually(lambda: house.http.get("/readyz").is_success)


def _alive(house: House) -> bool:
    if house.process.poll() is not None:
        raise RuntimeError(f"the service ended with {house.process.returncode}:\n{house.log.read_text()[-3000:]}")
    return house.http.get("/livez").is_success
