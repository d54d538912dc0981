"""docs/api.md is true: every line of it is run by a shell against the service."""

import os
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from candlecast.drift import ColumnDrift, DriftSummary, Window
from candlecast.store import drift, models, runs
from candlecast.store.models import Version
from candlecast.xgb import XGBForecaster
from service.examples import MODEL
from tests.programs import ROOT
from tests.service.house import NOON, PROMOTED, TOKEN, WORLD, House

LINES = re.findall(r"\n## (\S+ \S+)\n.*?```sh\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), flags=re.DOTALL)
HERE = {"binance:BTC-USDT:15m": str(PROMOTED), "interval=15m": "interval=5m"}


@pytest.fixture(scope="module")
def numbers(house: House) -> dict[str, str]:
    """Let there be what the lines name: a model version, a drift report, a run that goes on, a request that waits."""
    model = XGBForecaster.fit({PROMOTED: WORLD[PROMOTED]}, [1, 5], seed=3)
    version = Version(MODEL, "xgboost", "replay", PROMOTED.interval, NOON, model.manifest, None, None)
    reference = Window(NOON - timedelta(days=3), NOON - timedelta(days=1), 100)
    current = Window(NOON - timedelta(days=1), NOON, 9)
    summary = DriftSummary("wasserstein", {"range": ColumnDrift(0.1, 0.2)}, "<p>moved</p>")
    with house.database.begin() as connection:
        models.register(connection, version, model.to_bytes(), [])
        kind = ("replay", PROMOTED.interval)
        report = drift.record(
            connection, kind, summary, reference=reference, current=current, model_version=None, now=NOON
        )
        asked = runs.ask(connection, "drift", {}, requested_by="anna")
        claimed = runs.claim(connection, "drift")
        while claimed and claimed.request_id != asked:
            claimed = runs.claim(connection, "drift")
        run = runs.start(connection, "drift", claimed, holder="a test")
        waiting = runs.ask(connection, "training", {}, requested_by="anna")
    return {"/drift/4": f"/drift/{report}", "/runs/7": f"/runs/{run}", "/run-requests/3": f"/run-requests/{waiting}"}


def test_every_route_has_a_line(house: House) -> None:
    known = house.get("/openapi.json")["paths"]
    assert [title for title, _ in LINES] == [f"{m.upper()} {path}" for path, methods in known.items() for m in methods]


@pytest.mark.skipif(shutil.which("curl") is None, reason="NO CURL: the lines of docs/api.md are not tested")
@pytest.mark.parametrize(("title", "line"), LINES, ids=[title for title, _ in LINES])
def test_the_line_runs(house: House, numbers: dict[str, str], tmp_path: Path, title: str, line: str) -> None:
    for written, here in (HERE | numbers).items():
        line = line.replace(written, here)
    environment = os.environ | {"URL": str(house.http.base_url).rstrip("/"), "TOKEN": TOKEN}
    ran = subprocess.run(["bash", "-c", line], env=environment, cwd=tmp_path, capture_output=True, timeout=60)
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stdout
