"""Model versions: how they were made, how they scored, and how one becomes champion."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from candlecast.api.forecasts import Skill
from candlecast.api.shape import Shape


class Score(Shape):
    """One number of an evaluation: `metric` of `forecaster` over `count` forecasts with start <= cutoff < end."""

    series: str
    horizon: int
    forecaster: str
    metric: str
    value: float | None
    count: int
    start: datetime
    end: datetime


class ModelVersion(Shape):
    """A trained artefact in the registry."""

    id: str
    kind: str
    """`xgboost`, or `naive` for the baseline."""
    venue: str | None
    interval: str | None
    created_at: datetime
    champion: bool
    promoted_at: datetime | None
    refused: str | None = None
    """Why it does not answer although it is the champion: the reason of the worker that was asked."""
    decision: dict[str, Any] | None
    """Whether it was promoted and why, with the numbers."""
    scores: list[Score]
    """Hold-out scores: one row per series, horizon, forecaster and metric."""
    manifest: dict[str, Any]
    card: str = ""
    """Where the model card is."""


class ModelVersions(Shape):
    """Model versions, newest first."""

    models: list[ModelVersion]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""


class Trial(Shape):
    """Settings that a training tried before it fitted a version."""

    number: int
    """0 is the recipe as it is."""
    parameters: dict[str, float]
    """Settings in place of the recipe's."""
    seed: int
    scores: dict[str, float]
    """Over the newest fifth of what came before the hold-out, means over series and horizons; the lowest
    `pinball_ratio`, which is to the baseline, is chosen."""
    seconds: float
    chosen: bool
    """The version was fitted with these settings."""


class Trials(Shape):
    """What a training tried, in order; empty where it tried nothing."""

    model_version: str
    trials: list[Trial]


class Promotion(Shape):
    """Why a version becomes champion by hand."""

    reason: str = Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")
    """A sentence for those who read it later."""


class Evaluation(Shape):
    """How one model version scored on a series, each forecaster on the same cutoffs."""

    model_version: str
    created_at: datetime
    champion: bool
    scores: list[Score]


class Evaluations(Shape):
    """How a series was forecast: live by whoever answered, and on hold-outs by each model version, newest first."""

    series: str
    live: dict[int, Skill]
    """By horizon, of the forecasts that were answered and whose close is known."""
    evaluations: list[Evaluation]
    next_before: str | None = None
    """Ask again with this as `before` for those before; null where there are none."""
