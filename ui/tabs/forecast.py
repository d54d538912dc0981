"""The Forecast tab: verdict, cards, chart, and Forecast now."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from candlecast.api import Explanation
from candlecast.client import ApiError, ServiceAway
from ui import panels, runs, table
from ui.answers import Answers
from ui.chart_rows import candle_rows
from ui.drivers import drivers_panel
from ui.format import when
from ui.markup import ticking
from ui.page import Session, View, figure_json, read
from ui.snapshot import Snapshot, closes_next, look, venue_now
from ui.tabs.base import LOOK, QUIET, Tab, Updates
from ui.verdict import plain_card, verdict_card
from ui.words import words

_WAIT_FOR_FORECAST = 20.0
_READING_TIME = 20.0
_EXPLAINED = 64


class ForecastTab(Tab):
    """What is said about the next candle, and how good such sayings have been."""

    name = "forecast"

    def build(self) -> None:
        """Make the components."""
        say = words("en")
        self._explained = lru_cache(maxsize=_EXPLAINED)(self._explain)
        self._figures: Answers[str] = Answers(math.inf)
        self._chips = gr.HTML(elem_id="chips")
        self._now = gr.Button("Forecast now", variant="primary", elem_id="now")
        self._asked = gr.HTML(elem_id="asked")
        self._verdict = gr.HTML(plain_card(say["loading"], say["loading_line"], "en"), elem_id="verdict-card")
        self._cards = gr.HTML(panels.cards(None, "en"), elem_id="cards")
        with gr.Row(elem_id="body"):
            self._chart()
            with gr.Column(elem_id="side"):
                self._next = gr.HTML(panels.next_candle(None, "en"), elem_id="next")
                self._drivers = gr.HTML(elem_id="drivers")
                self._written = gr.HTML(panels.written_down(None, "en"), elem_id="written")

    def _chart(self) -> None:
        with gr.Column(elem_id="chart-card"):
            with gr.Row(elem_id="chart-head"):
                self._legend = gr.HTML(table.legend("en"), elem_id="legend")
                self.past = gr.Checkbox(value=True, label="past closes", elem_id="past", container=False)
                self.past_candles = gr.Checkbox(label="past candles", elem_id="past-candles", container=False)
                self.style = gr.Radio(
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
            self._table = gr.HTML(table.chart_words(None, None, "en"), elem_id="table")

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie Forecast now and Reset zoom."""
        inputs = self.shared.inputs
        self._reset.click(None, None, None, js="() => candlecast.reset()", **QUIET)
        self._now.click(
            self.forecast_now, [*inputs, self.shared.token], [self._asked], js=LOOK, trigger_mode="once", **QUIET
        ).then(redraw, inputs, outputs, js=LOOK, **QUIET)

    def controls(self) -> list[Any]:
        """Return what changes the chart."""
        return [self.past, self.past_candles, self.style]

    def chosen(self, view: View) -> Updates:
        """Return how the reader had the chart last."""
        style = "line" if view.line else "candles"
        return {self.past: view.past, self.past_candles: view.past_candles, self.style: style}

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [
            self._chips, self._now, self._asked, self._verdict, self._cards, self._legend, self.past, self.past_candles,
            self.style, self._reset, self._plot, self._table, self._next, self._drivers, self._written,
        ]  # fmt: skip

    def gather(self, snapshot: Snapshot, view: View, before: object) -> Explanation | None:
        """Ask what drove the forecast, once for all pages that show it; the forecast does not wait for an answer."""
        forecast = snapshot.forecast
        if forecast is None or forecast.status != "ok":
            return None
        try:
            return self._explained(forecast.series, forecast.horizon, forecast.cutoff, forecast.model_version)
        except (ApiError, ServiceAway):
            return None

    def _explain(self, series: str, horizon: int, *_: object) -> Explanation:
        return self.shared.reader.explanation(series, horizon)

    def draw(self, session: Session, view: View) -> Updates:
        """Return the forecast of the snapshot."""
        snapshot, language = session.snapshot, view.language
        rows = candle_rows(snapshot, view.look)
        found = session.found.get(self.name)
        explanation = found if isinstance(found, Explanation) else None
        return {
            **self.freshness(session, view),
            self._verdict: self._verdict_of(session, view),
            self._cards: panels.cards(snapshot, language),
            self._plot: PlotData(type="plotly", plot=self._figure(snapshot, view)),
            self._table: table.chart_words(snapshot, rows, language),
            self._next: panels.next_candle(snapshot, language),
            self._drivers: drivers_panel(snapshot, explanation, language),
            self._written: panels.written_down(snapshot, language),
            **({} if self._outcome_counts(session) else {self._asked: ""}),
        }

    def _figure(self, snapshot: Snapshot | None, view: View) -> str:
        """Return the chart, drawn once for all pages that show it alike."""
        question = ((snapshot.content, snapshot.now.date()) if snapshot else None, view.zone, view.look)
        empty = words(view.language)["chart_alt_none"]
        return self._figures.get(question, lambda: figure_json(snapshot, view.look, empty))

    @staticmethod
    def _outcome_counts(session: Session) -> bool:
        """Return whether what Forecast now says, or ended with, is news still."""
        return session.asking or time.monotonic() - session.asked_at <= _READING_TIME

    def quiet(self) -> list[Any]:
        """Return what `freshness` changes."""
        return [self._chips]

    def freshness(self, session: Session, view: View) -> Updates:
        """Return what changes from look to look even where no candle has closed."""
        return {self._chips: panels.chips(session.snapshot, view.language)}

    def label(self, view: View) -> Updates:
        """Return the words on the controls."""
        say, language = words(view.language), view.language
        styles = [(say["candles"], "candles"), (say["line"], "line")]
        return {
            self._now: gr.update(value=say["forecast_now"]),
            self._legend: table.legend(language),
            self.past: gr.update(label=say["past"]),
            self.past_candles: gr.update(label=say["past_candles"]),
            self.style: gr.update(label=say["style"], choices=styles),
            self._reset: gr.update(value=say["reset"]),
        }

    def _verdict_of(self, session: Session, view: View) -> str:
        say, snapshot = words(view.language), session.snapshot
        if snapshot is None and session.starting:
            return plain_card(say["starting"], say["starting_line"], view.language)
        if snapshot is None:
            line = session.trouble_line(view.language, view.every, view.place)
            return plain_card(say["no_service"], line, view.language)
        if snapshot.series is None:
            return plain_card(say["empty"], say["empty_line"], view.language)
        return verdict_card(snapshot, view.language)

    def forecast_now(self, *given: Any) -> Iterator[str]:
        """Fetch the series' candles and say when the new forecast was written down, or why there is none."""
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
        done = yield from self.shared.watch("ingestion", [series] if series else None, token, view)
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
                snapshot = look(self.shared.reader, series, horizon, snapshot)
            except (ApiError, ServiceAway):
                snapshot = None
            forecast = snapshot.forecast if snapshot else None
            if snapshot and forecast and forecast.issued_at and forecast.cutoff and forecast.cutoff != before:
                at = when(forecast.issued_at, snapshot.now.astimezone(view.place), view.language)
                return runs.line(say["new_forecast"].format(time=at), "good")
            time.sleep(0.5)
        return (self._still_open(snapshot, view) if snapshot else "") or runs.line(say["not_yet"])
