"""GET /v1/forecasts/latest/explanation: what led to the newest forecast, in words and numbers."""

from __future__ import annotations

import math
import threading
from datetime import datetime
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Query

from candlecast import api
from candlecast.candles import Series
from candlecast.errors import DataError
from candlecast.forecast import Explanation, Forecast
from candlecast.market import NOTHING, KnownCandles, neighbours
from candlecast.store import candles as candle_store
from candlecast.store import models
from candlecast.xgb import XGBForecaster
from service import answers
from service.asked import BoardNow, SeriesName, configured, served
from service.board import Board
from service.feature_words import describe

router = APIRouter(prefix="/v1")

MOST_KEPT = 200

_SAME = 1e-6
_NAMED = 3

Told = tuple[list[Explanation], list[Explanation]]
"""What a model says of every horizon beside its market, and without."""


class Explanations:
    """What led to the newest forecasts. Each is worked out when somebody asks first; the oldest are forgotten."""

    def __init__(self, board: Board, most_kept: int = MOST_KEPT) -> None:
        self._board = board
        self._most_kept = most_kept
        self._told: dict[tuple[Series, datetime, str], Told] = {}
        self._guard = threading.Lock()

    def of(self, series: Series, model_version: str, said: Forecast) -> Explanation:
        """Return the explanation that gives what was said, else the one from what is known now.

        Raises DataError where the candles of then are no longer there.
        """
        key = (series, said.cutoff, model_version)
        with self._guard:
            if key not in self._told:
                self._told[key] = _told(self._board, *key)
                while len(self._told) > self._most_kept:
                    del self._told[next(iter(self._told))]
            tries = [next(one for one in told if one.horizon == said.horizon) for told in self._told[key]]
        return next((one for one in tries if _gives(one, said)), tries[0])


@router.get("/forecasts/latest/explanation")
def explain_latest(board: BoardNow, series: SeriesName, horizon: Annotated[int, Query(ge=1)] = 1) -> api.Explanation:
    """Return what led to the newest forecast: how much each feature speaks for a rise or a fall.

    The contributions are exact: the trees' SHAP values and the ridge regression's terms add up to the logit of `p_up`.
    """
    wanted = configured(board, series)
    latest = answers.latest(board, wanted, served(board, horizon))
    known = latest.model_dump(include={"series", "horizon", "status", "reason", "detail", "cutoff", "target_time"})
    if latest.status == "abstained":
        return api.Explanation(**known, summary=[f"There is no forecast: {latest.detail}."])
    said = board.series[wanted].said[horizon].answer
    # The board may have gone on since it was asked for the latest.
    known |= {"cutoff": said.forecast.cutoff, "target_time": said.forecast.target_time}
    known |= {"model_version": said.model_version, "p_up": said.forecast.p_up}
    if latest.status == "baseline":
        return api.Explanation(**known, summary=["No model answers yet. The baseline expects no change."])
    try:
        found = _explanations(board).of(wanted, said.model_version, said.forecast)
    except DataError:
        return api.Explanation(**known, summary=["The candles that the forecast has read are no longer there."])
    return api.Explanation(**known, **_shape(found, said.forecast))


@cache
def _explanations(board: Board) -> Explanations:
    return Explanations(board)


def _told(board: Board, series: Series, cutoff: datetime, model_version: str) -> Told:
    with board.database.begin() as connection:
        artefacts = models.read_artefacts(connection, model_version)
        model = XGBForecaster.from_bytes(artefacts, models.version(connection, model_version).manifest)
        candles = candle_store.read_last(connection, series, model.window, before=cutoff)
        beside: KnownCandles = {
            one: candle_store.read_last(connection, one, model.window, before=cutoff)
            for one in neighbours(series, board.series)
        }
    # A forecast that did not wait for its market was made without some of it.
    return model.explain(series, candles, beside), model.explain(series, candles, NOTHING)


def _gives(explanation: Explanation, said: Forecast) -> bool:
    p_up = said.p_up
    return explanation.cutoff == said.cutoff and p_up is not None and abs(explanation.p_up - p_up) < _SAME


def _shape(found: Explanation, said: Forecast) -> dict[str, Any]:
    added = found.contributions
    spoke = sorted((name for name in added if added[name]), key=lambda name: -abs(added[name]))
    return {
        "start": found.start,
        "contributions": [
            api.Contribution(
                feature=name,
                words=describe(name),
                value=found.values[name] if math.isfinite(found.values[name]) else None,
                logit=added[name],
            )
            for name in spoke
        ],
        "reproduced": _gives(found, said),
        "summary": list(_sentences(found, spoke)),
    }


def _sentences(found: Explanation, spoke: list[str]) -> list[str]:
    p_up = found.p_up
    leaning = "neither way" if abs(p_up - 0.5) < 0.0005 else "to a rise" if p_up > 0.5 else "to a fall"
    said = [f"The model leans {leaning}: the probability of a rise is {100 * p_up:.1f} %."]
    for way, sign in (("for a rise", 1), ("for a fall", -1)):
        named = [name for name in spoke if sign * found.contributions[name] > 0][:_NAMED]
        parts = [f"{describe(name)} ({_points(found, name):+.2f} points)" for name in named]
        if parts:
            said.append(f"Most {way} speaks {'; then '.join(parts)}.")
    return said


def _points(found: Explanation, name: str) -> float:
    """Return by how many percentage points the probability would be less without the feature."""
    without = 1 / (1 + math.exp(found.contributions[name] - found.logit))
    return 100 * (found.p_up - without)
