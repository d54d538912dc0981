"""Whether the chances of a rise tell rises from falls: the curve of hits against false alarms, and the plain counts."""

from __future__ import annotations

from html import escape

from ui.format import NOTHING, Language, number
from ui.markup import panel, quiet
from ui.plots import Plot, drawing, share
from ui.scoring import Confusion, Scorecard
from ui.words import words

_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_COIN = 'stroke="var(--cc-base)" stroke-width="1.5" stroke-dasharray="5 4"'
_SAID = 'stroke="var(--cc-said)" stroke-width="2"'


def direction_panel(card: Scorecard | None, language: Language) -> str:
    """Return the panel of directions: the ROC curve over the confusion matrix."""
    say = words(language)
    if card is None or not card.roc or card.confusion is None:
        return panel(say["record_roc"], quiet(say["record_no_chances"]))
    area = card.total.auc if card.total else None
    return panel(
        say["record_roc"], _curve(card.roc, area, language) + confusion_table(card.confusion, language), name="roc"
    )


def _curve(points: tuple[tuple[float, float], ...], area: float | None, language: Language) -> str:
    say = words(language)
    plot = Plot(0, 1, 0, 1)
    parts = []
    for tick in _TICKS:
        text = number(100 * tick, 0, language)
        parts += [plot.across(tick, text), plot.down(tick, text)]
    parts += [plot.line((0, 0), (1, 1), _COIN), plot.curve(points, _SAID)]
    parts.append(plot.titles(say["record_alarms_axis"], say["record_hits_axis"]))
    written = NOTHING if area is None else number(area, 3, language)
    return drawing(say["record_roc_alt"].format(auc=written), parts)


def confusion_table(counts: Confusion, language: Language) -> str:
    """Return how often which direction was likelier and which came, with the share of each row that came so."""
    say = words(language)
    rows = (
        ("record_said_rise", counts.rise_rose, counts.rise_fell),
        ("record_said_fall", counts.fall_rose, counts.fall_fell),
    )
    heads = "".join(f"<th scope=col>{escape(say[name])}</th>" for name in ("record_came_rise", "record_came_fall"))
    body = "".join(
        f"<tr><th scope=row>{escape(say[name])}</th>{_cell(rose, rose + fell, name == rows[0][0], language)}"
        f"{_cell(fell, rose + fell, name == rows[1][0], language)}</tr>"
        for name, rose, fell in rows
    )
    return (
        f'<table class="confusion"><caption class="unseen">{escape(say["record_confusion"])}</caption>'
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(count: int, of: int, right: bool, language: Language) -> str:
    part = share(count / of, language, 0) if of else NOTHING
    kind = ' class="right"' if right else ""
    return f"<td{kind}><b>{number(count, 0, language)}</b> {part}</td>"
