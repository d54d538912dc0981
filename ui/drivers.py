"""What drove a forecast: which features spoke for a rise and which for a fall, in words and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from candlecast.api import Explanation
from ui.format import Language, chance, number
from ui.markup import panel, quiet
from ui.snapshot import Snapshot
from ui.told import told
from ui.words import words

_NAMED = 5
_SAME = 1e-9
_ROOM = 46.0  # per cent of the width on either side of zero


@dataclass(frozen=True, slots=True)
class Push:
    """What one feature, or all the others together, adds to the chance of a rise, in points."""

    words: str
    points: float


@dataclass(frozen=True, slots=True)
class Drivers:
    """The chance of a rise without any feature, what each adds to it, the largest first, and the chance in the end."""

    start: float
    end: float
    named: tuple[Push, ...]
    others: int
    rest: float

    @property
    def sum(self) -> float:
        """All pushes together, in points."""
        return 100 * (self.end - self.start)


def drivers(explanation: Explanation, named: int = _NAMED) -> Drivers | None:
    """Return the pushes of an explanation, None where it has none.

    Contributions add up as logits. Each gets the share of the whole way from one chance to the other that its logit
    is of the whole logit, so that the points add up as well.
    """
    if explanation.start is None or not explanation.contributions:
        return None
    logits = [one.logit for one in explanation.contributions]
    start, end = _chance(explanation.start), _chance(explanation.start + math.fsum(logits))
    whole = math.fsum(logits)
    slope = (end - start) / whole if abs(whole) > _SAME else start * (1 - start)
    points = [100 * slope * logit for logit in logits]
    told_first = zip(explanation.contributions[:named], points, strict=False)
    return Drivers(
        start,
        end,
        tuple(Push(one.words, value) for one, value in told_first),
        len(points[named:]),
        math.fsum(points[named:]),
    )


def _chance(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def drivers_panel(snapshot: Snapshot | None, explanation: Explanation | None, language: Language) -> str:
    """Return the panel of what drove the forecast that is shown; empty where nothing is said."""
    say, forecast = words(language), snapshot.forecast if snapshot else None
    if snapshot is None or forecast is None or snapshot.abstained:
        return ""
    if snapshot.baseline:
        return panel(say["drivers"], quiet(say["drivers_baseline"]))
    # One that is about another candle would explain something else.
    known = drivers(explanation) if explanation and explanation.cutoff == forecast.cutoff else None
    if known is None or explanation is None:
        return panel(say["drivers"], quiet(say["drivers_none"]))
    lines = [quiet(say["drivers_line"])]
    if explanation.reproduced is False:
        lines.append(quiet(say["drivers_changed"]))
    return panel(say["drivers"], "".join(lines) + _table(known, language))


def _table(known: Drivers, language: Language) -> str:
    say = words(language)
    pushes = [Push(told(one.words, language), one.points) for one in known.named]
    if known.others:
        pushes.append(Push(say["drivers_others"].format(n=number(known.others, 0, language)), known.rest))
    drawn = "".join(_row(push, pushes, language) for push in pushes)
    total = escape(say["drivers_sum"].format(start=chance(known.start, language), end=chance(known.end, language)))
    foot = f"<tr><th scope=row>{total}</th><td>{_points(known.sum, language)}</td></tr>"
    return f'<table class="drivers"><tbody>{drawn}</tbody><tfoot>{foot}</tfoot></table>'


def _row(push: Push, beside: Sequence[Push], language: Language) -> str:
    widest = max(abs(one.points) for one in beside) or 1.0
    written = _points(push.points, language)
    return f"<tr><th scope=row>{escape(_sentence(push.words))}</th><td>{_bar(push.points / widest, written)}</td></tr>"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _points(value: float, language: Language) -> str:
    return number(value, 2, language, signed=True)


def _bar(share: float, written: str) -> str:
    """Return a bar away from zero in the middle, its number on the other side."""
    rises = share > 0
    wide = abs(share) * _ROOM
    left, text, anchor = (50.0, "47%", "end") if rises else (50.0 - wide, "53%", "start")
    tone, fill = ("up", "surface") if rises else ("down", "down")
    return (
        f'<svg role="img" width="100%" height="20" aria-label="{escape(written)}">'
        f'<rect x="{left:.1f}%" y="5" width="{max(wide, 0.5):.1f}%" height="10" fill="var(--cc-{fill})" '
        f'stroke="var(--cc-{tone})" stroke-width="1.5"/>'
        '<line x1="50%" x2="50%" y1="0" y2="20" stroke="var(--cc-base)"/>'
        f'<text x="{text}" y="14" text-anchor="{anchor}" font-size="12" fill="var(--cc-ink)">{escape(written)}</text>'
        "</svg>"
    )
