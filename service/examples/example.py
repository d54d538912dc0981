"""What an example is, and what many of them speak about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from candlecast import api
from candlecast.errors import (
    CandlecastError,
    HeadTooLarge,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotJson,
    StoreUnavailable,
    TemporaryError,
    TooLarge,
    TooManyAttempts,
    TooSlow,
    Unauthorized,
    UnsupportedMediaType,
)

Errors = tuple[type[CandlecastError], ...]

EVERYWHERE: Errors = (
    Unauthorized,
    MethodNotAllowed,
    TooSlow,
    TooLarge,
    InvalidRequest,
    TooManyAttempts,
    HeadTooLarge,
    InternalError,
    StoreUnavailable,
    TemporaryError,
)
"""What any request below `/v1` can end in; Unauthorized where it changes something, or where reading is protected."""
WITH_BODY: Errors = (NotJson, UnsupportedMediaType)

SERIES = "binance:BTC-USDT:15m"
NOW = datetime(2025, 10, 14, 16, 3, tzinfo=UTC)
MODEL = "binance-15m-20251014T002000Z"
STEP = timedelta(minutes=15)
CUTOFF = datetime(2025, 10, 14, 16, tzinfo=UTC)
SKILL = api.Skill(scored=412, minimum=200, skill=0.011, lower=0.003, upper=0.019, verdict="better")
INTERVALS = {"80": api.Bounds(lower=112470.2, upper=113052.9), "95": api.Bounds(lower=112241.7, upper=113290.4)}
OPEN_TIMES = [int((CUTOFF - 2 * STEP).timestamp() * 1000), int((CUTOFF - STEP).timestamp() * 1000)]
OHLCV: dict[str, Any] = {
    "open": [112610.4, 112698.0],
    "high": [112802.9, 112811.5],
    "low": [112590.0, 112640.1],
    "close": [112698.0, 112766.3],
    "volume": [81.2, 64.9],
}


@dataclass(frozen=True, slots=True)
class Example:
    """One operation: `values` are those of its parameters, `body` is what is sent, `answer` what comes back."""

    answer: api.Shape | str
    values: Mapping[str, Any] = field(default_factory=dict)
    body: api.Shape | None = None
    errors: Errors = ()
