"""Your candles: a forecast of what the reader brings, computed and not written down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from gradio.components.plot import PlotData

from candlecast.api import CandleColumns, ComputedForecast, ForecastRequest, LatestForecast, SeriesList
from candlecast.candles import from_ms
from candlecast.client import ApiError, ServiceAway
from ui import panels, runs
from ui.format import Language, moment_text, number
from ui.markup import heading, panel, quiet, rows_table
from ui.own_candles import COLUMNS, MOST_BYTES, OwnCandles, Refused, read_csv
from ui.page import Session, View, figure_json, read
from ui.snapshot import PAST_CANDLES, Snapshot
from ui.tabs.base import LOOK, QUIET, Tab, Updates
from ui.told import told
from ui.words import words

_DELIMITERS = {"\t": "\\t"}


class OwnTab(Tab):
    """Bring candles, see what was understood, get a forecast with the same cards and chart."""

    name = "own"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(elem_id="own-head")
        with gr.Column(elem_id="bring", elem_classes="asking"):
            self._title = gr.HTML()
            with gr.Row(elem_classes="duo"):
                self._file = gr.File(label="CSV", file_types=[".csv", ".txt", ".tsv"], elem_id="own-file", height=106)
                self._paste = gr.Textbox(label="CSV", lines=5, max_lines=5, max_length=MOST_BYTES, elem_id="own-paste")
            with gr.Row(elem_classes="buttons"):
                self._read = gr.Button("Read", elem_id="own-read")
                self._ask = gr.Button("Forecast these", variant="primary", elem_id="own-ask")
                self._sample = gr.HTML(elem_id="own-sample")
            self._said = gr.HTML(elem_id="own-said", elem_classes="progress")
        self._understood = gr.HTML(elem_id="own-understood")
        self._cards = gr.HTML(elem_id="own-cards")
        with gr.Column(elem_id="own-chart-card", visible=False) as self._chart_card:
            self._plot = gr.Plot(show_label=False, container=False, elem_id="own-chart")

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie reading and asking."""
        inputs = self.shared.inputs
        seen = [self._said, self._understood, self._cards, self._chart_card]
        self._read.click(self.understand, [*inputs, self._file, self._paste], seen, js=LOOK, **QUIET)
        self._file.upload(self.understand, [*inputs, self._file, self._paste], seen, js=LOOK, **QUIET)
        answer = [self._said, self._cards, self._chart_card, self._plot]
        self._ask.click(self.forecast, [*inputs, self.shared.token], answer, js=LOOK, trigger_mode="once", **QUIET)

    def outputs(self) -> list[Any]:
        """Return what carries words."""
        return [self._head, self._title, self._file, self._paste, self._read, self._ask, self._sample]

    def draw(self, session: Session, view: View) -> Updates:
        """Return the link to a sample of the chosen series."""
        series = session.snapshot.series if session.snapshot else None
        if series is None:
            return {self._sample: ""}
        link = f"files/sample.csv?{urlencode({'series': series})}"
        text = escape(words(view.language)["own_sample"])
        return {self._sample: f'<p class="files"><a href="{escape(link)}" download>{text}</a></p>'}

    def label(self, view: View) -> Updates:
        """Return the words on the controls."""
        say = words(view.language)
        return {
            self._head: heading(say["own_title"], say["own_line"]),
            self._title: f"<h2>{say['own_bring']}</h2>",
            self._file: gr.update(label=say["own_file"]),
            self._paste: gr.update(label=say["own_paste"]),
            self._read: gr.update(value=say["own_read"]),
            self._ask: gr.update(value=say["own_ask"]),
        }

    def understand(self, *given: Any) -> Updates:
        """Read the file, or what was pasted, and show what was understood."""
        *page, file, pasted = given
        view, _, _, session = read(*page)
        say = words(view.language)
        gone: Updates = {self._cards: "", self._chart_card: gr.update(visible=False)}
        try:
            session.own = read_csv(_content(file, pasted or ""))
        except Refused as refused:
            session.own = None
            sentence = escape(say[refused.reason].format(**refused.parts))
            return gone | {self._said: runs.line(sentence, "bad"), self._understood: ""}
        return gone | {self._said: "", self._understood: understood(session.own, view.language)}

    def forecast(self, *given: Any) -> Updates:
        """Ask for the forecast of the candles that were read."""
        *page, token = given
        view, _, _, session = read(*page)
        say, own = words(view.language), session.own
        if own is None:
            return {self._said: runs.line(say["own_read_first"], "bad")}
        with self.shared.connect(token or None) as client:
            try:
                found = client.own_forecasts(ForecastRequest(interval=own.interval, candles=own.candles)).forecasts
            except (ApiError, ServiceAway) as error:
                return {self._said: _refusal(error, own, view.language, token_given=bool(token))}
        snapshot = own_snapshot(own, found, view)
        first = found[0]
        done = say["own_done"].format(
            model=first.model_version, time=moment_text(first.cutoff.astimezone(view.place), view.language)
        )
        figure = figure_json(snapshot, view.look, say["chart_alt_none"])
        return {
            self._said: runs.line(escape(done), "good"),
            self._cards: panels.cards(snapshot, view.language),
            self._chart_card: gr.update(visible=True),
            self._plot: PlotData(type="plotly", plot=figure),
        }


def _content(file: str | None, pasted: str) -> bytes:
    if pasted.strip() or file is None:
        return pasted.encode()
    with Path(file).open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def understood(own: OwnCandles, language: Language) -> str:
    """Return which column was taken for what, with the first and the last row, and what else was guessed."""
    say, columns = words(language), own.candles
    heads = [say[f"own_{name}"] for name in ("column", "theirs", "first", "last")]
    rows = []
    for name in COLUMNS:
        values = columns.open_time if name == "time" else getattr(columns, name)
        shown = [moment_text(from_ms(v), language) if name == "time" else f"{v:,.8g}" for v in (values[0], values[-1])]
        title = say["own_time"] if name == "time" else say["own_volume"] if name == "volume" else say[name]
        rows.append([escape(title), escape(own.headers[name]), *map(escape, shown)])
    facts = say["own_facts"].format(
        n=number(len(columns.open_time), 0, language),
        interval=own.interval,
        delimiter=_DELIMITERS.get(own.delimiter, own.delimiter),
        decimal=say["own_comma" if own.decimal_comma else "own_point"],
    )
    return panel(say["own_understood"], quiet(facts) + rows_table(say["own_understood"], heads, rows, texts=2))


def _refusal(error: ApiError | ServiceAway, own: OwnCandles, language: Language, *, token_given: bool) -> str:
    """Return why the service refused, pointing at the line of the file where it names a row."""
    extra = (error.problem.model_extra or {}) if isinstance(error, ApiError) else {}
    row, column, reason = extra.get("row"), extra.get("column"), extra.get("reason")
    if isinstance(row, int) and 0 <= row < len(own.lines) and column and reason:
        where = own.headers.get("time" if column == "open_time" else str(column), str(column))
        sentence = words(language)["own_line_at"].format(
            line=own.lines[row], column=where, reason=told(str(reason), language)
        )
        return runs.line(escape(sentence), "bad")
    return runs.refusal(error, language, token_given=token_given)


def own_snapshot(own: OwnCandles, found: list[ComputedForecast], view: View) -> Snapshot:
    """Return the same kind of look that the Forecast tab draws, of candles that no venue's clock belongs to."""
    now = datetime.now(UTC).astimezone(view.place)
    newest = found[-1].cutoff
    forecasts = tuple(_as_latest(one, now) for one in found if one.cutoff == newest)
    columns = {name: values[-PAST_CANDLES:] for name, values in own.candles.model_dump().items()}
    candles = CandleColumns(series="", interval=own.interval, gaps=0, **columns)
    listing = SeriesList(series=[], horizons=[one.horizon for one in forecasts])
    return Snapshot(
        now, now, 1.0, listing, horizon=forecasts[0].horizon, forecasts=forecasts, candles=candles, live=False
    )


def _as_latest(one: ComputedForecast, now: datetime) -> LatestForecast:
    known = one.model_dump(exclude={"status"})
    return LatestForecast(series="", status=one.status, simulated=False, now=now, clock_speed=1, issued_at=now, **known)
