"""The page: Gradio's blocks, what happens on a click, and the timer. The only place that imports gradio."""

from __future__ import annotations

import os

# Read by gradio while it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.components.plot import PlotData

from candlecast.api import JobName
from candlecast.client import ApiError, Client, ServiceAway
from ui import panels, runs, table
from ui.chart import candle_rows
from ui.format import when
from ui.markup import ticking
from ui.page import Session, View, choices, figure_json, follow_view, pulse, read, refresh, restored
from ui.snapshot import Snapshot, closes_next, look, venue_now
from ui.theme import FONTS, MONO, css_properties, gradio_variables
from ui.verdict import plain_card, verdict_card
from ui.words import words

REFRESH_SECONDS = 5.0
_WAIT_FOR_FORECAST = 20.0
_READING_TIME = 20.0
_STATIC = Path(__file__).parent / "static"
_REMEMBER = "(...args) => candlecast.remember(args)"
_LOOK = "(...args) => candlecast.look(args)"

Updates = dict[Any, Any]


def create_app(connect: Callable[[str | None], Client], *, has_token: bool) -> FastAPI:
    """Return the ASGI app: the page at `/`, health at `/healthz`.

    `connect` makes a client of the service with a token or without; `has_token` says whether the
    settings already hold one, so that the page does not ask for it.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    page = Page(connect, has_token=has_token)
    theme = gr.themes.Base(font=list(FONTS), font_mono=list(MONO)).set(**gradio_variables())
    script = (_STATIC / "screen.js").read_text(encoding="utf-8")
    mounted = gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        theme=theme,
        css=css_properties() + (_STATIC / "screen.css").read_text(encoding="utf-8"),
        head=f"<script>{script}</script>",
        favicon_path=str(_STATIC / "favicon.svg"),
        footer_links=[],
        run_history=False,
        show_error=False,
    )
    assert isinstance(mounted, FastAPI)  # noqa: S101 - gradio's own annotation is wider
    return mounted


class Page:
    """The blocks of the Forecast tab and the functions behind them."""

    def __init__(self, connect: Callable[[str | None], Client], *, has_token: bool) -> None:
        self._connect = connect
        self._reader = connect(None)  # one pool of connections for everything that only reads
        self._has_token = has_token
        with gr.Blocks(title="candlecast", analytics_enabled=False, fill_width=True) as self.blocks:
            self._session = gr.State(Session())
            self._browser = gr.Textbox(visible=False)
            self._timer = gr.Timer(REFRESH_SECONDS)
            with gr.Column(elem_id="page"):
                self._head()
                with gr.Column(elem_id="main"):
                    self._pickers()
                    self._summary()
                    with gr.Row(elem_id="body"):
                        self._chart()
                        self._side()
                self._foot = gr.HTML(panels.foot("en"), elem_id="foot")
            self._events()
        self.blocks.queue(default_concurrency_limit=8, max_size=128)

    def _head(self) -> None:
        self._pulse = gr.HTML(elem_id="pulse")
        self._banner = gr.HTML(elem_id="banner")
        with gr.Row(elem_id="header"):
            self._brand = gr.HTML(panels.header("en"), elem_id="brand")
            self._rate = gr.HTML(elem_id="rate")
            self._language = gr.Radio(
                [("EN", "en"), ("PT", "pt")], value="en", label="Language", elem_id="language", container=False
            )
            self._dark = gr.Checkbox(label="Dark", elem_id="dark", container=False)

    def _pickers(self) -> None:
        with gr.Row(elem_id="pick"):
            self._series = gr.Dropdown(label="Series", elem_id="series", filterable=True, allow_custom_value=False)
            self._interval = gr.Radio(label="Interval", elem_id="interval", elem_classes="segments")
            self._horizon = gr.Radio(label="Horizon, candles", elem_id="horizon", elem_classes="segments")
        self._chips = gr.HTML(elem_id="chips")
        self._now = gr.Button("Forecast now", variant="primary", elem_id="now")
        self._notice = gr.HTML(elem_id="notice")
        self._asked = gr.HTML(elem_id="asked")

    def _summary(self) -> None:
        say = words("en")
        self._verdict = gr.HTML(plain_card(say["loading"], say["loading_line"], "en"), elem_id="verdict-card")
        self._cards = gr.HTML(panels.cards(None, "en"), elem_id="cards")

    def _chart(self) -> None:
        with gr.Column(elem_id="chart-card"):
            with gr.Row(elem_id="chart-head"):
                self._legend = gr.HTML(table.legend("en"), elem_id="legend")
                self._past = gr.Checkbox(value=True, label="past closes", elem_id="past", container=False)
                self._style = gr.Radio(
                    [("Candles", "candles"), ("Line", "line")],
                    value="candles",
                    show_label=False,
                    label="Price as",
                    elem_id="style",
                    elem_classes="segments",
                    container=False,
                )
                self._reset = gr.Button("Reset zoom", elem_id="reset", size="md")
            waiting = PlotData(type="plotly", plot=figure_json(None, View().look, words("en")["loading_chart"]))
            self._plot = gr.Plot(waiting, show_label=False, container=False, elem_id="chart")
            self._table = gr.HTML(elem_id="table")

    def _side(self) -> None:
        with gr.Column(elem_id="side"):
            self._next = gr.HTML(panels.next_candle(None, "en"), elem_id="next")
            with gr.Column(elem_id="runs"):
                self._runs_title = gr.HTML("<h2>Ask for work</h2>")
                with gr.Row(elem_id="ask"):
                    self._ingest = gr.Button("Ingest", elem_id="ingest")
                    self._train = gr.Button("Train", elem_id="train")
                self._token = gr.Textbox(
                    label="Token", type="password", visible=not self._has_token, elem_id="token", max_lines=1
                )
                self._progress = gr.HTML(elem_id="progress")
            self._written = gr.HTML(panels.written_down(None, "en"), elem_id="written")

    def _events(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        inputs: list[Any] = [self._browser, self._series, self._interval, self._horizon, self._language, self._dark]
        inputs += [self._past, self._style, self._session]
        outputs = self._outputs()
        self.blocks.load(self._open, inputs, outputs, js=_LOOK, **quiet)
        self.blocks.load(None, None, [self._token], js="() => candlecast.token()", **quiet)
        self._timer.tick(self._tick, inputs, [*outputs, self._asked], js=_LOOK, trigger_mode="once", **quiet)
        pickers = (self._series, self._interval, self._horizon, self._language, self._dark, self._past, self._style)
        for picker in pickers:
            picker.input(self._choose, inputs, outputs, js=_REMEMBER, trigger_mode="always_last", **quiet)
        self._token.change(None, [self._token], None, js="(token) => candlecast.keepToken(token)", **quiet)
        self._reset.click(None, None, None, js="() => candlecast.reset()", **quiet)
        asked = [*inputs, self._token]
        self._now.click(self._forecast_now, asked, [self._asked], js=_LOOK, trigger_mode="once", **quiet).then(
            self._choose, inputs, outputs, js=_LOOK, **quiet
        )
        for button, job in ((self._ingest, "ingestion"), (self._train, "training")):
            work = self._run_of(job)  # type: ignore[arg-type]  # a loop over literals widens to str
            button.click(work, asked, [self._progress], js=_LOOK, trigger_mode="once", **quiet)

    def _outputs(self) -> list[Any]:
        return [
            self._pulse, self._banner, self._brand, self._rate, self._language, self._dark, self._series,
            self._interval, self._horizon, self._chips, self._now, self._notice, self._verdict, self._cards,
            self._legend, self._past, self._style, self._reset, self._plot, self._table, self._next,
            self._runs_title, self._ingest, self._train, self._token, self._written, self._foot,
        ]  # fmt: skip

    def _open(self, browser: str, *given: Any) -> Updates:
        *_, session = given
        view, series, horizon = restored(browser)
        session.begin()
        refresh(session, self._reader, series, horizon)
        updates = self._drawn(session, view) | self._labels(view)
        return updates | {
            self._language: gr.update(value=view.language, label=words(view.language)["language"]),
            self._dark: gr.update(value=view.dark, label=words(view.language)["dark"]),
        }

    def _choose(self, *given: Any) -> Updates:
        view, series, horizon, session = read(*given)
        mark = session.begin()
        refresh(session, self._reader, series, horizon)
        if session.mark != mark:
            return {self._pulse: gr.skip()}
        return self._drawn(session, view) | self._labels(view)

    def _tick(self, *given: Any) -> Updates:
        view, series, horizon, session = read(*given)
        mark = session.mark
        refresh(session, self._reader, series, horizon, keep=mark)
        if session.mark != mark:  # the reader has chosen something else meanwhile; that answer counts
            return {self._pulse: gr.skip()}
        shown = follow_view(session, view)
        light = {
            self._pulse: pulse(session, view),
            self._notice: self._trouble(session, view),
            self._chips: panels.chips(session.snapshot, view.language),
        }
        if shown:
            return light
        # What "Forecast now" ended with is no news any more once the next candle is there.
        old = not session.asking and time.monotonic() - session.asked_at > _READING_TIME
        return self._drawn(session, view) | ({self._asked: ""} if old else {})

    def _drawn(self, session: Session, view: View) -> Updates:
        snapshot, language, say = session.snapshot, view.language, words(view.language)
        follow_view(session, view)
        rows = candle_rows(snapshot, view.look)
        return {
            self._pulse: pulse(session, view),
            self._banner: panels.banners(snapshot, language),
            self._chips: panels.chips(snapshot, language),
            self._notice: self._trouble(session, view),
            self._verdict: self._verdict_of(session, view),
            self._cards: panels.cards(snapshot, language),
            self._plot: PlotData(type="plotly", plot=figure_json(snapshot, view.look, say["chart_alt_none"])),
            self._table: table.chart_words(snapshot, rows, language),
            self._next: panels.next_candle(snapshot, language),
            self._written: panels.written_down(snapshot, language),
        } | self._picked(snapshot, view)

    def _verdict_of(self, session: Session, view: View) -> str:
        say, snapshot = words(view.language), session.snapshot
        if snapshot is None:
            return plain_card(say["no_service"], session.trouble_line(view.language, REFRESH_SECONDS), view.language)
        if snapshot.series is None:
            return plain_card(say["empty"], say["empty_line"], view.language)
        return verdict_card(snapshot, view.language)

    def _trouble(self, session: Session, view: View) -> str:
        known = session.snapshot is not None  # without figures to doubt, the verdict's place says it
        return panels.notice(session.trouble_line(view.language, REFRESH_SECONDS) if known else "")

    def _picked(self, snapshot: Snapshot | None, view: View) -> Updates:
        if snapshot is None or snapshot.series is None:
            return {}
        pairs, intervals, horizons = choices(snapshot)
        pair, _, interval = snapshot.series.rpartition(":")
        say = words(view.language)
        return {
            self._series: gr.update(choices=pairs, value=pair, label=say["series"]),
            self._interval: gr.update(choices=intervals, value=interval, label=say["interval"]),
            self._horizon: gr.update(choices=horizons, value=snapshot.horizon, label=say["horizon"]),
        }

    def _labels(self, view: View) -> Updates:
        say, language = words(view.language), view.language
        rate = say["refresh"].format(s=f"<b>{REFRESH_SECONDS:.0f}\N{NARROW NO-BREAK SPACE}s</b>")
        styles = [(say["candles"], "candles"), (say["line"], "line")]
        return {
            self._brand: panels.header(language),
            self._rate: f'<span class="rate">{rate}</span>',
            self._language: gr.update(label=say["language"]),
            self._dark: gr.update(label=say["dark"]),
            self._now: gr.update(value=say["forecast_now"]),
            self._legend: table.legend(language),
            self._past: gr.update(label=say["past"]),
            self._style: gr.update(label=say["style"], choices=styles),
            self._reset: gr.update(value=say["reset"]),
            self._runs_title: f"<h2>{say['runs']}</h2>",
            self._ingest: gr.update(value=say["ingest"]),
            self._train: gr.update(value=say["train"]),
            self._token: gr.update(label=say["token"]),
            self._foot: panels.foot(language),
        }

    def _run_of(self, job: JobName) -> Callable[..., Iterator[str]]:
        def work(*given: Any) -> Iterator[str]:
            *page, token = given
            view, _, _, _ = read(*page)
            yield runs.line(words(view.language)["asking"])
            yield from self._watch(job, None, token, view)

        return work

    def _watch(self, job: JobName, series: list[str] | None, token: str, view: View) -> Generator[str, None, bool]:
        """Yield what a run says; return whether it succeeded."""
        with self._connect(token or None) as client:
            try:
                for run, waited in runs.follow(client, job, series):
                    yield runs.progress(run, waited, view.language)
            except (ApiError, ServiceAway) as error:
                yield runs.refusal(error, view.language, token_given=bool(token) or self._has_token)
                return False
        return run.state == "succeeded"

    def _forecast_now(self, *given: Any) -> Iterator[str]:
        *page, token = given
        view, series, horizon, session = read(*page)
        session.asking = True
        try:
            yield from self._forecast(session, view, series, horizon, token)
        finally:
            session.asking, session.asked_at = False, time.monotonic()

    def _forecast(
        self, session: Session, view: View, series: str | None, horizon: int | None, token: str
    ) -> Iterator[str]:
        yield runs.line(words(view.language)["fetching"])
        if waiting := self._still_open(session.snapshot, view):
            yield waiting
            return
        before = session.snapshot.forecast.cutoff if session.snapshot and session.snapshot.forecast else None
        done = yield from self._watch("ingestion", [series] if series else None, token, view)
        if done:
            yield self._outcome(series, horizon, before, view)

    def _still_open(self, snapshot: Snapshot | None, view: View) -> str:
        """Say that no candle has closed since the last one, where that is so: then there is nothing to fetch."""
        if snapshot is None or snapshot.abstained or snapshot.newest_close is None:
            return ""
        now, closes = venue_now(snapshot, datetime.now(UTC)), closes_next(snapshot)
        if closes is None or closes <= now:
            return ""
        say = words(view.language)
        left = ticking(say["in"], closes, now, down=True, past=say["any_moment"])
        since = when(snapshot.newest_close, now, view.language)
        before, _, after = say["no_new_candle"].format(time=since, t="\0").partition("\0")
        return runs.line(f"{before}{left}{after}")

    def _outcome(self, series: str | None, horizon: int | None, before: datetime | None, view: View) -> str:
        """Wait for the forecast of the new candle and say when it was written down."""
        say, end = words(view.language), time.monotonic() + _WAIT_FOR_FORECAST
        snapshot: Snapshot | None = None
        while time.monotonic() < end:
            try:
                snapshot = look(self._reader, series, horizon, snapshot)
            except (ApiError, ServiceAway):
                snapshot = None
            forecast = snapshot.forecast if snapshot else None
            if snapshot and forecast and forecast.issued_at and forecast.cutoff and forecast.cutoff != before:
                at = when(forecast.issued_at, snapshot.now, view.language)
                return runs.line(say["new_forecast"].format(time=at), "good")
            time.sleep(0.5)
        return (self._still_open(snapshot, view) if snapshot else "") or runs.line(say["not_yet"])
