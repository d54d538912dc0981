"""A service as a careful operator sets it: below a prefix, behind a proxy, for known origins, reading protected."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from candlecast.client import Client, TokenNeeded
from tests.browser.page import open_page
from tests.programs import ROOT
from tests.service.house import BTC, TOKEN, House, body, service_environment, serving, wait_until_ready, walk
from tests.service.proxy import Proxy, proxying

PREFIX = "/candlecast"
DESK = "https://desk.example.org"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def guarded(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a second service on the house's database."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    settings = {"root_path": PREFIX, "protect_reading": "true", "cors_origins": DESK}
    environment = service_environment(house.database.address, folder, str(BTC), **settings)
    with serving(environment, house.database, folder) as found:
        wait_until_ready(found)
        yield found


@pytest.fixture(scope="module", params=[True, False], ids=["stripping", "not stripping"])
def proxy(guarded: House, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with proxying(str(guarded.http.base_url), PREFIX, strips=request.param) as found:
        yield found


def _get(proxy: Proxy, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.get(f"{proxy.url}{path}", headers=AUTHORIZED | (headers or {}), timeout=30)


@pytest.mark.parametrize("page", ["/", "/docs", "/docs/errors"])
def test_every_link_of_a_page_stays_below_the_prefix_and_leads_somewhere(proxy: Proxy, page: str) -> None:
    text = _get(proxy, f"{PREFIX}{page}", HTML).text
    links = {link.partition("#")[0] for link in re.findall(r'href="([^"]+)"', text)} - {"", "data:,"}
    assert links
    for link in links:
        assert link.startswith(f"{PREFIX}/")
        assert _get(proxy, link, HTML).status_code == 200, link


def test_the_pages_are_whole_in_a_browser(proxy: Proxy, tmp_path: Path) -> None:
    with open_page(f"{proxy.url}{PREFIX}/docs", tmp_path) as screen:
        assert screen.page.evaluate("getComputedStyle(document.body).maxWidth") == "960px", "the style is applied"
        screen.page.get_by_role("link", name="usage_error").first.click()
        screen.page.wait_for_selector("h1:text('Errors')")
        assert screen.complaints == []


def test_the_document_names_the_prefix_and_its_paths_answer_below_it(proxy: Proxy) -> None:
    document = _get(proxy, f"{PREFIX}/openapi.json").json()
    (server,) = document["servers"]
    assert server["url"] == PREFIX
    for path in ("/v1/status", "/v1/forecasts/latest", "/v1/runs"):
        assert path in document["paths"]
        assert _get(proxy, f"{server['url']}{path}").status_code == 200


def test_problems_and_locations_point_below_the_prefix(proxy: Proxy) -> None:
    problem = _get(proxy, f"{PREFIX}/v1/nothing").json()
    assert problem["type"] == f"{PREFIX}/docs/errors#not_found"
    assert _get(proxy, problem["type"]).status_code == 200
    asked = httpx.post(f"{proxy.url}{PREFIX}/v1/runs", json={"job": "drift"}, headers=AUTHORIZED)
    assert asked.status_code == 202
    assert _get(proxy, asked.headers["location"]).json()["runs"] == [asked.json()]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_health_and_metrics_answer_below_the_prefix_and_without_it(proxy: Proxy, guarded: House, path: str) -> None:
    assert httpx.get(f"{proxy.url}{PREFIX}{path}").status_code == 200
    assert guarded.http.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/candlecasting/v1/status", "/candlecast.v1/status", "/candlecast/candlecast/v1/status"]
)
def test_only_the_whole_prefix_is_taken_off_and_only_once(guarded: House, path: str) -> None:
    assert guarded.http.get(path, headers=AUTHORIZED).status_code == 404


@pytest.mark.parametrize("path", ["/v1/status", "/v1/forecasts/latest", "/v1/nothing", "/v1/candles", "/schema.json"])
def test_where_reading_is_protected_nobody_reads_without_a_token(guarded: House, path: str) -> None:
    response = guarded.http.get(path)
    assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
    assert response.headers["www-authenticate"] == "Bearer"
    assert guarded.http.get(path, headers=AUTHORIZED).status_code != 401


def test_the_native_endpoint_is_protected_too(guarded: House) -> None:
    candles = body(walk(BTC.interval, 60))
    assert guarded.http.post("/forecast", json=candles).status_code == 401
    assert guarded.http.post("/forecast", json=candles, headers=AUTHORIZED).status_code == 200


def test_health_and_documentation_stay_open(guarded: House) -> None:
    for path in ("/", "/livez", "/readyz", "/metrics", "/docs", "/docs/errors", "/docs/style.css", "/openapi.json"):
        assert guarded.http.get(path).status_code == 200, path


def test_a_page_of_a_known_origin_may_ask_and_read_the_headers(guarded: House) -> None:
    asks = {"origin": DESK, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    preflight = guarded.http.options("/v1/runs", headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == DESK
    answer = guarded.http.get("/v1/status", headers=AUTHORIZED | {"origin": DESK})
    assert answer.headers["access-control-allow-origin"] == DESK
    assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
    refused = guarded.http.get("/v1/status", headers={"origin": DESK})
    assert refused.headers["access-control-allow-origin"] == DESK, "the page may read why"


def test_a_page_of_another_origin_may_not(guarded: House) -> None:
    origin = {"origin": f"{DESK}.evil.org"}
    preflight = guarded.http.options("/v1/runs", headers=origin | {"access-control-request-method": "POST"})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in guarded.http.get("/v1/status", headers=AUTHORIZED | origin).headers


def test_who_guesses_tokens_is_shut_out_by_the_address_that_the_proxy_tells(guarded: House) -> None:
    guess = {"authorization": "Bearer guess", "x-forwarded-for": "203.0.113.9"}
    assert [guarded.http.get("/v1/status", headers=guess).status_code for _ in range(10)] == [401] * 10
    shut = guarded.http.get("/v1/status", headers=guess)
    assert (shut.status_code, shut.json()["code"]) == (429, "too_many_attempts")
    assert 0 < int(shut.headers["retry-after"]) <= 60
    assert guarded.http.get("/v1/status", headers=guess | {"x-forwarded-for": "203.0.113.10"}).status_code == 401
    assert guarded.http.get("/v1/status", headers=AUTHORIZED | {"x-forwarded-for": "203.0.113.9"}).status_code == 429
    assert guarded.http.get("/v1/status", headers=AUTHORIZED).status_code == 200
    assert guarded.http.get("/docs", headers={"x-forwarded-for": "203.0.113.9"}).status_code == 200
    assert "guess" not in guarded.log.read_text()


def test_a_client_with_a_token_reads_where_one_without_is_told_to_bring_one(proxy: Proxy) -> None:
    address = f"{proxy.url}{PREFIX}"
    with Client(address) as stranger, pytest.raises(TokenNeeded):
        stranger.status()
    with Client(address, TOKEN) as screen:
        assert screen.status().series == 1


def test_what_helm_test_runs_asks_with_its_token(guarded: House) -> None:
    command = [sys.executable, str(ROOT / "helm/candlecast/files/test.py")]
    asked = {"SERVICE": str(guarded.http.base_url).rstrip("/"), "WAIT": "0"}
    told = [
        subprocess.run(command, env=asked | token, capture_output=True, text=True, timeout=60)
        for token in ({}, {"TOKEN": TOKEN})
    ]
    assert "Unauthorized" in told[0].stderr
    assert told[1].returncode == 0, told[1].stdout + told[1].stderr
