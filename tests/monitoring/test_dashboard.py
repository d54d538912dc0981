"""The dashboard: well made, of metrics that exist, and every query returns data in a real Prometheus."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from candlecast import metrics
from candlecast.store.database import Database
from tests.monitoring.watched import MONITORING, names_in, requires
from tests.monitoring.world import BTC, ETH, exporting, fill, parse, value
from tests.programs import free_port, running
from tests.service.house import House, service_environment, serving, wait_until_ready
from tests.waiting import eventually

PATH = MONITORING / "grafana" / "dashboards" / "candlecast.json"
DASHBOARD: dict[str, Any] = json.loads(PATH.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
SERVER = {"type": "prometheus", "uid": "$datasource"}


@pytest.mark.row(52)
def test_dashboard_can_be_provisioned_anywhere() -> None:
    assert DASHBOARD["id"] is None
    assert re.fullmatch(r"[a-z-]{1,40}", DASHBOARD["uid"])
    assert [(one["name"], one["type"]) for one in DASHBOARD["templating"]["list"]] == [
        ("datasource", "datasource"),
        ("namespace", "query"),
    ]
    assert PATH.read_text() == json.dumps(DASHBOARD, indent=2) + "\n"
    assert "localhost" not in PATH.read_text()


def test_no_two_panels_share_an_id_or_a_place() -> None:
    every = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.row(52)
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_panel_has_a_unit_a_description_and_the_chosen_server(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SERVER
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])
    for target in panel["targets"]:
        assert target["datasource"] == SERVER
        assert target["legendFormat"]
        assert all(
            'namespace=~"$namespace"' in part for part in re.findall(r"candlecast_\w+\{([^}]*)\}", target["expr"])
        )
        assert not re.search(r"candlecast_\w+(?![\w{])", target["expr"]), "a metric without the namespace"
        assert "[" not in target["expr"] or "[$__rate_interval]" in target["expr"]


@pytest.mark.row(52)
def test_dashboard_uses_only_metrics_that_exist() -> None:
    used = {name for _, expression in QUERIES for name in names_in(expression)}
    assert used <= metrics.sample_names()
    for part in ("http_request_duration_seconds_bucket", "process_cpu_seconds_total", "candle_lag_seconds",
                 "drift_share_ratio", "live_skill_ratio", "job_last_success_timestamp_seconds"):  # fmt: skip
        assert f"candlecast_{part}" in used


@requires("prometheus")
def test_every_query_returns_data(
    database: Database, database_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    fill(database)
    series = f"{BTC},{ETH}"
    settings = service_environment(database_url, tmp_path, series, service_workers="2")
    with (
        serving(settings, database, tmp_path) as house,
        exporting(environment | {"CANDLECAST_SERIES": series}, tmp_path) as exporter,
        _prometheus(tmp_path, [str(house.http.base_url), str(exporter.http.base_url)]) as prometheus,
    ):
        wait_until_ready(house)
        _check_resources(house)
        eventually(lambda: _both_are_up(prometheus), 60)
        eventually(lambda: _every_query_answers(prometheus, house), 120)
        exposed = {name for text in (house, exporter) for name, _ in parse(text.http.get("/metrics").text)}
        assert exposed == metrics.sample_names() | _created(exposed), "defined, shown and documented are the same"
        _alerts_are_loaded(prometheus)


def _created(names: set[str]) -> set[str]:
    return {name for name in names if name.endswith("_created")}


def _check_resources(house: House) -> None:
    """Compare what the service says of its processes with what the kernel says, and expect it to grow with work."""
    import psutil

    family = [psutil.Process(house.process.pid), *psutil.Process(house.process.pid).children(recursive=True)]
    samples = parse(house.http.get("/metrics").text)
    assert value(samples, "candlecast_process_count") == len(family) >= 3
    assert value(samples, "candlecast_process_threads") == pytest.approx(sum(p.num_threads() for p in family), abs=6)
    memory = sum(process.memory_info().rss for process in family)
    assert value(samples, "candlecast_process_resident_memory_bytes") == pytest.approx(memory, rel=0.1)
    assert value(samples, "candlecast_process_open_file_descriptors") == pytest.approx(
        sum(process.num_fds() for process in family), abs=12
    )
    used = sum(sum(process.cpu_times()[:2]) for process in family)
    shown = value(samples, "candlecast_process_cpu_seconds_total")
    assert shown == pytest.approx(used, rel=0.1, abs=1)

    # A worker that is replaced takes nothing away.
    worker = next(process for process in family if "spawn_main" in " ".join(process.cmdline()))
    worker.kill()
    eventually(lambda: worker.pid not in [p.pid for p in psutil.Process(house.process.pid).children()], 60)
    eventually(lambda: value(parse(_fresh(house)), "candlecast_process_count") == len(family), 60)
    assert value(parse(_fresh(house)), "candlecast_process_cpu_seconds_total") >= shown


def _fresh(house: House) -> str:
    return httpx.get(house.http.base_url.join("/metrics"), timeout=30).raise_for_status().text


def _both_are_up(prometheus: httpx.Client) -> bool:
    found = _query(prometheus, "sum(up)")
    return bool(found) and float(found[0]["value"][1]) == 2


def _every_query_answers(prometheus: httpx.Client, house: House) -> bool:
    for path in ("/v1/forecasts/latest", "/v1/nothing"):
        httpx.get(house.http.base_url.join(path), timeout=30)
    empty = [f"{title}: {expression}" for title, expression in QUERIES if not _answer(prometheus, expression)]
    assert empty == []
    return True


def _answer(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    concrete = expression.replace("$namespace", ".*").replace("$__rate_interval", "30s")
    return [one for one in _query(prometheus, concrete) if one["value"][1] != "NaN"]


def _query(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def _alerts_are_loaded(prometheus: httpx.Client) -> None:
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    assert {rule["name"]: rule["health"] for group in groups for rule in group["rules"]} == {
        "CandlecastCandlesStale": "ok",
        "CandlecastServiceFailing": "ok",
        "CandlecastJobNotSucceeding": "ok",
    }


@contextmanager
def _prometheus(folder: Path, targets: list[str]) -> Iterator[httpx.Client]:
    """Run Prometheus, scraping our programs every two seconds with our rules loaded."""
    addresses = [target.removeprefix("http://").rstrip("/") for target in targets]
    configuration = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(MONITORING / "prometheus" / "rules" / "*.yaml")],
        "scrape_configs": [{"job_name": "candlecast", "static_configs": [{"targets": addresses}]}],
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
    log = folder / "prometheus.log"
    with running(command, {}, log) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        eventually(lambda: process.poll() is None and http.get("/-/ready").is_success, 60)
        yield http
