"""What a drift report says: how far each column's recent values lie from those of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

DRIFT_SHARE = 0.3
"""From this share of drifted columns on the whole has drifted."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows whose cutoffs lie in start < cutoff <= end, and how many there were to compare."""

    start: datetime
    end: datetime
    rows: int = 0


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
class DriftSummary:
    """All columns by name, by one method; `html` is the report for people, where one was asked for."""

    method: str
    columns: Mapping[str, ColumnDrift]
    html: str | None = None

    @property
    def share(self) -> float:
        """Drifted columns among those that could be compared; 0 where none could."""
        compared = [column for column in self.columns.values() if column.score is not None]
        return sum(column.drifted for column in compared) / len(compared) if compared else 0.0

    @property
    def drifted(self) -> bool:
        """At least `DRIFT_SHARE` of the columns moved."""
        return self.share >= DRIFT_SHARE
