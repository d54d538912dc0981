"""Whether rows can be candles: each check with the reason that a row which fails it is refused for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPTIONAL = ("quote_volume", "trades", "taker_buy_volume")
"""Columns that hold NaN where a venue does not give them."""

DUPLICATE = "duplicate"
"""The reason of a row whose open time is that of the row before."""

_LAST_TIME = 253_370_764_800_000  # 9999-01-01: a close time must still be a datetime


def is_sound(milliseconds: int, columns: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether `reasons` would find nothing: the same checks without their words, at a fraction of the cost."""
    times = columns["open_time"].astype(np.int64)
    if not len(times):
        return True
    opened, high, low, close, volume = (columns[name] for name in ("open", "high", "low", "close", "volume"))
    # What is no number fails every comparison; what lies between finite numbers is finite.
    return bool(
        times[0] >= 0
        and times[-1] < _LAST_TIME
        and (times[1:] > times[:-1]).all()
        and not (times % milliseconds).any()
        and (low > 0).all()
        and (low <= np.minimum(opened, close)).all()
        and (high >= np.maximum(opened, close)).all()
        and (high < np.inf).all()
        and ((volume >= 0) & (volume < np.inf)).all()
        and not any(((columns[name] < 0) | np.isinf(columns[name])).any() for name in OPTIONAL)
    )


def reasons(interval: str, milliseconds: int, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Say for each row why it cannot be where it is, "" where it can."""
    found = faults(interval, milliseconds, columns)
    step = np.diff(columns["open_time"].astype(np.int64), prepend=0)
    step[:1] = 1
    misplaced = np.select([step == 0, step < 0], [DUPLICATE, "not ascending"], default="")
    return np.where(found == "", misplaced, found)


def faults(interval: str, milliseconds: int, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Say for each row by itself why it cannot be a candle, "" where it can; the first reason in this order counts."""
    times = columns["open_time"].astype(np.int64)
    opened, high, low, close, volume = (columns[name] for name in ("open", "high", "low", "close", "volume"))
    optional = [columns[name] for name in OPTIONAL]
    finite = np.logical_and.reduce([np.isfinite(column) for column in (opened, high, low, close, volume)])
    checks: list[tuple[NDArray[np.bool_], str]] = [
        (np.isnat(columns["open_time"]), "open_time is missing"),
        ((times < 0) | (times >= _LAST_TIME), "open_time is not between 1970 and 9999; give epoch milliseconds"),
        (times % milliseconds != 0, f"open_time is off the {interval} grid"),
        (~finite | np.logical_or.reduce([np.isinf(column) for column in optional]), "not finite"),
        (np.minimum(np.minimum(opened, high), np.minimum(low, close)) <= 0, "price is not above zero"),
        (high < np.maximum(opened, close), "high is below open or close"),
        (low > np.minimum(opened, close), "low is above open or close"),
        (volume < 0, "volume is negative"),
        *((column < 0, f"{name} is negative") for name, column in zip(OPTIONAL, optional, strict=True)),
    ]
    return np.select([holds for holds, _ in checks], [reason for _, reason in checks], default="")
