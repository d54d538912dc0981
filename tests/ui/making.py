"""Snapshots of the screen for tests, made from plain numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from candlecast.api import (
    BaselineForecast,
    Bounds,
    CandleColumns,
    LatestForecast,
    LedgerRow,
    ModelVersion,
    Point,
    SeriesList,
    SeriesState,
    ServiceStatus,
    Skill,
    VenueState,
)
from candlecast.candles import to_ms
from ui.snapshot import Snapshot

SERIES = "binance:BTC-USDT:15m"
CUTOFF = datetime(2025, 10, 14, 16, 0, tzinfo=UTC)
NOW = CUTOFF + timedelta(minutes=4, seconds=12)
STEP = timedelta(minutes=15)
MODEL = "pooled-15m-20251014"


def skill(point: float, lower: float, upper: float, verdict: Any, scored: int = 2000) -> Skill:
    return Skill(scored=scored, minimum=200, skill=point, lower=lower, upper=upper, verdict=verdict)


NOT_DISTINGUISHABLE = skill(0.0007, -0.0002, 0.0019, "not_distinguishable")
TOO_EARLY = Skill(scored=37, minimum=200, verdict="too_early")


def forecast(horizon: int = 1, **changes: Any) -> LatestForecast:
    """Return a champion's forecast at the cutoff; its interval grows with the horizon."""
    wide = 400.0 * horizon
    close = 112_892.2
    known: dict[str, Any] = {
        "series": SERIES,
        "horizon": horizon,
        "status": "ok",
        "simulated": False,
        "now": NOW,
        "clock_speed": 1,
        "cutoff": CUTOFF,
        "target_time": CUTOFF + horizon * STEP,
        "issued_at": CUTOFF + timedelta(seconds=1),
        "last_close": 112_900.43,
        "point": Point(open=112_900.43, high=113_198.54, low=112_574.21, close=close, range=624.33),
        "p_up": 0.4,
        "intervals": {
            "80": Bounds(lower=close - wide, upper=close + wide),
            "95": Bounds(lower=close - 2 * wide, upper=close + 2 * wide),
        },
        "model_version": MODEL,
        "baseline": BaselineForecast(model_version="naive-v1", close=112_900.43, intervals={}),
        "live_skill": NOT_DISTINGUISHABLE,
    }
    return LatestForecast.model_validate(known | changes)


def baseline(horizon: int = 1, **changes: Any) -> LatestForecast:
    """Return what the naive forecaster answers."""
    point = Point(close=112_900.43)
    return forecast(horizon, status="baseline", point=point, p_up=None, model_version="naive-v1", **changes)


def abstained(reason: str, **changes: Any) -> LatestForecast:
    """Return an answer that says nothing."""
    empty = ("cutoff", "target_time", "issued_at", "point", "p_up", "intervals", "model_version", "baseline")
    nothing: dict[str, Any] = dict.fromkeys(empty)
    nothing |= {"status": "abstained", "reason": reason, "detail": f"because {reason}"}
    return forecast(1, **(nothing | changes))


def candles(count: int = 12, missing: tuple[int, ...] = ()) -> CandleColumns:
    """Return candles up to the cutoff, rising and falling in turn, without the ones at `missing`."""
    kept = [i for i in range(count) if i not in missing]
    start = CUTOFF - count * STEP
    opened = [112_000.0 + 10 * i for i in kept]
    closed = [value + (30.25 if i % 2 else -20.5) for i, value in zip(kept, opened, strict=True)]
    closed[-1:] = [112_900.43] if kept else []
    return CandleColumns(
        series=SERIES,
        interval="15m",
        open_time=[to_ms(start + i * STEP) for i in kept],
        open=opened,
        high=[max(pair) + 50 for pair in zip(opened, closed, strict=True)],
        low=[min(pair) - 50 for pair in zip(opened, closed, strict=True)],
        close=closed,
        volume=[100.0 + i for i in kept],
        gaps=len(missing),
    )


def ledger_row(cutoff: datetime, role: Any = "champion", realised: float | None = 112_000.0) -> LedgerRow:
    """Return one row of the ledger about the candle after `cutoff`."""
    close = 112_050.0
    return LedgerRow(
        series=SERIES,
        horizon=1,
        model_version=MODEL if role == "champion" else "naive-v1",
        role=role,
        cutoff=cutoff,
        target_time=cutoff + STEP,
        issued_at=cutoff,
        last_close=112_100.0,
        close=close,
        p_up=0.5,
        intervals={"80": Bounds(lower=close - 200, upper=close + 200)},
        realised_close=realised,
        error=None if realised is None else close - realised,
    )


def state(**changes: Any) -> SeriesState:
    """Return a series that is fresh."""
    known: dict[str, Any] = {
        "series": SERIES,
        "venue": "binance",
        "symbol": "BTC-USDT",
        "interval": "15m",
        "configured": True,
        "simulated": False,
        "candles": 5000,
        "first_open_time": CUTOFF - 5000 * STEP,
        "last_close_time": CUTOFF,
        "age_seconds": 252.0,
        "fresh": True,
        "champion": MODEL,
    }
    return SeriesState.model_validate(known | changes)


def status(**changes: Any) -> ServiceStatus:
    """Return a service that is well."""
    known: dict[str, Any] = {
        "version": "1",
        "database": "ok",
        "venues": [VenueState(venue="binance", now=NOW, clock_speed=1, simulated=False)],
        "series": 1,
        "fresh_series": 1,
        "champions": 1,
        "ledger_rows": 75_516,
        "ledger_intact": True,
        "ledger_checked_at": NOW,
        "ledger_broken_at": None,
    }
    return ServiceStatus.model_validate(known | changes)


def challenger(decision: dict[str, Any] | None) -> ModelVersion:
    """Return a trained model version with the decision about it."""
    return ModelVersion(
        id="xgb-1", kind="xgboost", venue="binance", interval="15m", created_at=NOW, champion=False,
        promoted_at=None, decision=decision, scores=[], manifest={},
    )  # fmt: skip


def snapshot(*forecasts: LatestForecast, **changes: Any) -> Snapshot:
    """Return a look at the service with these forecasts, the first one chosen."""
    given = forecasts or (forecast(1), forecast(5))
    known: dict[str, Any] = {
        "taken_at": NOW,
        "now": NOW,
        "speed": 1.0,
        "listing": SeriesList(series=[state()], horizons=[1, 5]),
        "status": status(),
        "series": SERIES,
        "horizon": given[0].horizon,
        "forecasts": given,
        "candles": candles(),
        "ledger": tuple(ledger_row(CUTOFF - i * STEP) for i in range(8, 0, -1)),
    }
    return Snapshot(**(known | changes))
