"""Manifests to look at: rendered by helm where it is there, else the committed ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.generate_kubernetes import CHART, ROOT, find_helm, find_program, render

Manifest = dict[str, Any]

CI = sorted((CHART / "ci").glob("*.yaml"))
RENDERED = [ROOT / "k8s/rendered" / path.name for path in sorted((ROOT / "k8s/values").glob("*.yaml"))]
HELM = find_helm()

needs_helm = pytest.mark.skipif(HELM is None, reason="NOT TESTED: no helm on PATH or in $CLUSTER_HOME/bin")

TOPOLOGIES = [*RENDERED, *(CI if HELM else ())]
topologies = pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda path: f"{path.parent.name}/{path.stem}")


@functools.cache
def objects(topology: Path) -> list[Manifest]:
    """Return the objects of a topology: of a rendered file, or of the chart with a values file of `ci/`."""
    if topology in RENDERED:
        return parse(topology.read_text(encoding="utf-8"))
    return helm("--values", str(topology))


@functools.cache
def helm(*options: str, release: str = "candlecast", namespace: str = "candlecast") -> list[Manifest]:
    """Return what the chart makes of these options; RuntimeError with helm's words when it refuses."""
    assert HELM is not None
    return parse(render(HELM, *options, release=release, namespace=namespace))


def need(program: str) -> str:
    """Return the path of a cluster's program; skip the test, loudly, where it is missing."""
    found = find_program(program)
    if found is None:
        pytest.skip(f"NOT TESTED: no {program} on PATH or in $CLUSTER_HOME/bin")
    return found


def parse(text: str) -> list[Manifest]:
    """Return the objects in a stream of YAML documents."""
    # The loader in C: there are several megabytes of manifests.
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]  # safe as well


def kind(manifests: list[Manifest], wanted: str) -> list[Manifest]:
    """Return the objects of one kind."""
    return [one for one in manifests if one["kind"] == wanted]


def component(manifest: Mapping[str, Any]) -> str:
    """Return the component that an object belongs to."""
    word: str = manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", "")
    return word


def templates(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield every pod template (with `metadata` and `spec`) and its component."""
    for one in manifests:
        if one["kind"] == "Pod":
            yield component(one), one
        elif one["kind"] == "CronJob":
            yield component(one), one["spec"]["jobTemplate"]["spec"]["template"]
        elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield component(one), one["spec"]["template"]


def containers(spec: Mapping[str, Any]) -> list[Manifest]:
    """Return all containers of a pod, the first ones included."""
    return [*spec.get("initContainers", ()), *spec["containers"]]
