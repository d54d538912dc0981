"""Candles and forecasts made up for tests."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np

from candlecast.api import Run
from candlecast.candles import Candles, Interval, to_ms
from candlecast.forecast import LEVELS, Forecast

START = datetime(2025, 9, 1, tzinfo=UTC)


def a_run(state: str, **known: object) -> Run:
    """Return an asked-for ingestion of which nothing is known but its state and this."""
    told = {"request_id": 7, "job": "ingestion", "parameters": {}, "done": 0, "failed": 0, "rows": 0, "log": []}
    return Run.model_validate(dict.fromkeys(Run.model_fields) | told | {"state": state} | known)


def make_candles(count: int, interval: Interval = Interval.M15, *, start: datetime = START, seed: int = 1) -> Candles:
    """Return a random walk without gaps."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.001, count)))
    opened = np.concatenate([[100.0], close[:-1]])[:count]
    width = np.abs(random.normal(0, 0.0005, (2, count)))
    return Candles.of(
        interval,
        open_time=to_ms(start) + interval.milliseconds * np.arange(count),
        open=opened,
        high=np.maximum(opened, close) * (1 + width[0]),
        low=np.minimum(opened, close) * (1 - width[1]),
        close=close,
        volume=random.exponential(10, count),
    )


def make_forecast(cutoff: datetime, interval: Interval, horizon: int = 1, close: float = 101.0) -> Forecast:
    """Return a forecast with quantiles around `close`; the last close is 100."""
    return Forecast(
        cutoff=cutoff,
        horizon=horizon,
        target_time=cutoff + timedelta(seconds=horizon * interval.seconds),
        last_close=100.0,
        close=close,
        quantiles=tuple(close + level - 0.5 for level in LEVELS),
        p_up=0.6,
    )


def saved(array: np.ndarray) -> bytes:
    """Return an array as a file of numpy's, pickled objects included."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()
