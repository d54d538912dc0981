"""A real Prometheus scrapes service and exporter, and every query of the dashboard returns data."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from candlecast.candles import Interval
from tests.cluster.conftest import Installation
from tests.cluster.rig import Caller, Rig, until
from tests.service.house import body, walk
from tools.generate_kubernetes import ROOT

INTERVAL = 5

# A hundred scored forecasts, and a champion, which training may refuse for want of candles. With a database in which
# they are there, tests/monitoring/test_running.py finds data for each of these as well.
TAKES_DAYS = ("_live_", "candlecast_champion_")


@pytest.fixture(scope="module")
def drift_report(installation: Installation) -> int:
    """Ask for a drift run as the screen does, and return its report's number."""
    caller, token = installation.caller, installation.rig.token()
    status, run = caller.call("POST", "/v1/runs", {"job": "drift"}, token=token)
    assert status == 202, run

    def succeeded() -> bool:
        runs = caller.get(f"/v1/runs?request_id={run['request_id']}")["runs"]
        assert runs[0]["state"] != "failed", runs
        return bool(runs[0]["state"] == "succeeded")

    until(succeeded, 400, "finished drift run")
    return next(int(one["id"]) for one in caller.get("/v1/drift")["reports"] if one["report"])


def test_the_drift_report_opens_by_url(caller: Caller, drift_report: int) -> None:
    status, page = caller.call("GET", f"/v1/drift/{drift_report}/report")
    assert status == 200
    assert "<html" in str(page)[:2000].lower()


@pytest.fixture(scope="module")
def prometheus(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prometheus in this process's network, with the labels that a ServiceMonitor gives; return its URL."""
    if shutil.which("prometheus") is None:
        pytest.skip("NOT TESTED: no prometheus here")
    folder = tmp_path_factory.mktemp("prometheus")
    targets = [
        target
        for name, port in (("service", 3000), ("exporter", 9108))
        for target in _targets(installation.rig, name, port)
    ]
    if not _reachable(targets[0]["targets"][0]):
        pytest.skip("NOT TESTED: pods cannot be reached from here; run this inside the cluster's network")
    config = {
        "global": {"scrape_interval": f"{INTERVAL}s", "evaluation_interval": f"{INTERVAL}s"},
        "rule_files": [str(ROOT / "monitoring/prometheus/rules/*.yaml")],
        "scrape_configs": [{"job_name": "candlecast", "static_configs": targets}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = subprocess.Popen(
        [*command, "--web.listen-address=127.0.0.1:19090", "--log.level=error"], stdout=subprocess.DEVNULL
    )
    try:
        until(lambda: _reachable("127.0.0.1:19090"), 60, "Prometheus")
        yield "http://127.0.0.1:19090"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.row(52)
def test_every_query_of_the_dashboard_returns_data(
    prometheus: str, caller: Caller, installation: Installation, drift_report: int
) -> None:
    until(lambda: sum(one["value"][1] == "1" for one in _query(prometheus, "up")) >= 3, 60, "three targets that are up")
    empty: list[str] = []

    def only_what_takes_days_is_empty() -> bool:
        caller.get("/v1/forecasts/latest")
        caller.call("GET", "/v1/nothing")
        status, answer = caller.call("POST", "/v1/forecasts", body(walk(Interval.M15, 600)))
        assert status == 200, answer
        empty[:] = [query for query in _queries(installation.rig.namespace) if not _query(prometheus, query)]
        return all(any(name in query for name in TAKES_DAYS) for query in empty)

    try:
        until(only_what_takes_days_is_empty, 240, "data for every query")
    finally:
        print("empty:", empty)  # noqa: T201


def test_no_alert_fires_on_an_installation_that_works(prometheus: str) -> None:
    firing = [one["metric"] for one in _query(prometheus, 'ALERTS{alertstate="firing"}')]
    assert firing == []


def _targets(rig: Rig, component: str, port: int) -> list[dict[str, Any]]:
    return [
        {
            "targets": [f"{pod['status']['podIP']}:{port}"],
            "labels": {
                "namespace": rig.namespace,
                "pod": pod["metadata"]["name"],
                "service": f"{rig.release}-{component}",
                "release": rig.release,
            },
        }
        for pod in rig.pods(component)
    ]


def _reachable(address: str) -> bool:
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return True
    except OSError:
        return False


def _queries(namespace: str) -> list[str]:
    queries = []
    for file in sorted(Path(ROOT / "monitoring/grafana/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            queries += [target["expr"] for target in panel.get("targets", ())]
    variables = {"$namespace": namespace, "$release": ".*", "$__rate_interval": "1m"}
    for variable, value in variables.items():
        queries = [query.replace(variable, value) for query in queries]
    return queries


def _query(prometheus: str, expression: str) -> list[dict[str, Any]]:
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # our own Prometheus
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return found
