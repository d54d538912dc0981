"""The page in a real browser, over the whole product as `make run` starts it, on replayed real candles."""

import re
import sys
from pathlib import Path

import gradio as gr
import httpx

from candlecast.client import Client
from tests.browser.conftest import House, clean_environment
from tests.browser.page import PICTURES, Screen, open_page
from tests.programs import free_port, running
from tests.shared import requires_shared
from tests.waiting import eventually
from ui.app import Page

pytestmark = requires_shared


def cutoff(screen: Screen) -> str:
    """Return the cutoff that the page shows in its panel "As written down"."""
    row = screen.page.locator("#written").get_by_text("Cutoff", exact=True).locator("xpath=following-sibling::*[1]")
    return row.inner_text()


def test_the_page_shows_a_forecast_and_the_next_candle_without_a_reload(screen_url: str) -> None:
    with open_page(screen_url, PICTURES) as screen:
        screen.wait_for_chart()
        verdict = screen.page.locator("h1")
        assert verdict.count() == 1
        assert verdict.inner_text().strip()
        assert "BTC-USDT" in screen.page.locator("#verdict-card").inner_text()
        assert "80" in screen.page.locator("#cards").inner_text()
        assert "What drove this forecast" in screen.page.locator("#drivers").inner_text()
        first = eventually(lambda: cutoff(screen))
        screen.picture("forecast-1440-light")
        eventually(lambda: cutoff(screen) != first)
        assert screen.complaints == []


def test_forecast_now_starts_a_real_run_and_says_how_it_ended(screen_url: str) -> None:
    with open_page(screen_url, PICTURES, scheme="dark") as screen:
        screen.wait_for_chart()
        screen.page.locator("#now").click()
        asked = screen.page.locator("#asked")
        said = eventually(lambda: text if "UTC" in (text := asked.inner_text()) else None)
        assert "Written down at" in said or "No candle has closed since" in said
        screen.picture("forecast-1440-dark")
        assert screen.complaints == []


def test_data_shows_what_is_stored_and_fetches_more(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=data", PICTURES) as screen:
        days = screen.page.locator("#data-days")
        eventually(lambda: "replay:BTC-USDT:15m" in days.inner_text())
        screen.page.locator("#ingest").click()
        progress = screen.page.locator("#data-progress")
        eventually(lambda: "new and" in progress.inner_text())
        eventually(lambda: "Ingestion" in screen.page.locator("#data-runs").inner_text())
        screen.page.get_by_label("Backfill from, UTC").fill("31/01/2025")
        screen.page.locator("#backfill").click()
        eventually(lambda: "Write days like" in progress.inner_text())
        screen.page.get_by_label("Backfill from, UTC").fill("2025-08-01")
        screen.page.get_by_label("through").fill("2025-08-02")
        screen.page.locator("#backfill").click()
        eventually(lambda: "0 new and 0 corrected" in progress.inner_text())
        screen.page.locator("#stop").click()
        eventually(lambda: "No run goes on" in screen.page.locator("#data-stopped").inner_text())
        screen.picture("data-1440-light", whole=True)
        assert screen.complaints == []


def test_track_record_scores_what_was_written_down_and_gives_the_ledger_as_a_file(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=record", PICTURES) as screen:
        page = screen.page
        eventually(lambda: "were written down in time" in page.locator("#record-verdict").inner_text())
        assert page.locator("h1").count() == 1
        assert "Rows, all series" in page.locator("#record-ledger").inner_text()
        page.get_by_label("30 days", exact=True).check()
        with page.expect_download() as download:
            page.locator("#files a").first.click()
        assert "hash" in download.value.path().read_text().splitlines()[0]
        screen.picture("record-1440-light", whole=True)
        assert screen.complaints == []


def test_train_starts_a_real_run_and_its_version_appears_with_the_decision(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=models", PICTURES) as screen:
        page = screen.page
        page.locator("#train").click()
        progress = page.locator("#progress")
        eventually(lambda: "replay 15m" in progress.inner_text(), 120)
        outcome = progress.inner_text()
        assert "promoted" in outcome or "refused" in outcome
        eventually(lambda: "replay-15m-" in page.locator("#models-versions").inner_text())
        assert page.get_by_label("Version", exact=True).input_value().startswith("replay-15m-")
        page.locator("#promote").click()
        eventually(lambda: "tick the box" in progress.inner_text())
        screen.picture("models-1440-light", whole=True)
        assert screen.complaints == []


def test_drift_is_compared_on_demand(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=drift", PICTURES, scheme="dark") as screen:
        page = screen.page
        page.locator("#drift-run").click()
        eventually(lambda: "done" in page.locator("#drift-progress").inner_text(), 120)
        eventually(lambda: "columns moved beyond" in page.locator("#drift-newest").inner_text())
        screen.picture("drift-1440-dark", whole=True)
        assert screen.complaints == []


def test_own_candles_are_understood_before_they_are_used_and_get_a_forecast(screen_url: str, tmp_path: Path) -> None:
    sample = tmp_path / "candles.csv"
    given = httpx.get(f"{screen_url}/files/sample.csv", params={"series": "replay:BTC-USDT:15m"}, timeout=30)
    sample.write_bytes(given.raise_for_status().content)
    with open_page(f"{screen_url}?tab=own", PICTURES) as screen:
        page = screen.page
        page.locator("#own-file input[type=file]").set_input_files(sample)
        eventually(lambda: "600 candles of 15m" in page.locator("#own-understood").inner_text())
        page.locator("#own-ask").click()
        eventually(lambda: "Computed now by" in page.locator("#own-said").inner_text())
        assert "Last close" in page.locator("#own-cards").inner_text()
        page.locator("#own-paste textarea").fill("open_time,open,high,low,close,volume\n2025-01-01,1,2,1,=1+1,3")
        page.locator("#own-read").click()
        eventually(lambda: "Line 2, column close: “=1+1” is not a number" in page.locator("#own-said").inner_text())
        assert screen.complaints == []


def test_a_link_opens_a_tab_and_the_address_follows_the_reader(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=data&series=replay:BTC-USDT:15m", PICTURES) as screen:
        eventually(lambda: screen.page.locator("#data-series").is_visible())
        screen.page.get_by_label("Forecast", exact=True).check()
        screen.wait_for_chart()
        assert "tab=forecast" in screen.page.url
        assert screen.complaints == []


def test_the_page_fits_a_phone_and_speaks_portuguese(screen_url: str) -> None:
    with open_page(screen_url, PICTURES, width=390, height=844) as screen:
        screen.wait_for_chart()
        assert not screen.scrolls_sideways()
        screen.page.get_by_role("button", name="Settings").click()
        screen.page.get_by_label("PT", exact=True).check()
        eventually(lambda: "Último fechamento" in screen.page.locator("#cards").inner_text())
        screen.picture("forecast-390-pt")
        assert not screen.scrolls_sideways()
        assert screen.complaints == []


def test_page_rests_while_nobody_looks_and_refreshes_at_once_when_somebody_does(screen_url: str) -> None:
    with open_page("about:blank", PICTURES) as screen:
        page = screen.page
        page.clock.install()
        page.goto(screen_url)
        screen.wait_for_chart()
        page.evaluate(
            """() => {
                window.away = true;
                window.pressed = 0;
                Object.defineProperty(document, "hidden", { get: () => window.away });
                document.getElementById("refresh").addEventListener("click", () => { window.pressed += 1; });
            }"""
        )
        page.clock.fast_forward(1_000)  # it is settled when to refresh next
        page.clock.fast_forward(120_000)
        assert page.evaluate("window.pressed") == 0
        page.evaluate("window.away = false")
        page.clock.fast_forward(1_000)
        eventually(lambda: page.evaluate("window.pressed") == 1)


def price_range(screen: Screen) -> list[float]:
    """Return the prices between which the chart is drawn."""
    found: list[float] = screen.page.evaluate("document.querySelector('#chart .js-plotly-plot').layout.yaxis.range")
    return found


def test_chart_changes_with_its_switches_and_a_zoom_is_taken_back(screen_url: str) -> None:
    with open_page(screen_url, PICTURES) as screen:
        page, boxes = screen.page, screen.page.locator("#chart .boxlayer path.box")
        screen.wait_for_chart()
        eventually(lambda: boxes.count() > 0)
        page.get_by_label("Line", exact=True).check()
        eventually(lambda: boxes.count() == 0)
        page.get_by_label("Candles", exact=True).check()
        eventually(lambda: boxes.count() > 0)
        home = eventually(lambda: price_range(screen))
        plot = page.locator("#chart .nsewdrag").first.bounding_box()
        assert plot is not None
        page.mouse.move(plot["x"] + 100, plot["y"] + 60)
        page.mouse.down()
        page.mouse.move(plot["x"] + 300, plot["y"] + 160, steps=4)
        page.mouse.up()
        eventually(lambda: price_range(screen)[1] - price_range(screen)[0] < 0.8 * (home[1] - home[0]))
        page.locator("#reset").click()
        eventually(lambda: price_range(screen)[1] - price_range(screen)[0] > 0.8 * (home[1] - home[0]))
        assert screen.complaints == []


def test_every_button_of_the_page_is_pressed_by_a_test_here() -> None:
    page = Page(lambda token: Client("http://127.0.0.1:9", token))
    buttons = {
        one.elem_id
        for one in page.blocks.blocks.values()
        if isinstance(one, gr.Button) and "unpressed" not in one.elem_classes
    }
    pressed = set(re.findall(r'locator\("#([\w-]+)"\)\.click\(\)', Path(__file__).read_text(encoding="utf-8")))
    assert len(buttons) > 5
    assert not buttons - pressed


def versions(house: House) -> list[str]:
    """Return the trained versions, the newest first."""
    models = httpx.get(f"{house.service}/v1/models", timeout=30).raise_for_status().json()["models"]
    return [model["id"] for model in models if model["kind"] != "naive"]


def choose(screen: Screen, name: str, value: str) -> None:
    """Choose a value of a dropdown as a person does."""
    screen.page.locator(f"#{name} input").click()
    screen.page.get_by_role("option", name=value).click()


def promote(screen: Screen, version: str) -> None:
    """Make a version the champion by hand, and wait until the page shows that it is."""
    page, table = screen.page, screen.page.locator("#models-versions")
    choose(screen, "version", version)
    page.get_by_label("Why this one").fill("to try it")
    page.get_by_label("yes, it answers").check()
    page.locator("#promote").click()
    eventually(lambda: f"{version} answers from the next candle on" in page.locator("#progress").inner_text())
    eventually(lambda: "Champion" in table.locator("tr", has_text=version).inner_text())
    assert not page.get_by_label("yes, it answers").is_checked()


def test_champion_is_chosen_by_hand_and_rolled_back(house: House) -> None:
    with open_page(f"{house.screen}?tab=models", PICTURES) as screen:
        screen.page.locator("#train").click()
        newest, older = eventually(lambda: found if len(found := versions(house)[:2]) == 2 else None, 120)
        eventually(lambda: newest in screen.page.locator("#models-versions").inner_text())
        promote(screen, newest)
        promote(screen, older)
        screen.picture("models-promoted-1440-light", whole=True)
        assert screen.complaints == []


def test_documentation_is_read_inside_the_screen(screen_url: str) -> None:
    with open_page(f"{screen_url}?tab=reading&doc=data", PICTURES) as screen:
        text = screen.page.locator("#page-text")
        eventually(lambda: "Stored data" in text.inner_text())
        choose(screen, "page-name", "A tour of the screen")
        eventually(lambda: "The problem" in text.inner_text())
        assert "doc=tour" in screen.page.url
        image = text.locator("img").first
        eventually(lambda: image.evaluate("one => one.complete && one.naturalWidth > 0"))
        assert screen.complaints == []


def test_screen_alone_works_below_a_path_and_behind_a_password(house: House, tmp_path: Path) -> None:
    port, password = str(free_port()), "open, sesame"
    settings = {"UI_PORT": port, "UI_ROOT_PATH": "/desk", "UI_PASSWORD": password, "API_BASE_URL": house.service}
    environment = clean_environment() | {f"CANDLECAST_{name}": value for name, value in settings.items()}
    with running([sys.executable, "-m", "ui"], environment, tmp_path / "log"):
        eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/desk/healthz").is_success)
        with open_page(f"http://127.0.0.1:{port}/desk/", PICTURES, password=password) as screen:
            screen.wait_for_chart()
            assert "It only reads until a token is given" in screen.page.locator("#foot").inner_text()

            def is_asked_for_a_token() -> bool:
                # As long as no candle has closed, the answer is that there is nothing to fetch.
                screen.page.locator("#now").click()
                return "token" in screen.page.locator("#asked").inner_text()

            eventually(is_asked_for_a_token)
            screen.page.get_by_label("Track record", exact=True).check()
            with screen.page.expect_download() as download:
                screen.page.locator("#files a").first.click()
            assert "/desk/files/ledger.csv" in download.value.url
            assert screen.complaints == []
