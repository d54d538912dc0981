"""A small world in turmoil: a candle every second, champions that change, workers that are killed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil

from candlecast.candles import Candles, Interval, Series
from candlecast.errors import StoreUnavailable
from candlecast.store.database import Database
from candlecast.store.models import Version
from tests.making import make_candles
from tests.service.house import House, service_environment, serving, set_clock, store, wait_until_ready
from tests.service.versions import JUDGED, fitted, promote, register

BTC, ETH = (Series.parse(f"replay:{base}-USDT:1m") for base in ("BTC", "ETH"))
TRUTH: dict[Series, Candles] = {
    BTC: make_candles(1200, Interval.M1, seed=3),
    ETH: make_candles(1200, Interval.M1, seed=4),
}
WORKERS = 2  # of each service
_FIRST = 600  # candles that are there when it begins


@dataclass(slots=True)
class World:
    """The candles that have closed so far, and the versions that may answer."""

    database: Database
    versions: tuple[Version, Version]
    closed: int = _FIRST
    stored: int = _FIRST
    kills: list[tuple[House, float]] = field(default_factory=list)

    @classmethod
    def begin(cls, database: Database) -> World:
        """Return a world with a champion, and with a challenger in its shadow."""
        set_clock(database, TRUTH[BTC][:_FIRST].cutoff + timedelta(seconds=1))
        for series, candles in TRUTH.items():
            store(database, series, candles[:_FIRST])
        first, second = (register(database, name, BTC, fitted(BTC), JUDGED) for name in ("first", "second"))
        promote(database, first)
        return cls(database, (first, second))

    def close_candle(self) -> None:
        """Let time pass until the next candle has closed; what could not be written before is written with it."""
        self.closed += 1
        newest = {series: candles[self.stored - 1 : self.closed] for series, candles in TRUTH.items()}
        try:
            set_clock(self.database, newest[BTC].cutoff + timedelta(seconds=1))
            for series, candles in newest.items():
                store(self.database, series, candles)
        except StoreUnavailable:
            return
        self.stored = self.closed

    def change_champion(self) -> None:
        """Promote the version that does not answer."""
        try:
            promote(self.database, self.versions[1])
        except StoreUnavailable:
            return
        self.versions = self.versions[::-1]

    def kill_worker(self, house: House) -> None:
        """Kill one of a service's workers without a word, unless the one before has not been replaced yet."""
        if self.is_whole(house):
            self.kills.append((house, time.monotonic()))
            random.choice(workers(house)).kill()  # noqa: S311

    def is_whole(self, house: House) -> bool:
        """Return whether all workers have started that should."""
        killed = sum(one is house for one, _ in self.kills)
        return house.log.read_text().count("Application startup complete") == WORKERS + killed


def workers(house: House) -> list[psutil.Process]:
    """Return the worker processes of a service that are alive."""
    children = psutil.Process(house.process.pid).children()
    return [child for child in children if _is_worker(child)]


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.Error:  # it has just ended
        return False


@contextmanager
def services(count: int, url: str, folder: Path) -> Iterator[list[House]]:
    """Run services of some workers each on one database, and wait until they are ready."""
    with ExitStack() as stack:
        houses = []
        for number in range(count):
            place = folder / str(number)
            place.mkdir()
            environment = service_environment(
                url, place, f"{BTC},{ETH}", service_workers=str(WORKERS), poll_seconds="0.5"
            )
            houses.append(stack.enter_context(serving(environment, Database(url), place)))
        for house in houses:
            wait_until_ready(house)
        yield houses


@contextmanager
def every(seconds: Callable[[], float], act: Callable[[], None]) -> Iterator[None]:
    """Act again and again, each time after as many seconds, until the block ends; what it raises, the block does."""
    stop, errors = threading.Event(), list[BaseException]()

    def go_on() -> None:
        try:
            while not stop.wait(seconds()):
                act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]


def say_the_newest(world: World, houses: Sequence[House]) -> bool:
    """Return whether every worker answers from the newest candle, with the champion, and not stale."""
    cutoff = TRUTH[BTC][: world.closed].cutoff
    for house in houses:
        for _ in range(10):
            said = house.alone("/v1/forecasts/latest").json()["forecasts"]
            found = {(one["cutoff"], one["status"], one["model_version"], one["stale"]) for one in said}
            wanted = {(f"{cutoff:%Y-%m-%dT%H:%M:%SZ}", "ok", world.versions[0].id, False)}
            assert found == wanted, f"{found} instead of {wanted}"
    return True
