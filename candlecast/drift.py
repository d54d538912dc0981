"""What a drift report says: how far each column's recent values lie from those of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

DRIFT_SHARE = 0.3
"""From this share of drifted columns on the whole has drifted."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose cutoffs lie in start < cutoff <= end, and how many there were to compare."""

    start: datetime
    end: datetime
    rows: int = 0

    @property
    def length(self) -> timedelta:
        """From the start to the end."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column: its distance, None where a window holds no value of it, and the distance that counts as drift."""

    score: float | None
    threshold: float

    @property
    def drifted(self) -> bool:
        """The distance reaches the threshold."""
        return self.score is not None and self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the thresholds were found on: null windows, pairs out of the past that lie as reference and current do.

    `column_rate` is the share of null windows that the threshold of a column lets pass as drift, `verdict_rate` the
    share of them in which so many columns do so that the whole has drifted. Both say how often to expect an alarm while
    the market goes on as it did between `start` and `end`.
    """

    column_rate: float
    verdict_rate: float
    null_windows: int
    start: datetime
    end: datetime
    made_at: datetime
    """By the venue's clock."""


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """All columns by name, by one method; `html` is the report for people, where one was asked for.

    `calibration` is None where the history was too short for null windows and the thresholds are a rule of thumb.
    """

    method: str
    columns: Mapping[str, ColumnDrift]
    html: str | None = None
    calibration: Calibration | None = None

    @property
    def share(self) -> float:
        """Drifted columns among those that could be compared; 0 where none could."""
        compared = [column for column in self.columns.values() if column.score is not None]
        return sum(column.drifted for column in compared) / len(compared) if compared else 0.0

    @property
    def drifted(self) -> bool:
        """At least `DRIFT_SHARE` of the columns moved."""
        return self.share >= DRIFT_SHARE
