"""From candles to a challenger with honest scores: pure, no database.

A twin is fitted on what was decided before the hold-out and judged on it; the challenger itself is then fitted again,
with the same settings, on everything, the hold-out included. So every score belongs to a model that did not see what it
was scored on, and the one that answers has learned from the newest candles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from candlecast.baseline import NaiveForecaster
from candlecast.candles import Candles, Series, to_datetime64
from candlecast.errors import NotEnoughCandles, UsageError
from candlecast.evaluation import Judged, Split, hold_out, judge, score
from candlecast.features import complete_windows
from candlecast.forecast import Forecaster
from candlecast.leaks import LeakCheck, Learn, check_leaks
from candlecast.market import NOTHING, KnownCandles
from candlecast.promotion import Decision, PromotionPolicy, decide
from candlecast.store.trials import Trial
from candlecast.table import NOTHING_BUILT, Matrices
from candlecast.xgb import NOT_TUNED, XGBForecaster
from training.search import Search

HOLD_OUT = 0.2
"""Newest share of the rows, by time, that judges the challenger."""

CHALLENGER, CHAMPION, NAIVE = "challenger", "champion", "naive"

Progress = Callable[[str, int, int], None]
"""Called between steps with a message, steps done and steps in all; may raise to end the run."""

Judgements = dict[Series, dict[int, Judged]]


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One metric of one forecaster on cutoffs with start <= cutoff < end, `count` of them scored."""

    series: Series
    horizon: int
    forecaster: str
    metric: str
    value: float
    start: datetime
    end: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Challenger:
    """What training hands on: the model to register, what its twin scored, and whether it may answer."""

    forecaster: XGBForecaster
    manifest: dict[str, Any]
    artefacts: dict[str, bytes]
    scores: list[ScoreRow]
    decision: Decision
    left_out: dict[Series, str]
    trials: list[Trial]


def train(
    candles: Mapping[Series, Candles],
    horizons: Sequence[int],
    *,
    champion: Forecaster | None,
    seed: int,
    threads: int,
    minimum: int,
    progress: Progress,
    policy: PromotionPolicy | None = None,
    known: KnownCandles = NOTHING,
    trials: int = 0,
    built: Matrices = NOTHING_BUILT,
) -> Challenger:
    """Fit, judge and decide on series of one interval and venue; `known` may hold the shorter candles inside theirs.

    Series with fewer than `minimum` candles are left out by name; NotEnoughCandles when that leaves none. Series that
    have enough share one hold-out, `HOLD_OUT` of their pooled rows. The decision is on the shortest horizon. A
    champion is compared only on cutoffs after its own training ended; one that does not tell when that was is
    compared on all of them. What fits the challenger is checked for leaks, and a failed check refuses it. That many
    `trials` of settings are made on what comes before the hold-out, and the best is fitted. `built` may hold features
    of these candles.
    """
    kept, left_out = _enough(candles, minimum)
    split = _split(kept, horizons)
    steps = _Steps(progress, step_count(len(kept), trials))
    steps.done(f"judging on cutoffs from {split.test_start:%Y-%m-%d %H:%M} UTC on")
    tried = Search(kept, known, horizons, split.train_end, seed, threads).trials(trials, steps.done)
    tuned = next((one.parameters for one in tried if one.chosen), NOT_TUNED)
    fit = partial(XGBForecaster.fit, kept, horizons, seed=seed, threads=threads, known=known, tuned=tuned, built=built)
    twin = fit(train_end=split.train_end)
    steps.done("fitted on what came before")
    judged = _judge_all(kept, known, split, _judges(twin, champion), steps)
    forecaster = fit()
    steps.done("fitted again on everything")
    leak_checks = check_leaks(_learner(seed, threads, tuned), kept, seed=seed)
    steps.done("checked for leaks")
    decision = _decide(judged, champion, min(horizons), policy, leak_checks)
    scores = [row for name, by_series in judged.items() for row in _rows(name, by_series, split)]
    manifest = forecaster.manifest | {
        "left_out": {str(series): why for series, why in left_out.items()},
        "evaluation": _evaluation_facts(split, decision, leak_checks),
    }
    steps.done(f"{'promote' if decision.promote else 'refuse'}: {decision.reason}")
    return Challenger(forecaster, manifest, forecaster.to_bytes(), scores, decision, left_out, tried)


def step_count(series: int, trials: int = 0) -> int:
    """Return how many steps `train` reports for that many series and trials."""
    return 5 + series + (trials + 1 if trials else 0)


class _Steps:
    def __init__(self, progress: Progress, target: int) -> None:
        self._progress, self._target, self._count = progress, target, 0

    def done(self, message: str) -> None:
        self._count += 1
        self._progress(message, self._count, self._target)


def _enough(candles: Mapping[Series, Candles], minimum: int) -> tuple[dict[Series, Candles], dict[Series, str]]:
    if not candles:
        raise UsageError("no series to train on")
    kept = {series: those for series, those in candles.items() if len(those) >= minimum}
    left_out = {s: f"have {len(c)} candles, need {minimum}" for s, c in candles.items() if s not in kept}
    if not kept:
        series, most = max(candles.items(), key=lambda item: len(item[1]))
        raise NotEnoughCandles(
            f"{series} has the most candles: have {len(most)}, need {minimum}", have=len(most), need=minimum
        )
    return kept, left_out


def _split(candles: Mapping[Series, Candles], horizons: Sequence[int]) -> Split:
    interval = next(iter(candles)).interval
    cutoffs = np.concatenate([those.close_time[complete_windows(those)] for those in candles.values()])
    if not len(cutoffs):
        most = max(len(those) for those in candles.values())
        raise NotEnoughCandles(f"no series has 512 candles without a gap: have {most}, need 512", have=most, need=512)
    return hold_out(cutoffs, interval, HOLD_OUT, embargo=max(horizons) * interval.delta)


def _judges(twin: Forecaster, champion: Forecaster | None) -> dict[str, Forecaster]:
    judges = {CHALLENGER: twin, NAIVE: NaiveForecaster(twin.horizons)}
    return judges if champion is None else judges | {CHAMPION: champion}


def _judge_all(
    candles: Mapping[Series, Candles],
    known: KnownCandles,
    split: Split,
    judges: Mapping[str, Forecaster],
    steps: _Steps,
) -> dict[str, Judgements]:
    judged: dict[str, Judgements] = {name: {} for name in judges}
    for series, those in candles.items():
        for name, forecaster in judges.items():
            found = judge(forecaster, series, those, split.test_start, split.test_end, {**known, **candles})
            judged[name][series] = found if name != CHAMPION else _unseen(found, forecaster)
        steps.done(f"judged {series}")
    return judged


def _unseen(judged: dict[int, Judged], champion: Forecaster) -> dict[int, Judged]:
    if not isinstance(champion, XGBForecaster):
        return judged
    since = to_datetime64(champion.trained_until)
    return {horizon: one.rows(one.cutoff >= since) for horizon, one in judged.items()}


def _learner(seed: int, threads: int, tuned: Mapping[str, float]) -> Learn:
    def learn(history: Mapping[Series, Candles], horizons: Sequence[int]) -> Forecaster:
        return XGBForecaster.fit(history, horizons, seed=seed, threads=threads, tuned=tuned)

    return learn


def _decide(
    judged: Mapping[str, Judgements],
    champion: Forecaster | None,
    horizon: int,
    policy: PromotionPolicy | None,
    leak_checks: Sequence[LeakCheck],
) -> Decision:
    at = {
        name: {series: by_horizon[horizon] for series, by_horizon in found.items() if horizon in by_horizon}
        for name, found in judged.items()
    }
    return decide(at[CHALLENGER], at[NAIVE], None if champion is None else at[CHAMPION], policy, leak_checks)


def _rows(name: str, judged: Judgements, split: Split) -> list[ScoreRow]:
    return [
        ScoreRow(series, horizon, name, metric, value, split.test_start, split.test_end, len(one))
        for series, by_horizon in judged.items()
        for horizon, one in by_horizon.items()
        for metric, value in score(one).items()
    ]


def _evaluation_facts(split: Split, decision: Decision, leak_checks: Sequence[LeakCheck]) -> dict[str, Any]:
    return {
        "train_end": split.train_end.isoformat(),
        "start": split.test_start.isoformat(),
        "end": split.test_end.isoformat(),
        "promote": decision.promote,
        "reason": decision.reason,
        "numbers": decision.numbers,
        "leak_checks": [asdict(check) for check in leak_checks],
    }
