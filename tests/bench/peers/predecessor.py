"""The design of the predecessors: every request reads 720 candles, makes features with pandas and loads its model."""

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from sqlalchemy import create_engine, text

from tests.bench.peers.technical import features

FOLDER = os.environ["BENCH_FOLDER"]
engine = create_engine(f"sqlite:///{FOLDER}/candles.db")
app = FastAPI()


@app.get("/forecast")
def forecast() -> dict[str, Any]:
    """Forecast the next close."""
    query = text("SELECT ts, close, volume FROM candles ORDER BY ts DESC LIMIT 720")
    with engine.connect() as connection:
        candles = pd.read_sql(query, connection).sort_values("ts")
    model = joblib.load(f"{FOLDER}/forest.pkl")
    return {"close": float(model.predict(features(candles).iloc[[-1]].to_numpy())[0])}
