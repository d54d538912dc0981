"""The state of the whole product."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from candlecast.api.shape import Shape


class VenueState(Shape):
    """A venue's clock."""

    venue: str
    now: datetime
    clock_speed: float
    simulated: bool


class AnsweringModel(Shape):
    """Who forecasts for one venue and interval, in the worker that was asked."""

    venue: str
    interval: str
    model_version: str
    """The one that answers; `naive` is the baseline."""
    refused: str | None = None
    """The champion, where it does not load or makes no forecast, so that another one answers in its place."""
    reason: str | None = None
    """Why it is refused. It is tried again when it is promoted anew."""
    refused_at: datetime | None = None
    challenger: str | None = None
    """The one that forecasts in the champion's shadow: written down as `challenger`, never served."""


class ServiceStatus(Shape):
    """The state of the whole product in one answer."""

    version: str
    database: Literal["ok", "away"]
    venues: list[VenueState]
    series: int
    fresh_series: int
    champions: int
    ledger_rows: int
    ledger_intact: bool | None
    """Whether every row's hash follows from the row before it; null until the first check."""
    ledger_checked_at: datetime | None
    ledger_broken_at: str | None
    """The first row that does not hold, as `series#position`."""
    answering: list[AnsweringModel] = []
