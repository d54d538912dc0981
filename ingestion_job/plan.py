"""What to ask for, of whom, and in which order: pure, so that every case can be tried without an exchange."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from candlecast.candles import Series
from candlecast.spans import Span, intersect, join, subtract

NEWS = 1000
"""Newest candles, asked for before all older ones: a forecast needs no more, and one request brings them."""

NEAR = 500
"""Holes with fewer candles between them are asked for together: one answer holds as many."""

ARCHIVE_WORTH = 10_000
"""Missing candles from which on files are asked for before the exchange itself: they cost it ten requests or more."""

SETTLED = timedelta(hours=1)
"""A candle that the venue still lacks so long after its close will not come by itself."""


@dataclass(frozen=True, slots=True)
class Places:
    """The sources of one series: its own venue, the venue's archive where it has one, and fall-backs in order."""

    venue: str
    archive: str | None = None
    fallbacks: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """Return the sources whose word counts, the exchange itself first."""
        return (self.venue, self.archive) if self.archive else (self.venue,)


@dataclass(frozen=True, slots=True)
class Errand:
    """One stretch of a series to ask for: its own sources in the order of asking, then those that may stand in."""

    series: Series
    span: Span
    own: tuple[str, ...]
    fallbacks: tuple[str, ...] = ()

    @property
    def candles(self) -> int:
        """Return how many candles lie in the stretch."""
        return self.span.candles(self.series.interval)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one series needs: its newest candles first, then what is missing before them, then what others stood in for.

    Each part is oldest first.
    """

    news: tuple[Errand, ...] = ()
    history: tuple[Errand, ...] = ()
    replacements: tuple[Errand, ...] = ()

    @property
    def past(self) -> tuple[Errand, ...]:
        """Return what is not about the newest candles."""
        return self.history + self.replacements

    @property
    def errands(self) -> tuple[Errand, ...]:
        """Return all of it in the order of asking."""
        return self.news + self.history + self.replacements

    @property
    def candles(self) -> int:
        """Return how many candles are asked for."""
        return sum(errand.candles for errand in self.errands)


def plan(
    series: Series,
    places: Places,
    window: Span,
    holes: Sequence[Span],
    stand_ins: Sequence[Span] = (),
    *,
    now: datetime,
    overlap: int = 0,
) -> Plan:
    """Plan how the holes of `window` are filled and the candles of `stand_ins` replaced.

    `holes` and `stand_ins` are ascending and lie in the window. Where the newest candles are asked for, so are the
    `overlap` stored ones before them: a venue may have restated them. Those before stand-ins were the newest when
    nobody else answered, so that they are asked for with them.
    """
    step, newest = series.interval.delta, series.interval.floor(now)
    recent = newest - NEWS * step
    old = Span(window.start, max(window.start, recent))
    news = join(subtract(holes, [old]), NEAR * step)
    if news and old.end < news[-1].start and news[-1].end == newest:
        news[-1] = Span(max(old.end, news[-1].start - overlap * step), news[-1].end)
    history = join(intersect(holes, [old]), NEAR * step)
    replaced = join([Span(max(window.start, one.start - overlap * step), one.end) for one in stand_ins], NEAR * step)
    return Plan(
        news=tuple(Errand(series, span, places.own, places.fallbacks) for span in news),
        history=tuple(_errands(series, places, history, now, places.fallbacks)),
        replacements=tuple(_errands(series, places, replaced, now)),
    )


def next_recheck(previous: timedelta | None, waits: Sequence[timedelta]) -> timedelta:
    """Return how long a gap stays confirmed that was confirmed for `previous` before: the next longer of `waits`."""
    return next((wait for wait in waits if previous is None or wait > previous), waits[-1])


def _errands(
    series: Series, places: Places, spans: Sequence[Span], now: datetime, fallbacks: tuple[str, ...] = ()
) -> Iterator[Errand]:
    """Yield what to ask for: of an archive first where whole months are missing, else of the exchange."""
    month = datetime(now.year, now.month, 1, tzinfo=UTC)
    for span in spans:
        old = Span(span.start, min(span.end, month))
        if places.archive and old.candles(series.interval) >= ARCHIVE_WORTH:
            yield Errand(series, old, (places.archive, places.venue), fallbacks)
            span = Span(old.end, span.end)
        if span.candles(series.interval):
            yield Errand(series, span, places.own, fallbacks)
