"""What goes wrong in a cluster sooner or later: two runs at once, missed schedules, Postgres away."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest

from candlecast.errors import JobLocked
from tests.cluster.conftest import Installation
from tests.cluster.rig import Caller, Rig, outcome, until

PATH = "/v1/forecasts/latest"


@pytest.mark.row(42)
def test_of_two_runs_at_once_one_says_that_the_other_holds_the_lock(installation: Installation) -> None:
    rig = installation.rig
    for name in ("twin-1", "twin-2"):
        rig.kubectl("create", "job", name, f"--from=cronjob/{rig.release}-training")

    def one_was_locked_out() -> bool:
        codes = [code for name in ("twin-1", "twin-2") for code in _exit_codes(rig, name)]
        return JobLocked.exit_code in codes

    until(one_was_locked_out, 180, f"exit code {JobLocked.exit_code}")
    rig.kubectl("delete", "job", "twin-1", "twin-2", "--wait=false")


@pytest.mark.row(43)
def test_ingestion_makes_up_for_the_runs_that_it_missed(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    cronjob = f"cronjob/{rig.release}-ingestion"
    series = str(caller.get("/v1/series")["series"][0]["series"])
    rig.kubectl("patch", cronjob, "-p", '{"spec":{"suspend":true}}')
    before = _newest(caller, series)
    until(lambda: _age(caller, series) > 3 * _interval(series), 600, "candles that are three intervals old")
    rig.kubectl("patch", cronjob, "-p", '{"spec":{"suspend":false}}')
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
    database = f"statefulset/{rig.release}-database"
    until(lambda: len(rig.pods("service")) >= 2, 120, "two replicas")
    (kept, *others) = [pod["metadata"]["name"] for pod in rig.pods("service")]
    load = caller.load(PATH, seconds=120, threads=2, most=12000)
    rig.kubectl("scale", database, "--replicas=0")
    until(lambda: not rig.pods("database"), 60, "end of Postgres")
    away = time.monotonic()
    rig.kubectl("delete", "pod", others[0], "--wait=false")

    def is_not_ready() -> bool:
        new = [pod for pod in rig.pods("service") if pod["metadata"]["name"] not in (kept, *others)]
        return bool(new) and not _is_ready(new[0])

    until(is_not_ready, 60, "new pod that is not ready")
    assert _stale(caller) == {True}
    kept_pod = next(pod for pod in rig.pods("service") if pod["metadata"]["name"] == kept)
    assert _is_ready(kept_pod)
    until(lambda: time.monotonic() - away > 60, 61, "minute without Postgres")
    rig.kubectl("scale", database, "--replicas=1")
    seen = outcome(load)
    print(seen)  # noqa: T201
    assert seen["errors"] == {}
    assert seen["statuses"] == {"200": seen["requests"]}
    until(lambda: all(_is_ready(pod) for pod in rig.pods("service")), 240, "readiness of all")
    until(lambda: _stale(caller) == {False}, 240, "forecasts that are up to date")


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


def _is_ready(pod: dict[str, object]) -> bool:
    status = pod["status"]
    assert isinstance(status, dict)
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", ()))
