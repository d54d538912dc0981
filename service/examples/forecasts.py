"""Examples about forecasts: the newest ones, a caller's own, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from candlecast import api
from candlecast.errors import (
    ArtifactCorrupt,
    FeatureMismatch,
    GapInWindow,
    InvalidCandles,
    NotEnoughCandles,
    NotParquet,
    TooBusy,
    UnknownSeries,
    UsageError,
)
from service.examples.example import (
    CUTOFF,
    INTERVALS,
    MODEL,
    NOW,
    OHLCV,
    OPEN_TIMES,
    SERIES,
    SKILL,
    STEP,
    WITH_BODY,
    Example,
)

_QUANTILES = {
    level: 112241.7 + place * 87.4
    for place, level in enumerate(
        ("0.025", "0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.95", "0.975")
    )
}
_POINT = api.Point(open=112761.1, high=112905.6, low=112611.2, close=112766.3, range=294.4)

FORECASTS: Mapping[str, Example] = {
    "latest_forecasts": Example(
        api.LatestForecasts(
            forecasts=[
                api.LatestForecast(
                    series=SERIES,
                    horizon=1,
                    status="ok",
                    simulated=False,
                    now=NOW,
                    clock_speed=1,
                    cutoff=CUTOFF,
                    target_time=CUTOFF + STEP,
                    issued_at=CUTOFF + timedelta(seconds=3),
                    last_close=112761.1,
                    point=_POINT,
                    p_up=0.513,
                    quantiles=_QUANTILES,
                    intervals=INTERVALS,
                    model_version=MODEL,
                    baseline=api.BaselineForecast(model_version="naive", close=112761.1, intervals=INTERVALS),
                    live_skill=SKILL,
                )
            ]
        ),
        {"series": SERIES, "horizon": 1},
        errors=(UnknownSeries, UsageError),
    ),
    "explain_latest": Example(
        api.Explanation(
            series=SERIES,
            horizon=1,
            status="ok",
            cutoff=CUTOFF,
            target_time=CUTOFF + STEP,
            model_version=MODEL,
            p_up=0.513,
            start=0.004,
            contributions=[
                api.Contribution(feature="return_0", words="the return of the newest candle", value=-1.2, logit=0.048)
            ],
            reproduced=True,
            summary=[
                "The model leans to a rise: the probability of a rise is 51.3 %.",
                "Most for a rise speaks the return of the newest candle (+1.20 points).",
            ],
        ),
        {"series": SERIES, "horizon": 1},
        errors=(UnknownSeries, UsageError, FeatureMismatch, ArtifactCorrupt),
    ),
    "forecast_own_candles": Example(
        api.ComputedForecasts(
            interval="15m",
            series=SERIES,
            market=True,
            forecasts=[
                api.ComputedForecast(
                    horizon=1,
                    status="ok",
                    cutoff=CUTOFF,
                    target_time=CUTOFF + STEP,
                    last_close=112766.3,
                    point=_POINT,
                    p_up=0.513,
                    quantiles=_QUANTILES,
                    intervals=INTERVALS,
                    model_version=MODEL,
                )
            ],
        ),
        {"interval": "15m", "series": SERIES, "horizons": [1], "last": 1, "calendar": "24/7"},
        api.ForecastRequest(
            interval="15m",
            series=SERIES,
            horizons=[1],
            candles=api.CallerCandles(open_time=OPEN_TIMES, **OHLCV),
        ),
        errors=(
            *WITH_BODY,
            NotParquet,
            TooBusy,
            UsageError,
            UnknownSeries,
            InvalidCandles,
            NotEnoughCandles,
            GapInWindow,
        ),
    ),
    "read_ledger": Example(
        api.LedgerRows(
            forecasts=[
                api.LedgerRow(
                    series=SERIES,
                    horizon=1,
                    model_version=MODEL,
                    role="champion",
                    cutoff=CUTOFF,
                    target_time=CUTOFF + STEP,
                    issued_at=CUTOFF + timedelta(seconds=3),
                    last_close=112761.1,
                    open=112761.1,
                    high=112938.2,
                    low=112590.4,
                    close=112766.3,
                    p_up=0.513,
                    intervals=INTERVALS,
                    realised_close=112741.0,
                    error=25.3,
                )
            ],
            next_end=CUTOFF,
        ),
        {
            "series": SERIES,
            "horizon": 1,
            "last": 1,
            "start": "2025-10-01T00:00:00Z",
            "end": "2025-10-15T00:00:00Z",
            "origin": "live",
        },
        errors=(UnknownSeries, UsageError),
    ),
    "read_live_scores": Example(
        api.LiveScores(
            series=SERIES,
            horizon=1,
            minimum=100,
            windows=[
                api.LiveWindow(
                    window="30d",
                    start=CUTOFF - timedelta(days=30),
                    end=CUTOFF,
                    scores={
                        "mae": api.LiveScore(value=118.4, lower=111.9, upper=124.9, count=2880),
                        "skill": api.LiveScore(value=0.004, lower=0.001, upper=0.007, count=2880),
                    },
                )
            ],
        ),
        {"series": SERIES, "horizon": 1},
        errors=(UnknownSeries,),
    ),
}
