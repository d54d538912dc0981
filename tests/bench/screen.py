"""`make bench`: how soon the screen is usable, what a refresh moves, and what fifty open pages cost the service.

A simulated market runs as `make run` starts it; beside it a bare Gradio page with one candlestick. Pages are opened in
turn, each in a browser that has cached nothing, and what counts is the median until the candles are drawn. A refresh is
everything that a quiet page sends and receives, uncompressed, from one refresh to the next. Fifty clients speak
Gradio's own protocol, each refreshing every five seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.browser.page import ARGUMENTS, find_chromium
from tests.programs import free_port, running
from tests.waiting import eventually

SERIES = "simulated:BTC-USDT:1m"
NEWS = r"data-news=\"yes\""
CANDLES = "#chart .boxlayer path"
CLIENTS, EVERY = 50, 5.0
PROBES_A_SECOND = 40

MOST_TIMES_BARE, MOST_BYTES, MOST_TIMES_IDLE = 1.5, 100_000, 2.0


@dataclass(frozen=True, slots=True)
class House:
    """The addresses of what runs."""

    service: str
    screen: str
    bare: str


@dataclass
class Traffic:
    """What a page has moved since each refresh, in bytes."""

    moved: list[int] = field(default_factory=list)

    def sent(self, event: dict[str, Any]) -> None:
        """Note a request; one that joins the queue begins a refresh."""
        request = event["request"]
        if "/queue/join" in request["url"]:
            self.moved.append(0)
        self._add(len(request.get("postData", "")) + sum(map(len, request["headers"].values())))

    def received(self, event: dict[str, Any]) -> None:
        """Note a piece of an answer."""
        self._add(event["dataLength"])

    def _add(self, count: int) -> None:
        if self.moved:
            self.moved[-1] += count


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 1 where the screen is slower or heavier than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=25, help="of each measurement that takes time")
    options = parser.parse_args(arguments)
    executable = find_chromium()
    if executable is None:
        _say("the screen is not measured: apt-get install chromium, or set CANDLECAST_CHROMIUM to its path")
        return 0
    with _house() as house:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
            opened = _times_to_candles(browser, house, options.rounds)
            heaviest = _heaviest_refresh(browser, house, options.seconds)
            browser.close()
        idle = asyncio.run(_slowest(house, options.seconds, 0))
        busy = asyncio.run(_slowest(house, options.seconds, CLIENTS))
    return _report(opened, heaviest, idle, busy)


@contextmanager
def _house() -> Iterator[House]:
    """Run everything until the first training is over, which would count otherwise."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CANDLECAST_")}
    ports = {name: str(free_port()) for name in ("SERVICE", "UI")}
    bare = str(free_port())
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        environment = ours | {f"CANDLECAST_{name}_PORT": port for name, port in ports.items()}
        environment |= {"CANDLECAST_DATA_DIR": str(folder / "var"), "CANDLECAST_BACKFILL_DAYS": "3"}
        options = ["--venue", "simulated", "--series", SERIES]
        stack.enter_context(running([sys.executable, "-m", "tools.run", *options], environment, folder / "log"))
        stack.enter_context(running([sys.executable, "-m", "tests.bench.bare_page", bare], ours, folder / "bare"))
        house = House(*(f"http://127.0.0.1:{port}" for port in (ports["SERVICE"], ports["UI"], bare)))
        eventually(lambda: httpx.get(f"{house.screen}/healthz").is_success, 240)
        eventually(lambda: httpx.get(house.bare).is_success, 60)
        eventually(lambda: _trained(house), 240)
        yield house


def _trained(house: House) -> bool:
    runs = httpx.get(f"{house.service}/v1/runs", params={"job": "training"}).json()["runs"]
    return bool(runs) and all(run["state"] not in ("queued", "running") for run in runs)


def _times_to_candles(browser: Browser, house: House, rounds: int) -> dict[str, float]:
    """Return the median seconds from the address to drawn candles, by page."""
    pages = {"bare Gradio page": house.bare, "ours": f"{house.screen}/?tab=forecast&series={SERIES}"}
    taken: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(rounds):
        for name, address in pages.items():
            context = browser.new_context(viewport={"width": 1440, "height": 1000})
            start = time.perf_counter()
            page = context.new_page()
            page.goto(address, wait_until="commit")
            page.wait_for_selector(CANDLES, state="attached", timeout=60_000)
            taken[name].append(time.perf_counter() - start)
            context.close()
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _heaviest_refresh(browser: Browser, house: House, seconds: float) -> int:
    """Return the bytes of the heaviest refresh of one open page, those with a new candle among them."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(f"{house.screen}/?tab=forecast&series={SERIES}")
    page.wait_for_selector(CANDLES, state="attached", timeout=60_000)
    page.wait_for_timeout(1000 * EVERY)
    traffic = Traffic()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.requestWillBeSent", traffic.sent)
    network.on("Network.dataReceived", traffic.received)
    page.wait_for_timeout(1000 * max(seconds, 70))  # a candle of a minute closes within
    context.close()
    return max(traffic.moved, default=0)


async def _slowest(house: House, seconds: float, clients: int) -> float:
    """Return the service's p99 in seconds while that many pages are open."""
    loop = asyncio.get_running_loop()
    # The pages' own work must not count: what asks the service is a process of its own.
    with ProcessPoolExecutor(1) as asker:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as http:
            over = asyncio.Event()
            pages = [asyncio.create_task(_stay(http, house.screen, at, over)) for at in range(clients)]
            if pages:
                await asyncio.sleep(2 * EVERY)  # until every page has had its first, full answer
            taken = await loop.run_in_executor(asker, _probe, house.service, seconds)
            over.set()
            await asyncio.gather(*pages)
    return statistics.quantiles(taken, n=100)[-1]


def _probe(service: str, seconds: float) -> list[float]:
    """Return the seconds that each of many answers of the service took."""
    taken = []
    with httpx.Client(base_url=service, timeout=60) as http:
        for _ in range(round(seconds * PROBES_A_SECOND)):
            start = time.perf_counter()
            http.get("/v1/forecasts/latest", params={"series": SERIES}).raise_for_status()
            taken.append(time.perf_counter() - start)
            time.sleep(max(0.0, 1 / PROBES_A_SECOND - taken[-1]))
    return taken


async def _stay(http: httpx.AsyncClient, screen: str, at: int, over: asyncio.Event) -> None:
    """Refresh as an open page does until it is `over`, out of step with the others; draw what has changed."""
    page = Page(http, screen, (await http.get(f"{screen}/config")).raise_for_status().json())
    await asyncio.sleep(at / CLIENTS * EVERY)
    # A page that opens tells what its reader had last; only then do its pickers know the series.
    series, interval = SERIES.rpartition(":")[::2]
    kept = {"series": series, "interval": interval, "horizon": 1}
    await page.asks("load", "", {"browser": json.dumps(kept)})
    while not over.is_set():
        start = time.perf_counter()
        if NEWS in await page.asks("click", "refresh", kept):
            await page.asks("click", "draw-forecast", kept)
        rest = EVERY - (time.perf_counter() - start)
        try:
            await asyncio.wait_for(over.wait(), max(0.01, rest))
        except TimeoutError:
            continue


@dataclass
class Page:
    """An open page, in Gradio's own protocol."""

    http: httpx.AsyncClient
    screen: str
    config: dict[str, Any]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def asks(self, event: str, name: str, values: dict[str, Any]) -> str:
        """Return what a browser is answered on an event of the component `name`, `values` being inputs by names."""
        known = {one["id"]: one["props"] for one in self.config["components"]}
        asked = next(
            one
            for one in self.config["dependencies"]
            for target, kind in one["targets"]
            if kind == event and known.get(target, {}).get("elem_id", "") == name and len(one["inputs"]) > 1
        )
        given = [values.get(known[one].get("elem_id", ""), known[one].get("value")) for one in asked["inputs"]]
        call = {"data": given, "fn_index": asked["id"], "trigger_id": asked["targets"][0][0], "event_data": None}
        call["session_hash"] = self.session
        if asked["queue"] is False:
            answer = await self.http.post(f"{self.screen}/gradio_api/run/predict", json=call)
            return answer.raise_for_status().text
        return await self._waits_for(call)

    async def _waits_for(self, call: dict[str, Any]) -> str:
        (await self.http.post(f"{self.screen}/gradio_api/queue/join", json=call)).raise_for_status()
        address = f"{self.screen}/gradio_api/queue/data"
        async with self.http.stream("GET", address, params={"session_hash": self.session}) as events:
            async for line in events.aiter_lines():
                if '"process_completed"' not in line:
                    continue
                if not json.loads(line.removeprefix("data:"))["success"]:
                    raise RuntimeError(f"a refresh failed: {line}")
                return line
        raise RuntimeError("the screen hung up during a refresh")


def _report(opened: dict[str, float], heaviest: int, idle: float, busy: float) -> int:
    ours, bare = opened["ours"], opened["bare Gradio page"]
    _say("\nuntil the candles are drawn")
    for name, seconds in sorted(opened.items(), key=lambda item: item[1]):
        _say(f"  {name:36} {seconds * 1000:8.0f} ms {seconds / bare:7.2f} x the bare page")
    _say(f"\nheaviest refresh: {heaviest / 1000:.1f} kB")
    _say(f"\np99 of the service: {idle * 1000:.1f} ms idle, {busy * 1000:.1f} ms with {CLIENTS} pages open")
    promises = {
        f"usable within {MOST_TIMES_BARE:g} x the bare page": ours <= MOST_TIMES_BARE * bare,
        f"a refresh below {MOST_BYTES / 1000:g} kB": 0 < heaviest < MOST_BYTES,
        f"p99 with {CLIENTS} pages within {MOST_TIMES_IDLE:g} x idle": busy <= MOST_TIMES_IDLE * idle,
    }
    for promise, kept in promises.items():
        _say(f"{'kept' if kept else 'NOT KEPT'}: {promise}")
    return 0 if all(promises.values()) else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


if __name__ == "__main__":
    sys.exit(main())
