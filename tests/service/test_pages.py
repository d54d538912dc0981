"""Pages for people and the document for programs: complete, true, and without anything from another host."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from candlecast.errors import error_tree
from service.document import operations
from service.examples import EXAMPLES
from tests.browser.page import Screen, open_page
from tests.service.house import House

PAGES = ("/", "/docs", "/docs/errors")
HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def document(house: House) -> dict[str, Any]:
    found: dict[str, Any] = house.get("/openapi.json")
    return found


def test_programs_and_browsers_each_get_their_index(house: House) -> None:
    programs, browsers = house.http.get("/"), house.http.get("/", headers={"accept": "text/html,*/*"})
    assert programs.json() == {"ok": True, "service": "candlecast", "version": house.get("/v1/status")["version"]}
    assert browsers.headers["content-type"].startswith("text/html")
    assert '<a href="/v1/forecasts/latest">' in browsers.text


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(house: House, page: str) -> None:
    text = house.http.get(page, headers=HTML).text
    assert "//" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL), "nothing from another host"
    links = set(re.findall(r'href="([^"]+)"', text)) - {"data:,"}
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        answer = house.http.get(path or page, headers=HTML)
        assert answer.status_code == 200, link
        if anchor:
            assert f'id="{anchor}"' in answer.text, link


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_is_content_and_asks_no_other_host(house: House, tmp_path: Path, page: str, scheme: Any) -> None:
    with open_page(str(house.http.base_url.join(page)), tmp_path, scheme=scheme, width=390) as screen:
        assert screen.page.locator("h1").count() == 1
        assert screen.page.evaluate("getComputedStyle(document.body).maxWidth") == "960px", "the style is applied"
        dark = screen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert dark == (scheme == "dark")
        assert not screen.scrolls_sideways()
        assert screen.complaints == []


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_has_no_barrier(house: House, tmp_path: Path, page: str, scheme: Any) -> None:
    with open_page(str(house.http.base_url.join(page)), tmp_path, scheme=scheme, width=390) as screen:
        # What is folded away is read too once it is open.
        screen.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found = Axe().run(screen.page).response["violations"]
    assert [(one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_a_page_is_read_with_the_keyboard_alone(house: House, tmp_path: Path) -> None:
    with open_page(str(house.http.base_url.join("/docs")), tmp_path, width=390) as screen:
        keyboard = screen.page.keyboard
        keyboard.press("Tab")
        assert _focused(screen) == "Skip to the content"
        keyboard.press("Enter")
        keyboard.press("Tab")
        assert _focused(screen).startswith("GET /v1/")
        keyboard.press("Enter")
        keyboard.press("Tab")
        assert _focused(screen).startswith("curl"), "the line of the route, which can be scrolled"
        before = screen.page.evaluate("document.activeElement.scrollLeft")
        keyboard.press("ArrowRight")
        screen.page.wait_for_function("before => document.activeElement.scrollLeft > before", arg=before)
        screen.page.locator("summary").first.focus()
        keyboard.press("Enter")
        assert screen.page.locator("details").first.get_attribute("open") is not None


def _focused(screen: Screen) -> str:
    """Return the text of what has the focus; it must be seen where that is."""
    outline: str = screen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    text: str = screen.page.evaluate("document.activeElement.innerText")
    return text


def test_the_type_of_a_problem_is_its_entry_on_the_page_of_errors(house: House) -> None:
    problem = house.http.get("/v1/nothing").json()
    assert problem["type"] == "/docs/errors#not_found"
    assert 'id="not_found"' in house.http.get(problem["type"]).text


def test_the_page_of_errors_tells_the_whole_tree(house: House) -> None:
    page = house.http.get("/docs/errors").text
    for error in error_tree():
        assert f'id="{error.named()}"' in page
        assert f"HTTP {error.http_status}, exit code {error.exit_code}" in page


def test_every_operation_has_an_example_of_its_answer_and_of_its_errors(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    found = {operation["operationId"]: operation for operation in operations(document)}
    assert set(found) == set(EXAMPLES)
    for name, operation in found.items():
        assert operation["summary"], name
        assert {"401", "422", "429", "500", "503"} <= set(operation["responses"]), name
        for status, response in operation["responses"].items():
            for kind, content in response["content"].items():
                if kind == "application/problem+json":
                    assert {one["value"]["status"] for one in content["examples"].values()} == {int(status)}
                elif kind == "application/json":
                    assert "example" in content, f"{name} {status}"


def test_every_needed_parameter_has_an_example(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for parameter in operation["parameters"]:
            assert "example" in parameter or not parameter["required"], f"{operation['operationId']} {parameter}"


def test_what_changes_something_asks_for_the_token(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    guarded = {one["operationId"] for one in operations(document) if one.get("security")}
    assert guarded == {"request_run", "cancel_run", "cancel_request", "promote_model"}


def test_every_link_of_the_document_names_an_operation_and_its_parameter(document: dict[str, Any]) -> None:
    found = {operation["operationId"]: operation for operation in operations(document)}
    linked = 0
    for operation in found.values():
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                names = {one["name"] for one in found[link["operationId"]]["parameters"]}
                assert set(link["parameters"]) <= names
                linked += 1
    assert linked > 4


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert names
    assert names <= set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("horizn=5", "query.horizn: there is no such parameter; known are horizon, series"),
        ("horizon=1&horizon=5", "query.horizon: give it once"),
    ],
)
def test_a_misspelt_or_repeated_parameter_is_named(house: House, query: str, named: str) -> None:
    response = house.http.get(f"/v1/forecasts/latest?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert response.json()["detail"] == named
