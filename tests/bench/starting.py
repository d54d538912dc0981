"""How soon a forecast is answered after a start, and in how much memory: ours beside KServe's Python server.

Both are started anew in turn, several times, and what counts are medians; the first start of each, which may have
bytecode to write, is not counted. Ours loads a model that was promoted, forecasts the newest candle, writes that down,
and answers with it. KServe's loads a booster of 300 trees and predicts a row that is sent along.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx
import numpy as np
import psutil
import xgboost

from candlecast.xgb import XGBForecaster
from tests.bench.contending import is_kept, say
from tests.bench.ours import database_in
from tests.bench.peers.elsewhere import KSERVE, python_of
from tests.programs import ROOT, free_port, running
from tests.service.house import TRAINED, WORLD, begin, service_environment
from tests.service.versions import made_of, promote, register

COLUMNS = 50
MOST_OF_THEIRS = 1.0
_PATIENCE = 120
_PAUSE = 0.01
_SETTLED = 3.0
_MEBI = 2**20


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to start: its command, what it is told by the environment, and what is asked until it answers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    url: str
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until the first good answer, those of them on a processor, and then MiB by process.

    `resident` is everything in memory, largest process first; `private` what no other process shares, of all of them.
    """

    seconds: float
    busy: float
    resident: tuple[float, ...]
    private: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where we take longer or more than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kserve", help="Python of an environment with kserve and xgboost, instead of one of our own")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name:
        folder = Path(name)
        python = options.kserve or python_of(KSERVE)
        contenders = [*_ours(folder), *([_kserve(folder, python)] if python else [])]
        found: dict[str, list[Start]] = {one.name: [] for one in contenders}
        for turn in range(options.rounds + 1):
            for one in contenders:
                start = _started(one, folder)
                if turn:
                    found[one.name].append(start)
        return _report(found)


def _ours(folder: Path) -> list[Contender]:
    """Fill a database with candles and a champion; one worker is one process, two have a supervisor."""
    model = XGBForecaster.fit({TRAINED: WORLD[TRAINED]}, [1, 5], seed=1)
    decision = {"promote": True, "reason": "to be measured"}
    with database_in(folder) as database:
        begin(database, TRAINED)
        promote(database, register(database, "champion", TRAINED, made_of(model), decision))
    return [_service(folder, database.address, workers) for workers in (1, 2)]


def _service(folder: Path, url: str, workers: int) -> Contender:
    environment = service_environment(url, folder, str(TRAINED), service_workers=str(workers))
    address = f"http://127.0.0.1:{environment['CANDLECAST_SERVICE_PORT']}"
    path = f"/v1/forecasts/latest?series={TRAINED}&horizon=1"
    name = f"candlecast, {workers} worker{'s' * (workers > 1)}"
    return Contender(name, [sys.executable, "-m", "service"], environment, address + path)


def _kserve(folder: Path, python: str) -> Contender:
    dice = np.random.default_rng(0)
    rows = dice.standard_normal((20_000, COLUMNS), dtype=np.float32)
    matrix = xgboost.DMatrix(rows, rows[:, 0] + dice.standard_normal(len(rows)))
    path = folder / "model.ubj"
    xgboost.train({"max_depth": 6, "nthread": 1, "seed": 0}, matrix, num_boost_round=300).save_model(path)
    port = free_port()
    command = [python, str(ROOT / "tests/bench/peers/kserve_model.py"), str(port), str(path)]
    body = json.dumps({"instances": [[0.1] * COLUMNS]})
    return Contender(KSERVE, command, {}, f"http://127.0.0.1:{port}/v1/models/boosted:predict", body)


def _started(contender: Contender, folder: Path) -> Start:
    """Start a server, wait for its first good answer, look at its memory when it has settled, and end it."""
    environment = {**os.environ, **contender.environment, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    with running(list(contender.command), environment, folder / "server.log", ROOT) as process:
        while not _answers(process, contender):
            assert time.perf_counter() - began < _PATIENCE, (folder / "server.log").read_text()[-3000:]
            time.sleep(_PAUSE)
        seconds = time.perf_counter() - began
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        busy = sum(one.cpu_times().user + one.cpu_times().system for one in family)
        time.sleep(_SETTLED)
        memory = [one.memory_full_info() for one in family]
    resident = tuple(sorted((one.rss / _MEBI for one in memory), reverse=True))
    return Start(seconds, busy, resident, sum(one.uss for one in memory) / _MEBI)


def _answers(process: Popen[bytes], contender: Contender) -> bool:
    assert process.poll() is None, f"{contender.name} has ended"
    method = "GET" if contender.body is None else "POST"
    headers = {"content-type": "application/json"}
    try:
        response = httpx.request(method, contender.url, content=contender.body, headers=headers, timeout=5)
    except httpx.TransportError:
        return False
    said = response.text
    return response.is_success and ('"status":"ok"' in said.replace(" ", "") or "predictions" in said)


def _report(found: Mapping[str, Sequence[Start]]) -> int:
    for name, starts in found.items():
        each = ", ".join(f"{statistics.median(of):.0f}" for of in zip(*(one.resident for one in starts), strict=False))
        seconds, busy, private = (_median(starts, what) for what in ("seconds", "busy", "private"))
        took = f"{seconds:6.2f} s to the first answer, {busy:.2f} s on a processor"
        say(f"  {name:22} {took};   {each} MiB resident, {private:.0f} MiB private in all")
    if KSERVE not in found:
        return 0
    theirs, ours = found[KSERVE], [starts for name, starts in found.items() if name != KSERVE]
    kept = [
        _at_most("seconds to the first forecast", _median(ours[0], "seconds"), _median(theirs, "seconds")),
        _at_most("resident memory per worker", max(map(_largest, ours)), _largest(theirs)),
    ]
    return 0 if all(kept) else 1


def _median(starts: Sequence[Start], what: str) -> float:
    median: float = statistics.median(getattr(one, what) for one in starts)
    return median


def _largest(starts: Sequence[Start]) -> float:
    return statistics.median(one.resident[0] for one in starts)


def _at_most(what: str, ours: float, theirs: float) -> bool:
    return is_kept(
        f"{what} at most {MOST_OF_THEIRS:g} x KServe's: {ours / theirs:.2f} x", ours <= MOST_OF_THEIRS * theirs
    )


if __name__ == "__main__":
    sys.exit(main())
