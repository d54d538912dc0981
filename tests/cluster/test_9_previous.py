"""From the release before, with its data, to this one and back, while readers read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.rig import VALUES, Caller, Rig, readers, until
from tools.generate_kubernetes import ROOT

NAMESPACE = "candlecast-test-previous"
CHART = ROOT / "var/previous-chart"
SECONDS = 150


@pytest.fixture(scope="module")
def previous() -> Iterator[tuple[Rig, Caller]]:
    """Install the release before from its own chart and images, and wait until it has forecast."""
    if not CHART.is_dir():
        pytest.skip("NOT TESTED: tests/cluster/previous-images CLUSTER builds the release before")
    rig, callers = Rig(NAMESPACE), Rig(f"{NAMESPACE}-callers")
    rig.fresh_namespace()
    callers.fresh_namespace()
    caller = Caller(callers, rig.address("service", 3000))
    caller.start()
    tags = ("--set", "image.registry=localhost,image.tag=previous,replay.image.tag=dev")
    rig.helm("install", rig.release, str(CHART), "--values", str(CHART / "ci/trial-replay.yaml"), *tags)
    caller.wait_for_forecast(300)
    yield rig, caller
    if not os.environ.get("CANDLECAST_KEEP"):
        rig.uninstall()
        for namespace in (rig, callers):
            namespace.kubectl("delete", "namespace", namespace.namespace, "--wait=false")


@pytest.mark.row(9, 38, 44)
def test_an_upgrade_migrates_the_data_and_costs_no_reader_an_answer(previous: tuple[Rig, Caller]) -> None:
    rig, caller = previous
    _wait_for_rows(rig, 20)
    before, revision = _ledger(caller), _revision(rig)
    assert _tags(rig) == {"previous"}
    with readers(caller, seconds=SECONDS):
        rig.helm("upgrade", rig.release, "helm/candlecast", "--values", VALUES, "--wait", "--timeout", "5m")
    assert _tags(rig) == {"dev"}
    assert _revision(rig) > revision
    assert _ledger(caller)[: len(before)] == before
    _wait_for_rows(rig, _rows(rig) + 1)
    _run_succeeds(rig, caller, "ingestion")


@pytest.mark.row(38, 46)
def test_a_rollback_serves_on_with_the_newer_schema(previous: tuple[Rig, Caller]) -> None:
    rig, caller = previous
    before, revision = _ledger(caller), _revision(rig)
    with readers(caller, seconds=SECONDS):
        rig.helm("rollback", rig.release, "1", "--wait", "--timeout", "5m")
    assert _tags(rig) == {"previous"}
    assert _revision(rig) == revision
    assert _ledger(caller)[: len(before)] == before
    _wait_for_rows(rig, _rows(rig) + 1)
    for job in ("ingestion", "training"):
        _run_succeeds(rig, caller, job)


def _store(rig: Rig, command: str) -> dict[str, Any]:
    answer = rig.kubectl("exec", rig.pod("service"), "-c", "service", "--", "python", "-m", "candlecast.store", command)
    told: dict[str, Any] = json.loads(answer)
    return told


def _rows(rig: Rig) -> int:
    """Return how many rows the ledger has; every hash must hold."""
    told = _store(rig, "verify-ledger")
    assert told["intact"], told
    return int(told["rows"])


def _wait_for_rows(rig: Rig, least: int) -> None:
    until(lambda: _rows(rig) >= least, 240, f"{least} rows in the ledger")


def _ledger(caller: Caller) -> list[dict[str, Any]]:
    """Return the newest forecasts of one series, oldest first, without what becomes known later."""
    series = caller.get("/v1/series")["series"][0]["series"]
    rows = caller.get(f"/v1/forecasts?series={series}&horizon=1&origin=live&last=500")["forecasts"]
    assert rows
    return [
        {name: row[name] for name in ("cutoff", "target_time", "close", "model_version", "issued_at")} for row in rows
    ]


def _revision(rig: Rig) -> str:
    """Return the schema's revision, as Postgres has it."""
    query = ("psql", "-h", "127.0.0.1", "-U", "candlecast", "-At", "-c", "SELECT version_num FROM alembic_version")
    secret = rig.get("secret", f"{rig.release}-database")["data"]["password"]
    script = f"PGPASSWORD=$(echo {secret} | base64 -d) exec {' '.join(query[:-1])} '{query[-1]}'"
    return rig.kubectl("exec", rig.pod("database"), "--", "sh", "-c", script).strip()


def _tags(rig: Rig) -> set[str]:
    return {pod["spec"]["containers"][0]["image"].rpartition(":")[2] for pod in rig.pods("service")}


def _run_succeeds(rig: Rig, caller: Caller, job: str) -> None:
    status, run = caller.call("POST", "/v1/runs", {"job": job}, token=rig.token())
    assert status == 202, run

    def succeeded() -> bool:
        (row,) = caller.get(f"/v1/runs?request_id={run['request_id']}")["runs"]
        assert row["state"] != "failed", row
        return bool(row["state"] == "succeeded")

    until(succeeded, 600, f"finished {job}")
