"""A real Prometheus beside the running programs: every panel, every recording rule and every selector finds data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text

from candlecast import metrics
from candlecast.candles import Interval
from candlecast.store.database import Database
from tests.monitoring.watched import DASHBOARDS, panels, prometheus, query, requires, rules, selectors_in
from tests.monitoring.world import BTC, ETH, Exporter, exporting, fill, parse, value
from tests.service.house import House, body, service_environment, serving, wait_until_ready, walk
from tests.waiting import eventually
from tools.draw_dashboards import draw


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs."""

    house: House
    exporter: Exporter
    prometheus: httpx.Client


@contextmanager
def running_stack(database: Database, url: str, environment: dict[str, str], folder: Path) -> Iterator[Stack]:
    """Run service, exporter and Prometheus on a database in which everything has happened."""
    fill(database)
    series = f"{BTC},{ETH}"
    settings = service_environment(url, folder, series, service_workers="2")
    with (
        serving(settings, database, folder) as house,
        exporting(environment | {"CANDLECAST_SERIES": series}, folder) as exporter,
        prometheus(folder, [str(house.http.base_url), str(exporter.http.base_url)]) as server,
    ):
        wait_until_ready(house)
        yield Stack(house, exporter, server)


@pytest.mark.row(52)
@requires("prometheus")
def test_every_panel_recording_rule_and_selector_finds_data(
    database: Database, database_url: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with running_stack(database, database_url, environment, tmp_path) as stack:
        _check_resources(stack.house)
        _fail_once(stack.house)
        eventually(lambda: _none_is_empty(stack), 120)
        _check_drawings(stack)
        exposed = {name for one in (stack.house, stack.exporter) for name, _ in parse(_fresh(one.http))}
        assert {name for name in exposed if not name.endswith("_created")} == metrics.sample_names()
        stages = {dict(labels)["stage"] for name, labels in parse(_fresh(stack.house.http)) if "stage_" in name}
        assert stages == set(metrics.STAGES)
        found = stack.prometheus.get("/api/v1/rules").json()["data"]["groups"]
        health = [(rule["name"], rule["health"]) for group in found for rule in group["rules"]]
        assert health == [(name, "ok") for name, _ in health]
        assert {name for name, _ in health} == {r.get("alert", r.get("record")) for r in _all_rules()}


def _all_rules() -> list[dict[str, Any]]:
    return rules("alert") + rules("record")


def _fail_once(house: House) -> None:
    """Let one request fail as it does while the database is away: the rules count such."""
    with house.database.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(text("ALTER TABLE evaluation RENAME TO elsewhere"))
    assert house.http.get("/v1/evaluations", params={"series": str(BTC)}).status_code >= 500
    with house.database.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO evaluation"))


def _none_is_empty(stack: Stack) -> bool:
    """Ask for what has to be measured, then for all that is drawn, recorded and watched."""
    for path in ("/v1/forecasts/latest", "/v1/nothing"):
        httpx.get(stack.house.http.base_url.join(path), timeout=30)
    own = httpx.post(stack.house.http.base_url.join("/v1/forecasts"), json=body(walk(Interval.H1, 600)), timeout=30)
    assert own.status_code == 200, own.text
    wanted = [
        *(target["expr"] for name in DASHBOARDS for panel in panels(name) for target in panel["targets"]),
        *(rule["expr"] for rule in rules("record")),
        *(selector for rule in rules("alert") for selector in selectors_in(rule["expr"])),
        *(f'ALERTS{{alertname="{name}"}}' for name in ("CandlecastDrifted", "CandlecastChampionRefused")),
    ]
    missing = {one for one in wanted if not query(stack.prometheus, _concrete(one))}
    assert missing == set()
    return True


def _concrete(expression: str) -> str:
    for variable in ("namespace", "release"):
        expression = expression.replace(f"${variable}", ".*")
    return expression.replace("$__rate_interval", "30s")


def _check_resources(house: House) -> None:
    """Compare what the service says of its processes with what the kernel says, and expect it to grow with work."""
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
    started = value(samples, "candlecast_process_newest_start_timestamp_seconds")
    assert started == pytest.approx(max(process.create_time() for process in family), abs=1.5)

    # A worker that is replaced takes nothing away.
    worker = next(process for process in family if "spawn_main" in " ".join(process.cmdline()))
    worker.kill()
    eventually(lambda: worker.pid not in [p.pid for p in psutil.Process(house.process.pid).children()], 60)
    eventually(lambda: value(parse(_fresh(house.http)), "candlecast_process_count") == len(family), 60)
    samples = parse(_fresh(house.http))
    assert value(samples, "candlecast_process_cpu_seconds_total") >= shown
    assert value(samples, "candlecast_process_newest_start_timestamp_seconds") > started


def _check_drawings(stack: Stack) -> None:
    """Every panel is drawn once, with its curves."""
    for name, dashboard in DASHBOARDS.items():
        page = draw(dashboard, stack.prometheus, 60)
        titles = " ".join(note.text for note in page.layout.annotations)
        assert all(f"<b>{panel['title']}</b>" in titles for panel in panels(name))
        assert len({curve.xaxis for curve in page.data}) == len(panels(name))
        assert all(len(curve.x) == len(curve.y) > 0 for curve in page.data)


def _fresh(http: httpx.Client) -> str:
    return httpx.get(http.base_url.join("/metrics"), timeout=30).raise_for_status().text
