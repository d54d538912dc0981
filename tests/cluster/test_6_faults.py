"""What goes wrong in a cluster sooner or later: two runs at once, missed schedules, Postgres away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from candlecast.errors import JobLocked
from tests.cluster.conftest import Installation
from tests.cluster.rig import VALUES, Caller, Object, Rig, readers, until

PATH = "/v1/forecasts/latest"


@pytest.mark.row(42)
def test_a_run_beside_another_says_that_the_other_holds_the_lock(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    status, asked = caller.call("POST", "/v1/runs", {"job": "training"}, token=rig.token())
    assert status == 202, asked

    def state() -> str:
        (run,) = caller.get(f"/v1/runs?request_id={asked['request_id']}")["runs"]
        return str(run["state"])

    until(lambda: state() != "queued", 120, "run that has begun")
    rig.kubectl("create", "job", "beside", f"--from=cronjob/{rig.release}-training")
    until(lambda: bool(_exit_codes(rig, "beside")), 180, "end of the second")
    assert _exit_codes(rig, "beside")[0] == JobLocked.exit_code
    rig.kubectl("delete", "job", "beside", "--wait=false")
    until(lambda: state() == "succeeded", 600, "end of the first")


@pytest.mark.row(43)
def test_ingestion_makes_up_for_the_runs_that_it_missed(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    series = str(caller.get("/v1/series")["series"][0]["series"])
    upgrade = ("upgrade", rig.release, "helm/candlecast", "--values", VALUES)
    rig.helm(*upgrade, "--set", "ingestion.suspend=true")
    before = _newest(caller, series)
    until(lambda: _age(caller, series) > 3 * _interval(series), 600, "candles that are three intervals old")
    rig.helm(*upgrade)
    until(lambda: _age(caller, series) < _interval(series) * 2, 240, "fresh candles")
    candles = caller.get(f"/v1/candles?series={series}&last=50")["open_time"]
    gaps = {later - earlier for earlier, later in pairwise(candles)}
    assert _newest(caller, series) > before
    assert gaps == {_interval(series) * 1000}


@pytest.mark.row(37)
def test_without_postgres_old_pods_answer_and_a_new_one_is_not_ready(
    installation: Installation, caller: Caller
) -> None:
    rig = installation.rig
    until(lambda: len(rig.pods("service")) >= 2 and all(map(_is_ready, rig.pods("service"))), 180, "two replicas")
    known = {pod["metadata"]["name"] for pod in rig.pods("service")}
    deleted = min(known)
    with readers(caller, seconds=150), _without_postgres(rig):
        away = time.monotonic()
        rig.kubectl("delete", "pod", deleted, "--wait=false")

        def replaced() -> list[Object]:
            return [pod for pod in rig.get("pod", component="service") if pod["metadata"]["name"] not in known]

        until(lambda: bool(replaced()), 60, "new pod")
        until(lambda: _stale(caller) == {True}, 60, "forecasts that are marked stale")
        until(lambda: time.monotonic() - away > 60, 61, "minute without Postgres")
        assert not any(map(_is_ready, replaced()))
        assert all(_is_ready(rig.get("pod", name)) for name in known - {deleted})
    until(lambda: len(rig.pods("service")) >= 2 and all(map(_is_ready, rig.pods("service"))), 240, "readiness of all")
    until(lambda: _stale(caller) == {False}, 240, "forecasts that are up to date")


@contextmanager
def _without_postgres(rig: Rig) -> Iterator[None]:
    """Take Postgres away, and give it back whatever happens."""
    database = f"statefulset/{rig.release}-database"
    rig.kubectl("scale", database, "--replicas=0")
    try:
        until(lambda: not rig.pods("database"), 60, "end of Postgres")
        yield
    finally:
        rig.kubectl("scale", database, "--replicas=1")


def _exit_codes(rig: Rig, job: str) -> list[int]:
    pods = json.loads(rig.kubectl("get", "pod", "-l", f"job-name={job}", "-o", "json"))["items"]
    ended = [
        container["state"].get("terminated") for pod in pods for container in pod["status"].get("containerStatuses", ())
    ]
    return [state["exitCode"] for state in ended if state]


def _newest(caller: Caller, series: str) -> int:
    return int(caller.get(f"/v1/candles?series={series}&last=1")["open_time"][-1])


def _age(caller: Caller, series: str) -> float:
    """Return how many seconds of the venue's clock have passed since the newest candle closed."""
    (row,) = [one for one in caller.get("/v1/series")["series"] if one["series"] == series]
    return float(row["age_seconds"])


def _stale(caller: Caller) -> set[bool]:
    return {one["stale"] for one in caller.get(PATH)["forecasts"]}


def _interval(series: str) -> int:
    return {"5m": 300, "15m": 900}[series.rsplit(":", 1)[1]]


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
