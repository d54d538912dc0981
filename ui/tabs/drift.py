"""The Drift tab: how far the market has moved since training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from candlecast.api import DriftReport
from ui import drifting
from ui.page import Session, View
from ui.snapshot import Snapshot
from ui.tabs.base import LOOK, QUIET, Tab, Updates
from ui.words import words

_REPORTS = 40


class DriftTab(Tab):
    """The newest drift report, those before it, and making another."""

    name = "drift"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(drifting.head("en"), elem_id="drift-head")
        with gr.Column(elem_id="compare", elem_classes="asking"):
            self._title = gr.HTML()
            with gr.Row(elem_classes="buttons"):
                self._run = gr.Button("Run now", variant="primary", elem_id="drift-run")
            self._progress = gr.HTML(elem_id="drift-progress", elem_classes="progress")
        with gr.Row(elem_classes="duo"):
            self._newest = gr.HTML(drifting.newest((), None, "en"), elem_id="drift-newest")
            self._over_time = gr.HTML(drifting.over_time((), None, "en"), elem_id="drift-over-time")
        self._page = gr.HTML(elem_id="drift-page")
        self._columns = gr.HTML(elem_id="drift-columns")

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie the button."""
        inputs = self.shared.inputs
        self._run.click(
            self.shared.work("drift"),
            [*inputs, self.shared.token],
            [self._progress],
            js=LOOK,
            trigger_mode="once",
            **QUIET,
        ).then(redraw, inputs, outputs, js=LOOK, **QUIET)

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [self._head, self._title, self._run, self._newest, self._over_time, self._page, self._columns]

    def gather(self, snapshot: Snapshot, view: View, before: object) -> tuple[DriftReport, ...]:
        """Ask for the reports of the chosen venue and interval."""
        series = snapshot.parsed
        if series is None:
            return ()
        return tuple(self.shared.reader.drift_reports(series.venue, str(series.interval), _REPORTS).reports)

    def draw(self, session: Session, view: View) -> Updates:
        """Return the reports."""
        found, snapshot, language = session.found.get(self.name), session.snapshot, view.language
        reports = found if isinstance(found, tuple) else ()
        return {
            self._newest: drifting.newest(reports, snapshot, language),
            self._over_time: drifting.over_time(reports, snapshot, language),
            self._page: drifting.page(reports, snapshot, language),
            self._columns: drifting.columns(reports, language),
        }

    def label(self, view: View) -> Updates:
        """Return the words on the controls."""
        say = words(view.language)
        return {
            self._head: drifting.head(view.language),
            self._title: f"<h2>{say['drift_work']}</h2>",
            self._run: gr.update(value=say["drift_run"]),
        }
