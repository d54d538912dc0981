"""The service as a process: several workers, a database that is away, being told to stop."""

import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, Popen

import httpx
import psutil
from sqlalchemy import text

from candlecast.store import candles as candle_store
from candlecast.store import ledger, models
from candlecast.store.database import Database
from candlecast.store.ledger import Entry
from candlecast.store.migrate import migrate
from tests.making import make_forecast
from tests.programs import ROOT, running
from tests.service.house import BTC, EMPTY, NOON, House, begin, service_environment, serving, wait_until_ready
from tests.waiting import eventually


def _write_and_tamper(database: Database) -> None:
    """Write two forecasts down as a service did long ago, and change the first behind the triggers' back."""
    cutoffs = [NOON - hours * timedelta(hours=4) for hours in (9, 8)]
    said = [make_forecast(cutoff, BTC.interval) for cutoff in cutoffs]
    with database.begin() as connection:
        candle_store.add_series(connection, [BTC])
        models.register_naive(connection)
        for one in said:
            ledger.record(connection, BTC, [Entry(one, models.NAIVE, "baseline", one.cutoff)])
        connection.execute(text("ALTER TABLE forecast DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE forecast SET close = close + 1 WHERE position = 1"))
        connection.execute(text("ALTER TABLE forecast ENABLE TRIGGER USER"))


def test_two_workers_count_as_one_agree_and_stop_when_told(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    begin(database, BTC)
    _write_and_tamper(database)
    environment = service_environment(database_url, tmp_path, str(BTC), service_workers="2")
    with serving(environment, database, tmp_path) as house:
        workers = eventually(lambda: _ready_workers(house), 60)

        before = _count(house, "/v1/series", "200")
        for _ in range(60):
            house.alone("/v1/series")
        assert _count(house, "/v1/series", "200") == before + 60
        assert _count(house, "/v1/series", "200") == before + 60

        house.alone("/never/seen")
        known = _series_of_metrics(house)
        for _ in range(60):
            assert house.alone(f"/{random.random()}/{random.random()}").status_code == 404  # noqa: S311
        assert _series_of_metrics(house) == known
        assert _count(house, "unknown", "404") == 61

        answers = [house.alone("/v1/forecasts/latest").json()["forecasts"] for _ in range(12)]
        said = {str([{**one, "now": None} for one in answer]) for answer in answers}
        assert len(said) == 1
        with database.begin() as connection:
            assert len(ledger.read(connection, BTC, 1, start=NOON)) == 1

        status = eventually(lambda: _checked(house), 10)
        assert status["ledger_intact"] is False
        assert str(status["ledger_broken_at"]).endswith("#1")

        began = time.monotonic()
        house.process.send_signal(signal.SIGTERM)
        assert house.process.wait(30) == 0
        assert time.monotonic() - began < 15
        assert not [worker for worker in workers if worker.is_running()]
        assert not list(tmp_path.glob("candlecast-metrics-*"))
        assert all(json.loads(line)["logger"] for line in house.log.read_text().splitlines())


def _ready_workers(house: House) -> list[psutil.Process]:
    assert house.log.read_text().count("Application startup complete") == 2
    assert all(house.alone("/readyz").is_success for _ in range(20))
    workers = [child for child in psutil.Process(house.process.pid).children() if "spawn_main" in str(child.cmdline())]
    assert len(workers) == 2
    return workers


def _count(house: House, route: str, status: str) -> float:
    labels = f'{{method="GET",route="{re.escape(route)}",status="{status}"}}'
    found = re.search(rf"^candlecast_http_request_duration_seconds_count{labels} (\S+)$", _metrics(house), re.MULTILINE)
    return float(found[1]) if found else 0


def _series_of_metrics(house: House) -> set[str]:
    """Return all metric names with their labels, without those that asking for them adds."""
    lines = [line.rsplit(" ", 1)[0] for line in _metrics(house).splitlines() if not line.startswith("#")]
    return {line for line in lines if 'route="/metrics"' not in line}


def _metrics(house: House) -> str:
    response = house.alone("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


def _checked(house: House) -> dict[str, object]:
    status: dict[str, object] = house.alone("/v1/status").json()
    assert status["ledger_checked_at"]
    return status


_POSTGRES = """
import sys
from pathlib import Path
from candlecast.store.embedded import embedded_url
print(embedded_url(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """Run an embedded Postgres of its own as long as the block lasts; return its address."""
    command = [sys.executable, "-c", _POSTGRES, str(folder)]
    with Popen(command, stdin=PIPE, stdout=PIPE, cwd=ROOT, text=True) as keeper:
        assert keeper.stdout is not None
        yield keeper.stdout.readline().strip()
        assert keeper.stdin is not None
        keeper.stdin.close()
        assert keeper.wait(30) == 0


def test_the_service_waits_for_its_database_and_goes_on_without_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with _postgres(data) as url:
        migrate(Database(url))
        begin(Database(url), BTC)
    environment = service_environment(url, tmp_path, f"{BTC},{EMPTY}", poll_seconds="0.2")
    with serving(environment, Database(url), tmp_path) as house:
        eventually(lambda: "cannot reach the database" in house.log.read_text(), 30)
        assert house.http.get("/readyz").status_code == 503
        assert house.http.get("/livez").status_code == 200
        assert house.http.get("/").status_code == 200
        for path in ("/v1/forecasts/latest", "/v1/series", "/v1/status", "/v1/runs"):
            response = house.http.get(path)
            assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
            assert response.headers["content-type"] == "application/problem+json"
            assert int(response.headers["retry-after"]) > 0

        with _postgres(data):
            wait_until_ready(house)
            answer = house.latest(BTC)
            assert (answer["status"], answer["stale"]) == ("baseline", False)

        stale = eventually(lambda: _stale(house), 30)
        assert stale | {"now": None, "stale": False} == answer | {"now": None}
        assert house.latest(EMPTY)["reason"] == "no_candles"
        assert house.http.get("/readyz").status_code == 200
        assert house.get("/v1/status")["database"] == "away"
        response = house.http.get("/v1/series")
        assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")

        with _postgres(data):
            eventually(lambda: not house.latest(BTC)["stale"], 30)
            assert house.get("/v1/status")["database"] == "ok"
            house.process.send_signal(signal.SIGTERM)
            assert house.process.wait(15) == 0


def _stale(house: House) -> dict[str, object]:
    answer = house.latest(BTC)
    assert answer["stale"]
    return answer


def test_a_wrong_setting_ends_the_service_with_its_name(tmp_path: Path, database_url: str) -> None:
    environment = service_environment(database_url, tmp_path, "binance:BTC:15m")
    log = tmp_path / "log"
    with running([sys.executable, "-m", "service"], environment, log) as process:
        assert process.wait(60) == 78
    assert "CANDLECAST_SERIES" in log.read_text()


def _bentoml_environment(house: House, folder: Path) -> dict[str, str]:
    ours = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / "bentoml")}
    return service_environment(house.database.address, folder, str(BTC)) | ours


def _serve(target: str, port: str) -> tuple[str, ...]:
    return ("-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", port)


def test_bentoml_serves_the_same_answers(house: House, tmp_path: Path) -> None:
    environment = _bentoml_environment(house, tmp_path)
    command = _serve("service.app:Candlecast", environment["CANDLECAST_SERVICE_PORT"])
    with serving(environment, house.database, tmp_path, *command) as bento:
        wait_until_ready(bento)
        for horizon in (1, 5):
            assert bento.latest(BTC, horizon) | {"now": None} == house.latest(BTC, horizon) | {"now": None}
        problem = bento.http.get("/v1/nothing")
        assert (problem.status_code, problem.json()["code"]) == (404, "not_found")
        assert "candlecast_http_request_duration_seconds" in bento.http.get("/metrics").text


def test_a_bento_is_built_and_serves_without_the_repository(house: House, tmp_path: Path) -> None:
    environment, log = _bentoml_environment(house, tmp_path), tmp_path / "build.log"
    environment["PATH"] = f"{_folder_with_a_uv(tmp_path)}{os.pathsep}{environment['PATH']}"
    with running([sys.executable, "-m", "bentoml", "build", ROOT, "--output", "tag"], environment, log) as build:
        assert build.wait(120) == 0, log.read_text()
    (tag,) = re.findall(r"__tag__:(\S+)", log.read_text())
    python = _python_without_our_code(tmp_path / "venv")
    command = _serve(tag, environment["CANDLECAST_SERVICE_PORT"])
    with serving(environment, house.database, tmp_path, *command, python=python, cwd=tmp_path) as bento:
        wait_until_ready(bento)
        assert bento.latest(BTC) | {"now": None} == house.latest(BTC) | {"now": None}
        assert bento.get("/") == house.get("/")


def _folder_with_a_uv(folder: Path) -> Path:
    """Return a folder with a `uv` that would fail: bentoml insists on one although nothing is left to resolve."""
    (folder / "bin").mkdir()
    (folder / "bin" / "uv").symlink_to("/bin/false")
    return folder / "bin"


def _python_without_our_code(folder: Path) -> Path:
    """Make an environment with what is installed here but our code, as the image's: that must come from the Bento."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    with running(command, os.environ, folder.with_suffix(".log")) as venv:
        assert venv.wait(60) == 0
    installed = Path(httpx.__file__).parents[1]
    packages = folder / installed.relative_to(Path(sys.prefix))
    for path in installed.iterdir():
        if "candlecast" not in path.name or path.suffix == ".dist-info":
            (packages / path.name).symlink_to(path)
    return folder / "bin" / "python"
