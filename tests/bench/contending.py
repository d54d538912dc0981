"""Servers that are asked in turn: how they are started, shot at and held against each other.

One process each on the first core, the caller (wrk) on the second. All of them are started once; while one is asked the
others are stopped. What counts is the median of several shots, as a ratio of two contenders of one run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import httpx
import psutil

from tests.programs import ROOT, free_port, running
from tests.waiting import eventually

FLOOR = "bare uvicorn"
UVICORN = ("-m", "uvicorn", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--port")

_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that runs: what it is called, where it is asked, and with which body."""

    name: str
    url: str
    process: psutil.Process
    body: str | None = None


@dataclass(slots=True)
class Shots:
    """What several shots at one contender with one number of connections gave.

    Answers per second, p99 in milliseconds, and milliseconds of processor that the server spent on an answer: the
    steadiest of them where the machine does other things too.
    """

    rates: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    @property
    def late(self) -> float:
        """The median of the 99th percentiles."""
        return statistics.median(self.p99)

    @property
    def cost(self) -> float:
        """The median of what an answer cost."""
        return statistics.median(self.spent)


Found = Mapping[tuple[str, int], Shots]
"""Shots by contender and number of connections."""


def can_measure() -> bool:
    """Return whether the machine has what a measurement needs; say so where it has not."""
    if shutil.which("wrk") is None or len(os.sched_getaffinity(0)) < 2:
        say("NOT MEASURED: this needs wrk (apt-get install wrk) and two cores")
        return False
    return True


@contextmanager
def contending(
    name: str,
    command: Sequence[str],
    port: int,
    path: str,
    environment: Mapping[str, str],
    body: str | None = None,
    python: str = sys.executable,
) -> Iterator[Contender]:
    """Run a server on the first core until the block ends; it is there as soon as it answers."""
    url = f"http://127.0.0.1:{port}{path}"
    log = Path(environment.get("BENCH_FOLDER", environment.get("TMPDIR", "."))) / f"{port}.log"
    pinned = ["taskset", "-c", "0", python, *command]
    with running(pinned, {**os.environ, **environment, "OMP_NUM_THREADS": "1"}, log, ROOT) as process:
        eventually(lambda: _answers(process, url, body), 120)
        yield Contender(name, url, psutil.Process(process.pid), body)


@contextmanager
def contending_floor(size: int, environment: Mapping[str, str]) -> Iterator[Contender]:
    """Run the floor until the block ends: a server that gives everybody as many bytes and does nothing else."""
    port, given = free_port(), {**environment, "BENCH_BYTES": str(size)}
    with contending(FLOOR, [*UVICORN, str(port), "tests.bench.peers.echo:app"], port, "/", given) as contender:
        yield contender


def _answers(process: Popen[bytes], url: str, body: str | None) -> bool:
    assert process.poll() is None, "the server has ended"
    headers = {"content-type": "application/json"}
    response = httpx.request("GET" if body is None else "POST", url, content=body, headers=headers, timeout=30)
    return response.is_success and '"abstained"' not in response.text


def measure(contenders: Sequence[Contender], connections: Sequence[int], rounds: int, seconds: int) -> Found:
    """Shoot at every contender with every number of connections, one after the other, `rounds` times."""
    found = {(one.name, count): Shots() for one in contenders for count in connections}
    for one in contenders:
        _signal(one, signal.SIGSTOP)
    for _ in range(rounds):
        for one in contenders:
            _signal(one, signal.SIGCONT)
            for count in connections:
                rate, p99, spent = _shoot(one, count, seconds)
                found[one.name, count].rates.append(rate)
                found[one.name, count].p99.append(p99)
                found[one.name, count].spent.append(spent)
            _signal(one, signal.SIGSTOP)
    for one in contenders:
        _signal(one, signal.SIGCONT)
    return found


def _shoot(contender: Contender, connections: int, seconds: int) -> tuple[float, float, float]:
    """Return answers per second, then p99 and the processor's time per answer in milliseconds."""
    wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if contender.body is not None:
            script.write(
                f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[==[{contender.body}]==]\n"
            )
            script.flush()
            wrk += ["-s", script.name]
        before = _processor_seconds(contender)
        said = subprocess.run([*wrk, contender.url], capture_output=True, text=True, check=True).stdout
        spent = _processor_seconds(contender) - before
    assert "Non-2xx" not in said, f"{contender.name} refuses: {said}"
    rate, late = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    count = re.search(r"(\d+) requests in", said)
    assert rate is not None, said
    assert count is not None, said
    cost = 1000 * spent / int(count[1]) if int(count[1]) else float("nan")
    return float(rate[1]), float(late[1]) * _UNITS[late[2]] if late else float("nan"), cost


def _processor_seconds(contender: Contender) -> float:
    family = (contender.process, *contender.process.children(recursive=True))
    return sum(used.user + used.system for used in (process.cpu_times() for process in family))


@contextmanager
def stopped(contender: Contender) -> Iterator[None]:
    """Let a server do nothing at all until the block ends."""
    _signal(contender, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(contender, signal.SIGCONT)


def _signal(contender: Contender, number: signal.Signals) -> None:
    for process in (contender.process, *contender.process.children(recursive=True)):
        process.send_signal(number)


def memory(contender: Contender) -> float:
    """Return the resident memory in MiB of the largest process."""
    family = (contender.process, *contender.process.children(recursive=True))
    return max(process.memory_info().rss for process in family) / 2**20


def times(found: Found, faster: str, slower: str, connections: int) -> float:
    """Return how many times as many answers one contender gives as another, NaN where a shot was too short for one."""
    rate = found[slower, connections].rate
    return found[faster, connections].rate / rate if rate else float("nan")


def is_kept(promise: str, kept: bool) -> bool:
    """Print whether a promise is kept; return it. One about NaN is not: nothing was measured."""
    say(f"{'kept' if kept else 'NOT KEPT'}: {promise}")
    return kept


def say(line: str) -> None:
    """Print a line of the answer."""
    print(line, flush=True)  # noqa: T201  # the answer of a command
