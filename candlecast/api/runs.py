"""Runs of the jobs, and how to ask for one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, Strict

from candlecast.api.shape import Moment, SeriesName, Shape

JobName = Literal["ingestion", "training", "drift"]
ScheduledJob = Literal["ingestion", "training", "drift", "retention"]
RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class RunRequest(Shape):
    """Ask for a run."""

    job: JobName
    series: list[SeriesName] | None = Field(default=None, max_length=500)
    """Only these series; all that are active when left out. Ingestion may name new ones."""
    start: Moment | None = None
    """Ingestion: from here on, instead of as far back as the settings say."""
    end: Moment | None = None
    """Ingestion: up to here, instead of up to now."""
    again: Annotated[bool, Strict()] = False
    """Ingestion: ask for what is stored and for confirmed gaps too, and keep what the venue says now."""


class LogLine(Shape):
    """One line that a run logged."""

    at: datetime
    level: str
    message: str


class Run(Shape):
    """One execution of a job, or the request for one that has not started."""

    id: int | None
    """Number of the run; null while the request waits."""
    request_id: int | None
    job: str
    state: RunState
    requested_by: str | None
    requested_at: datetime | None
    parameters: dict[str, Any]
    reason: str | None = None
    """Of a training that the schedule or the retraining trigger began: what was decided about each model, and why."""
    started_at: datetime | None
    finished_at: datetime | None
    elapsed_seconds: float | None
    """How long it took, or has taken until now."""
    done: int
    failed: int
    target: int | None
    """How many steps the run has; null until it knows."""
    rows: int
    """Rows written."""
    message: str | None
    """What it is doing, or its summary line."""
    rate: float | None
    """Steps done per second; null until the first is done."""
    eta_seconds: float | None
    """When it will be done at this rate; null where nobody can know."""
    exit_code: int | None
    error_code: str | None
    error: str | None
    log: list[LogLine] = []
    """The newest lines that it logged, oldest first: five in a list of runs, of one run the newest 200."""


class Runs(Shape):
    """Runs and waiting requests, newest first."""

    runs: list[Run]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""
