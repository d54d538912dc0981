"""Readers while pods come and go: every answer is 2xx."""

from __future__ import annotations

import json

import pytest

from tests.cluster.conftest import Installation
from tests.cluster.rig import VALUES, Caller, Rig, outcome, readers, until

PATH = "/v1/forecasts/latest"


@pytest.mark.row(38)
def test_a_pod_deleted_under_load_costs_no_reader_an_error(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    until(lambda: _ready(rig) >= 2, 120, "two replicas")
    with readers(caller, seconds=60):
        name = rig.pod("service")
        rig.kubectl("delete", "pod", name, "--wait=false")
        until(lambda: not rig.attempt("get", "pod", name)[0], 50, "end of the pod")
    until(lambda: _ready(rig) >= 2, 120, "second replica")


@pytest.mark.row(38)
def test_an_eviction_under_load_costs_no_reader_an_error(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    until(lambda: _ready(rig) >= 2, 120, "two replicas")
    name = rig.pod("service")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": rig.namespace}}
    path = f"/api/v1/namespaces/{rig.namespace}/pods/{name}/eviction"
    with readers(caller, seconds=90):
        # As a drain does: the disruption budget may refuse for a moment.
        until(lambda: rig.attempt("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))[0], 30, "eviction")
        until(lambda: not rig.attempt("get", "pod", name)[0], 50, "end of the pod")
    until(lambda: _ready(rig) >= 2, 120, "second replica")


@pytest.mark.row(9, 32, 38)
def test_the_autoscaler_follows_the_load_up_and_down(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    until(lambda: _cpu_known(rig), 120, "processor time of the service")
    until(lambda: _replicas(rig) == 2, 180, "two replicas at rest")
    load = caller.load(PATH, seconds=90, threads=8, most=60000)
    up = until(lambda: _replicas(rig) > 2, 85, "third replica")
    rig.helm("upgrade", rig.release, "helm/candlecast", "--values", VALUES)
    assert rig.get("deployment", f"{rig.release}-service")["spec"]["replicas"] > 2
    _all_good(outcome(load))
    down = until(lambda: _replicas(rig) == 2, 300, "return to two replicas")
    print(f"up after {up:.0f} s, down {down:.0f} s after the load")  # noqa: T201


@pytest.mark.row(38)
def test_a_rolling_restart_costs_no_reader_an_error(installation: Installation, caller: Caller) -> None:
    rig = installation.rig
    with readers(caller, seconds=150):
        rig.kubectl("rollout", "restart", f"deployment/{rig.release}-service")
        rig.kubectl("rollout", "status", f"deployment/{rig.release}-service", "--timeout=140s")


@pytest.mark.row(39)
def test_sigterm_ends_every_program_with_zero(installation: Installation) -> None:
    rig = installation.rig
    for component in ("service", "ui", "exporter", "dispatcher"):
        pod = rig.pod(component)
        rig.attempt("exec", pod, "-c", component, "--", "python", "-c", "import os; os.kill(1, 15)")

        def ended(pod: str = pod) -> bool:
            (status,) = rig.get("pod", pod)["status"]["containerStatuses"]
            return "terminated" in status.get("lastState", {})

        until(ended, 60, f"end of {component}")
        (status,) = rig.get("pod", pod)["status"]["containerStatuses"]
        assert status["lastState"]["terminated"]["exitCode"] == 0, component
    until(lambda: _ready(rig) >= 2, 120, "replicas after it")


def _all_good(seen: dict[str, object]) -> None:
    print(seen)  # noqa: T201
    assert seen["errors"] == {}
    assert seen["statuses"] == {"200": seen["requests"]}


def _replicas(rig: Rig) -> int:
    count: int = rig.get("deployment", f"{rig.release}-service")["status"].get("readyReplicas", 0)
    return count


def _ready(rig: Rig) -> int:
    return _replicas(rig)


def _cpu_known(rig: Rig) -> bool:
    status = rig.get("hpa", f"{rig.release}-service")["status"]
    return bool(status.get("currentMetrics")) and "containerResource" in status["currentMetrics"][0]
