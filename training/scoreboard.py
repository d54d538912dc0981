"""Forecasters beside each other on one series and horizon: scores overall and by month, comparisons, intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from candlecast.candles import Bools, Floats, Interval
from candlecast.evaluation import Judged, diebold_mariano
from candlecast.resampling import block_length, bootstrap_intervals
from candlecast.scores import METRICS, Score, all_scores, pinball_loss, statistics
from training.contenders import FHS, PERSISTENCE

_DAY = 86400


@dataclass(frozen=True, slots=True, eq=False)
class Scoreboard:
    """What several forecasters said at the same cutoffs; `judged` holds persistence and fhs among them.

    `unit` is the mean |move| from candle to candle in the history before the first cutoff, which MASE divides by.
    """

    judged: Mapping[str, Judged]
    interval: Interval
    unit: float

    def overall(self, name: str) -> dict[str, Score]:
        """Return the scores of one forecaster on all cutoffs."""
        return self._scores(name, np.ones(len(self.judged[name]), dtype=bool))

    def months(self, name: str) -> dict[str, dict[str, Score]]:
        """Return the scores of one forecaster by month of the cutoff, `YYYY-MM` in UTC."""
        month = self.judged[name].cutoff.astype("datetime64[M]")
        return {str(one): self._scores(name, month == one) for one in np.unique(month)}

    def comparison(self, name: str) -> dict[str, float | None]:
        """Compare a point forecast with persistence by its absolute error: Diebold and Mariano's statistic and p.

        The statistic is below zero where the forecaster is better. `dm_p` is one-sided: how often chance alone would
        look as good. None where the forecaster says no close, is persistence, or fewer than 100 cutoffs were judged.
        """
        judged = self.judged[name]
        none: dict[str, float | None] = {"dm_statistic": None, "dm_p": None}
        if name == PERSISTENCE or not len(judged) or not np.isfinite(judged.close).all():
            return none
        test = diebold_mariano(judged.absolute_error, judged.naive_error, judged.horizon)
        return {"dm_statistic": test.statistic, "dm_p": test.p_value} if np.isfinite(test.statistic) else none

    def intervals(self, name: str, seed: int = 0) -> dict[str, tuple[float, float]]:
        """Return 95 % intervals of the headline scores, from a bootstrap over blocks of a day."""
        judged = self.judged[name]
        block = block_length(max(len(judged), 1), max(_DAY // self.interval.seconds, 1))
        return bootstrap_intervals(statistics(judged, self._reference_pinball), len(judged), block, seed=seed)

    @property
    def _reference_pinball(self) -> Floats:
        return pinball_loss(self.judged[FHS])

    def _scores(self, name: str, chosen: Bools) -> dict[str, Score]:
        reference = self._reference_pinball[chosen]
        pinball = float(reference.mean()) if len(reference) else 0.0
        return all_scores(self.judged[name].rows(chosen), unit=self.unit, reference_pinball=pinball)


def document(board: Scoreboard, names: Sequence[str], head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of `python -m training evaluate` as a JSON-able dictionary."""
    return {
        **head,
        "forecasters": {name: {"overall": board.overall(name), "months": board.months(name)} for name in names},
        "comparisons": {name: board.comparison(name) for name in names},
        "intervals": {name: _bounds(board.intervals(name)) for name in names},
    }


def _bounds(intervals: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    return {name: [bound if np.isfinite(bound) else None for bound in both] for name, both in intervals.items()}


def overall_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report's scores on all cutoffs: a row per forecaster, a column per metric, NaN where there is none."""
    rows = {name: _numbers(found["overall"]) for name, found in report["forecasters"].items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def months_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report's scores by month: a row per (forecaster, month), a column per metric."""
    rows = {
        (name, month): _numbers(scores)
        for name, found in report["forecasters"].items()
        for month, scores in found["months"].items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["forecaster", "month"])
    return table


def comparison_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return a report's comparisons with persistence: a row per forecaster."""
    return pd.DataFrame.from_dict(report["comparisons"], orient="index").astype(float)


def _numbers(scores: Mapping[str, Score]) -> dict[str, float]:
    return {
        name: np.nan if scores[name] is None else float(scores[name])  # type: ignore[arg-type]  # confusion is no number
        for name in ("count", *METRICS)
        if name != "confusion"
    }
