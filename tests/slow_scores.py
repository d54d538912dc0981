"""Every score once more, row by row in plain Python: slow, obvious, and independent of the code it checks."""

import math
from collections.abc import Sequence
from itertools import pairwise

LEVELS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def point(close: Sequence[float], last: Sequence[float], real: Sequence[float], unit: float) -> dict[str, float]:
    errors = [c - r for c, r in zip(close, real, strict=True)]
    moves = [math.log(r / p) for r, p in zip(real, last, strict=True)]
    told = [math.log(c / p) for c, p in zip(close, last, strict=True)]
    centre = mean(moves)
    mae = mean([abs(e) for e in errors])
    return {
        "mae": mae,
        "mae_ratio": mae / mean([abs(p - r) for p, r in zip(last, real, strict=True)]),
        "rmse": math.sqrt(mean([e * e for e in errors])),
        "mape": mean([abs(e) / r for e, r in zip(errors, real, strict=True)]),
        "smape": mean([abs(c - r) / ((c + r) / 2) for c, r in zip(close, real, strict=True)]),
        "mase": mae / unit,
        "r2": 1
        - math.fsum((m - t) ** 2 for m, t in zip(moves, told, strict=True))
        / math.fsum((m - centre) ** 2 for m in moves),
    }


def pinball(quantiles: Sequence[Sequence[float]], real: Sequence[float]) -> float:
    return mean(
        [
            mean([_tick(r, q, a) for q, a in zip(row, LEVELS, strict=True)])
            for row, r in zip(quantiles, real, strict=True)
        ]
    )


def _tick(real: float, quantile: float, level: float) -> float:
    return level * (real - quantile) if real >= quantile else (1 - level) * (quantile - real)


def crps(row: Sequence[float], real: float) -> float:
    """Integrate (F(x) - 1{x >= real})^2 piece by piece; two Gauss points are exact for the square of a line."""
    total = 0.0
    for a, b in pairwise(sorted({*row, real})):
        for sign in (-1, 1):
            x = (a + b) / 2 + sign * (b - a) / (2 * math.sqrt(3))
            total += (b - a) / 2 * (_cdf(row, x) - (x >= real)) ** 2
    return total


def _cdf(row: Sequence[float], x: float) -> float:
    if x < row[0] or x > row[-1]:
        return float(x > row[-1])
    for (q, a), (r, b) in pairwise(zip(row, LEVELS, strict=True)):
        if q <= x <= r and r > q:
            return a + (b - a) * (x - q) / (r - q)
    raise AssertionError(x)


def interval(quantiles: Sequence[Sequence[float]], real: Sequence[float], percent: int) -> tuple[float, float, float]:
    """Return coverage, width and Winkler score of the central interval."""
    alpha = 1 - percent / 100
    low, high = ([row[LEVELS.index(round(p, 3))] for row in quantiles] for p in (alpha / 2, 1 - alpha / 2))
    winkler = []
    for a, b, r in zip(low, high, real, strict=True):
        score = b - a
        if r < a:
            score += 2 / alpha * (a - r)
        if r > b:
            score += 2 / alpha * (r - b)
        winkler.append(score)
    covered = [a <= r <= b for a, b, r in zip(low, high, real, strict=True)]
    return mean([float(c) for c in covered]), mean([b - a for a, b in zip(low, high, strict=True)]), mean(winkler)


def direction(chance: Sequence[float], last: Sequence[float], real: Sequence[float]) -> dict[str, float]:
    rows = [(c, r > p, abs(math.log(r / p))) for c, p, r in zip(chance, last, real, strict=True) if r != p]
    hit = [((c > 0.5) == up) for c, up, _ in rows]
    size = [s for *_, s in rows]
    rises, falls = [c for c, up, _ in rows if up], [c for c, up, _ in rows if not up]
    share = len(rises) / len(rows)
    return {
        "accuracy": mean([float(h) for h in hit]),
        "weighted_accuracy": math.fsum(s for s, h in zip(size, hit, strict=True) if h) / math.fsum(size),
        "brier": mean([(c - up) ** 2 for c, up, _ in rows]),
        "log_loss": -mean([math.log(c if up else 1 - c) for c, up, _ in rows]),
        "base_log_loss": -share * math.log(share) - (1 - share) * math.log(1 - share),
        "auc": mean([(a > b) + 0.5 * (a == b) for a in rises for b in falls]),
        "ece": _ece([(c, up) for c, up, _ in rows]),
        "accuracy_top_tenth": _top([(abs(c - 0.5), h) for (c, *_), h in zip(rows, hit, strict=True)]),
    }


def _ece(rows: list[tuple[float, bool]]) -> float:
    ordered = sorted(rows, key=lambda row: row[0])
    size, larger = divmod(len(ordered), 10)
    total, start = 0.0, 0
    for number in range(10):
        end = start + size + (number < larger)
        part = ordered[start:end]
        total += len(part) / len(ordered) * abs(mean([c for c, _ in part]) - mean([float(up) for _, up in part]))
        start = end
    return total


def _top(rows: list[tuple[float, bool]]) -> float:
    """Average the hits of the surest tenth; the row at the edge counts by its share."""
    left = tenth = len(rows) / 10
    hits = 0.0
    for _, hit in sorted(rows, key=lambda row: -row[0]):
        hits += min(left, 1.0) * hit
        left -= min(left, 1.0)
    return hits / tenth
