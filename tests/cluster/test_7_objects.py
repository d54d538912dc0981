"""The API server itself accepts every object of every topology."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cluster.rig import Rig
from tools.generate_kubernetes import GOLDEN, ROOT

DEFINITIONS = {
    "keda": "scaledobjects.keda.sh",
    "gateway": "httproutes.gateway.networking.k8s.io",
    "everything": "httproutes.gateway.networking.k8s.io",
}


@pytest.fixture(scope="module")
def dry() -> Rig:
    """Return the namespace that the committed renderings name, with what admission looks up for a pod of its own."""
    rig = Rig("candlecast")
    rig.attempt("create", "namespace", "candlecast")
    rig.attempt("create", "serviceaccount", "candlecast-test")
    rig.attempt("create", "priorityclass", "low", "--value=1")
    return rig


@pytest.mark.row(7)
@pytest.mark.parametrize("topology", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_object_is_accepted(dry: Rig, topology: Path) -> None:
    if (definition := DEFINITIONS.get(topology.stem)) and not dry.attempt("get", "crd", definition)[0]:
        pytest.skip(f"NOT TESTED: the cluster does not know {definition}; `cluster crds` tells it")
    options = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f")
    accepted, said = dry.attempt(*options, str(topology))
    assert accepted, [line for line in said.splitlines() if not line.endswith("(server dry run)")]


@pytest.mark.row(53)
def test_kustomize_reads_the_rendered_manifests() -> None:
    done = subprocess.run(["kubectl", "kustomize", "k8s/rendered"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "kind: CronJob" in done.stdout
