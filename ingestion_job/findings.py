"""What a run learns about one series: which source answered for what, and what each of them refused to give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime

from candlecast.candles import Series, from_ms
from candlecast.errors import CandlecastError, TemporaryError
from candlecast.spans import Span, intersect, join
from candlecast.store.candles import Written
from candlecast.venues import Fetched
from ingestion_job.plan import SETTLED, Places, Plan

_MOST_NAMED = 5
"""Stretches that a failure names one by one."""


@dataclass(slots=True)
class Answer:
    """What one source said about one series.

    `finished` is the time that it went through without an error, `claimed` the part of it for which it says that it
    gave all it has.
    """

    finished: list[Span] = field(default_factory=list)
    claimed: list[Span] = field(default_factory=list)
    refused: dict[datetime, str] = field(default_factory=dict)
    written: Written = field(default_factory=lambda: Written(0, 0, 0))
    errors: list[CandlecastError] = field(default_factory=list)

    def take(self, page: Fetched) -> None:
        """Note what a page answers for, and the rows in it that were refused."""
        self.claimed = union(self.claimed, Span(page.start, page.end))
        self.refused.update({from_ms(refusal.open_time): refusal.reason for refusal in page.refused})

    def finish(self, span: Span) -> None:
        """Note that the source came to the end of `span`."""
        self.finished = union(self.finished, span)

    def about(self, source: str, span: Span) -> str:
        """Return what `source` said about a stretch that it has no candles of."""
        inside = [reason for moment, reason in self.refused.items() if span.start <= moment < span.end]
        if inside:
            return f"{source} gave {_counted(len(inside), 'row')} that cannot be right ({inside[0]})"
        if intersect([span], self.claimed) == [span]:
            return f"{source} answered without it"
        return f"{source} has nothing about it"


@dataclass(slots=True)
class Findings:
    """All that a run learns about one series in `window`; `now` is the clock by which its candles are closed."""

    series: Series
    places: Places
    window: Span
    now: datetime
    plan: Plan
    confirmed: int = 0
    _answers: dict[str, Answer] = field(default_factory=dict)
    _covered: list[Span] = field(default_factory=list)

    def answer(self, source: str) -> Answer:
        """Return what `source` said so far."""
        return self._answers.setdefault(source, Answer())

    @property
    def settled(self) -> Span:
        """Return the part of the window that is old enough for the venue to have all of its candles."""
        end = self.series.interval.floor(self.now - SETTLED)
        return Span(self.window.start, max(self.window.start, min(self.window.end, end)))

    @property
    def exhausted(self) -> list[Span]:
        """Return the time about which each of the series' own sources was heard to the end."""
        spans = [self.window]
        for source in self.places.own:
            spans = intersect(spans, self.answer(source).finished)
        return spans

    @property
    def claimed(self) -> list[Span]:
        """Return the time for which one of the series' own sources says that it gave all it has."""
        spans = sorted(span for source in self.places.own for span in self.answer(source).claimed)
        return join(spans)

    @property
    def errors(self) -> list[CandlecastError]:
        """Return what kept sources from answering, in the order of asking."""
        return [error for answer in self._answers.values() for error in answer.errors]

    @property
    def written(self) -> Mapping[str, Written]:
        """Return what was written, by source."""
        return {source: answer.written for source, answer in self._answers.items()}

    @property
    def refused(self) -> Counter[str]:
        """Return how many rows were refused, by source and reason."""
        return Counter(
            f"{source}: {reason}" for source, answer in self._answers.items() for reason in answer.refused.values()
        )

    def cover(self, span: Span) -> int:
        """Note that somebody answered for `span`; return how many candles of it nobody had answered for."""
        before = self.done
        self._covered = union(self._covered, span)
        return self.done - before

    @property
    def done(self) -> int:
        """Return how many candles somebody answered for."""
        return count(self._covered, self.series)

    def evidence(self, span: Span) -> str:
        """Return what each of the series' own sources said about a stretch that none of them has."""
        return "; ".join(self.answer(source).about(source, span) for source in self.places.own)

    def failure(self, left: Sequence[Span]) -> CandlecastError:
        """Return the error that says what is missing and why; a temporary one where another try may help.

        Its details name every stretch, its message the first few.
        """
        reasons = list(dict.fromkeys(error.message for error in self.errors))
        cause = next((error for error in self.errors if isinstance(error, TemporaryError)), self.errors[0])
        message = f"{_counted(count(left, self.series), 'candle')} missing {_listed(left)}: {'; '.join(reasons)}"
        return type(cause)(message, **cause.details | {"missing": tuple(left)})


@dataclass(frozen=True, slots=True)
class Tally:
    """Candles by what became of them: new, corrected, from venues that stand in, and known to be nowhere."""

    inserted: int = 0
    updated: int = 0
    borrowed: int = 0
    confirmed: int = 0

    @classmethod
    def of(cls, findings: Findings) -> Tally:
        """Count what a run found about one series."""
        total = sum(findings.written.values(), Written(0, 0, 0))
        stand_ins = [findings.written[source] for source in findings.places.fallbacks if source in findings.written]
        borrowed = sum(written.inserted for written in stand_ins)
        return cls(total.inserted, total.updated, borrowed, findings.confirmed)

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Tally) -> Tally:
        return Tally(*(mine - theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


def union(spans: Sequence[Span], more: Span) -> list[Span]:
    """Return spans, ascending and free of overlap, with one more among them."""
    return join(sorted([*spans, more])) if more.start < more.end else list(spans)


def count(spans: Sequence[Span], series: Series) -> int:
    """Return how many candles of a series the spans hold."""
    return sum(span.candles(series.interval) for span in spans)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _listed(spans: Sequence[Span]) -> str:
    def shown() -> Iterator[str]:
        for span in spans[:_MOST_NAMED]:
            yield f"from {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}"
        if len(spans) > _MOST_NAMED:
            yield f"and in {len(spans) - _MOST_NAMED} more stretches up to {spans[-1].end:%Y-%m-%d %H:%M}"

    return ", ".join(shown())
