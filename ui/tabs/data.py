"""The Data tab: what is stored and missing, and fetching more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr

from candlecast.api import Coverage, Run
from candlecast.client import ApiError, ServiceAway
from ui import runs, stored
from ui.page import Session, View, read
from ui.snapshot import Snapshot
from ui.tabs.base import LOOK, QUIET, Tab, Updates
from ui.words import words

_RUNS = 12
_MOST_SERIES = 24
_COUNT_AGAIN = 60.0


@dataclass(frozen=True)
class Stored:
    """What the tab found: how complete each series is, and the newest runs."""

    coverages: dict[str, Coverage]
    runs: tuple[Run, ...]
    counted_at: float = field(compare=False)


class DataTab(Tab):
    """Which candles there are, and how to get those that are missing."""

    name = "data"

    def build(self) -> None:
        """Make the components."""
        self._head = gr.HTML(stored.head("en"), elem_id="data-head")
        with gr.Column(elem_id="fetch", elem_classes="asking"):
            self._title = gr.HTML()
            with gr.Row(elem_classes="buttons"):
                self._ingest = gr.Button("Ingest now", variant="primary", elem_id="ingest")
                self._from = gr.Textbox(
                    label="Backfill from, UTC", placeholder="2025-01-31", max_lines=1, elem_id="backfill-from"
                )
                self._to = gr.Textbox(label="through", placeholder="now", max_lines=1, elem_id="backfill-to")
                self._only = gr.Checkbox(value=True, label="only this series", elem_id="only", container=False)
                self._backfill = gr.Button("Backfill", elem_id="backfill")
                self._stop = gr.Button("Stop", elem_id="stop")
            self._progress = gr.HTML(elem_id="data-progress", elem_classes="progress")
            self._stopped = gr.HTML(elem_id="data-stopped", elem_classes="progress")
        self._series = gr.HTML(stored.series_panel(None, {}, "en"), elem_id="data-series")
        self._days = gr.HTML(stored.completeness_panel({}, "en"), elem_id="data-days")
        self._runs = gr.HTML(stored.runs_panel((), None, "en"), elem_id="data-runs")
        with gr.Row(elem_classes="duo"):
            self._candles = gr.HTML(stored.candles_panel(None, "en"), elem_id="data-candles")
            self._ledger = gr.HTML(stored.ledger_panel(None, "en"), elem_id="data-ledger")

    def listen(self, redraw: Callable[..., Updates], outputs: list[Any]) -> None:
        """Tie the buttons."""
        inputs = self.shared.inputs
        asked = [*inputs, self.shared.token]
        for button, work, more in (
            (self._ingest, self.ingest, []),
            (self._backfill, self.backfill, [self._from, self._to, self._only]),
        ):
            button.click(work, [*asked, *more], [self._progress], js=LOOK, trigger_mode="once", **QUIET).then(
                redraw, inputs, outputs, js=LOOK, **QUIET
            )
        self._stop.click(self.stop, asked, [self._stopped], js=LOOK, trigger_mode="once", **QUIET)

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [
            self._head, self._title, self._ingest, self._from, self._to, self._only, self._backfill, self._stop,
            self._series, self._days, self._runs, self._candles, self._ledger,
        ]  # fmt: skip

    def gather(self, snapshot: Snapshot, view: View, before: object) -> Stored:
        """Ask for the runs, and now and then for how complete each series is."""
        client, known = self.shared.reader, before if isinstance(before, Stored) else None
        newest = tuple(client.runs(limit=_RUNS).runs)
        if known is not None and time.monotonic() - known.counted_at < _COUNT_AGAIN:
            return Stored(known.coverages, newest, known.counted_at)
        filled = [state.series for state in snapshot.listing.series if state.candles][:_MOST_SERIES]
        return Stored({name: client.coverage(name) for name in filled}, newest, time.monotonic())

    def draw(self, session: Session, view: View) -> Updates:
        """Return the tables."""
        snapshot, language = session.snapshot, view.language
        found = session.found.get(self.name)
        known = found if isinstance(found, Stored) else Stored({}, (), 0.0)
        return {
            self._series: stored.series_panel(snapshot, known.coverages, language),
            self._days: stored.completeness_panel(known.coverages, language),
            self._runs: stored.runs_panel(known.runs, snapshot, language),
            self._candles: stored.candles_panel(snapshot, language),
            self._ledger: stored.ledger_panel(snapshot, language),
        }

    def label(self, view: View) -> Updates:
        """Return the words on the controls."""
        say = words(view.language)
        return {
            self._head: stored.head(view.language),
            self._title: f"<h2>{say['data_work']}</h2>",
            self._ingest: gr.update(value=say["data_ingest"]),
            self._from: gr.update(label=say["data_from"]),
            self._to: gr.update(label=say["data_through"], placeholder=say["data_now"]),
            self._only: gr.update(label=say["data_only"]),
            self._backfill: gr.update(value=say["data_backfill"]),
            self._stop: gr.update(value=say["data_stop"]),
        }

    def ingest(self, *given: Any) -> Iterator[str]:
        """Fetch what is due, of every series."""
        *page, token = given
        view, _, _, session = read(*page)
        yield from self._work(session, view, token, None)

    def backfill(self, *given: Any) -> Iterator[str]:
        """Fetch everything from one day through another, of this series or of all."""
        *page, token, first, last, only = given
        view, series, _, session = read(*page)
        now = datetime.now(UTC) if session.snapshot is None else session.snapshot.now
        days = parsed_days(first, last, now)
        if days is None:
            yield runs.line(words(view.language)["data_bad_days"], "bad")
            return
        yield from self._work(session, view, token, [series] if only and series else None, *days)

    def _work(
        self,
        session: Session,
        view: View,
        token: str,
        series: list[str] | None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[str]:
        yield runs.line(words(view.language)["asking"])
        yield from self.shared.watch("ingestion", series, token, view, start, end, session)

    def stop(self, *given: Any) -> str:
        """Let the run that this page asked for last stop after the step it is in."""
        *page, token = given
        view, _, _, session = read(*page)
        say = words(view.language)
        if session.watched is None:
            return runs.line(say["data_nothing_to_stop"])
        with self.shared.connect(token or None) as client:
            try:
                client.cancel_request(session.watched)
            except (ApiError, ServiceAway) as error:
                return runs.refusal(error, view.language, token_given=bool(token) or self.shared.reader.has_token)
        return runs.line(say["data_stopping"])


def parsed_days(first: str, last: str, now: datetime) -> tuple[datetime, datetime | None] | None:
    """Return the start of the first day and the end of the last one, both written as 2025-01-31, in UTC.

    An empty last day is open: its end is None. Return None where a day cannot be read or the first one is not before
    `now`, or not before the end.
    """
    try:
        start = _day(first)
        end = _day(last) + timedelta(days=1) if last.strip() else None
    except (ValueError, OverflowError):
        return None
    return (start, end) if start < min(now, end or now) else None


def _day(text: str) -> datetime:
    return datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
