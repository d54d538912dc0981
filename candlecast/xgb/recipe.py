"""Settings of the models, chosen on walk-forward windows before August 2025 (docs/forecast-quality.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from candlecast.candles import Interval

_COMMON = {"max_depth": 4, "min_child_weight": 200, "subsample": 0.6, "colsample_bytree": 0.4, "max_bin": 64}
_SCALE = {**_COMMON, "num_boost_round": 150, "eta": 0.05, "reg_lambda": 50}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one horizon of one interval is fitted: few rounds of hard regularised trees, no early stopping.

    `ridge` is the ridge regression's part in the logit; `part_weights` say what the logit counts, and what that of the
    model of the newest part's interval, where there is one. `k` says how much of the implied median move is believed:
    further ahead the direction is hardly there.
    """

    rounds: int
    reg_lambda: float
    parallel_trees: int = 4
    ridge: float = 0.0
    ridge_penalty: float = 4e4
    part_weights: tuple[float, float] | None = None
    k: float = 0.9

    @property
    def direction(self) -> dict[str, Any]:
        """The sign classifier's settings; trees of one round share a gradient and count as their mean."""
        return {
            **_COMMON,
            "objective": "binary:logistic",
            "base_score": 0.5,
            "eta": 0.03,
            "num_boost_round": self.rounds,
            "num_parallel_tree": self.parallel_trees,
            "reg_lambda": self.reg_lambda,
        }

    @property
    def scales(self) -> Mapping[str, dict[str, Any]]:
        """The settings of the regressions on |scaled return| and on the logarithm of the next range."""
        return {
            "scale": {**_SCALE, "objective": "reg:gamma"},
            "range": {**_SCALE, "objective": "reg:squarederror"},
        }


PART = Recipe(rounds=150, reg_lambda=50, parallel_trees=1)
"""The model of the newest part inside a candle."""

_NEXT = {
    Interval.M1: Recipe(rounds=150, reg_lambda=50),
    Interval.M5: Recipe(rounds=150, reg_lambda=50),
    Interval.M15: Recipe(rounds=120, reg_lambda=200, ridge=0.4, part_weights=(0.85, 0.25)),
}
_SLOW = Recipe(rounds=50, reg_lambda=200)
_FAR = Recipe(rounds=60, reg_lambda=300, k=0.4)


def recipe(interval: Interval, horizon: int) -> Recipe:
    """Return the recipe of an interval and horizon."""
    return _NEXT.get(interval, _SLOW) if horizon == 1 else _FAR


def recipe_facts(interval: Interval, horizon: int) -> dict[str, Any]:
    """Return the recipe, JSON-able."""
    chosen = recipe(interval, horizon)
    facts = {"direction": chosen.direction, **chosen.scales}
    if chosen.ridge:
        facts["ridge"] = {"share": chosen.ridge, "penalty": chosen.ridge_penalty}
    if chosen.part_weights:
        facts["part"] = PART.direction
    return facts
