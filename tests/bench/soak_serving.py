"""Ask for the newest forecasts at half of the peak for minutes, and look whether answers slow down or memory grows.

Open loop: a request is sent when its time has come, whether or not those before it were answered, and its latency
counts from that time on. One worker has one core and the caller another. Meanwhile candles close and their forecasts
are made. The peak is what the same caller gets without pause from as many connections.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from candlecast.store.database import Database
from candlecast.store.embedded import embedded_url
from candlecast.store.migrate import migrate
from tests.service.house import House, service_environment, serving, wait_until_ready
from tests.service.turmoil import BTC, ETH, World, every

MOST_OF_P50 = 3.0
MOST_GROWTH = 0.02
"""Share of its memory that the service may grow by over the second half, as a line through the samples says."""

_CONNECTIONS = 16
_PEAK_SECONDS = 5.0
_CANDLE_SECONDS = 10.0
_SAMPLE_SECONDS = 1.0


class _Connection(asyncio.Protocol):
    """One kept connection: sends the same request again and again and notes when each answer was complete."""

    def __init__(self, request: bytes, latencies: list[float], *, again: bool) -> None:
        self._request, self._latencies, self._again = request, latencies, again
        self._due: deque[float] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream is needed")
        self._transport = transport

    def send(self, due: float) -> None:
        if self._transport is None or self._transport.is_closing():
            self.failed += 1
            return
        self._due.append(due)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            size = end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            self._latencies.append(time.perf_counter() - self._due.popleft())
            self.failed += not head.startswith(b"http/1.1 200")
            if self._again:
                self.send(time.perf_counter())

    def close(self) -> int:
        """Hang up; return how many requests failed or were not answered."""
        if self._transport is not None:
            self._transport.abort()
        return self.failed + len(self._due)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args(arguments)
    if len(os.sched_getaffinity(0)) < 2:
        _say("NOT MEASURED: this needs two cores")
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="candlecast-soak-") as name,
        _world(Path(name)) as (world, house),
        every(lambda: _CANDLE_SECONDS, world.close_candle),
    ):
        memory = _Memory(house)
        peak, _ = asyncio.run(_closed_loop(house, _PEAK_SECONDS))
        with every(lambda: _SAMPLE_SECONDS, memory.sample):
            latencies, failed = asyncio.run(_open_loop(house, peak / 2, 60 * options.minutes))
    return _report(peak, latencies, failed, memory)


@contextmanager
def _world(folder: Path) -> Iterator[tuple[World, House]]:
    """Run the service with one worker on the first core; the caller takes the others."""
    url, cores = embedded_url(folder / "postgres"), os.sched_getaffinity(0)
    with closing(Database(url, url)) as database:
        migrate(database)
        world = World.begin(database)
        environment = service_environment(url, folder, f"{BTC},{ETH}", service_workers="1")
        os.sched_setaffinity(0, {min(cores)})
        with serving(environment, database, folder) as house:
            os.sched_setaffinity(0, cores - {min(cores)})
            wait_until_ready(house)
            yield world, house


async def _closed_loop(house: House, seconds: float) -> tuple[float, int]:
    """Return answers per second where every connection asks again as soon as it was answered, and the failures."""
    latencies: list[float] = []
    connections = await _connect(house, latencies, again=True)
    begun = time.perf_counter()
    for connection in connections:
        connection.send(begun)
    await asyncio.sleep(seconds)
    rate = len(latencies) / (time.perf_counter() - begun)
    return rate, sum(connection.close() for connection in connections)


async def _open_loop(house: House, rate: float, seconds: float) -> tuple[NDArray[np.float64], int]:
    """Return the latencies in seconds at a given rate of requests, and how many were not answered with 200."""
    latencies: list[float] = []
    connections = await _connect(house, latencies, again=False)
    begun, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) < begun + seconds:
        while begun + sent / rate <= now:
            connections[sent % _CONNECTIONS].send(begun + sent / rate)
            sent += 1
        # No pause: a clock that ticks would send in bursts.
        await asyncio.sleep(0)
    deadline = time.perf_counter() + 10
    while len(latencies) < sent and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)
    return np.array(latencies), sum(connection.close() for connection in connections)


async def _connect(house: House, latencies: list[float], *, again: bool) -> list[_Connection]:
    url = house.http.base_url
    request = f"GET /v1/forecasts/latest?series={BTC}&horizon=1 HTTP/1.1\r\nhost: {url.host}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(request, latencies, again=again), url.host, url.port or 80)
        for _ in range(_CONNECTIONS)
    ]
    return [connection for _, connection in made]


class _Memory:
    """Resident memory of a service, as a sample every second."""

    def __init__(self, house: House) -> None:
        self._root = psutil.Process(house.process.pid)
        self.samples: list[float] = []

    def sample(self) -> None:
        """Look at all of its processes."""
        total = 0
        for process in (self._root, *self._root.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
        self.samples.append(total / 2**20)

    def growth(self) -> tuple[float, float]:
        """Return its mean over the second half, in MiB, and by how much a line through these samples rises."""
        half = np.array(self.samples[len(self.samples) // 2 :])
        slope = np.polyfit(np.arange(len(half)), half, 1)[0]
        return float(half.mean()), float(slope * len(half))


def _report(peak: float, latencies: NDArray[np.float64], failed: int, memory: _Memory) -> int:
    p50, p99, worst = (1000 * float(np.quantile(latencies, q)) for q in (0.5, 0.99, 1.0))
    resident, growth = memory.growth()
    _say(f"peak {peak:,.0f} answers/s over {_CONNECTIONS} connections; {len(latencies):,} answers at half of it")
    _say(f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {worst:.0f} ms; {failed} requests failed")
    _say(f"memory {resident:.0f} MiB, {growth:+.1f} MiB over the second half")
    kept = [
        _is_kept(f"p99 at most {MOST_OF_P50:g} x p50: {p99 / p50:.1f} x", p99 <= MOST_OF_P50 * p50),
        _is_kept(
            f"memory flat within {100 * MOST_GROWTH:g} %: {100 * growth / resident:+.1f} %",
            growth <= MOST_GROWTH * resident,
        ),
        _is_kept("no request failed", failed == 0),
    ]
    return 0 if all(kept) else 1


def _is_kept(promise: str, kept: bool) -> bool:
    _say(f"{'kept' if kept else 'NOT KEPT'}: {promise}")
    return kept


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
