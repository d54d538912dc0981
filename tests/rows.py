"""Which row of the chart's scorecard a test proves: `@pytest.mark.row(12)`, and what came of it.

With `-p tests.rows --rows FILE` the outcomes are merged into FILE, a JSON object by test; `make scorecard` and
`make test-cluster` do that, and `python -m tools.scorecard` makes docs/kubernetes-scorecard.md of it.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

_NAME = "rows"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file."""
    parser.addoption("--rows", type=Path, help="merge the outcomes of tests that prove a row into this JSON file")


def pytest_configure(config: pytest.Config) -> None:
    """Record when a file is named."""
    if path := config.getoption("--rows"):
        config.pluginmanager.register(Recorder(path, config.rootpath))


class Recorder:
    """Counts outcomes by test, parametrized ones together."""

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = root
        self._rows: dict[str, set[int]] = {}
        self._outcomes: dict[str, Counter[str]] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Carry the rows of a test into its reports, which know nothing of marks."""
        rows = sorted({int(row) for mark in item.iter_markers("row") for row in mark.args})
        if rows:
            item.user_properties.append((_NAME, rows))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test's outcome: that of its call, or of what kept it from being called."""
        rows = dict(report.user_properties).get(_NAME)
        if not isinstance(rows, list) or (report.when != "call" and report.passed):
            return
        test = report.nodeid.partition("[")[0]
        self._rows.setdefault(test, set()).update(rows)
        self._outcomes.setdefault(test, Counter())[report.outcome] += 1

    def pytest_sessionfinish(self) -> None:
        """Merge what was seen into the file; a test that was not run keeps its outcome as long as it exists."""
        recorded = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        known = {test: told for test, told in recorded.items() if _exists(self._root, test)}
        commit = _commit(self._root)
        for test, counts in self._outcomes.items():
            known[test] = {"rows": sorted(self._rows[test]), **counts, "commit": commit}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def _exists(root: Path, test: str) -> bool:
    path, *_, name = test.split("::")
    return (root / path).exists() and f"def {name}(" in (root / path).read_text(encoding="utf-8")


def _commit(root: Path) -> str:
    command = ["git", "rev-parse", "--short=9", "HEAD"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
