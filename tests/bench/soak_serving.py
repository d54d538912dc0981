"""Ask for the newest forecasts at half of the peak for minutes, and look whether answers slow down or memory grows.

The server has one core and the caller (`open_loop`) another; the peak is what the same caller gets without pause. How
much of the tail is the machine's and the caller's own says the floor: a bare server that is asked in the same way. Then
ours is asked, first while nothing happens, then while candles close and their forecasts are made. The database and what
closes candles, which are elsewhere in earnest, run on the server's core while that has nothing to do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

from candlecast.store.embedded import embedded_url
from tests.bench.contending import FLOOR, Contender, contending_floor, is_kept, say, stopped
from tests.bench.ours import database_in, serving_ours
from tests.programs import ROOT
from tests.service.turmoil import BTC, ETH, World, every

MOST_OF_P50 = 3.0
MOST_AWAY = 0.005
"""Share of the time; a caller that was kept from its core for longer cannot tell what one answer in a hundred took."""
MOST_GROWTH = 0.02
"""Share of its memory that the service may grow by over the second half, as a line through the samples says."""

_PEAK_SECONDS = 5.0
_CANDLE_SECONDS = 10.0
_SAMPLE_SECONDS = 1.0
_SHARE_BESIDE = 0.2
"""For this share of the time the floor is asked, and so is ours while nothing happens."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller found: latencies in milliseconds, failures, and the share of time it was kept from its core."""

    seconds: float
    latencies: NDArray[np.float64]
    failed: int
    away: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def within(self, share: float) -> float:
        """Return the milliseconds within which this share of the answers came."""
        return float(np.quantile(self.latencies, share))

    @property
    def tail(self) -> float:
        """The 99th percentile in medians."""
        return self.within(0.99) / self.within(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="while candles close; the rest takes half as long")
    options = parser.parse_args(arguments)
    if len(os.sched_getaffinity(0)) < 2:
        say("NOT MEASURED: this needs two cores")
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="candlecast-soak-") as name,
        ThreadPoolExecutor(1, initializer=_give_way) as background,
    ):
        background.submit(embedded_url, Path(name)).result()
        return _soak(Path(name), background, 60 * options.minutes)


def _soak(folder: Path, background: ThreadPoolExecutor, seconds: float) -> int:
    path = f"/v1/forecasts/latest?series={BTC}&horizon=1"
    with database_in(folder) as database:
        world = World.begin(database)
        with serving_ours(database, folder, [BTC, ETH], path) as ours:
            size = len(httpx.get(ours.url).content)
            with stopped(ours), contending_floor(size, {"BENCH_FOLDER": str(folder)}) as floor:
                bare = _ask(floor, folder, _SHARE_BESIDE * seconds, _half_of_peak(floor, folder))
            rate, memory = _half_of_peak(ours, folder), _Memory(ours)
            still = _ask(ours, folder, _SHARE_BESIDE * seconds, rate)
            with (
                every(lambda: _CANDLE_SECONDS, lambda: background.submit(world.close_candle).result()),
                every(lambda: _SAMPLE_SECONDS, memory.sample),
            ):
                busy = _ask(ours, folder, seconds, rate)
    return _report(bare, still, busy, memory)


def _give_way() -> None:
    """Let this thread and what it starts have the server's core, and that only while nobody else wants it."""
    os.sched_setaffinity(0, {0})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _half_of_peak(contender: Contender, folder: Path) -> float:
    return _ask(contender, folder, _PEAK_SECONDS).rate / 2


def _ask(contender: Contender, folder: Path, seconds: float, rate: float | None = None) -> Asked:
    """Let the caller ask so many times a second, as often as it is answered where no rate is given."""
    file = folder / "latencies"
    command = ["taskset", "-c", "1", sys.executable, "-m", "tests.bench.open_loop", contender.url, str(file)]
    command += ["--seconds", str(seconds), *(["--rate", str(rate)] if rate else [])]
    found = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)
    return Asked(seconds, 1000 * np.fromfile(file), found["failed"], found["away"])


class _Memory:
    """Resident memory of a service, as a sample every second."""

    def __init__(self, contender: Contender) -> None:
        # Once: to look for processes takes milliseconds, and the caller's core.
        self._family = (contender.process, *contender.process.children(recursive=True))
        self.samples: list[float] = []

    def sample(self) -> None:
        """Look at all of its processes."""
        self.samples.append(sum(process.memory_info().rss for process in self._family) / 2**20)

    def growth(self) -> tuple[float, float]:
        """Return its mean over the second half, in MiB, and by how much a line through these samples rises."""
        half = np.array(self.samples[len(self.samples) // 2 :])
        slope = np.polyfit(np.arange(len(half)), half, 1)[0]
        return float(half.mean()), float(slope * len(half))


def _report(bare: Asked, still: Asked, busy: Asked, memory: _Memory) -> int:
    for name, asked in ((FLOOR, bare), ("ours, nothing new", still), ("ours, candles closing", busy)):
        speed = f"{asked.rate:7,.0f} answers/s of twice as many"
        percentiles = f"p50 {asked.within(0.5):.2f}, p99 {asked.within(0.99):.2f}, longest {asked.within(1):.0f} ms"
        say(f"{name:22} {speed}: {percentiles}; the caller was kept from its core for {100 * asked.away:.1f} %")
    resident, growth = memory.growth()
    say(f"memory {resident:.0f} MiB, {growth:+.1f} MiB over the second half")
    promise = f"p99 at most {MOST_OF_P50:g} x p50: {busy.tail:.1f} x ({FLOOR}: {bare.tail:.1f} x)"
    quiet = max(bare.away, busy.away) <= MOST_AWAY
    if not quiet:
        say(f"NOT MEASURED: {promise}; others took the caller's core")
    kept = [
        not quiet or is_kept(promise, busy.tail <= MOST_OF_P50),
        is_kept(
            f"memory flat within {100 * MOST_GROWTH:g} %: {100 * growth / resident:+.1f} %",
            growth <= MOST_GROWTH * resident,
        ),
        is_kept(f"no request failed: {busy.failed} of {len(busy.latencies):,}", busy.failed == 0),
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
