"""What one prediction costs: XGBoost's shared library as we call it, beside its package and other ways to walk trees.

Every contender runs in a process of its own, one after the other and over again, on the same booster and rows; what
counts are medians of CPU time over runs, and in a run its first decile, what a call costs that others did not disturb.
Those that are not installed are left out with a sentence: onnxruntime with onnxmltools, and treelite.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from candlecast.features import FloatMatrix
from tests.programs import ROOT

COLUMNS = 50
ROUNDS = 300
SIZES = {1: 400, 64: 60, 193: 40, 1024: 12}
"""How many rows are asked at once, and how often in one run; 193 is what one forecast asks its scale."""

_Predict = Callable[[FloatMatrix], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=CONTENDERS, help="measure this one here, and print JSON")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    if options.one:
        _say(json.dumps(_measured(options.one, options.folder)))
        return 0
    with tempfile.TemporaryDirectory(prefix="candlecast-bench-") as name:
        folder = Path(name)
        _fit(folder)
        found: dict[str, list[Mapping[str, float]]] = {}
        for _ in range(options.rounds):
            for contender in _installed():
                found.setdefault(contender, []).append(_apart(contender, folder))
    _report(found)
    return 0


def _fit(folder: Path) -> None:
    """Write a booster and rows with what it says of them, a tenth of the values not known."""
    import xgboost

    dice = np.random.default_rng(11)
    rows = dice.standard_normal((20_000, COLUMNS), dtype=np.float32)
    label = 0.1 * rows[:, 0] + dice.standard_normal(len(rows))
    rows[dice.random(rows.shape) < 0.1] = np.nan
    settings = {"max_depth": 6, "eta": 0.05, "nthread": 1, "seed": 0}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, label), ROUNDS)
    booster.save_model(folder / "model.ubj")
    booster.save_model(folder / "model.json")
    asked = rows[: 4 * max(SIZES)]
    np.savez(folder / "rows.npz", rows=asked, said=booster.inplace_predict(asked, predict_type="margin"))


def _installed() -> Iterator[str]:
    for name, (_, needs) in CONTENDERS.items():
        missing = [module for module in needs if importlib.util.find_spec(module) is None]
        if not missing:
            yield name
        elif name not in _left_out:
            _left_out.add(name)
            _say(f"left out: {name}, because {' and '.join(missing)} cannot be imported")


_left_out: set[str] = set()


def _apart(contender: str, folder: Path) -> Mapping[str, float]:
    command = [sys.executable, "-m", "tests.bench.predictors", "--one", contender, "--folder", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    found: Mapping[str, float] = json.loads(said)
    return found


def _measured(contender: str, folder: Path) -> dict[str, float]:
    """Return microseconds by number of rows, what loading took, ms and MiB, and the largest difference to XGBoost."""
    stored = np.load(folder / "rows.npz")
    rows, said = stored["rows"], stored["said"]
    before, began = psutil.Process().memory_info().rss, time.process_time()
    predict = CONTENDERS[contender][0](folder)
    predict(rows[:1])
    loaded = {
        "load ms": 1e3 * (time.process_time() - began),
        "load MiB": (psutil.Process().memory_info().rss - before) / 2**20,
    }
    difference = max(float(np.abs(np.ravel(predict(rows[:size])) - said[:size]).max()) for size in SIZES)
    return {str(size): _microseconds(predict, rows, size) for size in SIZES} | loaded | {"difference": difference}


def _microseconds(predict: _Predict, rows: FloatMatrix, size: int) -> float:
    taken = []
    for turn in range(SIZES[size]):
        start = turn * size % (len(rows) - size + 1)
        asked = np.ascontiguousarray(rows[start : start + size])
        began = time.process_time()
        predict(asked)
        taken.append(1e6 * (time.process_time() - began))
    return statistics.quantiles(taken, n=10)[0]


def _ours(folder: Path) -> _Predict:
    from candlecast.xgb.library import Booster

    return Booster((folder / "model.ubj").read_bytes()).margins


def _package(folder: Path) -> Any:
    import xgboost

    return xgboost.Booster({"nthread": 1}, model_file=folder / "model.ubj")


def _inplace(folder: Path) -> _Predict:
    booster = _package(folder)
    return lambda rows: booster.inplace_predict(rows, predict_type="margin", validate_features=False)


def _matrix(folder: Path) -> _Predict:
    import xgboost

    booster = _package(folder)
    return lambda rows: booster.predict(xgboost.DMatrix(rows, nthread=1), output_margin=True)


def _regressor(folder: Path) -> _Predict:
    import xgboost

    model = xgboost.XGBRegressor(n_jobs=1)
    model.load_model(folder / "model.ubj")
    model.set_params(n_jobs=1)
    predict: _Predict = model.predict
    return predict


def _onnx(folder: Path) -> _Predict:
    import onnxruntime  # type: ignore[import-not-found,unused-ignore]  # installed by whoever compares

    path = folder / "model.onnx"
    if not path.exists():
        _convert(folder, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"rows": rows})[0]


def _convert(folder: Path, path: Path) -> None:
    """Convert in a process of its own, whose memory is not the contender's."""
    code = (
        "import sys, xgboost, onnxmltools;"
        "from onnxmltools.convert.common.data_types import FloatTensorType;"
        "model = xgboost.XGBRegressor(); model.load_model(sys.argv[1]);"
        f"types = [('rows', FloatTensorType([None, {COLUMNS}]))];"
        "made = onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15);"
        "open(sys.argv[2], 'wb').write(made.SerializeToString())"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / "model.json"), str(path)], check=True, capture_output=True)


def _treelite(folder: Path) -> _Predict:
    import treelite  # type: ignore[import-not-found,unused-ignore]  # installed by whoever compares

    model = treelite.frontend.load_xgboost_model(str(folder / "model.json"))
    return lambda rows: treelite.gtil.predict(model, rows, nthread=1)


CONTENDERS: Mapping[str, tuple[Callable[[Path], _Predict], tuple[str, ...]]] = {
    "ours: the shared library": (_ours, ("xgboost",)),
    "xgboost inplace_predict": (_inplace, ("xgboost",)),
    "xgboost predict(DMatrix)": (_matrix, ("xgboost",)),
    "XGBRegressor.predict": (_regressor, ("xgboost", "sklearn")),
    "ONNX Runtime": (_onnx, ("onnxruntime", "onnxmltools", "xgboost")),
    "treelite": (_treelite, ("treelite",)),
}
"""How each is loaded, and what it needs."""


def _report(found: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    columns = [*(f"{size}" for size in SIZES), "load ms", "load MiB", "difference"]
    _say(f"{'microseconds, by rows':30}" + "".join(f"{name:>12}" for name in columns))
    for contender, runs in found.items():
        medians = [statistics.median(run[name] for run in runs) for name in columns]
        _say(f"{contender:30}" + "".join(f"{value:12.1f}" for value in medians[:-1]) + f"{medians[-1]:12.1g}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the answer of a command


if __name__ == "__main__":
    sys.exit(main())
