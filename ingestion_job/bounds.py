"""Which time a run of ingestion is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from candlecast.candles import Series
from candlecast.errors import UsageError
from candlecast.spans import Span


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which time a run is about: from `start`, else as far back as the settings say, to `end`, else to now.

    With `again` what is stored is asked for too, and replaced by what the venue says now.
    """

    start: datetime | None = None
    end: datetime | None = None
    again: bool = False

    @classmethod
    def parse(cls, parameters: Mapping[str, Any]) -> Bounds:
        """Return the bounds that a run's parameters name; raise UsageError for times that cannot be read."""
        start, end = (_moment(name, parameters.get(name)) for name in ("start", "end"))
        if start and end and start >= end:
            raise UsageError(f"start {start.isoformat()} is not before end {end.isoformat()}")
        return cls(start, end, bool(parameters.get("again")))

    def window(self, series: Series, now: datetime, days: float) -> Span:
        """Return the bounds on a series' grid, up to its newest candle that is closed at `now`."""
        floor = series.interval.floor
        end = floor(min(self.end, now) if self.end else now)
        return Span(min(end, floor(self.start or now - timedelta(days=days))), end)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name} is {text!r}; write it like 2025-09-01T00:00:00Z") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
