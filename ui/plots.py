"""Small charts as inline SVG: they follow language, palette and colour mode by themselves and need no script.

Across they are measured in per cent of the width, downwards in pixels, so that text keeps its size at every width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ui.format import THIN, Language, axis_date, date_text, number, skill
from ui.scoring import Bin, Day, Estimate
from ui.verdict import axis_limit
from ui.words import words

_HEIGHT = 236
_LEFT, _RIGHT = 13.0, 97.0
_TOP, _BOTTOM = 22.0, 184.0
_ROOM_FOR_TWO = 30.0  # per cent of the width that two dates need on a phone
_FEWEST_DAYS = 14  # narrower than the drawing, so that a bar stays a bar


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle of values: `x` in per cent of the width, `y` in pixels."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> str:
        """Return where a value lies across."""
        return f"{_LEFT + (value - self.left) / ((self.right - self.left) or 1) * (_RIGHT - _LEFT):.2f}%"

    def y(self, value: float) -> float:
        """Return where a value lies from above."""
        return round(_BOTTOM - (value - self.low) / ((self.high - self.low) or 1) * (_BOTTOM - _TOP), 1)

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> str:
        """Return a line between two points."""
        (x1, y1), (x2, y2) = start, end
        return f'<line x1="{self.x(x1)}" y1="{self.y(y1)}" x2="{self.x(x2)}" y2="{self.y(y2)}" {style}/>'

    def curve(self, points: Sequence[tuple[float, float]], style: str) -> str:
        """Return a line through many points, cut off at the rectangle."""
        across, up = (self.right - self.left) or 1, (self.high - self.low) or 1
        drawn = " ".join(
            f"{1000 * (x - self.left) / across:.0f},{1000 - 1000 * (y - self.low) / up:.0f}" for x, y in points
        )
        return (
            f'<svg x="{_LEFT}%" y="{_TOP}" width="{_RIGHT - _LEFT}%" height="{_BOTTOM - _TOP}" viewBox="0 0 1000 1000" '
            f'preserveAspectRatio="none"><polyline points="{drawn}" fill="none" vector-effect="non-scaling-stroke" '
            f"{style}/></svg>"
        )

    def across(self, value: float, text: str) -> str:
        """Return a horizontal rule with its number."""
        rule = self.line((self.left, value), (self.right, value), 'stroke="var(--cc-line)"')
        return f"{rule}{label(f'{_LEFT - 1.5}%', self.y(value) + 4, text, 'end')}"

    def down(self, value: float, text: str) -> str:
        """Return a vertical rule with its number."""
        rule = self.line((value, self.low), (value, self.high), 'stroke="var(--cc-line)"')
        return rule + self.below(value, text)

    def below(self, value: float, text: str) -> str:
        """Return a word under a value."""
        return label(self.x(value), _BOTTOM + 18, text, "middle")

    def titles(self, below: str, above: str) -> str:
        """Return the names of both axes."""
        return label(f"{(_LEFT + _RIGHT) / 2}%", _BOTTOM + 40, below, "middle") + label("0%", 11, above)


def label(x: str, y: float, text: str, anchor: str = "start") -> str:
    """Return a small text."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="12" fill="var(--cc-ink2)">{escape(text)}</text>'


def drawing(alt: str, parts: Sequence[str], height: int = _HEIGHT) -> str:
    """Return the SVG of `parts`, with what it shows in words."""
    title = f"<title>{escape(alt)}</title>"
    return f'<svg class="plot" role="img" width="100%" height="{height}">{title}{"".join(parts)}</svg>'


def reliability(bins: Sequence[Bin], language: Language) -> str:
    """Return how often it rose after each chance that was said, beside what a calibrated forecaster would show."""
    say = words(language)
    values = [
        edge for one in bins for edge in (one.said, one.rose.value - one.rose.half, one.rose.value + one.rose.half)
    ]
    low, high = max(0.0, min(values) - 0.02), min(1.0, max(values) + 0.02)
    plot = Plot(low, high, low, high)
    parts = []
    for tick in round_ticks(low, high):
        text = number(100 * tick, 0, language)
        parts += [plot.across(tick, text), plot.down(tick, text)]
    dash = 'stroke="var(--cc-base)" stroke-width="1.5" stroke-dasharray="5 4"'
    parts.append(plot.line((low, low), (high, high), dash))
    for one in bins:
        parts += _point(plot, one.said, one.rose)
    parts.append(plot.titles(say["record_said_axis"], say["record_rose_axis"]))
    return drawing(say["record_reliability_alt"].format(n=len(bins)), parts)


def promise(covered: dict[int, Estimate], language: Language, colour: str = "said") -> str:
    """Return how far the coverage of each interval is from its promise, in points; within one is shaded."""
    say = words(language)
    away = {percent: Estimate(one.value - percent / 100, one.half) for percent, one in covered.items()}
    limit = max(0.02, *(abs(one.value) + one.half for one in away.values())) * 1.1
    plot = Plot(45, 100, -limit, limit)
    shade = f'<rect x="{_LEFT}%" width="{_RIGHT - _LEFT}%" y="{plot.y(0.01)}" height="{plot.y(-0.01) - plot.y(0.01)}" '
    parts = [f'{shade}fill="var(--cc-sunk)"/>']
    parts += [plot.across(tick, number(100 * tick, 0, language, signed=True)) for tick in round_ticks(-limit, limit)]
    dash = 'stroke="var(--cc-base)" stroke-width="1.5" stroke-dasharray="5 4"'
    parts.append(plot.line((45, 0), (100, 0), dash))
    for percent, one in away.items():
        parts += _point(plot, percent, one, colour)
        parts.append(plot.below(percent, str(percent)))
    parts.append(plot.titles(say["record_promised_axis"], say["record_covered_axis"]))
    return drawing(say["record_promise_alt"], parts)


def daily(days: Sequence[Day], language: Language) -> str:
    """Return a bar per day: how much smaller our error was than that of "no change", upwards better."""
    say = words(language)
    gains = [1 - day.ours / day.naive if day.naive else 0.0 for day in days]
    limit = axis_limit(*gains) if any(gains) else 0.01
    bottom = 120
    middle, half = bottom / 2 + 6, bottom / 2 - 8
    left, right = 5.5, 99.5
    wide = (right - left) / max(_FEWEST_DAYS, len(days))
    parts = [f'<rect x="{left}%" y="{middle}" width="{right - left}%" height="{half}" fill="var(--cc-sunk)"/>']
    for at, (day, gain) in enumerate(zip(days, gains, strict=True)):
        height = abs(gain) / limit * half
        top = middle - height if gain > 0 else middle
        said = f"{date_text(day.day, language)}: {skill(gain, language)}"
        parts.append(
            f'<rect x="{left + (at + 0.15) * wide:.2f}%" y="{top:.1f}" width="{0.7 * wide:.2f}%" '
            f'height="{max(0.5, height):.1f}" fill="var(--cc-said)"><title>{escape(said)}</title></rect>'
        )
    parts.append(f'<line x1="{left}%" x2="{right}%" y1="{middle}" y2="{middle}" stroke="var(--cc-ink)"/>')
    for value, y in ((limit, middle - half), (0.0, middle), (-limit, middle + half)):
        parts.append(label(f"{left - 0.7}%", y + 4, skill(value, language) if value else "0", "end"))
    parts.append(label(f"{left}%", bottom + 20, axis_date(days[0].day, language)))
    end = min(right, left + len(days) * wide)
    if end - left > _ROOM_FOR_TWO:
        parts.append(label(f"{end:.2f}%", bottom + 20, axis_date(days[-1].day, language), "end"))
    return drawing(say["record_daily_alt"].format(n=len(days)), parts, bottom + 28)


def whisker(point: float, lower: float, upper: float, limit: float, alt: str) -> str:
    """Return a skill with its interval, "no change" in the middle of an axis to `limit`, for a table's row."""

    def x(value: float) -> str:
        return f"{50 + max(-1.0, min(1.0, value / limit)) * 47:.1f}%"

    said = 'stroke="var(--cc-said)"'
    return (
        f'<svg class="whisker" role="img" width="100%" height="18"><title>{escape(alt)}</title>'
        '<line x1="50%" x2="50%" y1="0" y2="18" stroke="var(--cc-ink)" stroke-width="1.5"/>'
        f'<line x1="{x(lower)}" x2="{x(upper)}" y1="9" y2="9" {said} stroke-width="2.5"/>'
        f'<circle cx="{x(point)}" cy="9" r="4.5" fill="var(--cc-said)" stroke="var(--cc-surface)"/></svg>'
    )


def skill_mark(value: float, limit: float, tone: str) -> str:
    """Return a skill without an interval on the same axis: a dot, or an arrow where it lies beyond `limit`."""
    colour = f"var(--cc-{tone})"
    zero = '<line x1="50%" x2="50%" y1="0" y2="18" stroke="var(--cc-ink)" stroke-width="1.5"/>'
    at = f"{50 + max(-1.0, min(1.0, value / limit)) * 47:.1f}%"
    mark = f'<circle cx="{at}" cy="9" r="4.5" fill="{colour}" stroke="var(--cc-surface)"/>'
    if abs(value) > limit:
        head = "M7 -4L0 0L7 4" if value < 0 else "M-7 -4L0 0L-7 4"
        tail = f'<line x1="{at}" x2="50%" y1="9" y2="9" stroke="{colour}" stroke-dasharray="3 3"/>'
        mark = f'{tail}<svg x="{at}" y="9" overflow="visible"><path d="{head}" fill="none" stroke="{colour}"/></svg>'
    return f'<svg class="whisker" width="100%" height="18" aria-hidden="true">{zero}{mark}</svg>'


def _point(plot: Plot, at: float, one: Estimate, colour: str = "said") -> list[str]:
    style = f'stroke="var(--cc-{colour})" stroke-width="2"'
    ends = plot.line((at, one.value - one.half), (at, one.value + one.half), style)
    place = f'cx="{plot.x(at)}" cy="{plot.y(one.value)}"'
    return [ends, f'<circle {place} r="5" fill="var(--cc-{colour})" stroke="var(--cc-surface)" stroke-width="1.5"/>']


def round_ticks(low: float, high: float) -> list[float]:
    """Return at most six round values between two shares, whole points; more only where the shares are far apart."""
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / step <= 6 or step == 0.5)
    first = -int(-low / step) if low < 0 else int(low / step) + (0 if low == 0 else 1)
    return [round(at * step, 4) for at in range(first, int(high / step) + 1)]


def share(value: float, language: Language, decimals: int = 1) -> str:
    """Write a share as per cent."""
    return f"{number(100 * value, decimals, language)}{THIN}%"
