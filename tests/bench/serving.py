"""How fast the newest forecast is answered: ours beside a bare server and what else people use."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import joblib
import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import create_engine

from candlecast.candles import Candles
from tests.bench.contending import (
    FLOOR,
    UVICORN,
    Contender,
    Found,
    can_measure,
    contending,
    contending_floor,
    is_kept,
    measure,
    memory,
    say,
    times,
)
from tests.bench.ours import OURS, database_in, serving_ours
from tests.bench.peers import technical
from tests.bench.peers.elsewhere import KSERVE, MLSERVER, python_of
from tests.making import make_candles
from tests.programs import ROOT, free_port
from tests.service.house import BTC, begin

BENTOML, PREDECESSOR = "@bentoml.api", "the predecessors' design"
CONNECTIONS = (1, 16, 64)
COLUMNS = 50

LEAST_OF_FLOOR, MOST_OF_ITS_P99 = 0.90, 1.5
LEAST_TIMES = {KSERVE: 20.0, MLSERVER: 25.0, BENTOML: 35.0, PREDECESSOR: 1000.0}
"""How many times faster than each of the others, at 16 connections."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where we are slower than promised."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one shot")
    options = parser.parse_args(arguments)
    if not can_measure():
        return 0
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name, ExitStack() as stack:
        contenders = list(_contenders(Path(name), stack))
        resident = {one.name: memory(one) for one in contenders}
        return _report(measure(contenders, CONNECTIONS, options.rounds, options.seconds), resident)


def _contenders(folder: Path, stack: ExitStack) -> Iterator[Contender]:
    """Start all of them, ours first: the floor answers with as many bytes."""
    ours = stack.enter_context(_ours(folder))
    yield ours
    prepare_peers(folder)
    shared = {"BENCH_FOLDER": str(folder)}
    yield stack.enter_context(contending_floor(len(httpx.get(ours.url).content), shared))
    port = free_port()
    command = ["-m", "bentoml", "serve", "tests.bench.peers.idiomatic:Idiomatic", "--port", str(port)]
    body = f'{{"row":{_numbers()}}}'
    yield stack.enter_context(
        contending(BENTOML, command, port, "/predict", {**shared, "BENTOML_DO_NOT_TRACK": "True"}, body)
    )
    port = free_port()
    command = [*UVICORN, str(port), "tests.bench.peers.predecessor:app"]
    yield stack.enter_context(contending(PREDECESSOR, command, port, "/forecast", shared))
    for start in (_kserve, _mlserver):
        yield from start(folder, stack, shared)


def _kserve(folder: Path, stack: ExitStack, shared: Mapping[str, str]) -> Iterator[Contender]:
    """Start KServe's own Python server with a custom model: its ready-made one for XGBoost is not on PyPI."""
    python = python_of(KSERVE)
    if python is not None:
        port = free_port()
        command = [str(ROOT / "tests/bench/peers/kserve_model.py"), str(port), str(folder / "model.ubj")]
        body, path = f'{{"instances":[{_numbers()}]}}', "/v1/models/boosted:predict"
        yield stack.enter_context(contending(KSERVE, command, port, path, shared, body, python))


def _mlserver(folder: Path, stack: ExitStack, shared: Mapping[str, str]) -> Iterator[Contender]:
    """Start MLServer with its own runtime for XGBoost, in one process."""
    python = python_of(MLSERVER)
    if python is not None:
        port, settings = free_port(), folder / "mlserver"
        settings.mkdir()
        model = {
            "name": "xgb",
            "implementation": "mlserver_xgboost.XGBoostModel",
            "parameters": {"uri": "../model.ubj"},
        }
        server = {
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "debug": False,
        }
        (settings / "model-settings.json").write_text(json.dumps(model))
        (settings / "settings.json").write_text(json.dumps(server))
        row = {"name": "row", "shape": [1, COLUMNS], "datatype": "FP32", "data": json.loads(_numbers())}
        command = ["-m", "mlserver.cli.main", "start", str(settings)]
        body, path = json.dumps({"inputs": [row]}), "/v2/models/xgb/infer"
        yield stack.enter_context(contending(MLSERVER, command, port, path, shared, body, python))


def _numbers() -> str:
    return f"[{','.join(['0.1'] * COLUMNS)}]"


@contextmanager
def _ours(folder: Path) -> Iterator[Contender]:
    """Run the service on a database that holds what it answers about."""
    with database_in(folder) as database:
        begin(database, BTC)
        with serving_ours(database, folder, [BTC], f"/v1/forecasts/latest?series={BTC}&horizon=1") as contender:
            yield contender


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


def _report(found: Found, resident: Mapping[str, float]) -> int:
    for connections in CONNECTIONS:
        say(f"\n{connections} connection{'s' * (connections > 1)}")
        for name, mebibytes in resident.items():
            shots = found[name, connections]
            share = times(found, name, FLOOR, connections)
            speed = f"{shots.rate:10,.0f} answers/s {share:8.4f} x bare"
            cost = f"{1000 * shots.cost:8,.0f} us of processor"
            say(f"  {name:26} {speed}   p99 {shots.late:8.2f} ms   {cost}   {mebibytes:4.0f} MiB")
    kept = [is_kept(f"{c} connections: at least {LEAST_OF_FLOOR} x bare", _of_floor(found, c)) for c in CONNECTIONS]
    for name, least in LEAST_TIMES.items():
        if name in resident:
            faster = times(found, OURS, name, 16)
            kept.append(is_kept(f"{least:,.0f} x {name}: {faster:,.0f} x", faster >= least))
        else:
            say(f"NOT MEASURED: {least:,.0f} x {name}")
    return 0 if all(kept) else 1


def _of_floor(found: Found, connections: int) -> bool:
    ours, floor = found[OURS, connections], found[FLOOR, connections]
    return ours.rate >= LEAST_OF_FLOOR * floor.rate and ours.late <= MOST_OF_ITS_P99 * floor.late


if __name__ == "__main__":
    sys.exit(main())
