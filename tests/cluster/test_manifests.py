"""The plain manifests, in the order of k8s/README.md and without helm."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from tests.cluster.rig import Caller, Rig, until
from tools.generate_kubernetes import ROOT

# They are rendered for this one.
NAMESPACE = "candlecast"


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kustomization over the rendered one: the Postgres that is here, and a market that needs no internet."""
    folder = tmp_path_factory.mktemp("overlay")
    base = os.path.relpath(ROOT / "k8s/rendered", folder.resolve())
    postgres = {"name": "docker.io/library/postgres", "newName": "localhost/postgres", "newTag": "15"}
    market = {
        "target": {"kind": "ConfigMap", "name": "candlecast-settings"},
        "patch": json.dumps([{"op": "add", "path": "/data/CANDLECAST_SERIES", "value": "simulated:BTC-USDT:1m"}]),
    }
    kustomization = {"resources": [base], "images": [postgres], "patches": [market]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


@pytest.fixture(scope="module")
def applied(overlay: Path) -> Iterator[Rig]:
    """Apply the secrets, and then all the rest."""
    rig = Rig(NAMESPACE)
    rig.fresh_namespace()
    password, token = secrets.token_hex(16), secrets.token_hex(16)
    url = f"postgresql://candlecast:{password}@candlecast-database:5432/candlecast"
    _secret(rig, "candlecast-database", {"password": password, "url": url, "direct-url": url})
    _secret(rig, "candlecast-api", {"token": token, "tokens": f"screen:{sha256(token.encode()).hexdigest()}"})
    rig.kubectl("apply", "--server-side", "-k", str(overlay))
    yield rig
    if not os.environ.get("CANDLECAST_KEEP"):
        names = rig.kubectl("get", "--ignore-not-found", "-k", str(overlay), "-o", "name").split()
        # Those stay, as k8s/README.md says: without them the API server would forget how to watch CronJobs.
        rig.kubectl("delete", "--wait=false", *(name for name in names if not name.endswith("-dispatcher-watch")))
        rig.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.row(45, 53)
def test_plain_manifests_come_up_and_forecast(applied: Rig) -> None:
    caller = Caller(Rig(f"{NAMESPACE}-test-callers"), applied.address("service", 3000))
    caller.rig.fresh_namespace()
    caller.start()
    status = caller.wait_for_forecast(600)
    print(f"forecast {status}")  # noqa: T201

    def ready() -> bool:
        deployments = applied.get("deployment")
        return all(one["status"].get("readyReplicas", 0) == one["spec"]["replicas"] for one in deployments)

    until(ready, 180, "readiness of every deployment")
    caller.rig.kubectl("delete", "namespace", caller.rig.namespace, "--wait=false")


@pytest.mark.row(45)
def test_applying_again_changes_nothing(applied: Rig, overlay: Path) -> None:
    before = {pod["metadata"]["uid"] for pod in applied.pods("service")}
    applied.kubectl("apply", "--server-side", "-k", str(overlay))
    assert {pod["metadata"]["uid"] for pod in applied.pods("service")} == before


def _secret(rig: Rig, name: str, values: dict[str, str]) -> None:
    rig.kubectl(
        "create", "secret", "generic", name, *(f"--from-literal={key}={value}" for key, value in values.items())
    )
