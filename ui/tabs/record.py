"""The Track record: the ledger as a scorecard."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import gradio as gr

from candlecast.api import LedgerRow, Score
from candlecast.candles import Interval
from candlecast.client import ApiError
from ui import scorecard
from ui.direction import direction_panel
from ui.page import WINDOWS, Session, View
from ui.scoring import Scorecard
from ui.scoring import scorecard as score_card
from ui.snapshot import Snapshot
from ui.tabs.base import Tab, Updates
from ui.trading import Traded, traded, trading_panel
from ui.words import words
from ui.yardsticks import yardsticks

_MOST_ROWS = 40_000
_READ_AGAIN = 100  # rows whose close may have become known since

Key = tuple[str | None, int, str]


@dataclass(frozen=True)
class Record:
    """What the tab found: a scorecard, and the rows it was made from."""

    key: Key
    card: Scorecard
    trade: Traded | None
    yardsticks: tuple[Score, ...]
    rows: list[LedgerRow] = field(compare=False, repr=False)


class RecordTab(Tab):
    """How good the forecasts have been, from the ledger and nothing else."""

    name = "record"

    def build(self) -> None:
        """Make the components."""
        self.window = gr.Radio(
            [(words("en")[f"record_{name}"], name) for name in WINDOWS],
            value=WINDOWS[0],
            label="Window",
            elem_id="window",
            elem_classes="segments",
        )
        self._files = gr.HTML(elem_id="files")
        self._verdict = gr.HTML(scorecard.verdict(None, None, "en"), elem_id="record-verdict")
        self._numbers = gr.HTML(scorecard.numbers(None, None, "en"), elem_id="record-numbers")
        with gr.Row(elem_classes="trio"):
            self._yardsticks = gr.HTML(elem_id="record-yardsticks")
            self._reliability = gr.HTML(elem_id="record-reliability")
            self._promise = gr.HTML(elem_id="record-promise")
        self._daily = gr.HTML(elem_id="record-daily")
        with gr.Row(elem_classes="duo"):
            self._direction = gr.HTML(elem_id="record-direction")
            self._trading = gr.HTML(elem_id="record-trading")
        with gr.Row(elem_classes="aside"):
            self._months = gr.HTML(elem_id="record-months")
            self._ledger = gr.HTML(elem_id="record-ledger")

    def controls(self) -> list[Any]:
        """Return the window."""
        return [self.window]

    def chosen(self, view: View) -> Updates:
        """Return the window that the reader had last."""
        return {self.window: view.window}

    def outputs(self) -> list[Any]:
        """Return everything that is drawn."""
        return [
            self.window, self._files, self._verdict, self._numbers, self._yardsticks, self._reliability, self._promise,
            self._daily, self._direction, self._trading, self._months, self._ledger,
        ]  # fmt: skip

    def gather(self, snapshot: Snapshot, view: View, before: object) -> Record | None:
        """Read the window's rows, of those read before only the newest again, and score them."""
        if snapshot.series is None:
            return None
        key = (snapshot.series, snapshot.horizon, view.window)
        known = before if isinstance(before, Record) and before.key == key else None
        rows = self._rows(snapshot, view.window, known.rows if known else [])
        yardsticks = known.yardsticks if known else self._hold_out(snapshot.series, snapshot.horizon)
        card, interval = score_card(rows), Interval.parse(snapshot.series.rpartition(":")[2])
        return Record(key, card, None if card.baseline else traded(rows, interval), yardsticks, rows)

    def _rows(self, snapshot: Snapshot, window: str, before: list[LedgerRow]) -> list[LedgerRow]:
        assert snapshot.series is not None  # noqa: S101 - the caller has looked
        last = int(window) if window == WINDOWS[0] else _MOST_ROWS
        start = snapshot.now - timedelta(days=int(window)) if window in ("30", "90") else None
        kept = before[:-_READ_AGAIN]
        begin: datetime | None = before[len(kept)].cutoff if kept else start
        fresh = self.shared.reader.forecasts(
            snapshot.series, snapshot.horizon, last, start=begin, origin="live"
        ).forecasts
        rows = (kept + fresh)[-last:]
        return [row for row in rows if start is None or row.cutoff >= start]

    def _hold_out(self, series: str, horizon: int) -> tuple[Score, ...]:
        try:
            newest = self.shared.reader.evaluations(series, limit=1).evaluations
        except ApiError:
            return ()  # an older service does not know this route; the ledger is what this tab is about
        return tuple(one for one in newest[0].scores if one.horizon == horizon) if newest else ()

    def draw(self, session: Session, view: View) -> Updates:
        """Return the scorecard."""
        snapshot, language = session.snapshot, view.language
        found = session.found.get(self.name)
        known = found if isinstance(found, Record) else None
        card = known.card if known else None
        trade = known.trade if known else None
        horizon = snapshot.horizon if snapshot else 1
        return {
            self._files: scorecard.files(snapshot.series if snapshot else None, horizon, language),
            self._verdict: scorecard.verdict(card, snapshot, language),
            self._numbers: scorecard.numbers(card, snapshot, language, trade),
            self._yardsticks: yardsticks(known.yardsticks if known else (), language),
            self._reliability: scorecard.reliability(card, language),
            self._promise: scorecard.promise(card, language),
            self._daily: scorecard.daily(card, language),
            self._direction: direction_panel(card, language),
            self._trading: trading_panel(trade, snapshot, language),
            self._months: scorecard.months(card, language),
            self._ledger: scorecard.ledger(card, snapshot, language),
        }

    def label(self, view: View) -> Updates:
        """Return the words on the window."""
        say = words(view.language)
        windows = [(say[f"record_{name}"], name) for name in WINDOWS]
        return {self.window: gr.update(label=say["record_window"], choices=windows)}
