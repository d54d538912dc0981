"""C's recurrent network, as C describes it; needs the optional packages of `candlecast[lstm]`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from candlecast.baseline import Columns
from candlecast.candles import Candles, Floats
from candlecast.errors import ConfigurationError
from candlecast.yardsticks.base import Yardstick, log_returns, not_enough, said

Matrix = NDArray[np.float64]

SEQUENCE = 48
"""Candles that one forecast reads."""

_VOLUME_SPAN = 10
_CLOSE, _UP = 3, 5  # among the outputs: open, high, low, close, range, direction
_DECAY = 0.999
_FEWEST_ROWS = 500


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """Min-max scaling of columns, learned from what was learned and from nothing else."""

    low: Floats
    span: Floats

    @classmethod
    def of(cls, rows: Matrix) -> Self:
        low = rows.min(axis=0)
        return cls(low, np.maximum(rows.max(axis=0) - low, 1e-12))

    def scaled(self, rows: Matrix) -> Matrix:
        scaled: Matrix = (rows - self.low) / self.span
        return scaled

    def restored(self, values: Floats, column: int) -> Floats:
        restored: Floats = values * self.span[column] + self.low[column]
        return restored


class Lstm(Yardstick):
    """C: 64 LSTM units on 48 candles say the next open, high, low, close and range, and whether the close rises.

    Inputs are close, return, change of return, range and volume relative to its mean over ten candles, all scaled to
    0..1. Dropout 0.2, 64 dense units, Adam at 1e-3, batches of 64, at most 50 epochs, older rows weigh less (0.999 per
    row); the newest 20 %, but at most 500 rows, decide when to stop, with a patience of 8 epochs.
    """

    name: ClassVar[str] = "lstm"
    says: ClassVar[frozenset[str]] = frozenset({"close", "p_up"})

    def _fit(self, history: Candles) -> None:
        self._networks = {horizon: self._network(history, horizon) for horizon in self._horizons}

    def _network(self, history: Candles, horizon: int) -> tuple[Any, _Scale, _Scale]:
        rows, targets = _inputs(history), _targets(history, horizon)
        first = SEQUENCE + _VOLUME_SPAN
        known = np.flatnonzero(np.isfinite(log_returns(history, horizon)))
        known = known[known >= first]
        if len(known) < _FEWEST_ROWS:
            raise not_enough(len(history), _FEWEST_ROWS + first + horizon)
        learned = known[: max(int(0.8 * len(known)), len(known) - 500)]
        stopping = known[len(learned) :]
        inputs, outputs = _Scale.of(rows[first - SEQUENCE : learned[-1] + 1]), _Scale.of(targets[learned])
        sequences, wanted = _sequences(inputs.scaled(rows)), outputs.scaled(targets)
        network = _built(self._seed)
        network.fit(
            sequences[learned],
            [wanted[learned, :_UP], targets[learned, _UP:]],
            sample_weight=[_DECAY ** np.arange(len(learned))[::-1]] * 2,
            validation_data=(sequences[stopping], [wanted[stopping, :_UP], targets[stopping, _UP:]]),
            epochs=50,
            batch_size=64,
            verbose=0,
            callbacks=[_keras().callbacks.EarlyStopping(patience=8, restore_best_weights=True)],
        )
        return network, inputs, outputs

    def _columns(self, candles: Candles, horizon: int, last: int) -> Columns:
        network, inputs, outputs = self._networks[horizon]
        sequences = _sequences(inputs.scaled(_inputs(candles)))[-last:]
        prices, chance = network.predict(sequences, batch_size=1024, verbose=0)
        close = outputs.restored(np.asarray(prices[:, _CLOSE], dtype=np.float64), _CLOSE)
        return said(horizon, candles.close[-last:], close, p_up=np.asarray(chance[:, 0], dtype=np.float64))


def _inputs(candles: Candles) -> Matrix:
    returns = np.diff(candles.close, prepend=np.nan) / candles.close
    volume = np.concatenate([np.full(_VOLUME_SPAN - 1, np.nan), candles.volume])
    usual = np.maximum(sliding_window_view(volume, _VOLUME_SPAN).mean(axis=1), 1e-12)
    change = np.diff(returns, prepend=np.nan)
    columns = (candles.close, returns, change, (candles.high - candles.low) / candles.close, candles.volume / usual)
    return np.column_stack(columns)


def _targets(candles: Candles, horizon: int) -> Matrix:
    """Return what a row's outputs should be, seen `horizon` candles on; the last rows' are not known and wrong."""
    prices = np.column_stack([candles.open, candles.high, candles.low, candles.close])
    later = np.roll(prices, -horizon, axis=0)
    span = (later[:, 1] - later[:, 2]) / later[:, _CLOSE]
    return np.column_stack([later, span, later[:, _CLOSE] > candles.close])


def _sequences(rows: Matrix) -> NDArray[np.float32]:
    """Return (rows, SEQUENCE, columns): what each row looks back on, NaN where there is less."""
    padded = np.vstack([np.full((SEQUENCE - 1, rows.shape[1]), np.nan), rows]).astype(np.float32)
    return sliding_window_view(padded, SEQUENCE, axis=0).transpose(0, 2, 1)


def _built(seed: int) -> Any:
    keras = _keras()
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((SEQUENCE, 5))
    hidden = keras.layers.Dropout(0.2)(keras.layers.LSTM(64)(inputs))
    hidden = keras.layers.Dense(64, activation="relu")(hidden)
    outputs: Sequence[Any] = [keras.layers.Dense(5)(hidden), keras.layers.Dense(1, activation="sigmoid")(hidden)]
    network = keras.Model(inputs, list(outputs))
    network.compile(optimizer=keras.optimizers.Adam(1e-3), loss=["mse", "binary_crossentropy"])
    return network


def _keras() -> Any:
    # Keras chooses its backend when it is imported; this is the one that `candlecast[lstm]` brings.
    os.environ.setdefault("KERAS_BACKEND", "jax")
    try:
        import keras
    except ImportError as error:
        raise ConfigurationError("the forecaster lstm needs keras; install candlecast[lstm]") from error
    return keras
