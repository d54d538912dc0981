"""Runs that several pods share: one run, every series, and no other number of pods than the CronJob's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import Installation
from tests.cluster.rig import VALUES, Object, Rig, until
from tests.cluster.test_2_bounds import create_as_dispatcher, manual_job

INGESTION, TRAINING = 3, 2


@pytest.fixture(scope="module")
def shared(installation: Installation) -> Iterator[Installation]:
    """Return the installation with runs that pods share, and only those that are asked for."""
    rig = installation.rig
    _upgrade(
        rig,
        f"ingestion.parallelism={INGESTION},training.parallelism={TRAINING}",
        "ingestion.suspend=true,ingestion.activeDeadlineSeconds=280",
    )
    until(lambda: not _active(rig, "ingestion"), 300, "end of the scheduled ingestion")
    yield installation
    _upgrade(rig)


def test_a_job_of_as_many_pods_as_the_cronjobs_is_allowed_and_another_is_refused(shared: Installation) -> None:
    job = manual_job(shared.rig, "ingestion")
    worked, answer = create_as_dispatcher(shared.rig, job)
    assert worked, answer
    for name, value in (("parallelism", 1), ("parallelism", 4), ("completions", 4), ("completionMode", "NonIndexed")):
        other = {**job, "spec": {**job["spec"], name: value}}
        worked, answer = create_as_dispatcher(shared.rig, other)
        assert not worked
        assert "as many pods at once as the CronJob says" in answer, (name, value)


def test_three_pods_make_one_run_of_ingestion_and_all_series_are_fresh(shared: Installation) -> None:
    _run(shared, "ingestion", INGESTION)
    series = shared.caller.get("/v1/series")["series"]
    assert len(series) == 4
    assert [one["series"] for one in series if not one["fresh"]] == []


def test_two_pods_make_one_run_of_training(shared: Installation) -> None:
    _run(shared, "training", TRAINING)


def _run(shared: Installation, job: str, pods: int) -> None:
    """Ask for a run and see that all its pods end well, and that it is one run."""
    rig, caller = shared.rig, shared.caller
    status, asked = caller.call("POST", "/v1/runs", {"job": job}, token=rig.token())
    assert status == 202, asked
    name = f"{rig.release}-{job}-manual-{asked['request_id']}"
    until(lambda: rig.attempt("get", "job", name)[0], 90, f"Job {name}")
    rig.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--timeout=900s")
    made = json.loads(rig.kubectl("get", "pod", "-l", f"job-name={name}", "-o", "json"))["items"]
    assert sorted(map(_index, made)) == list(range(pods))
    assert {pod["status"]["phase"] for pod in made} == {"Succeeded"}
    (run,) = [one for one in caller.get(f"/v1/runs?job={job}")["runs"] if one["request_id"] == asked["request_id"]]
    assert (run["state"], run["failed"], run["exit_code"]) == ("succeeded", 0, 0)


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def _active(rig: Rig, job: str) -> list[Any]:
    return list(rig.get("cronjob", f"{rig.release}-{job}")["status"].get("active", ()))


def _upgrade(rig: Rig, *values: str) -> None:
    changes = [word for change in values for word in ("--set", change)]
    rig.helm("upgrade", rig.release, "helm/candlecast", "--values", VALUES, *changes, "--wait", "--timeout", "5m")
