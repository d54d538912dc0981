"""What `make bench-forecast` found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from candlecast.backtest import Costs, ThresholdRule, Verdict
from candlecast.candles import Candles, Interval, Series
from candlecast.evaluation import Judged, diebold_mariano, pooled_losses
from candlecast.forecast import INTERVALS
from candlecast.scores import Score
from candlecast.yardsticks.predecessors import LogisticRegression
from training.contenders import FHS, PERSISTENCE
from training.evaluate import mean_move
from training.own import OURS
from training.scoreboard import Scoreboard

_RULES = [ThresholdRule(step / 200, short) for step in range(11) for short in (False, True)]

_NONE = "-"


@dataclass(frozen=True, slots=True)
class FitTimes:
    """Processor seconds of one fit of the model and of A's forest on the same candles."""

    candles: int
    ours: float
    forest: float


@dataclass(frozen=True, slots=True)
class Walked:
    """What every contender said about the series of one interval."""

    interval: Interval
    pool: tuple[Series, ...]
    unseen: tuple[Series, ...]
    candles: Mapping[Series, Candles]
    start: datetime
    said: Mapping[str, Mapping[Series, Mapping[int, Judged]]]

    def judged_ours(self) -> dict[Series, Judged]:
        """Return what the model said about the next candle of each pooled series, where it has been judged."""
        return {series: self.said[OURS][series][1] for series in self.pool if series in self.said[OURS]}

    def board(self, series: Series, horizon: int) -> Scoreboard:
        """Return the scoreboard of one series and horizon, of all that spoke about it."""
        judged = {name: by[series][horizon] for name, by in self.said.items() if horizon in by.get(series, {})}
        return Scoreboard(judged, self.interval, mean_move(self.candles[series], self.start))


def report(studies: Sequence[Walked], times: FitTimes | None) -> str:
    """Return the section as Markdown. Who has not been judged is left out, but the two references must be there."""
    blocks = [_preface(studies), *(block for one in studies for block in _interval(one))]
    blocks += [_five_ahead(studies), _unseen(studies), _months(studies), _trading(studies)]
    blocks += [_fit_times(times)] if times else []
    return "\n\n".join(block for block in blocks if block)


def _preface(studies: Sequence[Walked]) -> str:
    newest = max(one.said[PERSISTENCE][one.pool[0]][1].cutoff[-1] for one in studies)
    return (
        f"Written by `make bench-forecast`. Cutoffs from {studies[0].start:%Y-%m-%d} to {str(newest)[:10]}, everything "
        "fitted again every 30 days on what came before, nothing tuned on this span. In brackets: 95 % intervals from "
        "a bootstrap over blocks of a day. MAE is a ratio to no change, p is Diebold and Mariano's, one-sided; pinball "
        "skill is against filtered historical simulation (`fhs`); log loss is the difference to that of the base rate "
        "in 1e-4 nat, below zero is better; width and Winkler score of the 80 % interval are ratios to those of `fhs`."
    )


_HEAD = (
    "| forecaster | MAE ratio | p | accuracy % | surest tenth % | AUC | log loss | pinball skill % | coverage 80 / 95 "
    "| width 80 | Winkler 80 |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def _interval(study: Walked) -> Iterator[str]:
    yield f"### Next candle, {study.interval}"
    yield _pooled_line(study)
    for series in study.pool:
        board = study.board(series, 1)
        rows = "\n".join(_row(board, name) for name in board.judged)
        yield f"**{series.symbol} {series.interval}**, {len(board.judged[PERSISTENCE])} cutoffs\n\n{_HEAD}\n{rows}"


def _row(board: Scoreboard, name: str) -> str:
    found, sure = board.overall(name), board.intervals(name)
    reference = board.overall(FHS)
    cells = [
        f"{_with(found, sure, 'mae_ratio', 4)}",
        _p(board.comparison(name)["dm_p"]),
        _with(found, sure, "accuracy", 1, 100),
        _with(found, sure, "accuracy_top_tenth", 1, 100),
        _with(found, sure, "auc", 3),
        _log_loss(found),
        _with(found, sure, "pinball_skill", 1, 100),
        _coverage(found),
        _relative(found, reference, "width_80"),
        _relative(found, reference, "winkler_80"),
    ]
    shown = f"**{name}**" if name == OURS else name
    return f"| {shown} | {' | '.join(cells)} |"


def _with(
    found: Mapping[str, Score], sure: Mapping[str, tuple[float, float]], name: str, digits: int, factor: float = 1
) -> str:
    value = found[name]
    if not isinstance(value, float | int):
        return _NONE
    low, high = (factor * bound for bound in sure[name]) if name in sure else (np.nan, np.nan)
    bounds = f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) and low != high else ""
    return f"{factor * value:.{digits}f}{bounds}"


def _p(value: float | None) -> str:
    return _NONE if value is None else "<.001" if value < 0.001 else f"{value:.3f}"


def _log_loss(found: Mapping[str, Score]) -> str:
    ours, base = found["log_loss"], found["base_log_loss"]
    return f"{1e4 * (ours - base):+.1f}" if isinstance(ours, float) and isinstance(base, float) else _NONE


def _coverage(found: Mapping[str, Score]) -> str:
    both = [found[f"coverage_{percent}"] for percent in INTERVALS]
    return " / ".join(_NONE if not isinstance(one, float) else f"{100 * one:.1f}" for one in both) if both[0] else _NONE


def _relative(found: Mapping[str, Score], reference: Mapping[str, Score], name: str) -> str:
    ours, theirs = found[name], reference[name]
    return f"{ours / theirs:.3f}" if isinstance(ours, float) and isinstance(theirs, float) and theirs > 0 else _NONE


def _pooled_line(study: Walked) -> str:
    ours = study.judged_ours()
    if not ours:
        return "The model has not been judged yet."
    units = {series: float(one.naive_error.mean()) for series, one in ours.items()}
    _, errors = pooled_losses({s: (one.cutoff, one.absolute_error) for s, one in ours.items()}, units)
    _, naive = pooled_losses({s: (one.cutoff, one.naive_error) for s, one in ours.items()}, units)
    test = diebold_mariano(errors, naive, 1)
    return (
        f"All {len(ours)} symbols together: MAE ratio {errors.mean() / naive.mean():.4f}, Diebold-Mariano "
        f"{test.statistic:.1f}, p {_p(test.p_value)}."
    )


def _five_ahead(studies: Sequence[Walked]) -> str:
    head = (
        "### Five candles ahead\n\nB's own task: the probability that the close five candles on is higher.\n\n"
        "| series | forecaster | accuracy % | AUC | log loss | MAE ratio | p | pinball skill % |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    boards = [(study.board(series, 5), series) for study in studies for series in study.pool]
    rows = [
        _five(board, series, name)
        for board, series in boards
        for name in (OURS, LogisticRegression.name)
        if name in board.judged
    ]
    return "\n".join([head, *rows])


def _five(board: Scoreboard, series: Series, name: str) -> str:
    found, sure = board.overall(name), board.intervals(name)
    cells = [
        f"{series.symbol} {series.interval}",
        name,
        _with(found, sure, "accuracy", 1, 100),
        _with(found, sure, "auc", 3),
        _log_loss(found),
        _with(found, sure, "mae_ratio", 4),
        _p(board.comparison(name)["dm_p"]),
        _with(found, sure, "pinball_skill", 1, 100),
    ]
    return f"| {' | '.join(cells)} |"


def _unseen(studies: Sequence[Walked]) -> str:
    judged = [(study, series) for study in studies for series in study.unseen if series in study.said[OURS]]
    rows = [_row(study.board(series, 1), OURS) for study, series in judged]
    names = [f"{series.symbol} {series.interval}" for _, series in judged]
    named = [row.replace(f"**{OURS}**", name, 1) for row, name in zip(rows, names, strict=True)]
    if not named:
        return ""
    head = _HEAD.replace("forecaster", "series", 1)
    return "### Symbols that the model never saw\n\n" + "\n".join([head, *named])


def _months(studies: Sequence[Walked]) -> str:
    head = (
        "### Intervals by month\n\nHow far the coverage of the model's intervals was from their promise, in points: "
        "the worst (symbol, month) of those with at least ten days.\n\n| interval | 80 % | 95 % |\n|---|---|---|"
    )
    return "\n".join([head, *(_worst_month(study) for study in studies if study.judged_ours())])


def _worst_month(study: Walked) -> str:
    fewest = 10 * 86400 // study.interval.seconds
    months = [
        scores
        for series in study.judged_ours()
        for scores in study.board(series, 1).months(OURS).values()
        if isinstance(scores["count"], int) and scores["count"] >= fewest
    ]
    worst = [max((_miss(scores, percent) for scores in months), default=None) for percent in INTERVALS]
    return f"| {study.interval} | {' | '.join(_NONE if one is None else f'{one:.1f}' for one in worst)} |"


def _miss(scores: Mapping[str, Score], percent: int) -> float:
    covered = scores[f"coverage_{percent}"]
    return abs(100 * covered - percent) if isinstance(covered, float) else 0.0


def _trading(studies: Sequence[Walked]) -> str:
    costs = Costs()
    head = (
        f"### After costs\n\nThe best of {len(_RULES)} threshold rules on P(up), with and without selling short, at a "
        f"fee of {1e4 * costs.fee:.0f} bp per side, {1e4 * costs.spread:.0f} bp spread and {1e4 * costs.slippage:.0f} "
        "bp slippage. Picked with hindsight: the deflated Sharpe ratio says how much of that is luck. Break-even fee: "
        "per side, of the rule that always holds the likelier side.\n\n"
        "| series | verdict | break-even fee bp | turnover | buy and hold % |\n|---|---|---|---|---|"
    )
    return "\n".join([head, *(_traded(study, series, costs) for study in studies for series in study.judged_ours())])


def _traded(study: Walked, series: Series, costs: Costs) -> str:
    verdict = Verdict.of(study.judged_ours()[series], study.interval, costs, _RULES)
    always = next(one for one in verdict.tried if one.rule == ThresholdRule(0.0, short=True))
    said = "no trade"
    if verdict.best:
        said = (
            f"{100 * verdict.best.total:+.1f} % at threshold {verdict.best.rule.threshold:g}, deflated Sharpe "
            f"{verdict.deflated_sharpe:.2f}"
        )
    fee = _NONE if always.break_even_fee is None else f"{1e4 * always.break_even_fee:.2f}"
    hold = f"{100 * always.buy_and_hold:+.1f}"
    return f"| {series.symbol} {series.interval} | {said} | {fee} | {always.turnover:.0f} | {hold} |"


def _fit_times(times: FitTimes) -> str:
    return (
        f"### Cost of a fit\n\nOn {times.candles:,} candles of BTC-USDT 5m one fit of the full model, both horizons, "
        f"takes {times.ours / times.forest:.2f} of the processor time of A's forest of 100 trees, one horizon."
    )
