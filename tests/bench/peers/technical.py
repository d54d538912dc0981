"""Features as the predecessors make them, with pandas, in the price's own scale."""

import pandas as pd


def features(candles: pd.DataFrame) -> pd.DataFrame:
    """Return moving averages, spread, momentum and lags of the close, without the first rows."""
    close = candles["close"]
    change = close.diff()
    columns = {f"mean_{span}": close.rolling(span).mean() for span in (5, 10, 20, 50)}
    columns |= {f"spread_{span}": close.rolling(span).std() for span in (5, 20)}
    columns |= {f"ewm_{span}": close.ewm(span=span).mean() for span in (12, 26)}
    columns |= {f"lag_{lag}": close.shift(lag) for lag in range(1, 11)}
    gain, loss = change.clip(lower=0).rolling(14).mean(), -change.clip(upper=0).rolling(14).mean()
    columns |= {"rsi": 100 - 100 / (1 + gain / loss), "change": close.pct_change(), "volume": candles["volume"]}
    return pd.DataFrame(columns).dropna()
