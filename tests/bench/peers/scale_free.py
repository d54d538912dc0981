"""Features of the same families as ours, as many of them, made with pandas as its users make them: column by column."""

from __future__ import annotations

import numpy as np
import pandas as pd

RETURNS = range(12)
MOMENTUM = (3, 6, 12, 24, 48, 96, 288)
SHAPES = range(4)
SPANS = (2, 5, 10, 20, 48, 120, 320)
VOLUMES = ((1, 12), (1, 96), (1, 288), (6, 96), (24, 288))
MINUTES = (0, 15, 30, 45)


def features(candles: pd.DataFrame) -> pd.DataFrame:
    """Return 69 columns, a row per candle; `candles` hold open_time in epoch milliseconds, prices and volume."""
    price: pd.Series = np.log(candles["close"])
    change = price.diff()
    width = candles["high"] - candles["low"]
    low, high = (candles[["open", "close"]].agg(how, axis=1) for how in ("min", "max"))
    span, body = np.log(candles["high"] / candles["low"]), np.log(candles["close"] / candles["open"])
    variance = pd.Series(0.5 * span**2 - 0.386 * body**2).clip(lower=1e-10)
    sig = np.sqrt(variance.ewm(span=48).mean())
    shapes = {
        "close_location": (2 * candles["close"] - candles["high"] - candles["low"]) / width.where(width > 0),
        "range": span / sig,
        "body": body / sig,
        "upper_wick": np.log(candles["high"] / high) / sig,
        "lower_wick": np.log(low / candles["low"]) / sig,
    }
    columns = {f"return_{lag}": change.shift(lag) / sig for lag in RETURNS}
    columns |= {f"momentum_{count}": price.diff(count) / (sig * np.sqrt(count)) for count in MOMENTUM}
    columns |= {f"{name}_{lag}": shape.shift(lag) for name, shape in shapes.items() for lag in SHAPES}
    columns |= {f"volatility_{span}": np.log(variance.ewm(span=span).mean() / sig**2) for span in SPANS}
    columns |= {f"squared_returns_{span}": np.log((change**2).ewm(span=span).mean() / sig**2) for span in (12, 48)}
    relative = variance / sig**2
    columns |= {"volatility_now": np.log(relative), "volatility_yesterday": np.log(variance.shift(95) / sig**2)}
    volume = candles["volume"]
    columns |= {
        f"volume_{short}_{long}": np.log(volume.rolling(short).mean() / volume.rolling(long).mean())
        for short, long in VOLUMES
    }
    return pd.DataFrame(columns | _times(candles, change / sig, price.diff(4) / sig))


def _times(candles: pd.DataFrame, last: pd.Series, hour: pd.Series) -> dict[str, pd.Series]:
    starts = pd.to_datetime(candles["open_time"], unit="ms", utc=True) + pd.Timedelta(minutes=15)
    columns = {f"last_return_at_{minute}": last.where(starts.dt.minute == minute, 0.0) for minute in MINUTES}
    columns |= {f"hour_return_at_{minute}": hour.where(starts.dt.minute == minute, 0.0) for minute in MINUTES}
    columns |= {"hour_return_off_hour": hour.where(starts.dt.minute != 0, 0.0), "slot": starts.dt.minute // 15}
    columns |= {"three_hours_at_hour": hour.rolling(12).sum().where(starts.dt.minute == 0, 0.0)}
    columns |= {"hour": starts.dt.hour, "weekday": starts.dt.dayofweek, "month": starts.dt.month}
    return columns
