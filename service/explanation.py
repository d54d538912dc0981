"""GET /v1/forecasts/latest/explanation: what led to the newest forecast, in words and numbers."""

from __future__ import annotations

import math
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

_SAME = 1e-6
_NAMED = 3


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
    found = _explained(board, wanted, said.model_version, said.forecast)
    if found is None:
        return api.Explanation(**known, summary=["The candles that the forecast has read are no longer there."])
    return api.Explanation(**known, **_shape(found, said.forecast))


def _explained(board: Board, series: Series, model_version: str, said: Forecast) -> Explanation | None:
    """Return the explanation that gives what was said, else the one from what is known now."""
    with board.database.begin() as connection:
        artefacts = models.read_artefacts(connection, model_version)
        model = XGBForecaster.from_bytes(artefacts, models.version(connection, model_version).manifest)
        candles = candle_store.read_last(connection, series, model.window, before=said.cutoff)
        beside: KnownCandles = {
            one: candle_store.read_last(connection, one, model.window, before=said.cutoff)
            for one in neighbours(series, board.series)
        }
    try:
        # A forecast that did not wait for its market was made without some of it.
        tries = [_of(model.explain(series, candles, one), said.horizon) for one in (beside, NOTHING)]
    except DataError:
        return None
    return next((one for one in tries if _gives(one, said)), tries[0])


def _of(explanations: list[Explanation], horizon: int) -> Explanation:
    return next(one for one in explanations if one.horizon == horizon)


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
