"""How fast a caller's own candles are forecast: ours beside FastAPI, pandas and XGBoost's estimators, and many in one.

The champion is fitted on real candles where `CANDLECAST_SHARED` has them, else on a random walk.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from candlecast.candles import Candles, Interval, Series
from candlecast.xgb import XGBForecaster
from tests.bench.contending import (
    UVICORN,
    Contender,
    Found,
    can_measure,
    contending,
    is_kept,
    measure,
    memory,
    say,
    times,
)
from tests.bench.ours import OURS, database_in, serving_ours
from tests.bench.peers import ordinary
from tests.programs import free_port
from tests.real import real_candles
from tests.service.house import NOON, body, set_clock, store, walk
from tests.service.versions import made_of, promote, register
from tests.shared import SHARED

SERIES = Series.parse("replay:BTC-USDT:15m")
BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
PEER, ARRAYS = "FastAPI, pandas, XGBRegressor", "the same, rows as arrays"
CONNECTIONS = (1, 16)
WINDOW, CUTOFFS = 512, 1000
PEER_LEARNS_FROM = 8_000

LEAST_TIMES_PEER, LEAST_TIMES_SINGLE = 15.0, 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where we are slower than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of one shot")
    options = parser.parse_args(arguments)
    if not can_measure():
        return 0
    candles = _candles()
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name, ExitStack() as stack:
        contenders = list(_contenders(Path(name), candles, stack))
        os.sched_setaffinity(0, {1})
        found = measure(contenders, CONNECTIONS, options.rounds, options.seconds)
        kept = [*_report(found, contenders), _report_cutoffs(contenders[0], candles, options.rounds)]
    return 0 if all(kept) else 1


def _candles() -> Candles:
    if (SHARED / "data").is_dir():
        return real_candles("BTC", SERIES.interval, BEGINNING, NOON)
    say("real candles are not here (CANDLECAST_SHARED): this is a random walk")
    return walk(Interval.M15, 20_000)


def _contenders(folder: Path, candles: Candles, stack: ExitStack) -> Iterator[Contender]:
    asked = json.dumps(body(candles[-WINDOW:], series=str(SERIES)))
    yield stack.enter_context(_ours(folder, candles, asked))
    names = ("open", "high", "low", "close", "volume")
    columns = {"open_time": candles.open_time.astype(np.int64), **{name: candles.columns()[name] for name in names}}
    # Enough for trees as deep as theirs become; all of them would only take longer to fit.
    ordinary.fit(folder, pd.DataFrame(columns).iloc[-PEER_LEARNS_FROM:].reset_index(drop=True))
    for name, rows in ((PEER, "frame"), (ARRAYS, "array")):
        port, environment = free_port(), {"BENCH_FOLDER": str(folder), "BENCH_ROWS": rows}
        command = [*UVICORN, str(port), "--factory", "tests.bench.peers.ordinary:create_app"]
        yield stack.enter_context(contending(name, command, port, "/forecasts", environment, asked))


@contextmanager
def _ours(folder: Path, candles: Candles, asked: str) -> Iterator[Contender]:
    """Run the service on a database that holds a fitted and promoted model."""
    model = XGBForecaster.fit({SERIES: candles}, [1, 5], seed=1)
    with database_in(folder) as database:
        set_clock(database, NOON)
        store(database, SERIES, candles[-2 * WINDOW :])
        promote(database, register(database, "measured", SERIES, made_of(model)))
        with serving_ours(database, folder, [SERIES], "/v1/forecasts", asked) as contender:
            said = _Asker(contender).post(asked)
            assert {one["status"] for one in said["forecasts"]} == {"ok"}, "the champion answers"
            yield contender


class _Asker:
    """One connection that is kept."""

    def __init__(self, contender: Contender) -> None:
        where = urlsplit(contender.url)
        assert where.hostname
        self._connection, self._path = HTTPConnection(where.hostname, where.port, timeout=60), where.path

    def post(self, asked: str) -> Any:
        """Return the JSON that a body is answered with."""
        self._connection.request("POST", self._path, asked, {"content-type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        assert response.status == 200, content
        return json.loads(content)


def _report(found: Found, contenders: Sequence[Contender]) -> Iterator[bool]:
    for connections in CONNECTIONS:
        say(f"\n{WINDOW} candles in, the whole forecast out: {connections} connection{'s' * (connections > 1)}")
        for one in contenders:
            shots, slower = found[one.name, connections], times(found, OURS, one.name, connections)
            speed = f"{shots.rate:8,.1f} answers/s   ours is {slower:5.1f} x as fast"
            cost = f"{shots.cost:6.2f} ms of processor each, {shots.cost / found[OURS, connections].cost:5.1f} x ours"
            say(f"  {one.name:30} {speed}   p99 {shots.late:8.2f} ms   {cost}   {memory(one):4.0f} MiB")
    for connections in CONNECTIONS:
        faster = times(found, OURS, PEER, connections)
        promise = f"{connections} connections: {LEAST_TIMES_PEER:g} x {PEER}: {faster:.1f} x"
        yield is_kept(promise, faster >= LEAST_TIMES_PEER)


def _report_cutoffs(ours: Contender, candles: Candles, rounds: int) -> bool:
    """Hold one request for many cutoffs against as many requests for one; what is said must be the same."""
    newest = candles[-(WINDOW + CUTOFFS - 1) :]
    whole = json.dumps(body(newest, series=str(SERIES), last=CUTOFFS))
    each = [json.dumps(body(newest[first : first + WINDOW], series=str(SERIES))) for first in range(CUTOFFS)]
    asker, together, apart = _Asker(ours), list[float](), list[float]()
    for _ in range(rounds):
        at_once, seconds = _said(asker, [whole])
        together.append(seconds)
        one_by_one, seconds = _said(asker, each)
        apart.append(seconds)
        assert at_once == one_by_one
    one, many = statistics.median(together), statistics.median(apart)
    faster = many / one
    say(f"\n{CUTOFFS:,} cutoffs: {one:.2f} s in one request, {many:.2f} s in one request each")
    return is_kept(f"{LEAST_TIMES_SINGLE:g} x {CUTOFFS:,} single posts: {faster:.1f} x", faster >= LEAST_TIMES_SINGLE)


def _said(asker: _Asker, bodies: Sequence[str]) -> tuple[list[Any], float]:
    """Return the forecasts of all bodies, and in how many seconds they were answered."""
    begun = time.perf_counter()
    answers = [asker.post(one) for one in bodies]
    seconds = time.perf_counter() - begun
    return [forecast for answer in answers for forecast in answer["forecasts"]], seconds


if __name__ == "__main__":
    sys.exit(main())
