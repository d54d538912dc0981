"""Scores of ledger rows: skill, coverage, direction, by month and by day. Every error bar allows for neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby, pairwise

import numpy as np

from candlecast.api import LedgerRow, Skill
from candlecast.candles import Bools, Floats
from candlecast.evaluation import MINIMUM_SCORED, auc, newey_west_variance, skill_interval

BINS = 10
_LEAST_IN_BIN = 20
_ROC_POINTS = 120
_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with half the width of its 95 % confidence interval."""

    value: float
    half: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts that gave about the same chance of a rise: the mean that was said, the share that rose."""

    said: float
    rose: Estimate


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often which direction was given the better chance, and which one came."""

    rise_rose: int
    rise_fell: int
    fall_rose: int
    fall_fell: int


@dataclass(frozen=True, slots=True)
class Scores:
    """What rows of one horizon amount to. What cannot be known from them is None."""

    skill: Skill
    mae: float
    naive_mae: float
    covered: dict[int, Estimate]
    """Share within the central interval, by per cent."""
    direction: Estimate | None
    auc: float | None
    brier: float | None


@dataclass(frozen=True, slots=True)
class Day:
    """One day's mean absolute errors as shares of the price."""

    day: date
    ours: float
    naive: float


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A whole track record: `all_rows` taken together, then by month, by day, and by the chance that was said."""

    written: int
    """Rows that were written down, with those whose close is not known yet."""
    first: datetime | None
    newest: datetime | None
    baseline: bool
    """Only the baseline has answered so far."""
    missing: int
    """Cutoffs between the first and the newest row for which nothing was written down."""
    total: Scores | None = None
    months: tuple[tuple[date, Scores], ...] = ()
    days: tuple[Day, ...] = ()
    bins: tuple[Bin, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    """Share of the falls and share of the rises above each chance, from the highest chance down."""
    confusion: Confusion | None = None


def scorecard(rows: Sequence[LedgerRow]) -> Scorecard:
    """Score the champion's rows where there are any, else the baseline's. The rows are oldest first, of one horizon."""
    own = [row for row in rows if row.role == "champion"]
    said = own or list(rows)
    known = [row for row in said if row.realised_close is not None]
    first, newest = (said[0].cutoff, said[-1].cutoff) if said else (None, None)
    return Scorecard(
        written=len(said),
        first=first,
        newest=newest,
        baseline=bool(said) and not own,
        missing=_missing(said),
        total=scores(known),
        months=tuple((month, scored) for month, part in _by(known, _month) if (scored := scores(part))),
        days=tuple(_day(day, part) for day, part in _by(known, _date)),
        bins=bins(known),
        roc=roc(known),
        confusion=confusion(known),
    )


def scores(rows: Sequence[LedgerRow]) -> Scores | None:
    """Return the scores of rows whose close is known; None without any."""
    if not rows:
        return None
    horizon = rows[0].horizon
    last, close, came = _columns(rows)
    ours, naive = np.abs(close - came), np.abs(last - came)
    direction, area, brier = _direction(rows, horizon)
    return Scores(
        skill=_skill(ours / last, naive / last, horizon),
        mae=float(ours.mean()),
        naive_mae=float(naive.mean()),
        covered={
            percent: _share(_inside(rows, percent), horizon)
            for percent in (80, 95)
            if all(str(percent) in row.intervals for row in rows)
        },
        direction=direction,
        auc=area,
        brier=brier,
    )


def bins(rows: Sequence[LedgerRow], count: int = BINS) -> tuple[Bin, ...]:
    """Return equal parts by the chance that was said, the smallest first; fewer parts where rows are few."""
    told = sorted((row for row in rows if _moved(row)), key=lambda row: row.p_up or 0.0)
    parts = min(count, len(told) // _LEAST_IN_BIN)
    if not parts:
        return ()
    edges = [round(at * len(told) / parts) for at in range(parts + 1)]
    return tuple(_bin(told[start:end]) for start, end in pairwise(edges))


def roc(rows: Sequence[LedgerRow], most: int = _ROC_POINTS) -> tuple[tuple[float, float], ...]:
    """Return the curve of false alarms against hits for every threshold of the chance, thinned to `most` points.

    Without both directions among the rows there is none.
    """
    told = [row for row in rows if _moved(row)]
    chance = np.array([row.p_up for row in told], dtype=np.float64)
    rose: Bools = np.array([_rose(row) for row in told], dtype=np.bool_)
    rises, falls = int(rose.sum()), int((~rose).sum())
    if not rises or not falls:
        return ()
    order = np.argsort(-chance, kind="stable")
    # Rows of the same chance are above a threshold together, or not at all.
    last_of_its_chance = np.append(np.diff(chance[order]) != 0, True)
    hits, alarms = np.cumsum(rose[order])[last_of_its_chance], np.cumsum(~rose[order])[last_of_its_chance]
    kept = np.unique(np.linspace(0, len(hits) - 1, min(most, len(hits))).round().astype(int))
    return ((0.0, 0.0), *((float(alarms[at]) / falls, float(hits[at]) / rises) for at in kept))


def confusion(rows: Sequence[LedgerRow]) -> Confusion | None:
    """Count which direction was given the better chance and which one came; None where no chance was told."""
    told = [(row.p_up is not None and row.p_up > 0.5, _rose(row)) for row in rows if _moved(row)]
    if not told:
        return None
    return Confusion(*(told.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))


def _bin(rows: Sequence[LedgerRow]) -> Bin:
    rose = float(np.mean([_rose(row) for row in rows]))
    # Rows of one bin are not neighbours in time, so they count as independent.
    half = _NORMAL_95 * math.sqrt(rose * (1 - rose) / len(rows))
    return Bin(float(np.mean([row.p_up for row in rows if row.p_up is not None])), Estimate(rose, half))


def _skill(ours: Floats, naive: Floats, horizon: int) -> Skill:
    point, lower, upper = skill_interval(ours, naive, horizon)
    if math.isnan(lower) or math.isnan(upper):
        return Skill(scored=len(ours), minimum=MINIMUM_SCORED, verdict="too_early")
    verdict = "better" if lower > 0 else "worse" if upper < 0 else "not_distinguishable"
    return Skill.model_validate(
        {
            "scored": len(ours), "minimum": MINIMUM_SCORED, "verdict": verdict,
            "skill": point, "lower": lower, "upper": upper,
        }
    )  # fmt: skip


def _direction(rows: Sequence[LedgerRow], horizon: int) -> tuple[Estimate | None, float | None, float | None]:
    told = [row for row in rows if _moved(row)]
    if not told:
        return None, None, None
    chance = np.array([row.p_up for row in told], dtype=np.float64)
    rose: Bools = np.array([_rose(row) for row in told], dtype=np.bool_)
    area = auc(chance, rose)
    return (
        _share((chance > 0.5) == rose, horizon),
        None if math.isnan(area) else area,
        float(((chance - rose) ** 2).mean()),
    )


def _share(hits: Bools, horizon: int) -> Estimate:
    values = hits.astype(np.float64)
    return Estimate(float(values.mean()), _NORMAL_95 * math.sqrt(newey_west_variance(values, horizon)))


def _inside(rows: Sequence[LedgerRow], percent: int) -> Bools:
    given = [(row.intervals[str(percent)], row.realised_close or 0.0) for row in rows]
    return np.array([bounds.lower <= came <= bounds.upper for bounds, came in given], dtype=np.bool_)


def _columns(rows: Sequence[LedgerRow]) -> tuple[Floats, Floats, Floats]:
    table = np.array([(row.last_close, row.close, row.realised_close) for row in rows], dtype=np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


def _day(day: date, rows: Sequence[LedgerRow]) -> Day:
    last, close, came = _columns(rows)
    return Day(day, float((np.abs(close - came) / last).mean()), float((np.abs(last - came) / last).mean()))


def _missing(rows: Sequence[LedgerRow]) -> int:
    if len(rows) < 2:
        return 0
    step = min(later.cutoff - before.cutoff for before, later in pairwise(rows))
    return round((rows[-1].cutoff - rows[0].cutoff) / step) + 1 - len(rows)


def _moved(row: LedgerRow) -> bool:
    return row.p_up is not None and row.realised_close is not None and row.realised_close != row.last_close


def _rose(row: LedgerRow) -> bool:
    return row.realised_close is not None and row.realised_close > row.last_close


def _by(rows: Sequence[LedgerRow], key: Callable[[LedgerRow], date]) -> list[tuple[date, list[LedgerRow]]]:
    return [(part, list(group)) for part, group in groupby(rows, key)]


def _month(row: LedgerRow) -> date:
    return row.target_time.date().replace(day=1)


def _date(row: LedgerRow) -> date:
    return row.target_time.date()
