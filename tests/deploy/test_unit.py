"""Row 12 of the scorecard: the chart's own unit tests, and that no template and no value is without one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import CI, need
from tools.generate_kubernetes import CHART, ROOT

_MAPS = ("annotations", "labels", "podLabels")
"""Values whose keys are the reader's own."""

SUITES = sorted((CHART / "tests").glob("*_test.yaml"))


@pytest.mark.slow
@pytest.mark.row(12)
def test_the_charts_unit_tests_pass() -> None:
    done = subprocess.run([need("helm-unittest"), str(CHART)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout


@pytest.mark.row(12)
def test_every_template_has_a_unit_test() -> None:
    templates = {str(path.relative_to(CHART / "templates")) for path in (CHART / "templates").rglob("*.yaml")}
    tested = {
        name
        for suite in SUITES
        for test in yaml.safe_load(suite.read_text(encoding="utf-8"))["tests"]
        for name in [test.get("template"), *test.get("templates", ())]
    }
    assert templates - tested == set()


@pytest.mark.slow
@pytest.mark.row(12)
def test_every_value_is_set_by_a_unit_test_or_a_topology() -> None:
    values = set(_leaves(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))))
    assert sorted(value for value in values if value not in _set()) == []


def _set() -> set[str]:
    """Return every value that a suite, a topology or an example sets, and all that lie above it."""
    given: list[dict[str, Any]] = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in [*CI, *_examples()]]
    for suite in SUITES:
        read = yaml.safe_load(suite.read_text(encoding="utf-8"))
        given += [one.get("set", {}) for one in (read, *read["tests"])]
    return {path for values in given for leaf in _leaves(values) for path in _prefixes(leaf)}


def _examples() -> list[Path]:
    return [*(ROOT / "k8s/values").glob("*.yaml"), ROOT / "k8s/kind-values.yaml"]


def _leaves(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{above}.{key}".lstrip(".")
        if isinstance(value, dict) and value and key not in _MAPS:
            yield from _leaves(value, path)
        else:
            yield path


def _prefixes(path: str) -> Iterator[str]:
    words = path.split(".")
    for count in range(1, len(words) + 1):
        yield ".".join(words[:count])
