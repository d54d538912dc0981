"""Row 54 of the scorecard: what linters say is either gone or explained in linters.yaml."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import need
from tools.generate_kubernetes import GOLDEN, ROOT

EXPLAINED: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "tests/deploy/linters.yaml").read_text(encoding="utf-8")
)
_BELOW_OK = 10


def kube_score(topology: Path) -> Iterator[tuple[str, str]]:
    """Yield (check, object) of what kube-score marks down."""
    command = [need("kube-score"), "score", "--output-format", "json", "--kubernetes-version", "v1.34", str(topology)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    for scored in json.loads(done.stdout):
        for check in scored["checks"]:
            if not check["skipped"] and check["grade"] < _BELOW_OK:
                yield check["check"]["id"], scored["object_meta"]["name"]


def checkov(topology: Path) -> Iterator[tuple[str, str]]:
    """Yield (check, object) of what checkov marks down."""
    options = ["--skip-download", "--framework", "kubernetes", "--quiet", "--compact", "--output", "json"]
    command = [need("checkov"), *options, "--file", str(topology)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    for failed in json.loads(done.stdout)["results"]["failed_checks"]:
        yield failed["check_id"], failed["resource"].rpartition(".")[2]


@pytest.mark.row(54)
@pytest.mark.parametrize("topology", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_kube_score_has_nothing_unexplained_to_say(topology: Path) -> None:
    assert _unexplained("kube-score", topology, kube_score(topology)) == []


@pytest.mark.row(54)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.stem, marks=[] if path.stem == "everything" else pytest.mark.slow)
        for path in sorted(GOLDEN.glob("*.yaml"))
    ],
)
def test_checkov_has_nothing_unexplained_to_say(name: str) -> None:
    topology = GOLDEN / f"{name}.yaml"
    assert _unexplained("checkov", topology, checkov(topology)) == []


def _unexplained(linter: str, topology: Path, findings: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (check, name)
        for check, name in findings
        if not _is_explained(EXPLAINED[linter].get(check), topology.stem, name.removeprefix("candlecast-"))
    ]


def _is_explained(entry: dict[str, Any] | None, topology: str, name: str) -> bool:
    if entry is None:
        return False
    return name in entry.get("objects", [name]) and topology in entry.get("topologies", [topology])
