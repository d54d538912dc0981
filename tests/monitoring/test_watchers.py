"""Prometheus, Alertmanager and Grafana as compose and `make run MONITORING=1` run them."""

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from candlecast.errors import ConfigurationError
from candlecast.settings import load_settings
from tests.monitoring.watched import MONITORING, requires, rules
from tests.programs import ROOT, free_port, running
from tests.waiting import eventually
from tools import watching

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
WATCHERS = ("prometheus", "alertmanager", "grafana")


@pytest.mark.parametrize("name", WATCHERS)
def test_compose_mounts_what_is_there_where_the_program_looks(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["profiles"] == ["monitoring"]
    assert re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
    for volume in service["volumes"]:
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
        assert target.startswith("/")
    for one in service.get("configs", ()):
        assert yaml.safe_load(COMPOSE["configs"][one["source"]]["content"])


def test_compose_provisions_rules_alerts_and_dashboards() -> None:
    prometheus = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    assert _target_of("prometheus", "./monitoring/prometheus/rules") == str(Path(prometheus["rule_files"][0]).parent)
    (alertmanager,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert alertmanager == "alertmanager:9093"
    jobs = prometheus["scrape_configs"][0]["static_configs"]
    for job in jobs:
        (target,) = job["targets"]
        host, _, _ = target.partition(":")
        assert host == job["labels"]["service"]
        assert host in COMPOSE["services"]
        assert {"namespace", "release"} <= set(job["labels"])
    (provider,) = yaml.safe_load(COMPOSE["configs"]["dashboards"]["content"])["providers"]
    assert _target_of("grafana", "./monitoring/grafana/dashboards") == provider["options"]["path"]
    (source,) = yaml.safe_load(COMPOSE["configs"]["datasource"]["content"])["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")


def _target_of(service: str, source: str) -> str:
    mounted = dict(volume.split(":")[:2] for volume in COMPOSE["services"][service]["volumes"])
    return str(mounted[source])


def test_alertmanager_silences_only_alerts_that_exist() -> None:
    known = yaml.safe_load((MONITORING / "alertmanager" / "alertmanager.yaml").read_text())
    matchers = [one for rule in known["inhibit_rules"] for one in rule["source_matchers"] + rule["target_matchers"]]
    named = set(re.findall(r"Candlecast\w+", " ".join(matchers)))
    assert named
    assert named <= {rule["alert"] for rule in rules("alert")}
    assert known["route"]["receiver"] in [one["name"] for one in known["receivers"]]


def test_without_prometheus_a_sentence_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match=r"not installed here; apt-get install prometheus .* leave MONITORING"):
        watching.require_watchers(load_settings())


@requires("prometheus")
def test_prometheus_beside_the_product_knows_its_rules_and_programs(tmp_path: Path) -> None:
    port = free_port()
    settings = load_settings(data_dir=str(tmp_path), prometheus_port=port, exporter_port=free_port())
    watching.require_watchers(settings)
    assert watching.addresses(settings)["prometheus"] == f"http://127.0.0.1:{port}/alerts"
    commands = watching.commands(settings)
    assert commands["exporter"] == "exec python -m monitoring export"
    log = tmp_path / "log"
    with running(["sh", "-c", commands["prometheus"]], os.environ, log), httpx.Client() as http:
        api = f"http://127.0.0.1:{port}/api/v1"
        eventually(lambda: http.get(f"http://127.0.0.1:{port}/-/ready").is_success, 60)
        groups = http.get(f"{api}/rules").json()["data"]["groups"]
        targets = eventually(lambda: http.get(f"{api}/targets").json()["data"]["activeTargets"], 60)
    assert sum(len(group["rules"]) for group in groups) == len(rules("alert")) + len(rules("record"))
    assert {one["labels"]["service"]: one["scrapeUrl"] for one in targets} == {
        "service": f"http://127.0.0.1:{settings.service_port}/metrics",
        "exporter": f"http://127.0.0.1:{settings.exporter_port}/metrics",
    }
