"""The first minutes of an installation: what a newcomer sees, in this order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.browser.page import open_page
from tests.cluster.conftest import Installation
from tests.cluster.rig import LABEL, Caller, Rig, until


@pytest.mark.row(57)
def test_the_first_forecast_comes_within_five_minutes(installation: Installation) -> None:
    print(f"first forecast ({installation.first_status}) after {installation.seconds_to_forecast:.0f} s")  # noqa: T201
    assert installation.seconds_to_forecast < 300


@pytest.mark.row(14)
def test_every_component_runs_under_the_restricted_profile(installation: Installation) -> None:
    rig = installation.rig

    def all_ready() -> bool:
        return all(
            one["status"].get("readyReplicas", 0) == one["spec"]["replicas"] > 0
            for one in [*rig.get("deployment"), *rig.get("statefulset")]
        )

    until(all_ready, 180, "readiness of every deployment")
    assert {one["metadata"]["labels"][LABEL] for one in rig.get("deployment")} == {
        "service",
        "ui",
        "exporter",
        "dispatcher",
    }


@pytest.mark.row(23, 47)
def test_helm_test_passes(installation: Installation) -> None:
    rig = installation.rig
    assert "ok   forecast" in rig.helm("test", rig.release, "--logs", "--timeout", "6m")


@pytest.mark.row(57)
def test_the_first_training_follows_the_first_ingestion(installation: Installation, caller: Caller) -> None:
    def trained() -> bool:
        return any(run["job"] == "training" and run["state"] == "succeeded" for run in _runs(caller))

    waited = until(trained, 600, "finished training")
    print(f"trained {waited:.0f} s later: {[m['id'] for m in caller.get('/v1/models')['models']]}")  # noqa: T201


@pytest.mark.row(20, 23)
def test_a_run_asked_for_over_http_becomes_a_job_of_its_cronjob_and_finishes(
    installation: Installation, caller: Caller
) -> None:
    rig = installation.rig
    status, refused = caller.call("POST", "/v1/runs", {"job": "training"})
    assert status == 401, refused
    status, run = caller.call("POST", "/v1/runs", {"job": "training"}, token=rig.token())
    assert status == 202, run
    name = f"{rig.release}-training-manual-{run['request_id']}"
    until(lambda: rig.attempt("get", "job", name)[0], 60, f"Job {name}")
    job = rig.get("job", name)
    assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert job["metadata"]["ownerReferences"][0]["name"] == f"{rig.release}-training"

    def finished() -> bool:
        mine = [one for one in _runs(caller) if one["request_id"] == run["request_id"]]
        assert not mine or mine[0]["state"] != "failed", json.dumps(mine)
        return bool(mine) and mine[0]["state"] == "succeeded"

    until(finished, 600, "finished run")
    rig.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s")


@pytest.mark.row(23)
def test_the_screens_train_button_becomes_a_job_and_its_outcome_is_shown(
    installation: Installation, caller: Caller, tmp_path: Path
) -> None:
    rig = installation.rig
    with rig.forwarded("ui", 7860) as url, open_page(f"{url}?tab=models", tmp_path) as screen:
        known = {run["request_id"] for run in _runs(caller)}
        screen.page.locator("#train").click(timeout=60_000)
        progress = screen.page.locator("#progress")
        until(lambda: re.search("promoted|refused", progress.inner_text()) is not None, 600, "outcome on the screen")
        screen.picture("trained")
        assert screen.complaints == []
    (asked,) = [run for run in _runs(caller) if run["request_id"] not in known and run["job"] == "training"]
    assert asked["state"] == "succeeded"
    name = f"{rig.release}-training-manual-{asked['request_id']}"
    rig.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=60s")


@pytest.mark.row(23)
def test_candles_keep_coming_by_the_schedule(rig: Rig, caller: Caller) -> None:
    def newest() -> int:
        series = caller.get("/v1/series")["series"][0]["series"]
        return int(caller.get(f"/v1/candles?series={series}&last=1")["open_time"][-1])

    before = newest()
    until(lambda: newest() > before, 180, "newer candle")
    scheduled = [
        one
        for one in rig.get("job", component="ingestion")
        if one["metadata"].get("annotations", {}).get("cronjob.kubernetes.io/instantiate") != "manual"
    ]
    assert scheduled


def _runs(caller: Caller) -> list[dict[str, object]]:
    runs: list[dict[str, object]] = caller.get("/v1/runs?limit=100")["runs"]
    return runs
