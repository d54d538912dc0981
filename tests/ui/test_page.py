"""What the page knows, keeps and drops: looks at a fake service behind the client's transport."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from gradio.components.plot import PlotData

from candlecast.api import (
    Explanation,
    LatestForecasts,
    LatestPrices,
    LedgerRows,
    ModelVersions,
    Problem,
    Run,
    Runs,
    SeriesList,
    Shape,
    Trial,
    Trials,
)
from candlecast.client import ApiError, Client, ServiceAway, TokenNeeded
from candlecast.client import base as client_base
from tests.making import a_run
from tests.ui.making import (
    CUTOFF,
    NOW,
    SERIES,
    STEP,
    abstained,
    baseline,
    candles,
    challenger,
    forecast,
    ledger_row,
    snapshot,
    state,
    status,
)
from ui import runs
from ui.app import Page, create_app
from ui.format import when
from ui.looks import Looks
from ui.markup import plain
from ui.page import Session, View, choices, note_shown, pulse, read, refresh, restored, shows
from ui.snapshot import Snapshot, closes_next, look, pick, venue_now
from ui.tabs.base import Shared
from ui.tabs.data import DataTab
from ui.tabs.forecast import ForecastTab
from ui.tabs.models import ModelsTab


class Service:
    """Answers by path; an answer can be a shape, a problem's status, or an exception."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Shape | str | int | Exception] = {
            "/v1/series": SeriesList(series=[state()], horizons=[1, 5]),
            "/v1/status": status(),
            "/v1/forecasts/latest": LatestForecasts(forecasts=[forecast(5), forecast(1)]),
            "/v1/candles": candles(),
            "/v1/forecasts": LedgerRows(forecasts=[ledger_row(CUTOFF - STEP)]),
            "/v1/prices/latest": LatestPrices(prices=[]),
            "/v1/models": ModelVersions(models=[challenger({"promote": False})]),
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            problem = Problem(title="No", status=answer, detail="sorry", code="store_unavailable")
            return httpx.Response(answer, text=problem.model_dump_json())
        return httpx.Response(200, text=answer if isinstance(answer, str) else answer.model_dump_json())

    def fail(self, *paths: str, how: int | Exception = 503) -> None:
        for path in paths or self.answers:
            self.answers[path] = how


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(client_base, "PAUSES", ())
    with Client("http://service", transport=httpx.MockTransport(service)) as opened:
        yield opened


@pytest.fixture
def looks(client: Client) -> Looks:
    return Looks(client, lifetime=-1)  # each look is a new one


def test_look_gathers_everything_with_the_venue_s_clock(client: Client) -> None:
    seen = look(client, SERIES, 5, None)
    assert [f.horizon for f in seen.forecasts] == [1, 5]
    assert seen.forecast is not None
    assert seen.forecast.horizon == 5
    assert seen.now == NOW
    assert len(seen.ledger) == 1
    assert seen.decimals == 2


def test_second_look_asks_for_candles_again_only_when_one_has_closed(service: Service, client: Client) -> None:
    first = look(client, SERIES, 1, None)
    service.asked.clear()
    look(client, SERIES, 1, first)
    assert "/v1/candles" not in service.asked
    later = CUTOFF + STEP
    newer = [forecast(1, cutoff=later, target_time=later + STEP)]
    service.answers["/v1/forecasts/latest"] = LatestForecasts(forecasts=newer)
    look(client, SERIES, 1, first)
    assert "/v1/candles" in service.asked


def test_candle_that_closed_after_the_cutoff_waits_for_its_forecast(service: Service, client: Client) -> None:
    early = CUTOFF - 2 * STEP
    behind = LatestForecasts(forecasts=[forecast(1, cutoff=early, target_time=early + STEP)])
    service.answers["/v1/forecasts/latest"] = behind
    seen = look(client, SERIES, 1, None)
    assert seen.candles is not None
    assert len(seen.candles.open_time) == 10
    assert len(seen.candles.volume) == 10


def test_abstention_keeps_all_candles(service: Service, client: Client) -> None:
    early = CUTOFF - 2 * STEP
    service.answers["/v1/forecasts/latest"] = LatestForecasts(forecasts=[abstained("stale", cutoff=early)])
    seen = look(client, SERIES, 1, None)
    assert seen.candles is not None
    assert len(seen.candles.open_time) == 12


def test_forecast_goes_on_when_only_the_database_is_away(service: Service, client: Client) -> None:
    first = look(client, SERIES, 1, None)
    service.fail("/v1/series", "/v1/candles", "/v1/forecasts")
    later = CUTOFF + STEP
    fresh = LatestForecasts(forecasts=[forecast(1, stale=True, cutoff=later, target_time=later + STEP)])
    service.answers["/v1/forecasts/latest"] = fresh
    seen = look(client, SERIES, 1, first)
    assert seen.forecast is not None
    assert seen.forecast.cutoff == later
    assert seen.candles == first.candles


def test_series_without_candles_is_a_look_without_a_chart(service: Service, client: Client) -> None:
    service.fail("/v1/candles", how=404)
    seen = look(client, SERIES, 1, None)
    assert seen.candles is None
    assert seen.ledger == ()


def test_empty_service_is_a_look_without_series(service: Service, client: Client) -> None:
    service.answers["/v1/series"] = SeriesList(series=[], horizons=[1])
    seen = look(client, None, None, None)
    assert seen.series is None
    assert seen.forecast is None


def test_status_may_fail_alone(service: Service, client: Client) -> None:
    service.fail("/v1/status", how=500)
    assert look(client, SERIES, 1, None).now == NOW  # then the forecast's own clock counts


def test_challenger_is_looked_up_only_where_the_baseline_answers(service: Service, client: Client) -> None:
    assert look(client, SERIES, 1, None).challenger is None
    service.answers["/v1/forecasts/latest"] = LatestForecasts(forecasts=[baseline()])
    seen = look(client, SERIES, 1, None)
    assert seen.challenger is not None
    assert seen.challenger.kind == "xgboost"


def test_challenger_of_another_interval_is_not_ours(service: Service, client: Client) -> None:
    other = challenger(None).model_copy(update={"interval": "1h"})
    service.answers["/v1/models"] = ModelVersions(models=[other])
    service.answers["/v1/forecasts/latest"] = LatestForecasts(forecasts=[baseline()])
    assert look(client, SERIES, 1, None).challenger is None


def test_pick_prefers_what_was_wanted_then_alike_then_what_has_a_champion() -> None:
    names = ["binance:BTC-USDT:1h", "binance:BTC-USDT:15m", "binance:ETH-USDT:15m"]
    states = [state(series=name, champion=None) for name in names]
    states[2] = state(series=names[2])
    listing = SeriesList(series=states, horizons=[1])
    assert pick(listing, names[1]) == names[1]
    assert pick(listing, "binance:BTC-USDT:5m") == names[0]
    assert pick(listing, "kraken:X-Y:1h") == names[2]
    assert pick(SeriesList(series=[], horizons=[1]), names[1]) is None


def test_old_figures_stay_when_the_service_goes_and_the_trouble_is_said(service: Service, looks: Looks) -> None:
    session = Session()
    refresh(session, looks, View(), SERIES, 1)
    before = session.snapshot
    service.fail(how=httpx.ConnectError("refused"))
    refresh(session, looks, View(), SERIES, 1)
    assert session.snapshot is before
    assert isinstance(session.trouble, ServiceAway)
    said = session.trouble_line("en", 5)
    assert said.startswith("The service does not answer. Trying again in 5")
    assert "What you see is from" in said


def test_trouble_ends_with_the_next_good_answer(service: Service, looks: Looks) -> None:
    session = Session(trouble=ServiceAway("away"))
    refresh(session, looks, View(), SERIES, 1)
    assert session.trouble is None
    assert session.trouble_line("en", 5) == ""


@pytest.mark.parametrize(
    ("code", "http", "said"),
    [
        ("internal", 500, "The service failed on this request (internal)"),
        ("rate_limited", 429, "Too many requests. Refreshing every 5"),
        ("store_unavailable", 503, "The service does not answer."),
        ("unreadable_answer", 200, "Screen and service are of different versions: sorry"),
    ],
)
def test_each_trouble_has_its_sentence(code: str, http: int, said: str) -> None:
    session = Session(trouble=ApiError(Problem(title="", status=http, detail="sorry", code=code), http))
    assert session.trouble_line("en", 5).startswith(said)


def test_answer_to_an_older_choice_is_dropped(service: Service, looks: Looks) -> None:
    session = Session()
    mark = session.begin()
    session.begin()
    refresh(session, looks, View(), SERIES, 1, keep=mark)
    assert session.snapshot is None


def test_page_is_drawn_again_only_when_something_changed() -> None:
    session, view = Session(snapshot=snapshot()), View()
    assert not shows(session, view)
    note_shown(session, view)
    session.snapshot = snapshot(now=NOW + timedelta(seconds=5), taken_at=NOW + timedelta(seconds=5))
    assert shows(session, view)
    assert not shows(session, View(dark=True))
    session.snapshot = snapshot(forecast(1, p_up=0.6))
    assert not shows(session, view)


def test_rows_written_for_other_series_do_not_redraw_the_page() -> None:
    session, view = Session(snapshot=snapshot()), View()
    note_shown(session, view)
    session.snapshot = snapshot(status=status(ledger_rows=75_517))
    assert shows(session, view)


def test_choices_of_this_browser_come_back() -> None:
    known = {
        "language": "pt",
        "dark": True,
        "width": 390,
        "series": "binance:BTC-USDT",
        "interval": "15m",
        "horizon": 5,
    }
    view, series, horizon = restored(json.dumps(known))
    assert (view.language, view.dark, view.width) == ("pt", True, 390)
    assert (series, horizon) == (SERIES, 5)


@pytest.mark.parametrize("text", ["", "[]", "no json", "{}", '{"width": "wide", "horizon": "x"}'])
def test_new_or_broken_browser_memory_means_defaults(text: str) -> None:
    assert restored(text) == (View(), None, None)


def test_new_browser_speaks_its_own_language() -> None:
    assert restored('{"browser": "pt-BR"}')[0].language == "pt"


def test_controls_become_view_series_and_horizon() -> None:
    session = Session()
    known = json.dumps({"width": 390, "every": 30, "timezone": "America/Sao_Paulo"})
    chosen = ("data", "binance:BTC-USDT", "15m", 5, "pt", "local", "federal", True, False, True, "line", "90", "data")
    wanted = View("pt", True, 390, False, True, True, "data", "federal", "America/Sao_Paulo", 30, "90", "data")
    assert read(known, *chosen, session) == (wanted, SERIES, 5, session)
    nothing = read("", None, None, None, None, None, None, None, None, True, False, "candles", None, None, session)
    assert nothing == (View(), None, None, session)


def test_pickers_offer_intervals_of_the_chosen_symbol_in_order_of_length() -> None:
    names = ["binance:BTC-USDT:15m", "binance:BTC-USDT:1h", "binance:BTC-USDT:5m", "binance:ETH-USDT:1d"]
    listing = SeriesList(series=[state(series=name) for name in names], horizons=[1, 5])
    pairs, intervals, horizons = choices(snapshot(listing=listing))
    assert pairs == [("binance · BTC-USDT", "binance:BTC-USDT"), ("binance · ETH-USDT", "binance:ETH-USDT")]
    assert intervals == ["5m", "15m", "1h"]
    assert horizons == [("1", 1), ("5", 5)]


def test_clock_of_a_replay_runs_on_at_its_speed() -> None:
    seen = snapshot(speed=90.0)
    assert venue_now(seen, seen.taken_at + timedelta(seconds=10)) == NOW + timedelta(seconds=900)
    assert closes_next(seen) == CUTOFF + STEP


def test_pulse_carries_clock_title_language_and_announcement() -> None:
    taken = datetime.now(UTC)
    seen = replace(snapshot(speed=90.0), taken_at=taken)
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', pulse(Session(snapshot=seen), View(language="pt"))))
    assert found["lang"] == "pt-BR"
    assert found["speed"] == "90.0"
    assert found["key"] == f"{SERIES}/1|{int(CUTOFF.timestamp() * 1000)}"
    assert found["say"].startswith("Nova previsão")
    assert abs(int(found["now"]) - NOW.timestamp() * 1000) < 90 * 2000


def test_pulse_asks_for_a_drawing_only_where_there_are_news() -> None:
    session = Session(snapshot=snapshot())
    assert 'data-news=""' in pulse(session, View())
    assert 'data-news="yes"' in pulse(session, View(), news=True)


def follow(states: list[Run | int], **options: Any) -> list[str]:
    """Return the states that a watcher of these answers sees."""
    answers = iter(states)

    def answer(request: httpx.Request) -> httpx.Response:
        given = next(answers)
        if isinstance(given, int):
            return httpx.Response(given, text="")
        shape: Shape = given if request.method == "POST" else Runs(runs=[given])
        return httpx.Response(202 if request.method == "POST" else 200, text=shape.model_dump_json())

    ticks = iter(float(second) for second in range(1000))
    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        watched = runs.follow(client, "ingestion", None, sleep=lambda _: None, clock=lambda: next(ticks), **options)
        return [run.state for run, _ in watched]


def test_run_is_watched_until_it_ends() -> None:
    states = [a_run("queued"), a_run("running"), a_run("running"), a_run("succeeded")]
    assert follow([*states]) == ["queued", "running", "running", "succeeded"]


def test_watching_survives_a_failed_look() -> None:
    assert follow([a_run("queued"), 500, a_run("failed")]) == ["queued", "failed"]


def test_watching_ends_even_if_the_run_does_not() -> None:
    assert len(follow([a_run("running") for _ in range(50)], longest=10.0)) < 10


def test_refused_token_is_told_from_a_missing_one() -> None:
    error = TokenNeeded(Problem(title="", status=401, detail="no", code="unauthorized"), 401)
    assert "needs a token" in runs.refusal(error, "en", token_given=False)
    assert "does not know this token" in runs.refusal(error, "en", token_given=True)


def controls(session: Session) -> tuple[Any, ...]:
    """Return the controls' values as the browser sends them for BTC-USDT, 15m, one candle ahead."""
    return (
        "",
        "forecast",
        "binance:BTC-USDT",
        "15m",
        1,
        "en",
        "utc",
        "violet",
        False,
        True,
        False,
        "candles",
        "2000",
        "tour",
        session,
    )


def connect(service: Service) -> Any:
    return lambda token: Client("http://service", token or "known", transport=httpx.MockTransport(service))


def test_app_answers_health_and_serves_the_page_with_its_own_icon(service: Service) -> None:
    with TestClient(create_app(connect(service))) as browser:
        assert browser.get("/healthz").json() == {"ok": True}
        assert "candlecast" in browser.get("/").text
        assert b"#541F93" in browser.get("/favicon.ico").content


def test_quiet_refresh_touches_few_parts_of_the_page_and_is_answered_at_once(service: Service) -> None:
    page = Page(connect(service)).blocks
    named = {one.elem_id: key for key, one in page.blocks.items()}
    refresh_event = next(one for one in page.fns.values() if (named["refresh"], "click") in one.targets)
    assert {one.elem_id for one in refresh_event.outputs} == {"pulse", "notice", "chips"}
    assert not refresh_event.queue


def test_chart_is_drawn_once_for_all_pages_that_show_it_alike(service: Service) -> None:
    tab = ForecastTab(Shared(connect(service), connect(service)(None)))
    tab.build()
    first, other = (Session(snapshot=snapshot(taken_at=NOW + timedelta(seconds=late))) for late in (0, 3))
    drawn = {name: plot_of(tab, *seen) for name, seen in {
        "first": (first, View(width=1440)),
        "alike": (other, View(width=1440)),
        "narrow": (other, View(width=380)),
    }.items()}  # fmt: skip
    assert drawn["first"] is drawn["alike"]
    assert drawn["first"] != drawn["narrow"]


def plot_of(tab: ForecastTab, session: Session, view: View) -> str:
    plots = [one.plot for one in tab.draw(session, view).values() if isinstance(one, PlotData)]
    assert len(plots) == 1
    return plots[0]


def test_app_offers_no_api_of_its_own(service: Service) -> None:
    with TestClient(create_app(connect(service))) as browser:
        assert browser.get("/gradio_api/info").json()["named_endpoints"] == {}
        assert browser.get("/docs").status_code == 404


def test_forecast_now_says_when_no_candle_can_have_closed(service: Service) -> None:
    page = Page(connect(service))
    session = Session(snapshot=snapshot(taken_at=datetime.now(UTC)))
    said = list(page._forecast.forecast_now(*controls(session), ""))
    assert "No candle has closed since 16:00" in said[-1]
    assert 'data-tick="down"' in said[-1]
    assert "/v1/runs" not in service.asked


def test_forecast_now_asks_for_candles_of_this_series_when_one_is_due(service: Service) -> None:
    page = Page(connect(service))
    later = NOW + timedelta(minutes=20)
    session = Session(snapshot=snapshot(taken_at=datetime.now(UTC), now=later))
    service.answers["/v1/runs"] = 401
    said = list(page._forecast.forecast_now(*controls(session), ""))
    assert "does not know this token" in said[-1]
    assert service.asked[-1] == "/v1/runs"
    assert not session.asking


def test_what_drove_a_forecast_is_asked_once_for_all_pages_and_again_after_a_failure(service: Service) -> None:
    page, path = Page(connect(service)), "/v1/forecasts/latest/explanation"
    service.answers[path] = 409
    assert page._forecast.gather(snapshot(), View(), None) is None
    service.answers[path] = Explanation(series=SERIES, horizon=1, status="ok", cutoff=CUTOFF)
    found = [page._forecast.gather(snapshot(), View(), None) for _ in range(2)]
    assert found == [service.answers[path]] * 2
    assert service.asked.count(path) == 2
    assert page._forecast.gather(snapshot(baseline()), View(), None) is None
    assert service.asked.count(path) == 2


def test_stop_takes_back_the_run_that_this_page_asked_for_and_no_other(service: Service) -> None:
    tab, session = Page(connect(service)).tabs["data"], Session()
    assert isinstance(tab, DataTab)
    assert "No run goes on that this page asked for" in tab.stop(*controls(session), "")
    assert not [path for path in service.asked if "cancel" in path]
    service.answers["/v1/run-requests/7/cancel"] = a_run("running")
    session.watched = 7
    assert "Stopping after the step it is in" in tab.stop(*controls(session), "")
    service.answers["/v1/run-requests/7/cancel"] = 401
    assert "does not know this token" in tab.stop(*controls(session), "")


def test_champion_is_changed_only_with_a_reason_and_a_tick_and_the_tick_is_taken_back(service: Service) -> None:
    tab, path = Page(connect(service)).tabs["models"], "/v1/models/old/promote"
    assert isinstance(tab, ModelsTab)
    service.answers[path] = challenger({"promote": True})
    for version, reason, sure in ((None, "why", True), ("old", "  ", True), ("old", "why", False)):
        said, ticked = tab.promote(*controls(Session()), "", version, reason, sure)
        assert "say why, and tick the box" in said
        assert ticked == sure
    assert path not in service.asked
    assert tab.promote(*controls(Session()), "", "old", " why ", True)[1] is False
    assert service.asked[-1] == path
    service.answers[path] = 401
    said, ticked = tab.promote(*controls(Session()), "", "old", "why", True)
    assert "does not know this token" in said
    assert ticked is False


def test_card_of_the_picked_version_is_shown_below_its_facts(service: Service) -> None:
    tab, model = Page(connect(service)).tabs["models"], challenger({"promote": False})
    assert isinstance(tab, ModelsTab)
    session = Session(snapshot=snapshot(), found={"models": (model,)})
    service.answers["/v1/models/xgb-1/card"] = "# Model card\n## Limits\n[all](decisions/) the same"
    service.answers["/v1/models/xgb-1/trials"] = Trials(
        model_version="xgb-1",
        trials=[
            Trial(number=0, parameters={}, seed=1, scores={"pinball_ratio": 0.98765}, seconds=61, chosen=False),
            Trial(number=1, parameters={"max_depth": 4}, seed=1, scores={}, seconds=2, chosen=True),
        ],
    )
    facts, tried, card = tab.show(*controls(session), "xgb-1")
    _, second = plain(tried).split("the recipe as it is")
    assert "0.9877" in second
    assert "1, chosen" in second
    assert "max_depth 4" in second
    assert "Model card of xgb-1" in facts
    assert card == "## Model card\n### Limits\nall the same"
    service.answers["/v1/models/xgb-1/card"] = 404
    service.answers["/v1/models/xgb-1/trials"] = 404
    assert tab.show(*controls(session), "xgb-1")[1:] == ("", "")


def test_service_without_its_database_is_starting_and_one_that_is_away_is_not() -> None:
    away = Problem(title="", status=503, detail="not yet", code="store_unavailable")
    assert Session(trouble=ApiError(away, 503)).starting
    assert not Session(trouble=ServiceAway("refused")).starting


def test_link_opens_its_tab_and_unknown_words_open_the_first() -> None:
    assert restored('{"tab": "drift", "zone": "local", "timezone": "Asia/Kolkata"}')[0] == View(
        tab="drift", zone="Asia/Kolkata"
    )
    assert restored('{"tab": "nowhere", "palette": "pink", "every": 1, "zone": "local"}')[0] == View(every=3)


def test_reader_s_zone_is_that_of_every_time_and_an_unknown_one_is_utc(looks: Looks) -> None:
    session = Session()
    refresh(session, looks, View(zone="America/Sao_Paulo"), SERIES, 1)
    assert session.snapshot is not None
    assert session.snapshot.now == NOW
    assert when(CUTOFF, session.snapshot.now, "en") == "13:00\N{NARROW NO-BREAK SPACE}UTC\N{MINUS SIGN}3"
    assert View(zone="Not/There").place == UTC


def test_what_a_tab_found_is_kept_for_its_next_look(looks: Looks) -> None:
    session, seen = Session(), []

    def gather(_: Snapshot, before: object) -> object:
        seen.append(before)
        return len(seen)

    for _ in range(2):
        refresh(session, looks, View(tab="data"), SERIES, 1, gather=gather)
    assert seen == [None, 1]
    assert session.found == {"data": 2}


def test_tab_that_cannot_be_filled_leaves_the_rest_of_the_page_and_what_it_had(looks: Looks) -> None:
    session = Session(found={"data": "before"})

    def gather(_: Snapshot, before: object) -> object:
        raise ServiceAway("gone")

    refresh(session, looks, View(tab="data"), SERIES, 1, gather=gather)
    assert session.snapshot is not None
    assert isinstance(session.trouble, ServiceAway)
    assert session.found == {"data": "before"}


def test_busy_port_is_named_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "ui", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert f"port {port}" in ended.stderr
    assert "CANDLECAST_UI_PORT" in ended.stderr
