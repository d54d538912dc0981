"""Upgrade and uninstall, with Helm 4 and 3, and what stays."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.cluster.conftest import Installation
from tests.cluster.rig import VALUES, Rig, until

HOME = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache/candlecast-cluster"))
PROGRAMS = {"helm4": "helm", "helm3": "helm3"}


def _program(name: str) -> str:
    found = shutil.which(PROGRAMS[name]) or shutil.which(PROGRAMS[name], path=str(HOME / "bin"))
    if not found:
        pytest.skip(f"NOT TESTED: no {PROGRAMS[name]}")
    return found


@pytest.mark.row(9, 25, 35)
def test_an_upgrade_with_a_changed_value_keeps_secrets_and_restarts_what_it_concerns(
    installation: Installation,
) -> None:
    rig = installation.rig
    before = _state(rig)
    rig.helm(
        "upgrade", rig.release, "helm/candlecast", "--values", VALUES, "--set", "settings.log_level=DEBUG", "--wait",
        "--timeout", "5m", program=_program("helm4"),
    )  # fmt: skip
    after = _state(rig)
    assert after["secrets"] == before["secrets"]
    assert after["database"] == before["database"]
    assert after["migrations"] == before["migrations"]
    assert set(after["service"]).isdisjoint(before["service"])


@pytest.mark.row(46)
def test_a_rollback_goes_back(installation: Installation) -> None:
    rig = installation.rig
    rig.helm("rollback", rig.release, "1", "--wait", "--timeout", "5m", program=_program("helm4"))
    assert rig.get("configmap", f"{rig.release}-settings")["data"]["CANDLECAST_LOG_LEVEL"] == "INFO"


@pytest.mark.row(10, 45, 48)
@pytest.mark.parametrize("name", ["helm3", "helm4"])
def test_a_second_release_installs_upgrades_and_leaves_only_what_is_documented(name: str) -> None:
    program = _program(name)
    rig = Rig(f"candlecast-test-{name}", release="second")
    rig.fresh_namespace()
    small = (
        "--set", "service.autoscaling.mode=none,service.replicas=1,ui.enabled=false,drift.enabled=false",
        "--set", "exporter.enabled=false,fullnameOverride=second",
    )  # fmt: skip
    common = ("second", "helm/candlecast", "--values", VALUES, *small, "--wait", "--timeout", "5m")
    rig.helm("install", *common, program=program)
    rig.helm("upgrade", *common, "--set", "settings.horizons=1", program=program)
    assert rig.get("configmap", "second-settings")["data"]["CANDLECAST_HORIZONS"] == "1"
    rig.uninstall(program)

    def left() -> set[str]:
        kinds = "all,configmap,secret,serviceaccount,role,rolebinding,networkpolicy,ingress,pdb,pvc"
        items = json.loads(rig.kubectl("get", kinds, "-l", "app.kubernetes.io/instance=second", "-o", "json"))["items"]
        return {f"{one['kind']}/{one['metadata']['name']}" for one in items}

    documented = {"PersistentVolumeClaim/data-second-database-0", "Secret/second-database"}
    until(lambda: left() == documented, 90, f"end of everything but {documented}; there is {left()}")
    kinds = "validatingadmissionpolicy,validatingadmissionpolicybinding"
    policies = [line for line in rig.kubectl("get", kinds, "-o", "name").splitlines() if rig.namespace in line]
    assert all(line.endswith("-dispatcher-watch") for line in policies)
    rig.kubectl("delete", *policies)
    rig.kubectl("delete", "namespace", rig.namespace, "--wait=false")


@pytest.mark.row(48)
def test_an_uninstalled_release_installs_again_with_its_data_and_its_dispatcher(installation: Installation) -> None:
    rig, caller = installation.rig, installation.caller
    rows = caller.get("/v1/status")["ledger_rows"]
    rig.uninstall()
    # The API server must have noticed that all policies of the release are gone, but the one that stays.
    time.sleep(5)
    rig.helm("install", rig.release, "helm/candlecast", "--values", VALUES)
    caller.wait_for_forecast(300)
    assert caller.get("/v1/status")["ledger_rows"] >= rows
    status, run = caller.call("POST", "/v1/runs", {"job": "training"}, token=rig.token())
    assert status == 202, run
    until(lambda: rig.attempt("get", "job", f"{rig.release}-training-manual-{run['request_id']}")[0], 90, "Job")


def _state(rig: Rig) -> dict[str, list[str]]:
    secrets = [json.dumps(one["data"], sort_keys=True) for one in rig.get("secret") if "helm" not in one["type"]]
    return {
        "secrets": sorted(secrets),
        "migrations": [one["metadata"]["uid"] for one in rig.get("job", component="migrate")],
        "service": [one["metadata"]["uid"] for one in rig.pods("service")],
        "database": [one["metadata"]["uid"] for one in rig.pods("database")],
    }
