"""Stretches of time on an interval's grid, and what is left, shared or joined of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from candlecast.candles import Interval


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time on some interval's grid: start <= open_time < end."""

    start: datetime
    end: datetime

    def candles(self, interval: Interval) -> int:
        """Return how many candles of `interval` it holds where none is missing."""
        return max(0, (self.end - self.start) // interval.delta)


def subtract(spans: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """Return what is left of `spans` without `taken`, oldest first. Each must be ascending and free of overlap."""
    left: list[Span] = []
    first = 0
    for span in spans:
        start = span.start
        while first < len(taken) and taken[first].end <= start:
            first += 1
        following = first
        while following < len(taken) and taken[following].start < span.end:
            if start < taken[following].start:
                left.append(Span(start, taken[following].start))
            start = max(start, taken[following].end)
            following += 1
        if start < span.end:
            left.append(Span(start, span.end))
    return left


def join(spans: Sequence[Span], apart: timedelta = timedelta()) -> list[Span]:
    """Return ascending spans with neighbours no further `apart` than this made one."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.start - joined[-1].end <= apart:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def intersect(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """Return the time that both hold. Each must be ascending and free of overlap."""
    return subtract(spans, subtract(spans, others))
