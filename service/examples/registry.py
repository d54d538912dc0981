"""Examples about model versions and drift."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from candlecast import api
from candlecast.errors import ArtifactCorrupt, FeatureMismatch, NotFound, UnknownSeries, UsageError
from service.examples.example import CUTOFF, MODEL, SERIES, SKILL, WITH_BODY, Example

_SCORE = api.Score(
    series=SERIES,
    horizon=1,
    forecaster="challenger",
    metric="mae",
    value=118.4,
    count=2880,
    start=CUTOFF - timedelta(days=30),
    end=CUTOFF,
)
_MODEL = api.ModelVersion(
    id=MODEL,
    kind="xgboost",
    venue="binance",
    interval="15m",
    created_at=CUTOFF,
    champion=True,
    promoted_at=CUTOFF,
    decision={"promote": True, "reason": "better than the baseline and the champion on the same windows"},
    scores=[_SCORE],
    manifest={"horizons": [1, 5]},
    card=f"/v1/models/{MODEL}/card",
)
_WINDOW = api.CompareWindow(start=CUTOFF - timedelta(days=30), end=CUTOFF - timedelta(days=3), rows=2000)

REGISTRY: Mapping[str, Example] = {
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
            live={1: SKILL},
            evaluations=[api.Evaluation(model_version=MODEL, created_at=CUTOFF, champion=True, scores=[_SCORE])],
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
                    created_at=CUTOFF,
                    reference=_WINDOW,
                    current=api.CompareWindow(start=CUTOFF - timedelta(days=3), end=CUTOFF, rows=288),
                    method="wasserstein",
                    share=0.02,
                    drifted=False,
                    calibration=api.DriftCalibration(
                        column_rate=0.05,
                        verdict_rate=0.04,
                        null_windows=57,
                        start=CUTOFF - timedelta(days=94),
                        end=CUTOFF - timedelta(days=3),
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
}
