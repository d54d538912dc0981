"""Whatever goes wrong in the running product, exactly the right alert fires, and clears when it is mended.

The rules' durations are divided by 60, so this wants a machine that has time for it. Burn rates need days; promtool
tries them.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from sqlalchemy import func, text, update

from candlecast.candles import Candles, Interval, Series
from candlecast.store import clocks, models, schema
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from tests.monitoring.watched import RULES, prometheus, query, requires
from tests.monitoring.world import BTC, ETH, Exporter, allow_connections, exporting
from tests.programs import ROOT
from tests.service.house import NOON, House, service_environment, serving, store, wait_until_ready, walk
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), requires("prometheus")]

HOUR = timedelta(hours=1)
HISTORY = 2208
SPEED = 120.0
"""Venue seconds per second: a candle of an hour every half a minute."""

BAN_SECONDS = 60


@dataclass(slots=True)
class Ingestion:
    """Runs of ingestion, one after the other, while it is not paused."""

    environment: dict[str, str]
    paused: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def repeat(self) -> None:
        while not self.ended.wait(2):
            if not self.paused.is_set():
                run("ingestion_job", self.environment)


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and how to get at it."""

    server_url: str
    house: House
    exporter: Exporter
    ingestion: Ingestion
    prometheus: httpx.Client
    champion: Version
    candles: dict[Series, Candles]
    folder: Path
    programs: ExitStack

    @property
    def database(self) -> Database:
        return self.house.database

    @property
    def environment(self) -> dict[str, str]:
        return self.ingestion.environment

    def firing(self, seconds: float = 0) -> set[str]:
        """Return the alerts that fire, or fired within the last seconds."""
        selector = 'ALERTS{alertstate="firing"}'
        expression = f"max_over_time({selector}[{max(1, int(seconds))}s])" if seconds else selector
        names = {one["metric"]["alertname"] for one in query(self.prometheus, expression)}
        return {name.removeprefix("Candlecast") for name in names if not name.endswith("BudgetBurns")}

    @contextmanager
    def only(self, alert: str, within: float = 120) -> Iterator[Callable[[], None]]:
        """Expect this alert and no other: to fire when what is given is called, and to clear after the block."""
        eventually(lambda: self.firing() == set(), 120)
        began = time.monotonic()

        def fires() -> None:
            eventually(lambda: alert in self.firing(), within)
            assert self.firing(time.monotonic() - began) == {alert}

        yield fires
        eventually(lambda: self.firing() == set(), within)


@pytest.fixture(scope="module")
def stack(
    server_url: str, new_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run ingestion, service, exporter and Prometheus on replayed candles, with a champion."""
    folder, url = tmp_path_factory.mktemp("faults"), new_database_url()
    every = {BTC: walk(Interval.H1, HISTORY + 500, end=NOON + 500 * HOUR)}
    every[ETH] = walk(Interval.H1, HISTORY + 500, end=NOON + 500 * HOUR, seed=2)
    past = {series: candles[:HISTORY] for series, candles in every.items()}
    for series, candles in every.items():
        _write_file(folder, series, candles)
    more = {"service_workers": "2", "replay_dir": str(folder), "backfill_days": "1", "horizons": "1"}
    environment = service_environment(url, folder, f"{BTC},{ETH}", **more)
    with ExitStack() as entered:
        database = entered.enter_context(closing(Database(url, url)))
        champion = _begin(database, past)
        ingestion = Ingestion(environment)
        thread = threading.Thread(target=ingestion.repeat)
        house = entered.enter_context(serving(environment, database, folder))
        exporter = entered.enter_context(exporting(environment, folder))
        targets = [str(house.http.base_url), str(exporter.http.base_url)]
        server = entered.enter_context(prometheus(folder, targets, _quick_rules(folder)))
        thread.start()
        try:
            wait_until_ready(house)
            eventually(lambda: house.latest(BTC)["status"] == "ok", 120)
            yield Stack(server_url, house, exporter, ingestion, server, champion, past, folder, entered)
        finally:
            ingestion.ended.set()
            thread.join()


def _begin(database: Database, past: dict[Series, Candles]) -> Version:
    """Let the replay begin at noon, with all candles before it and a champion that has learned from most of them."""
    with database.begin() as connection:
        clocks.start_clock(connection, "replay", start=NOON, speed=SPEED)
    for series, candles in past.items():
        store(database, series, candles)
    model = XGBForecaster.fit({series: candles[-1200:-192] for series, candles in past.items()}, [1])
    version = Version("m1", "xgb", "replay", Interval.H1, NOON - 7 * HOUR, model.manifest, None, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON, reason="a test")
        connection.execute(
            update(schema.venue_status).values(clock_start=NOON, clock_epoch=func.clock_timestamp(), clock_speed=SPEED)
        )
    return version


def _write_file(folder: Path, series: Series, candles: Candles) -> None:
    first, last = (np.datetime_as_string(candles.open_time[end], unit="D") for end in (0, -1))
    name = f"binance-{series.symbol.base}{series.symbol.quote}-{series.interval}-{first}-{last}.csv.gz"
    columns = [
        candles.open_time.astype(np.int64),
        *(candles.columns()[n] for n in ("open", "high", "low", "close", "volume")),
    ]
    rows = np.stack([column.astype(object) for column in columns], axis=1)
    np.savetxt(folder / name, rows, fmt="%s", delimiter=",", header="ts,open,high,low,close,volume", comments="")


def _quick_rules(folder: Path) -> Path:
    """Write our rules down with all durations divided by 60."""
    quick = folder / "rules"
    quick.mkdir()
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * units[found[3]] * 1000 // 60}ms"

    for file in RULES.glob("*.yaml"):
        text = re.sub(r"(\[|for: |offset )(\d+)([smhd])\b", shorter, file.read_text())
        (quick / file.name).write_text(text)
    return quick


def run(program: str, environment: dict[str, str], *arguments: str) -> int:
    """Run one of our jobs; return its exit code."""
    command = [sys.executable, "-m", program, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, timeout=200, capture_output=True).returncode


def test_ingestion_that_stops(stack: Stack) -> None:
    with stack.only("CandlesStale", 240) as fires:
        stack.ingestion.paused.set()
        fires()
        stack.ingestion.paused.clear()


def test_database_that_is_away_for_two_minutes(stack: Stack) -> None:
    url = stack.environment["CANDLECAST_DATABASE_URL"]
    with stack.only("DatabaseAway") as fires:
        allow_connections(stack.server_url, url, allowed=False)
        try:
            fires()
        finally:
            allow_connections(stack.server_url, url, allowed=True)


def test_champion_that_is_deleted(stack: Stack) -> None:
    with stack.only("ChampionMissing") as fires:
        with stack.database.begin() as connection:
            connection.execute(schema.champion.delete())
        fires()
        with stack.database.begin() as connection:
            models.promote(connection, stack.champion, now=NOON, reason="it was the champion before")


def test_champion_whose_bytes_are_damaged(stack: Stack) -> None:
    spoilt = replace(stack.champion, id="spoilt")
    with stack.only("ChampionRefused") as fires:
        with stack.database.begin() as connection:
            models.register(connection, spoilt, {"horizon-1.ubj": b"x"}, [])
            models.promote(connection, spoilt, now=NOON, reason="a test")
        fires()
        with stack.database.begin() as connection:
            models.promote(connection, stack.champion, now=NOON, reason="the other one does not load")


def test_latency_that_rises(stack: Stack) -> None:
    with stack.only("ServiceSlow") as fires, ThreadPoolExecutor(4) as pool:
        ended = threading.Event()
        slowing = pool.submit(_slow_down, stack, pool, ended)
        try:
            fires()
        finally:
            ended.set()
            slowing.result()
        # What is quick again has to be seen.
        eventually(lambda: stack.house.get("/v1/series") and stack.firing() == set(), 60)


def _slow_down(stack: Stack, pool: ThreadPoolExecutor, ended: threading.Event) -> None:
    """Let answers wait, again and again, for somebody who holds a table that only this route reads."""
    url = stack.house.http.base_url.join("/v1/evaluations")
    while not ended.is_set():
        with stack.database.begin() as connection:
            connection.execute(text("LOCK TABLE evaluation IN ACCESS EXCLUSIVE MODE"))
            asked = [pool.submit(httpx.get, url, params={"series": str(BTC)}, timeout=60) for _ in range(3)]
            eventually(lambda: connection.execute(_WAITING).scalar_one() == 3, 60)
            connection.execute(text("SELECT pg_sleep(1.1)"))
        assert [one.result().status_code for one in asked] == [200] * 3


_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'evaluation'::regclass")


def test_worker_that_is_killed_in_a_loop(stack: Stack) -> None:
    supervisor = psutil.Process(stack.house.process.pid)
    with stack.only("WorkersRestarting") as fires:
        ended = threading.Event()
        thread = threading.Thread(target=_kill_youngest, args=(supervisor, ended))
        thread.start()
        try:
            fires()
        finally:
            ended.set()
            thread.join()
        wait_until_ready(stack.house)


def _kill_youngest(supervisor: psutil.Process, ended: threading.Event) -> None:
    while not ended.wait(1):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            workers = [child for child in supervisor.children() if "spawn_main" in " ".join(child.cmdline())]
            if len(workers) == 2:
                max(workers, key=psutil.Process.create_time).kill()


def test_exchange_that_bans_us(stack: Stack) -> None:
    with _banning_exchange() as url, stack.only("SourceBanned") as fires:
        asked = {"CANDLECAST_SERIES": "binance:BTC-USDT:1h", "CANDLECAST_BINANCE_URL": url}
        quiet = {"CANDLECAST_BINANCE_ARCHIVE_URL": "", "CANDLECAST_COINGECKO_URL": ""}
        assert run("ingestion_job", stack.environment | asked | quiet) == 75
        fires()


@contextmanager
def _banning_exchange() -> Iterator[str]:
    class Banning(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(418)
            self.send_header("Retry-After", str(BAN_SECONDS))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Banning) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_drifted_candles(stack: Stack) -> None:
    with stack.only("Drifted", 240) as fires:
        for series, candles in stack.candles.items():
            store(stack.database, series, _wicked(candles))
        assert run("monitoring", stack.environment, "drift") == 0
        fires()
        for series, candles in stack.candles.items():
            store(stack.database, series, candles)
        assert run("monitoring", stack.environment, "drift") == 0


def _wicked(candles: Candles) -> Candles:
    """Return candles whose wicks are four times as long in the last week."""
    top, bottom = np.maximum(candles.open, candles.close), np.minimum(candles.open, candles.close)
    late = np.arange(len(candles)) >= len(candles) - 168
    high = np.where(late, top + 4 * (candles.high - top), candles.high)
    low = np.where(late, bottom - 4 * (bottom - candles.low), candles.low)
    return replace(candles, high=high, low=low)


def test_ledger_row_that_is_tampered_with(stack: Stack) -> None:
    with stack.only("LedgerBroken", 180) as fires:
        _tamper(stack.database, 1)
        fires()
        _tamper(stack.database, -1)


def _tamper(database: Database, change: int) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE forecast DISABLE TRIGGER USER"))
        tamper = text("UPDATE forecast SET horizon = horizon + :change WHERE position = 1")
        assert connection.execute(tamper, {"change": change}).rowcount > 0
        connection.execute(text("ALTER TABLE forecast ENABLE TRIGGER USER"))


def test_exporter_that_is_killed(stack: Stack) -> None:
    with stack.only("ExporterDown") as fires:
        os.kill(stack.exporter.process.pid, signal.SIGKILL)
        fires()
        port = stack.exporter.http.base_url.port
        stack.programs.enter_context(exporting(stack.environment, stack.folder, port))
