"""Alerts: promtool accepts and tries them, and each has its runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from candlecast import metrics
from tests.monitoring.watched import MONITORING, RULES, names_in, requires, rules
from tests.programs import ROOT

TESTS = MONITORING / "prometheus" / "tests"
ALERTS = rules("alert")
NAMES = {alert["alert"] for alert in ALERTS}


def _promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("promtool") or "promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.row(50)
@requires("promtool")
def test_promtool_accepts_every_rule() -> None:
    found = _promtool("check", "rules", *RULES.glob("*.yaml"))
    assert found.returncode == 0, found.stdout + found.stderr
    counts = [int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", found.stdout)]
    assert sum(counts) == len(ALERTS) + len(rules("record"))


@pytest.mark.row(50)
@requires("promtool")
def test_alerts_fire_and_keep_silent_when_they_should() -> None:
    found = _promtool("test", "rules", *TESTS.glob("*.yaml"))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.row(50)
def test_every_alert_is_tried_firing_and_silent() -> None:
    tried: dict[str, set[bool]] = {}
    for file in TESTS.glob("*.yaml"):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for one in case["alert_rule_test"]:
                tried.setdefault(one["alertname"], set()).add(bool(one.get("exp_alerts")))
    assert tried == {name: {True, False} for name in NAMES}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']} {alert['labels']['severity']}")
def test_alert_says_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    name = alert["alert"]
    assert name.startswith("Candlecast")
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert "{{" not in alert["annotations"]["summary"]
    assert alert["annotations"]["runbook_url"] == f"monitoring/runbooks/{name}.md"
    page = (MONITORING / "runbooks" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert all(f"**{part}.**" in page for part in ("Meaning", "Impact"))
    assert all(f"## {part}" in page for part in ("Diagnosis", "Repair"))
    assert page.count("```sh") >= 2


@pytest.mark.row(50)
def test_every_runbook_belongs_to_an_alert() -> None:
    assert {path.stem for path in (MONITORING / "runbooks").iterdir()} == NAMES


def test_documentation_lists_every_alert_with_its_severities_and_summary() -> None:
    listed = {}
    for line in (ROOT / "docs" / "monitoring.md").read_text().splitlines():
        if row := re.fullmatch(r"\| \[`(\w+)`\]\(\.\./monitoring/runbooks/\1\.md\) \| ([a-z, ]+) \| (.+) \|", line):
            listed[row[1]] = (set(row[2].split(", ")), row[3])
    said: dict[str, tuple[set[str], str]] = {name: (set(), "") for name in NAMES}
    for alert in ALERTS:
        severities, _ = said[alert["alert"]]
        said[alert["alert"]] = (severities | {alert["labels"]["severity"]}, alert["annotations"]["summary"])
    assert listed == said


def test_rules_use_only_series_that_exist() -> None:
    used = {name for rule in [*ALERTS, *rules("record")] for name in names_in(rule["expr"])}
    assert used
    assert used <= metrics.sample_names() | {rule["record"] for rule in rules("record")}
