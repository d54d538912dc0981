"""An example of every operation: what to ask, what comes back, and which errors it can end in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from candlecast import api
from candlecast.errors import (
    ArtifactCorrupt,
    CandlecastError,
    FeatureMismatch,
    GapInWindow,
    HeadTooLarge,
    InternalError,
    InvalidCandles,
    InvalidRequest,
    MethodNotAllowed,
    NotEnoughCandles,
    NotFound,
    NotJson,
    NotParquet,
    StoreUnavailable,
    TemporaryError,
    TooBusy,
    TooLarge,
    TooManyAttempts,
    TooSlow,
    Unauthorized,
    UnknownSeries,
    UnsupportedMediaType,
    UsageError,
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


@dataclass(frozen=True, slots=True)
class Example:
    """One operation: `values` are those of its parameters, `body` is what is sent, `answer` what comes back."""

    answer: api.Shape | str
    values: Mapping[str, Any] = field(default_factory=dict)
    body: api.Shape | None = None
    errors: Errors = ()


_SKILL = api.Skill(scored=412, minimum=200, skill=0.011, lower=0.003, upper=0.019, verdict="better")
_CUTOFF = datetime(2025, 10, 14, 16, tzinfo=UTC)
_INTERVALS = {"80": api.Bounds(lower=112470.2, upper=113052.9), "95": api.Bounds(lower=112241.7, upper=113290.4)}
_QUANTILES = {
    level: 112241.7 + place * 87.4
    for place, level in enumerate(
        ("0.025", "0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.95", "0.975")
    )
}
_POINT = api.Point(open=112761.1, high=112905.6, low=112611.2, close=112766.3, range=294.4)
_SCORE = api.Score(
    series=SERIES,
    horizon=1,
    forecaster="challenger",
    metric="mae",
    value=118.4,
    count=2880,
    start=_CUTOFF - timedelta(days=30),
    end=_CUTOFF,
)
_MODEL = api.ModelVersion(
    id=MODEL,
    kind="xgboost",
    venue="binance",
    interval="15m",
    created_at=_CUTOFF,
    champion=True,
    promoted_at=_CUTOFF,
    decision={"promote": True, "reason": "better than the baseline and the champion on the same windows"},
    scores=[_SCORE],
    manifest={"horizons": [1, 5]},
    card=f"/v1/models/{MODEL}/card",
)
_RUN = api.Run(
    id=7,
    request_id=3,
    job="training",
    state="running",
    requested_by="anna",
    requested_at=NOW,
    parameters={},
    started_at=NOW,
    finished_at=None,
    elapsed_seconds=8.2,
    done=2,
    failed=0,
    target=3,
    rows=0,
    message="binance 15m: fitting",
    rate=0.24,
    eta_seconds=4.1,
    exit_code=None,
    error_code=None,
    error=None,
    log=[api.LogLine(at=NOW, level="info", message="binance 15m: features are built")],
)
_WAITING = _RUN.model_copy(
    update={
        "id": None,
        "state": "queued",
        "started_at": None,
        "elapsed_seconds": None,
        "done": 0,
        "target": None,
        "message": None,
        "rate": None,
        "eta_seconds": None,
        "log": [],
    }
)
_OPEN_TIMES = [int((_CUTOFF - 2 * STEP).timestamp() * 1000), int((_CUTOFF - STEP).timestamp() * 1000)]
_OHLCV: dict[str, Any] = {
    "open": [112610.4, 112698.0],
    "high": [112802.9, 112811.5],
    "low": [112590.0, 112640.1],
    "close": [112698.0, 112766.3],
    "volume": [81.2, 64.9],
}
_COUNTS = {"expected": 96, "stored": 95, "confirmed": 1, "missing": 0}
_WINDOW = api.CompareWindow(start=_CUTOFF - timedelta(days=30), end=_CUTOFF - timedelta(days=3), rows=2000)

EXAMPLES: Mapping[str, Example] = {
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
                    cutoff=_CUTOFF,
                    target_time=_CUTOFF + STEP,
                    issued_at=_CUTOFF + timedelta(seconds=3),
                    last_close=112761.1,
                    point=_POINT,
                    p_up=0.513,
                    quantiles=_QUANTILES,
                    intervals=_INTERVALS,
                    model_version=MODEL,
                    baseline=api.BaselineForecast(model_version="naive", close=112761.1, intervals=_INTERVALS),
                    live_skill=_SKILL,
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
            cutoff=_CUTOFF,
            target_time=_CUTOFF + STEP,
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
                    cutoff=_CUTOFF,
                    target_time=_CUTOFF + STEP,
                    last_close=112766.3,
                    point=_POINT,
                    p_up=0.513,
                    quantiles=_QUANTILES,
                    intervals=_INTERVALS,
                    model_version=MODEL,
                )
            ],
        ),
        {"interval": "15m", "series": SERIES, "horizons": [1], "last": 1, "calendar": "24/7"},
        api.ForecastRequest(
            interval="15m",
            series=SERIES,
            horizons=[1],
            candles=api.CallerCandles(open_time=_OPEN_TIMES, **_OHLCV),
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
                    cutoff=_CUTOFF,
                    target_time=_CUTOFF + STEP,
                    issued_at=_CUTOFF + timedelta(seconds=3),
                    last_close=112761.1,
                    open=112761.1,
                    high=112938.2,
                    low=112590.4,
                    close=112766.3,
                    p_up=0.513,
                    intervals=_INTERVALS,
                    realised_close=112741.0,
                    error=25.3,
                )
            ],
            next_end=_CUTOFF,
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
                    start=_CUTOFF - timedelta(days=30),
                    end=_CUTOFF,
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
    "read_candles": Example(
        api.CandleColumns(series=SERIES, interval="15m", open_time=_OPEN_TIMES, **_OHLCV, gaps=0, next_end=None),
        {"series": SERIES, "last": 2, "start": "2025-10-01T00:00:00Z", "end": "2025-10-15T00:00:00Z"},
        errors=(UnknownSeries, UsageError),
    ),
    "read_coverage": Example(
        api.Coverage(
            series=SERIES,
            start=_CUTOFF.replace(hour=0),
            end=_CUTOFF.replace(hour=0) + timedelta(days=1),
            **_COUNTS,
            completeness=1.0,
            days=[api.DayCoverage(day=date(2025, 10, 14), **_COUNTS)],
        ),
        {"series": SERIES, "start": "2025-10-14T00:00:00Z", "end": "2025-10-15T00:00:00Z"},
        errors=(UnknownSeries, UsageError),
    ),
    "latest_prices": Example(
        api.LatestPrices(
            prices=[
                api.LatestPrice(
                    symbol="BTC-USDT",
                    price=112771.0,
                    source="coingecko",
                    priced_at=NOW,
                    age_seconds=41.5,
                    disagrees=False,
                    disagreements=0,
                )
            ]
        ),
    ),
    "list_series": Example(
        api.SeriesList(
            series=[
                api.SeriesState(
                    series=SERIES,
                    venue="binance",
                    symbol="BTC-USDT",
                    interval="15m",
                    configured=True,
                    simulated=False,
                    candles=8640,
                    first_open_time=_CUTOFF - timedelta(days=90),
                    last_close_time=_CUTOFF,
                    age_seconds=180,
                    fresh=True,
                    champion=MODEL,
                )
            ],
            horizons=[1, 5],
        ),
    ),
    "list_models": Example(api.ModelVersions(models=[_MODEL], next_before=MODEL), {"limit": 1}, errors=(NotFound,)),
    "read_model": Example(_MODEL, {"model_version": MODEL}, errors=(NotFound,)),
    "read_model_card": Example(
        f"# Model card: {MODEL}\n\nA model of 15m candles of binance ...",
        {"model_version": MODEL},
        errors=(NotFound,),
    ),
    "list_trials": Example(
        api.Trials(
            model_version=MODEL,
            trials=[
                api.Trial(
                    number=1,
                    parameters={"max_depth": 3, "min_child_weight": 400, "subsample": 0.6, "colsample_bytree": 0.2},
                    seed=0,
                    scores={"pinball_ratio": 0.962, "mae_ratio": 0.997, "log_loss": 0.6901},
                    seconds=6.4,
                    chosen=True,
                )
            ],
        ),
        {"model_version": MODEL},
        errors=(NotFound,),
    ),
    "promote_model": Example(
        _MODEL,
        {"model_version": MODEL},
        api.Promotion(reason="the newest version has been worse since Monday"),
        errors=(*WITH_BODY, UsageError, NotFound, FeatureMismatch, ArtifactCorrupt),
    ),
    "list_evaluations": Example(
        api.Evaluations(
            series=SERIES,
            live={1: _SKILL},
            evaluations=[api.Evaluation(model_version=MODEL, created_at=_CUTOFF, champion=True, scores=[_SCORE])],
        ),
        {"series": SERIES, "limit": 1},
        errors=(UnknownSeries, NotFound),
    ),
    "list_drift": Example(
        api.DriftReports(
            reports=[
                api.DriftReport(
                    id=4,
                    venue="binance",
                    interval="15m",
                    model_version=MODEL,
                    created_at=_CUTOFF,
                    reference=_WINDOW,
                    current=api.CompareWindow(start=_CUTOFF - timedelta(days=3), end=_CUTOFF, rows=288),
                    method="wasserstein",
                    share=0.02,
                    drifted=False,
                    calibration=api.DriftCalibration(
                        column_rate=0.05,
                        verdict_rate=0.04,
                        null_windows=57,
                        start=_CUTOFF - timedelta(days=94),
                        end=_CUTOFF - timedelta(days=3),
                    ),
                    columns=[api.ColumnDrift(name="volatility_48", score=0.31, threshold=0.42, drifted=False)],
                    report="/v1/drift/4/report",
                )
            ],
            next_before=4,
        ),
        {"venue": "binance", "interval": "15m", "limit": 1},
        errors=(UsageError,),
    ),
    "read_drift_page": Example("<!doctype html>...", {"report_id": 4}, errors=(NotFound,)),
    "list_runs": Example(api.Runs(runs=[_RUN], next_before="run-7"), {"limit": 1, "job": "training", "request_id": 3}),
    "read_run": Example(_RUN, {"run_id": 7}, errors=(NotFound,)),
    "request_run": Example(
        _WAITING,
        body=api.RunRequest(job="training"),
        errors=(*WITH_BODY, UsageError, UnknownSeries),
    ),
    "cancel_run": Example(_RUN, {"run_id": 7}, errors=(UsageError, NotFound)),
    "cancel_request": Example(
        _WAITING.model_copy(update={"state": "cancelled"}), {"request_id": 3}, errors=(UsageError, NotFound)
    ),
    "read_status": Example(
        api.ServiceStatus(
            version="1.0.0",
            database="ok",
            venues=[api.VenueState(venue="binance", now=NOW, clock_speed=1, simulated=False)],
            series=15,
            fresh_series=15,
            champions=3,
            ledger_rows=86412,
            ledger_intact=True,
            ledger_checked_at=NOW,
            ledger_broken_at=None,
        ),
    ),
}
"""By operation id, which is the name of the function that answers."""

LINKS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "request_run": {
        "run": ("list_runs", "request_id", "$response.body#/request_id"),
        "cancel": ("cancel_request", "request_id", "$response.body#/request_id"),
    },
    "list_models": {
        "model": ("read_model", "model_version", "$response.body#/models/0/id"),
        "before": ("list_models", "before", "$response.body#/next_before"),
    },
    "list_drift": {
        "page": ("read_drift_page", "report_id", "$response.body#/reports/0/id"),
        "before": ("list_drift", "before", "$response.body#/next_before"),
    },
    "list_runs": {
        "run": ("read_run", "run_id", "$response.body#/runs/0/id"),
        "before": ("list_runs", "before", "$response.body#/next_before"),
    },
    "list_series": {"coverage": ("read_coverage", "series", "$response.body#/series/0/series")},
}
"""By operation id: what an answer leads to, as operation, its parameter, and where the answer holds the value."""
