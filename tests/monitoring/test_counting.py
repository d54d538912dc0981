"""What two workers count is told as if they were one, and whatever is asked for, there are no more series of it."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from candlecast import metrics
from candlecast.candles import Interval
from candlecast.store.database import Database
from tests.monitoring.world import BTC, HERE, Samples, parse, value
from tests.service.house import NOON, House, service_environment, serving, set_clock, store, wait_until_ready, walk
from tests.waiting import eventually

REQUESTS, UNKNOWN = 1000, 500
LATEST = "/v1/forecasts/latest"


@pytest.fixture
def house(database: Database, database_url: str, tmp_path: Path) -> Iterator[House]:
    """Run a service of two workers, both of them ready."""
    set_clock(database, NOON)
    store(database, BTC, walk(Interval.H1, 600))
    environment = service_environment(database_url, tmp_path, str(BTC), service_workers="2")
    with serving(environment, database, tmp_path) as house:
        eventually(lambda: house.log.read_text().count("Application startup complete") == 2, 120)
        wait_until_ready(house)
        yield house


@pytest.fixture
def caller(house: House) -> Iterator[httpx.Client]:
    """Return a client that asks each time on a new connection, which any worker may take."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=house.http.base_url, timeout=120, limits=limits) as caller:
        yield caller


def test_a_thousand_requests_to_two_workers_are_a_thousand(caller: httpx.Client) -> None:
    paths = [LATEST, "/v1/series", f"{LATEST}?series={BTC}", "/v1/status"]
    before = _scrape(caller)
    with ThreadPoolExecutor(8) as pool:
        codes = pool.map(lambda number: _ask(caller, paths[number % len(paths)]), range(REQUESTS))
        assert set(codes) == {200}
    after = _scrape(caller)
    name = "candlecast_http_request_duration_seconds_count"
    for route, times in ((LATEST, REQUESTS // 2), ("/v1/series", REQUESTS // 4), ("/v1/status", REQUESTS // 4)):
        labels = {"method": "GET", "route": route, "status": "200"}
        assert value(after, name, **labels) - before.get((name, frozenset(labels.items())), 0) == times
    answered = value(after, "candlecast_latest_forecasts_total", status="baseline", reason="") - _answered(before)
    assert answered == (REQUESTS // 4) * 2 + (REQUESTS // 4) * 2, "each answer holds two horizons"
    made = value(after, "candlecast_stage_duration_seconds_count", stage="answer")
    assert 0 < made < answered, "some answers lay ready"
    assert value(after, "candlecast_http_requests_in_progress") == 1, "the scrape itself"
    kind = {"venue": HERE["venue"], "interval": HERE["interval"]}
    assert value(after, "candlecast_loaded_model_info", **kind, model_version="naive") == 1


def test_unknown_paths_add_not_one_series(caller: httpx.Client) -> None:
    _ask(caller, "/never/seen")
    before = _scrape(caller)
    with ThreadPoolExecutor(8) as pool:
        paths = [f"/{random.random()}/{random.random()}" for _ in range(UNKNOWN)]  # noqa: S311
        assert set(pool.map(lambda path: _ask(caller, path), paths)) == {404}
    after = _scrape(caller)
    assert {one for one in after if "/metrics" not in str(one)} == {one for one in before if "/metrics" not in str(one)}
    labels = {"method": "GET", "route": "unknown", "status": "404"}
    name = "candlecast_http_request_duration_seconds_count"
    assert value(after, name, **labels) - value(before, name, **labels) == UNKNOWN


def test_a_worker_that_is_killed_leaves_no_request_in_progress(house: House, caller: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as pool, house.database.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE evaluation IN ACCESS EXCLUSIVE MODE")
        cut_off = [pool.submit(_ask, caller, f"/v1/evaluations?series={BTC}") for _ in range(4)]
        eventually(lambda: value(_scrape(caller), "candlecast_http_requests_in_progress") == 5, 60)
        for worker in _workers(house):
            worker.kill()
        assert all(isinstance(one.exception(60), httpx.TransportError) for one in cut_off)
    eventually(lambda: value(_scrape(caller), "candlecast_http_requests_in_progress") == 1, 60)


def test_a_stage_that_is_not_told_of_cannot_be_timed() -> None:
    with pytest.raises(ValueError, match="'cooking' is no stage; known are refresh, load"):
        metrics.timed("cooking")


def _ask(caller: httpx.Client, path: str) -> int:
    return caller.get(path).status_code


def _scrape(caller: httpx.Client) -> Samples:
    return parse(caller.get("/metrics").raise_for_status().text)


def _answered(samples: Samples) -> float:
    labels = frozenset({("status", "baseline"), ("reason", "")})
    return samples.get(("candlecast_latest_forecasts_total", labels), 0)


def _workers(house: House) -> list[psutil.Process]:
    children = psutil.Process(house.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
