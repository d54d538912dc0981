"""What the chart draws: the candles that fit, the forecasts that say something, and what was said before."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from candlecast.api import LatestForecast, LedgerRow
from candlecast.candles import Interval, to_ms
from ui.format import Language
from ui.snapshot import Snapshot
from ui.theme import Mode

NARROW = 720
_NARROW_CANDLES = 22

Xs = list[float | None]


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw: the reader's language, colours and width, and what they switched on."""

    language: Language = "en"
    mode: Mode = "light"
    width: int = 1440
    past: bool = True
    past_candles: bool = False
    line: bool = False

    @property
    def narrow(self) -> bool:
        """Whether this is a phone."""
        return self.width < NARROW


@dataclass(frozen=True, slots=True)
class Rows:
    """The candles that are drawn, times in epoch milliseconds."""

    step: int
    opened: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]

    @property
    def middle(self) -> list[float]:
        """Where candles are drawn: between their opening and their close."""
        return [at + self.step / 2 for at in self.opened]

    @property
    def cutoff(self) -> int:
        """Close of the last candle."""
        return self.opened[-1] + self.step

    def gaps(self) -> list[tuple[int, int]]:
        """Return where candles are missing, as (from, to)."""
        pairs = zip(self.opened, self.opened[1:], strict=False)
        return [(before + self.step, after) for before, after in pairs if after - before > self.step]


def candle_rows(snapshot: Snapshot | None, look: Look) -> Rows | None:
    """Return the last candles that fit the width; None where there are none."""
    if snapshot is None or snapshot.candles is None or not snapshot.candles.open_time:
        return None
    columns = snapshot.candles
    count = _NARROW_CANDLES if look.narrow else len(columns.open_time)
    kept = {name: getattr(columns, name)[-count:] for name in ("open", "high", "low", "close", "volume")}
    return Rows(Interval.parse(columns.interval).milliseconds, columns.open_time[-count:], **kept)


def spoken(snapshot: Snapshot) -> list[LatestForecast]:
    """Return the forecasts that are drawn: those of the chosen one's cutoff that say something."""
    chosen = snapshot.forecast
    if chosen is None or chosen.status == "abstained":
        return []
    return [f for f in snapshot.forecasts if f.status != "abstained" and f.cutoff == chosen.cutoff and f.point]


def said_in_view(snapshot: Snapshot, rows: Rows) -> list[LedgerRow]:
    """Return what was said, or would have been, about the candles that are drawn, the oldest first."""
    opened = set(rows.opened)
    found = [row for row in (*snapshot.hindsight, *snapshot.ledger) if to_ms(row.target_time) - rows.step in opened]
    return sorted(found, key=attrgetter("target_time"))


def tone(row: LedgerRow) -> str:
    """Return the colour of a row: what a model had learned from is no forecast, and the baseline is none of ours."""
    if row.origin == "in_sample":
        return "edge"
    return "base" if row.role == "baseline" else "said"
