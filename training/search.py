"""A bounded, seeded search over settings of the boosted trees, on what comes before the hold-out: pure but for a clock.

The settings of the recipe are always tried first, and kept unless another try scores better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Series, to_datetime64
from candlecast.evaluation import Split, hold_out, judge, score
from candlecast.features import complete_windows
from candlecast.forecast import Forecaster
from candlecast.market import KnownCandles
from candlecast.store.trials import Trial
from candlecast.xgb import XGBForecaster

SHARE = 0.2
"""Newest share of the rows before the hold-out that scores the trials."""

CHOICES: Mapping[str, Sequence[float]] = {
    "max_depth": (3, 4, 5),
    "min_child_weight": (50, 100, 200, 400),
    "subsample": (0.4, 0.6, 0.8),
    "colsample_bytree": (0.2, 0.4, 0.6),
}
"""What is tried; every try takes one of each."""

LOSS = "pinball_ratio"
"""What decides: mean pinball loss over the baseline's, the mean over series and horizons."""


@dataclass(frozen=True, slots=True)
class Search:
    """Tries settings on candles of one interval and venue that closed by `end`."""

    candles: Mapping[Series, Candles]
    known: KnownCandles
    horizons: Sequence[int]
    end: datetime
    seed: int
    threads: int

    def trials(self, count: int, progress: Callable[[str], None]) -> list[Trial]:
        """Return the recipe's trial and `count` others, one of them chosen; none where none was asked for."""
        if not count:
            return []
        found = []
        for number, parameters in enumerate([{}, *drawn(count, self.seed)]):
            found.append(self._try(number, parameters))
            progress(f"tried settings {number} of {count}")
        best = min(found, key=lambda one: (one.scores[LOSS], one.number))
        return [replace(one, chosen=one is best) for one in found]

    def _try(self, number: int, parameters: Mapping[str, float]) -> Trial:
        began = time.monotonic()
        split = self._split()
        forecaster = XGBForecaster.fit(
            self.candles,
            self.horizons,
            seed=self.seed,
            threads=self.threads,
            train_end=split.train_end,
            known=self.known,
            tuned=parameters,
        )
        scores = self._scores(forecaster, split)
        return Trial(number, parameters, self.seed, scores, time.monotonic() - began, chosen=False)

    def _split(self) -> Split:
        interval = next(iter(self.candles)).interval
        closed = [those.close_time[complete_windows(those)] for those in self.candles.values()]
        cutoffs = np.concatenate(closed)
        embargo = max(self.horizons) * interval.delta
        # A target that is known only after the end belongs to the hold-out.
        return hold_out(cutoffs[cutoffs < to_datetime64(self.end - embargo)], interval, SHARE, embargo)

    def _scores(self, forecaster: Forecaster, split: Split) -> dict[str, float]:
        ours, naive = (
            [
                score(judged)
                for series, those in self.candles.items()
                for judged in judge(
                    one, series, those, split.test_start, split.test_end, {**self.known, **self.candles}
                ).values()
                if len(judged)
            ]
            for one in (forecaster, NaiveForecaster(tuple(self.horizons)))
        )
        names = ("mae_ratio", "pinball", "coverage_80", "coverage_95", "log_loss", "auc")
        means = {name: float(np.mean([one[name] for one in ours if name in one])) for name in names}
        ratios = [mine["pinball"] / base["pinball"] for mine, base in zip(ours, naive, strict=True)]
        return {LOSS: float(np.mean(ratios)), **means}


def drawn(count: int, seed: int) -> list[dict[str, float]]:
    """Return that many combinations of `CHOICES`, the same for the same seed."""
    random = np.random.default_rng(seed)
    return [
        {name: choices[int(random.integers(len(choices)))] for name, choices in CHOICES.items()} for _ in range(count)
    ]
