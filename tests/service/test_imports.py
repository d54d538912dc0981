"""What the service's processes carry: no library that they can do without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from candlecast.store import models
from candlecast.store.database import Database
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from tests.programs import ROOT
from tests.service.house import NOON, TRAINED, WORLD, begin, body, service_environment, serving
from tests.waiting import eventually

NEVER = ("pandas", "sklearn", "numba", "xgboost", "scipy", "joblib")
ONLY_TO_EXPORT = ("pyarrow",)

_PROGRAM = f"""
import json, sys
from pathlib import Path
import numpy as np
from candlecast.candles import Candles, Interval, Series
from candlecast.xgb import XGBForecaster
import service.__main__, service.app, service.shortcut
app = service.app.Candlecast.to_asgi()
folder = Path(sys.argv[1])
artefacts = {{path.name: path.read_bytes() for path in (folder / "artefacts").iterdir()}}
model = XGBForecaster.from_bytes(artefacts, json.loads((folder / "manifest.json").read_text()))
series = Series.parse({str(TRAINED)!r})
candles = Candles.of(series.interval, **np.load(folder / "candles.npz"))
print(repr(model.forecast(series, candles)))
assert model.explain(series, candles)
found = {{name.partition(".")[0] for name in sys.modules}} & set({(*NEVER, *ONLY_TO_EXPORT)!r})
assert not found, f"imported for nothing: {{found}}"
"""


@pytest.fixture(scope="module")
def model() -> XGBForecaster:
    return XGBForecaster.fit({TRAINED: WORLD[TRAINED]}, [1, 5], seed=1)


def test_to_serve_a_model_imports_nothing_that_only_training_needs(model: XGBForecaster, tmp_path: Path) -> None:
    (tmp_path / "artefacts").mkdir()
    for name, raw in model.to_bytes().items():
        (tmp_path / "artefacts" / name).write_bytes(raw)
    (tmp_path / "manifest.json").write_text(json.dumps(model.manifest))
    columns: dict[str, Any] = WORLD[TRAINED].columns()
    np.savez(tmp_path / "candles.npz", **columns)
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == repr(model.forecast(TRAINED, WORLD[TRAINED]))


@pytest.mark.slow
@pytest.mark.timeout(900)  # installs some seventy packages
def test_the_extra_of_the_service_suffices_to_serve_a_model(
    model: XGBForecaster, database: Database, database_url: str, tmp_path: Path
) -> None:
    begin(database, TRAINED)
    _promote(database, model)
    python = _serving_environment(tmp_path / "venv")
    environment = service_environment(database_url, tmp_path, str(TRAINED), service_workers="2")
    with serving(environment, database, tmp_path, python=python) as house:
        answer = eventually(lambda: _forecast_by_the_model(house.latest(TRAINED)))
        (said, _) = model.forecast(TRAINED, WORLD[TRAINED])
        assert answer["point"] == {
            "open": said.open, "high": said.high, "low": said.low, "close": said.close, "range": said.range
        }  # fmt: skip
        computed = house.http.post("/v1/forecasts", json=body(WORLD[TRAINED][-512:], series=str(TRAINED)))
        assert computed.json()["forecasts"][0]["point"] == answer["point"]
        mapped = _mapped_files(house.process.pid)
        assert any(path.endswith("libxgboost.so") for path in mapped)
        assert not _of(mapped, (*NEVER[:3], *NEVER[4:], *ONLY_TO_EXPORT))
        parquet = house.http.get("/v1/candles", params={"series": str(TRAINED), "last": 10, "format": "parquet"})
        assert parquet.content[:4] == b"PAR1"


def _promote(database: Database, model: XGBForecaster) -> None:
    manifest = json.loads(json.dumps(model.manifest))
    decision = {"promote": True, "reason": "test"}
    version = Version("lean", "xgboost", "replay", TRAINED.interval, NOON, manifest, decision, None)
    with database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        models.promote(connection, version, now=NOON, reason="a test says so")


def _serving_environment(folder: Path) -> Path:
    """Install what the lock holds for the service's extra, and nothing else; return its Python."""
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    if not Path(uv).is_file():
        pytest.skip("needs uv, which `make setup` fetches")
    python = folder / "bin" / "python"
    requirements = ROOT / "service" / "requirements.txt"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), "-r", str(requirements)],
    ):
        subprocess.run(command, check=True, cwd=ROOT)
    # Our code comes from the repository; what is asked for is its version.
    (known,) = Path(np.__file__).parents[1].glob("candlecast-*.dist-info")
    (folder / Path(np.__file__).parents[1].relative_to(sys.prefix) / known.name).symlink_to(known)
    return python


def _forecast_by_the_model(answer: dict[str, object]) -> dict[str, object]:
    assert answer["status"] == "ok"
    return answer


def _mapped_files(root: int) -> set[str]:
    """Return what the supervisor and its workers have mapped: every compiled module that one of them imported."""
    parent = psutil.Process(root)
    return {mapped.path for one in (parent, *parent.children(recursive=True)) for mapped in one.memory_maps()}


def _of(paths: set[str], packages: tuple[str, ...]) -> list[str]:
    return [path for path in paths if set(Path(path).parts) & set(packages)]
