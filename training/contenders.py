"""Who is compared: candlecast's own model and every yardstick, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from candlecast.candles import Series
from candlecast.errors import UsageError
from candlecast.forecast import Forecaster
from candlecast.walk import Contender, History
from candlecast.yardsticks.base import Yardstick
from candlecast.yardsticks.lstm import Lstm
from candlecast.yardsticks.predecessors import LogisticRegression, RandomForest
from candlecast.yardsticks.statistical import Drift, Ewma, FilteredHistoricalSimulation, Persistence, SeasonalNaive
from training.own import OURS, ours

PERSISTENCE, FHS = Persistence.name, FilteredHistoricalSimulation.name
"""The references of `mae_ratio` and `pinball_skill`."""

_YARDSTICKS: tuple[type[Yardstick], ...] = (
    Persistence,
    SeasonalNaive,
    Drift,
    Ewma,
    FilteredHistoricalSimulation,
    LogisticRegression,
    RandomForest,
)

DEFAULT = (OURS, *(one.name for one in _YARDSTICKS))
"""Who is compared when nobody is named: all but the recurrent network, which takes long and packages of its own."""


def contenders(names: Sequence[str], *, seed: int, threads: int) -> list[Contender]:
    """Return the contenders of these names, in their order; raise UsageError for an unknown one."""
    known = {one.name: _yardstick(one, seed, threads) for one in _YARDSTICKS}
    known[Lstm.name] = replace(_yardstick(Lstm, seed, threads), refits=False)
    known[OURS] = ours(seed, threads)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"unknown forecaster {', '.join(unknown)}; known are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _yardstick(kind: type[Yardstick], seed: int, threads: int) -> Contender:
    def fit(history: History, series: Series, horizons: Sequence[int]) -> Forecaster:
        return kind(history[series], horizons, seed=seed, threads=threads)

    return Contender(kind.name, fit, kind.says)
