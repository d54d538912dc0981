"""What rules and dashboards are made of, and a real Prometheus that knows both."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.programs import ROOT, free_port, running
from tests.waiting import eventually

MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus" / "rules"
DASHBOARDS: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text()) for file in sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
}

_SELECTOR = re.compile(r"(?<![\w:])((?:candlecast|slo)[_:][\w:]+)(\{[^}]*\})?")


def groups() -> list[dict[str, Any]]:
    """Return the groups of all rule files."""
    files = sorted(RULES.glob("*.yaml"))
    return [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]


def rules(kind: str) -> list[dict[str, Any]]:
    """Return all rules of a kind: `alert` or `record`."""
    return [rule for group in groups() for rule in group["rules"] if kind in rule]


def panels(dashboard: str) -> list[dict[str, Any]]:
    """Return the panels of a dashboard that ask for data."""
    return [panel for panel in DASHBOARDS[dashboard]["panels"] if "targets" in panel]


def selectors_in(expression: str) -> list[str]:
    """Return every selector of a series of ours in a PromQL expression."""
    return [name + labels for name, labels in _SELECTOR.findall(expression)]


def names_in(expression: str) -> set[str]:
    """Return the names of our series, scraped or recorded, that a PromQL expression uses."""
    return {selector.partition("{")[0] for selector in selectors_in(expression)}


def requires(program: str) -> Callable[[Any], Any]:
    """Skip a test where `program` is not installed, so that nobody overlooks it."""
    missing = shutil.which(program) is None
    line = f"NO {program.upper()}: rules and dashboards are not tried; apt-get install prometheus"
    if missing:
        print(f"\n{line}", file=sys.__stderr__, flush=True)
    return pytest.mark.skipif(missing, reason=line)


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], rule_files: Path = RULES) -> Iterator[httpx.Client]:
    """Run Prometheus, which scrapes our programs every second as a ServiceMonitor would let it, with rules loaded."""
    addresses = [target.removeprefix("http://").rstrip("/") for target in targets]
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule_files / "*.yaml")],
        "scrape_configs": [
            {
                "job_name": "candlecast",
                "static_configs": [
                    {
                        "targets": [one],
                        "labels": {"namespace": "tests", "release": "candlecast", "pod": f"pod-{number}"},
                    }
                    for number, one in enumerate(addresses)
                ],
            }
        ],
    }
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (
        running(command, {}, folder / "prometheus.log") as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        eventually(lambda: process.poll() is None and http.get("/-/ready").is_success, 60)
        yield http


def query(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """Return what an instant query finds, numbers only."""
    answer = prometheus.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]
