"""How fast the newest forecast is answered: ours beside a bare server and what else people use.

One worker each, all of them started once and then asked in turn, several shots each, while the others are stopped; what
counts is the median, as a ratio to the bare server in the same run. The server has one core, the caller (wrk) another.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import httpx
import joblib
import numpy as np
import pandas as pd
import psutil
import xgboost
from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import create_engine

from candlecast.candles import Candles
from candlecast.store.database import Database
from candlecast.store.embedded import embedded_url
from candlecast.store.migrate import migrate
from tests.bench.peers import technical
from tests.making import make_candles
from tests.programs import ROOT, free_port, running
from tests.service.house import BTC, NOON, WORLD, service_environment, set_clock, store
from tests.waiting import eventually

OURS, FLOOR = "ours", "bare uvicorn"
CONNECTIONS = (1, 16, 64)
COLUMNS = 50

LEAST_OF_FLOOR, MOST_OF_ITS_P99 = 0.90, 1.5
LEAST_TIMES = {"@bentoml.api": 35.0, "the predecessors' design": 1000.0}
"""How many times faster than each of the others, at 16 connections."""

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
    """What several shots at one contender with one number of connections gave: answers per second, and p99 in ms."""

    rates: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where we are slower than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one shot")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None or len(os.sched_getaffinity(0)) < 2:
        _say("NOT MEASURED: this needs wrk (apt-get install wrk) and two cores")
        return 0
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name, ExitStack() as stack:
        contenders = list(_contenders(Path(name), stack))
        memory = {one.name: _memory(one) for one in contenders}
        return _report(_measure(contenders, options.rounds, options.seconds), memory)


def _contenders(folder: Path, stack: ExitStack) -> Iterator[Contender]:
    """Start all of them, ours first: the floor answers with as many bytes."""
    ours = stack.enter_context(_ours(folder))
    yield ours
    size = len(httpx.get(ours.url).content)
    prepare_peers(folder)
    shared = {"BENCH_FOLDER": str(folder), "BENCH_BYTES": str(size), "BENTOML_DO_NOT_TRACK": "True"}
    port = free_port()
    row = f"[{','.join(['0.1'] * COLUMNS)}]"
    uvicorn = ("-m", "uvicorn", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--port")
    yield stack.enter_context(_serving(FLOOR, [*uvicorn, str(port), "tests.bench.peers.echo:app"], port, "/", shared))
    port = free_port()
    command = ["-m", "bentoml", "serve", "tests.bench.peers.idiomatic:Idiomatic", "--port", str(port)]
    yield stack.enter_context(_serving("@bentoml.api", command, port, "/predict", shared, f'{{"row":{row}}}'))
    port = free_port()
    command = [*uvicorn, str(port), "tests.bench.peers.predecessor:app"]
    yield stack.enter_context(_serving("the predecessors' design", command, port, "/forecast", shared))


@contextmanager
def _ours(folder: Path) -> Iterator[Contender]:
    """Run the service, with metrics and one worker, on a database that holds what it answers about."""
    url = embedded_url(folder / "postgres")
    with closing(Database(url, url)) as database:
        migrate(database)
        set_clock(database, NOON)
        store(database, BTC, WORLD[BTC])
    environment = service_environment(url, folder, str(BTC), service_workers="1")
    port = int(environment["CANDLECAST_SERVICE_PORT"])
    path = f"/v1/forecasts/latest?series={BTC}&horizon=1"
    with _serving(OURS, ["-m", "service"], port, path, environment) as contender:
        yield contender


@contextmanager
def _serving(
    name: str, command: Sequence[str], port: int, path: str, environment: Mapping[str, str], body: str | None = None
) -> Iterator[Contender]:
    """Run a server on the first core until the block ends."""
    url = f"http://127.0.0.1:{port}{path}"
    log = Path(environment.get("BENCH_FOLDER", environment.get("TMPDIR", "."))) / f"{port}.log"
    pinned = ["taskset", "-c", "0", sys.executable, *command]
    with running(pinned, {**os.environ, **environment, "OMP_NUM_THREADS": "1"}, log, ROOT) as process:
        eventually(lambda: _answers(process, url, body), 120)
        yield Contender(name, url, psutil.Process(process.pid), body)


def _answers(process: Popen[bytes], url: str, body: str | None) -> bool:
    assert process.poll() is None, "the server has ended"
    headers = {"content-type": "application/json"}
    response = httpx.request("GET" if body is None else "POST", url, content=body, headers=headers, timeout=30)
    return response.is_success and '"abstained"' not in response.text


def prepare_peers(folder: Path) -> None:
    """Write the candles and the models that the others need: a booster of 300 trees, a small forest."""
    candles: Candles = make_candles(2_000)
    columns = {"ts": candles.open_time.astype("int64"), "close": candles.close, "volume": candles.volume}
    frame = pd.DataFrame(columns)
    engine = create_engine(f"sqlite:///{folder}/candles.db")
    frame.to_sql("candles", engine, index=False)
    engine.dispose()
    known = technical.features(frame.iloc[-900:])
    following = frame["close"].shift(-1).loc[known.index].ffill()
    forest = RandomForestRegressor(100, random_state=0, n_jobs=1).fit(known.to_numpy(), following.to_numpy())
    joblib.dump(forest, folder / "forest.pkl")
    dice = np.random.default_rng(0)
    rows = dice.standard_normal((20_000, COLUMNS), dtype=np.float32)
    matrix = xgboost.DMatrix(rows, rows[:, 0] + dice.standard_normal(len(rows)))
    booster = xgboost.train({"max_depth": 6, "nthread": 1, "seed": 0}, matrix, num_boost_round=300)
    booster.save_model(folder / "model.ubj")


def _measure(contenders: Sequence[Contender], rounds: int, seconds: int) -> dict[tuple[str, int], Shots]:
    found = {(one.name, connections): Shots() for one in contenders for connections in CONNECTIONS}
    for one in contenders:
        _signal(one, signal.SIGSTOP)
    for _ in range(rounds):
        for one in contenders:
            _signal(one, signal.SIGCONT)
            for connections in CONNECTIONS:
                rate, p99 = _shoot(one, connections, seconds)
                found[one.name, connections].rates.append(rate)
                found[one.name, connections].p99.append(p99)
            _signal(one, signal.SIGSTOP)
    for one in contenders:
        _signal(one, signal.SIGCONT)
    return found


def _shoot(contender: Contender, connections: int, seconds: int) -> tuple[float, float]:
    """Return answers per second and the 99th percentile of the latency in milliseconds."""
    wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if contender.body is not None:
            script.write(
                f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[[{contender.body}]]\n"
            )
            script.flush()
            wrk += ["-s", script.name]
        said = subprocess.run([*wrk, contender.url], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, f"{contender.name} refuses: {said}"
    rate, late = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert rate is not None, said
    return float(rate[1]), float(late[1]) * _UNITS[late[2]] if late else float("nan")


def _signal(contender: Contender, number: signal.Signals) -> None:
    for process in (contender.process, *contender.process.children(recursive=True)):
        process.send_signal(number)


def _memory(contender: Contender) -> float:
    """Return the resident memory in MiB of the largest process."""
    family = (contender.process, *contender.process.children(recursive=True))
    return max(process.memory_info().rss for process in family) / 2**20


def _report(found: Mapping[tuple[str, int], Shots], memory: Mapping[str, float]) -> int:
    median = {who: (statistics.median(shots.rates), statistics.median(shots.p99)) for who, shots in found.items()}
    for connections in CONNECTIONS:
        floor, _ = median[FLOOR, connections]
        _say(f"\n{connections} connection{'s' * (connections > 1)}")
        for name, resident in memory.items():
            rate, p99 = median[name, connections]
            speed = f"{rate:10,.0f} answers/s {rate / floor:8.4f} x bare"
            _say(f"  {name:26} {speed}   p99 {p99:8.2f} ms   {resident:4.0f} MiB")
    kept = [_is_kept(f"{c} connections: at least {LEAST_OF_FLOOR} x bare", _of_floor(median, c)) for c in CONNECTIONS]
    for name, least in LEAST_TIMES.items():
        # wrk counts whole answers only: of a slow server there may be none within a shot.
        times = median[OURS, 16][0] / median[name, 16][0] if median[name, 16][0] else float("inf")
        kept.append(_is_kept(f"{least:,.0f} x {name}: {times:,.0f} x", times >= least))
    return 0 if all(kept) else 1


def _of_floor(median: Mapping[tuple[str, int], tuple[float, float]], connections: int) -> bool:
    (ours, our_p99), (floor, its_p99) = median[OURS, connections], median[FLOOR, connections]
    return ours >= LEAST_OF_FLOOR * floor and our_p99 <= MOST_OF_ITS_P99 * its_p99


def _is_kept(promise: str, kept: bool) -> bool:
    _say(f"{'kept' if kept else 'NOT KEPT'}: {promise}")
    return kept


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


if __name__ == "__main__":
    sys.exit(main())
