"""A caller's own candles forecast as many people would do it: FastAPI, pydantic, pandas, and XGBoost's estimators.

Per horizon a regressor for each of open, high, low, close and range, one for all quantiles, and a classifier for the
direction, with XGBoost's own settings. `BENCH_ROWS=array` hands them rows of numpy's instead of the frame they know.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel
from xgboost import XGBClassifier, XGBRegressor

from tests.bench.peers.scale_free import features

HORIZONS = (1, 5)
LEVELS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)
PRICES = ("open", "high", "low", "close")
OUTPUTS = (*PRICES, "range")
FILE = "ordinary.joblib"
STEP = timedelta(minutes=15)


class Candles(BaseModel):
    """Columns of equal length, oldest first."""

    open_time: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]


class Asked(BaseModel):
    """A caller's own candles."""

    interval: str
    series: str
    candles: Candles


class Forecast(BaseModel):
    """What is said of one horizon."""

    horizon: int
    cutoff: datetime
    target_time: datetime
    last_close: float
    point: dict[str, float]
    p_up: float
    quantiles: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class Answer(BaseModel):
    """All horizons."""

    interval: str
    series: str
    forecasts: list[Forecast]


def fit(folder: Path, candles: pd.DataFrame) -> None:
    """Fit the models on a history and write them into the folder."""
    known, price = features(candles), np.log(candles["close"])
    models: dict[int, dict[str, Any]] = {}
    for horizon in HORIZONS:
        ahead = {name: pd.Series(np.log(candles[name])).shift(-horizon) - price for name in PRICES}
        ahead["range"] = pd.Series(np.log(candles["high"] / candles["low"])).shift(-horizon)
        there = known.notna().all(axis=1) & ahead["close"].notna()
        rows = known[there]
        one: dict[str, Any] = {name: XGBRegressor(n_jobs=1).fit(rows, ahead[name][there]) for name in OUTPUTS}
        quantiles = XGBRegressor(n_jobs=1, objective="reg:quantileerror", quantile_alpha=LEVELS)
        one["quantiles"] = quantiles.fit(rows, ahead["close"][there])
        one["p_up"] = XGBClassifier(n_jobs=1).fit(rows, ahead["close"][there] > 0)
        models[horizon] = one
    joblib.dump(models, folder / FILE)


def create_app() -> FastAPI:
    """Return the server."""
    app, models = FastAPI(), joblib.load(Path(os.environ["BENCH_FOLDER"]) / FILE)
    as_array = os.environ.get("BENCH_ROWS") == "array"

    @app.post("/forecasts")
    def forecast(asked: Asked) -> Answer:
        candles = pd.DataFrame(asked.candles.model_dump())
        row: Any = features(candles).iloc[[-1]]
        if as_array:
            row = row.to_numpy(dtype=np.float32)
        forecasts = [_forecast(candles.iloc[-1], models[horizon], horizon, row) for horizon in HORIZONS]
        return Answer(interval=asked.interval, series=asked.series, forecasts=forecasts)

    return app


def _forecast(newest: pd.Series, models: dict[str, Any], horizon: int, row: Any) -> Forecast:
    close = float(newest["close"])
    cutoff = datetime.fromtimestamp(newest["open_time"] / 1000, UTC) + STEP
    quantiles = close * np.exp(np.sort(models["quantiles"].predict(row)[0]))
    by_level = dict(zip(LEVELS, quantiles.tolist(), strict=True))
    point = {name: close * float(np.exp(models[name].predict(row)[0])) for name in PRICES}
    return Forecast(
        horizon=horizon,
        cutoff=cutoff,
        target_time=cutoff + horizon * STEP,
        last_close=close,
        point=point | {"range": close * float(np.expm1(models["range"].predict(row)[0]))},
        p_up=float(models["p_up"].predict_proba(row)[0, 1]),
        quantiles={f"{level:g}": value for level, value in by_level.items()},
        intervals={"80": (by_level[0.1], by_level[0.9]), "95": (by_level[0.025], by_level[0.975])},
    )
