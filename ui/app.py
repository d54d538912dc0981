"""The page: Gradio's blocks around the tabs, what happens on a choice, and the refresh."""

from __future__ import annotations

import os

# Read by gradio while it is imported.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import gradio as gr
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from candlecast.client import Client
from ui import manual, panels
from ui.files import routes
from ui.format import Language
from ui.gate import HEALTH
from ui.looks import Looks
from ui.page import REFRESH_SECONDS, TABS, Session, View, choices, note_shown, pulse, read, refresh, restored, shows
from ui.snapshot import Snapshot
from ui.tabs.base import CHANGED, DRAW, LOOK, QUIET, REMEMBER, Shared, Tab, Updates
from ui.tabs.data import DataTab
from ui.tabs.drift import DriftTab
from ui.tabs.forecast import ForecastTab
from ui.tabs.models import ModelsTab
from ui.tabs.own import OwnTab
from ui.tabs.reading import ReadingTab
from ui.tabs.record import RecordTab
from ui.theme import FONTS, MONO, css_properties, gradio_variables
from ui.words import words

_STATIC = Path(__file__).parent / "static"
_TABS: Final[tuple[type[Tab], ...]] = (ForecastTab, RecordTab, DataTab, ModelsTab, DriftTab, OwnTab, ReadingTab)


def create_app(connect: Callable[[str | None], Client], dashboards: str | None = None) -> FastAPI:
    """Return the ASGI app: the page at `/`, health at `/healthz`.

    `connect` makes a client with a token or without. `dashboards` is where a link leads to.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(HEALTH)
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    page = Page(connect, dashboards)
    app.include_router(routes(page.shared.reader))
    if (manual.FOLDER / manual.IMAGES).is_dir():
        app.mount("/files/docs", StaticFiles(directory=manual.FOLDER / manual.IMAGES))
    theme = gr.themes.Base(font=list(FONTS), font_mono=list(MONO)).set(**gradio_variables())
    script = (_STATIC / "screen.js").read_text(encoding="utf-8")
    mounted = gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        theme=theme,
        css=(_STATIC / "screen.css").read_text(encoding="utf-8"),
        # Gradio repeats what it is given as `css` below its own container, where the palette's class would not count.
        head=f"{_early()}<style>{css_properties()}</style><script>{script}</script>",
        favicon_path=str(_STATIC / "favicon.svg"),
        footer_links=[],
        run_history=False,
        show_error=False,
    )
    assert isinstance(mounted, FastAPI)  # noqa: S101 - gradio's own annotation is wider
    return mounted


def _early() -> str:
    """Return links for what draws the chart: the browser would ask for its megabytes only when the page is built."""
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    return "".join(f'<link rel="modulepreload" href="./assets/{one.name}">' for one in assets.glob("PlotlyPlot-*.js"))


class Page:
    """The frame around the tabs: header, pickers, refresh; and which tab is drawn."""

    def __init__(self, connect: Callable[[str | None], Client], dashboards: str | None = None) -> None:
        self.shared = Shared(connect, connect(None), dashboards)
        self._looks = Looks(self.shared.reader)
        self.tabs: dict[str, Tab] = {kind.name: kind(self.shared) for kind in _TABS}
        with gr.Blocks(title="candlecast", analytics_enabled=False, fill_width=True) as self.blocks:
            self._session = gr.State(Session())
            self._browser = gr.Textbox(visible=False, elem_id="browser")
            with gr.Column(elem_id="page"):
                self._head()
                with gr.Column(elem_id="main"):
                    self._pickers()
                    for tab in self.tabs.values():
                        tab.place(visible=tab.name == TABS[0])
                self._foot = gr.HTML(self._footer("en"), elem_id="foot")
            self._events()
        self.blocks.queue(default_concurrency_limit=8, max_size=128)

    def _head(self) -> None:
        self._pulse = gr.HTML(elem_id="pulse")
        # Pressed by the browser, which knows who is looking, and at which tab.
        self._refresh = gr.Button("Refresh", elem_id="refresh", elem_classes="unpressed")
        self._redraw = {name: gr.Button("Draw", elem_id=f"draw-{name}", elem_classes="unpressed") for name in self.tabs}
        self._banner = gr.HTML(elem_id="banner")
        with gr.Row(elem_id="header"):
            self._brand = gr.HTML(panels.header("en"), elem_id="brand")
            with gr.Row(elem_id="settings"):
                self._rate = gr.HTML(panels.rate(REFRESH_SECONDS, "en"), elem_id="rate")
                self._zone = _switch("zone", "Time zone", [("UTC", "utc"), ("Local", "local")])
                self._language = _switch("language", "Language", [("EN", "en"), ("PT", "pt")])
                self._palette = _switch("palette", "Colours", [("Violet", "violet"), ("Federal", "federal")])
                self._dark = gr.Checkbox(label="Dark", elem_id="dark", container=False)
        names = [(words("en")[f"tab_{name}"], name) for name in TABS]
        self._tabs = gr.Radio(names, value=TABS[0], label="Page", elem_id="tabs", container=False)

    def _pickers(self) -> None:
        with gr.Row(elem_id="pick"):
            self._series = gr.Dropdown(label="Series", elem_id="series", filterable=True, allow_custom_value=False)
            self._interval = gr.Radio(label="Interval", elem_id="interval", elem_classes="segments")
            self._horizon = gr.Radio(label="Horizon, candles", elem_id="horizon", elem_classes="segments")
            self.shared.token = gr.Textbox(
                label="Token", type="password", visible=not self.shared.reader.has_token, elem_id="token", max_lines=1
            )
        self._notice = gr.HTML(elem_id="notice")

    def _events(self) -> None:
        frame: list[Any] = [self._tabs, self._series, self._interval, self._horizon]
        frame += [self._language, self._zone, self._palette, self._dark]
        chosen = [one for tab in self.tabs.values() for one in tab.controls()]
        self.shared.inputs += [self._browser, *frame, *chosen, self._session]
        inputs, shown = self.shared.inputs, [tab.column for tab in self.tabs.values()]
        first = self._frame() + shown + chosen + self._forecast.outputs()
        self.blocks.load(self._open, inputs, list(dict.fromkeys(first)), js=LOOK, **QUIET)
        self.blocks.load(None, None, [self.shared.token], js="() => candlecast.token()", **QUIET)
        self.shared.token.change(None, [self.shared.token], None, js="(it) => candlecast.keepToken(it)", **QUIET)
        # Gradio builds every output of an event anew, changed or not: a quiet refresh must have few.
        quiet = [self._pulse, self._notice, *self._forecast.quiet()]
        self._refresh.click(self._tick, inputs, quiet, js=LOOK, trigger_mode="once", queue=False, **QUIET)
        self._tabs.input(self._turn, inputs, shown, js=REMEMBER, trigger_mode="always_last", **QUIET).then(
            None, None, None, js=DRAW, **QUIET
        )
        for control in frame[1:]:
            control.input(None, inputs, None, js=CHANGED, **QUIET)
        for name, tab in self.tabs.items():
            outputs = self._frame() + tab.outputs()
            draw = partial(self._draw, name)
            self._redraw[name].click(draw, inputs, outputs, js=LOOK, trigger_mode="always_last", **QUIET)
            for control in tab.controls():
                control.input(draw, inputs, outputs, js=REMEMBER, trigger_mode="always_last", **QUIET)
            tab.listen(partial(self._draw_anew, name), outputs)

    @property
    def _forecast(self) -> ForecastTab:
        tab = self.tabs[ForecastTab.name]
        assert isinstance(tab, ForecastTab)  # noqa: S101 - made above
        return tab

    def _frame(self) -> list[Any]:
        return [
            self._pulse, self._banner, self._brand, self._rate, self._zone, self._language, self._palette, self._dark,
            self._tabs, self._series, self._interval, self._horizon, self.shared.token, self._notice, self._foot,
        ]  # fmt: skip

    def _open(self, browser: str, *given: Any) -> Updates:
        *_, session = given
        view, series, horizon = restored(browser)
        session.begin()
        self._look(session, view, series, horizon)
        # Only the first tab is drawn with the page; the browser asks for another one when it knows that it is open.
        drawn = view.tab == ForecastTab.name
        updates = self._whole(session, view) if drawn else self._framed(session, view, news=True)
        updates |= self._turned(view)
        for control, value in (
            (self._tabs, view.tab),
            (self._zone, "utc" if view.zone == "UTC" else "local"),
            (self._language, view.language),
            (self._palette, view.palette),
            (self._dark, view.dark),
            *((control, value) for tab in self.tabs.values() for control, value in tab.chosen(view).items()),
        ):
            updates[control] = gr.update(**(updates.get(control) or {}) | {"value": value})
        return updates

    def _turn(self, *given: Any) -> Updates:
        view, *_ = read(*given)
        return self._turned(view)

    def _turned(self, view: View) -> Updates:
        return {tab.column: gr.update(visible=tab.name == view.tab) for tab in self.tabs.values()}

    def _draw(self, tab: str, *given: Any) -> Updates:
        view, series, horizon, session = read(*given)
        if view.tab != tab:  # the reader has turned to another one meanwhile, which draws itself
            return {self._pulse: gr.skip()}
        mark = session.begin()
        self._look(session, view, series, horizon)
        return {self._pulse: gr.skip()} if session.mark != mark else self._whole(session, view)

    def _draw_anew(self, tab: str, *given: Any) -> Updates:
        self._looks.forget()
        return self._draw(tab, *given)

    def _tick(self, *given: Any) -> Updates:
        view, series, horizon, session = read(*given)
        mark = session.mark
        self._look(session, view, series, horizon, keep=mark)
        if session.mark != mark:  # the reader has chosen something else meanwhile; that answer counts
            return {self._pulse: gr.skip()}
        news = not shows(session, view)
        updates = {self._pulse: pulse(session, view, news=news), self._notice: self._trouble(session, view)}
        return updates | (self._forecast.freshness(session, view) if view.tab == ForecastTab.name else {})

    def _look(
        self, session: Session, view: View, series: str | None, horizon: int | None, keep: int | None = None
    ) -> None:
        gather = self.tabs[view.tab].gather
        refresh(session, self._looks, view, series, horizon, keep, lambda seen, before: gather(seen, view, before))

    def _whole(self, session: Session, view: View) -> Updates:
        note_shown(session, view)
        tab = self.tabs[view.tab]
        return self._framed(session, view) | tab.draw(session, view) | tab.label(view)

    def _framed(self, session: Session, view: View, *, news: bool = False) -> Updates:
        return {
            self._pulse: pulse(session, view, news=news),
            self._banner: panels.banners(session.snapshot, view.language),
            self._notice: self._trouble(session, view),
            **self._picked(session.snapshot, view),
            **self._labels(view),
        }

    def _footer(self, language: Language) -> str:
        reader = self.shared.reader
        return panels.foot(language, reader.address, may_ask=reader.has_token)

    def _trouble(self, session: Session, view: View) -> str:
        # On the first tab the verdict's place says it where there are no figures to doubt.
        known = session.snapshot is not None or view.tab != ForecastTab.name
        return panels.notice(session.trouble_line(view.language, view.every, view.place) if known else "")

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
        return {
            self._brand: panels.header(language),
            self._rate: panels.rate(view.every, language),
            self._zone: gr.update(label=say["zone"], choices=[("UTC", "utc"), (say["local"], "local")]),
            self._language: gr.update(label=say["language"]),
            self._palette: gr.update(label=say["palette"], choices=[(say[name], name) for name in _PALETTES]),
            self._dark: gr.update(label=say["dark"]),
            self._tabs: gr.update(label=say["tabs"], choices=[(say[f"tab_{name}"], name) for name in TABS]),
            self.shared.token: gr.update(label=say["token"]),
            self._foot: self._footer(language),
        }


_PALETTES: Final = ("violet", "federal")


def _switch(name: str, label: str, options: list[tuple[str, str]]) -> gr.Radio:
    """Return two words in the header, one of them chosen."""
    return gr.Radio(options, value=options[0][1], label=label, elem_id=name, elem_classes="switch", container=False)
