"""The predecessors' models, with their features and settings and scikit-learn's own estimators.

What was a mistake of their data handling (labels of candles that had not come, stale newest rows) is not repeated:
a yardstick is to be as good as its idea.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]  # ships no types
from sklearn.linear_model import LogisticRegression as SkLogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline, make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from candlecast.baseline import Columns
from candlecast.candles import Candles, Floats
from candlecast.yardsticks.base import Yardstick, log_returns, not_enough, said

Matrix = NDArray[np.float64]

_FEWEST_ROWS = 200


class RandomForest(Yardstick):
    """A: a forest of 100 trees on price levels that says the next close. Trees cannot say a price they never saw.

    Features: the last five closes before this one, means of 5, 10 and 20 closes, their standard deviation over 10,
    returns over 1, 5 and 15 candles, high and low as shares of the close, and the close.
    """

    name: ClassVar[str] = "random_forest"
    says: ClassVar[frozenset[str]] = frozenset({"close"})

    def _fit(self, history: Candles) -> None:
        rows = _price_features(history)
        self._forests = {horizon: self._forest(rows, history, horizon) for horizon in self._horizons}

    def _forest(self, rows: Matrix, history: Candles, horizon: int) -> RandomForestRegressor:
        known = np.isfinite(rows).all(axis=1) & np.isfinite(log_returns(history, horizon))
        if known.sum() < _FEWEST_ROWS:
            raise not_enough(len(history), _FEWEST_ROWS + horizon + 20)
        target = np.roll(history.close, -horizon)
        forest = RandomForestRegressor(n_estimators=100, random_state=self._seed, n_jobs=self._threads)
        return forest.fit(rows[known], target[known])

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        rows = _price_features(candles)[-last:]
        return said(horizon, candles.close[-last:], self._forests[horizon].predict(rows))


def _price_features(candles: Candles) -> Matrix:
    close = candles.close
    columns = [close, *(_before(close, lag) for lag in range(1, 6))]
    columns += [_rolling(close, count).mean(axis=1) for count in (5, 10, 20)]
    columns += [_rolling(close, 10).std(axis=1, ddof=1)]
    columns += [close / _before(close, lag) - 1 for lag in (1, 5, 15)]
    columns += [candles.high / close, candles.low / close]
    return np.column_stack(columns)


class LogisticRegression(Yardstick):
    """B: the probability of a rise from six standardised features of the price, fitted on the oldest 75 %.

    Features: log returns over 1 and 3 candles, the deviation of the former over 5, means of 5 and 15 closes, and the
    difference to the close five candles ago. B's own task was five steps ahead.
    """

    name: ClassVar[str] = "logistic_regression"
    says: ClassVar[frozenset[str]] = frozenset({"p_up"})

    def _fit(self, history: Candles) -> None:
        rows = _momentum_features(history)
        self._models = {horizon: self._model(rows, history, horizon) for horizon in self._horizons}

    def _model(self, rows: Matrix, history: Candles, horizon: int) -> Pipeline:
        moves = log_returns(history, horizon)
        known = np.flatnonzero(np.isfinite(rows).all(axis=1) & np.isfinite(moves))
        learned = known[: int(0.75 * len(known))]
        up = moves[learned] > 0
        if len(learned) < _FEWEST_ROWS or up.all() or not up.any():
            raise not_enough(len(history), int(_FEWEST_ROWS / 0.75) + horizon + 15)
        model = make_pipeline(StandardScaler(), SkLogisticRegression(max_iter=1000, random_state=self._seed))
        return model.fit(rows[learned], up)

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        rows = _momentum_features(candles)[-last:]
        return said(horizon, candles.close[-last:], p_up=self._models[horizon].predict_proba(rows)[:, 1])


def _momentum_features(candles: Candles) -> Matrix:
    close = candles.close
    price = np.log(close)
    returns = price - _before(price, 1)
    columns: Sequence[Floats] = (
        returns,
        price - _before(price, 3),
        _rolling(returns, 5).std(axis=1, ddof=1),
        _rolling(close, 5).mean(axis=1),
        _rolling(close, 15).mean(axis=1),
        close - _before(close, 5),
    )
    return np.column_stack(columns)


def _before(values: Floats, lag: int) -> Floats:
    return np.concatenate([np.full(lag, np.nan), values])[: len(values)]


def _rolling(values: Floats, count: int) -> Matrix:
    """Return (rows, count): each row's newest `count` values, NaN where there are fewer."""
    return sliding_window_view(np.concatenate([np.full(count - 1, np.nan), values]), count)
