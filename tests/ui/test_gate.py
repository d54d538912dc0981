"""Who may see the screen, and a proxy's path in front of it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from candlecast.settings import load_settings
from tests.ui.test_page import Service, connect
from ui.app import create_app
from ui.gate import guarded

LOCKED = {"ui_password": "s3crét"}
ANNA = (b"anna", "s3crét".encode())


def screen(**settings: str) -> ASGIApp:
    return guarded(create_app(connect(Service())), load_settings(**settings))


@pytest.mark.parametrize("path", ["/", "/config", "/files/sample.csv?series=x", "/gradio_api/info"])
def test_nothing_is_told_without_the_password(path: str) -> None:
    with TestClient(screen(**LOCKED)) as browser:
        for refused in (browser.get(path), browser.get(path, auth=("anna", "secret"))):
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
            assert "candlecast" not in refused.text
        assert browser.get("/healthz").json() == {"ok": True}


@pytest.mark.parametrize("user", ["anna", ""])
def test_any_user_with_the_password_sees_the_page(user: str) -> None:
    with TestClient(screen(**LOCKED)) as browser:
        assert "candlecast" in browser.get("/", auth=(user.encode(), ANNA[1])).text


@pytest.mark.parametrize("given", ["Basic", "Basic !!!", "Basic czNjcsOpdA==", "Bearer s3crét", "Basic \u00e9"])
def test_broken_authorization_is_a_refusal(given: str) -> None:
    with TestClient(screen(**LOCKED)) as browser:
        assert browser.get("/", headers=[(b"authorization", given.encode())]).status_code == 401


def test_proxy_names_whom_it_lets_in() -> None:
    with TestClient(screen(ui_user_header="X-Forwarded-User")) as browser:
        refused = [browser.get("/"), browser.get("/", headers={"x-forwarded-user": " "})]
        assert [one.status_code for one in refused] == [401, 401]
        assert "www-authenticate" not in refused[0].headers
        assert browser.get("/", headers={"x-forwarded-user": "anna"}).status_code == 200
        assert browser.get("/healthz").status_code == 200


def test_password_and_proxy_must_both_hold_where_both_are_asked_for() -> None:
    with TestClient(screen(ui_user_header="X-User", **LOCKED)) as browser:
        assert browser.get("/", headers={"x-user": "anna"}).status_code == 401
        assert browser.get("/", auth=ANNA).status_code == 401
        assert browser.get("/", headers={"x-user": "anna"}, auth=ANNA).status_code == 200


@pytest.mark.parametrize("path", ["/desk/screen", ""], ids=["left on", "stripped"])
def test_everything_is_found_below_a_proxy_s_path(path: str) -> None:
    with TestClient(screen(ui_root_path="/desk/screen", **LOCKED)) as browser:
        assert browser.get(f"{path}/config").status_code == 401
        assert browser.get(f"{path}/healthz").json() == {"ok": True}
        config = browser.get(f"{path}/config", auth=ANNA).json()
        assert config["root"] == "http://testserver/desk/screen"
        assert "<svg" in browser.get(f"{path}/favicon.ico", auth=ANNA).text
        assert browser.get(f"{path}/files/docs/data.png", auth=ANNA).status_code == 200


def test_every_answer_says_what_a_browser_may_load() -> None:
    with TestClient(screen()) as browser:
        for path in ("/", "/config", "/healthz", "/files/docs/data.png", "/nowhere"):
            headers = browser.get(path).headers
            assert "default-src 'self'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff"


def test_policy_of_a_report_is_its_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", headers={"Content-Security-Policy": "sandbox"})(scope, receive, send)

    browser = TestClient(guarded(app, load_settings()))
    assert browser.get("/").headers["content-security-policy"] == "sandbox"


def test_screen_is_open_where_nothing_is_asked_for() -> None:
    with TestClient(screen()) as browser:
        assert browser.get("/").status_code == 200
