"""Reports of drift."""

from __future__ import annotations

from datetime import datetime

from candlecast.api.shape import Shape


class CompareWindow(Shape):
    """Rows whose cutoffs lie in start < cutoff <= end."""

    start: datetime
    end: datetime
    rows: int
    """How many were compared; the larger windows are sampled."""


class ColumnDrift(Shape):
    """How far one feature, or one number of the forecasts, has moved."""

    name: str
    score: float | None
    """Distance between both windows by the report's method; null where one of them holds no value."""
    threshold: float
    """From here on the column has drifted: farther than windows of the past lay from each other."""
    drifted: bool


class DriftCalibration(Shape):
    """How often the thresholds of a report alarm by chance, found on null windows: pairs of windows out of the past."""

    column_rate: float
    """Share of null windows in which one column passes its threshold."""
    verdict_rate: float
    """Share of null windows in which so many columns did that the whole would have drifted."""
    null_windows: int
    """How many there were, each a day later than the one before; a few days where the current window is longer."""
    start: datetime
    end: datetime
    """The past that they lie in."""


class DriftReport(Shape):
    """The recent window compared with the reference: the champion's training, or simply what came before."""

    id: int
    venue: str
    interval: str
    model_version: str | None
    """The champion whose training window is the reference; null where there was none."""
    created_at: datetime
    reference: CompareWindow
    current: CompareWindow
    method: str
    share: float
    """Share of the columns that drifted."""
    drifted: bool
    calibration: DriftCalibration | None = None
    """Null where too little was stored for null windows: then the thresholds are a rule of thumb."""
    columns: list[ColumnDrift]
    """The farthest moved first, in units of their thresholds."""
    report: str | None
    """Where the page for people is; null where none was made or kept."""


class DriftReports(Shape):
    """Drift reports, newest first."""

    reports: list[DriftReport]
    next_before: int | None = None
    """Ask again with this as `before` for those before; null where there are none."""
