"""How the versions of a model have scored one after another, each on its own hold-out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from candlecast.api import ModelVersion
from ui.format import Language, axis_date, skill, when
from ui.markup import panel, quiet
from ui.plots import Plot, drawing
from ui.registry import decision_numbers
from ui.snapshot import Snapshot
from ui.verdict import axis_limit
from ui.words import words

_NEEDED = ("skill", "skill_lower", "skill_upper")
_FEWEST = 6  # versions that the drawing has room for, so that two do not stand at its ends
_SMALL = 0.01


def history(models: Sequence[ModelVersion], snapshot: Snapshot | None, language: Language) -> str:
    """Return the panel with a whisker for each judged version, the oldest on the left; `models` come newest first."""
    say = words(language)
    scored = [(model, decision_numbers(model)) for model in reversed(models)]
    judged = [(model, known) for model, known in scored if known.keys() >= set(_NEEDED)]
    if snapshot is None or not judged:
        return panel(say["models_history"], quiet(say["models_none"]))
    limit = axis_limit(*(known[name] for _, known in judged for name in _NEEDED[1:]))
    plot = Plot(-0.5, max(_FEWEST, len(judged)) - 0.5, -limit, limit)
    places = 2 if limit < _SMALL else 1
    parts = [plot.across(at, skill(at, language, decimals=places) if at else "0") for at in (-limit, 0.0, limit)]
    parts.append(plot.line((plot.left, 0), (plot.right, 0), 'stroke="var(--cc-ink)"'))
    for at, (model, known) in enumerate(judged):
        parts.append(_whisker(plot, at, model, known, snapshot, language))
    parts += [
        plot.below(at, axis_date(judged[at][0].created_at.astimezone(snapshot.zone), language))
        for at in sorted({0, len(judged) - 1})
    ]
    parts.append(plot.titles("", say["models_history_axis"]))
    drawn = drawing(say["models_history_alt"].format(n=len(judged)), parts)
    return panel(say["models_history"], drawn + quiet(say["models_history_line"]), name="history")


def _whisker(
    plot: Plot, at: int, model: ModelVersion, known: dict[str, float], snapshot: Snapshot, language: Language
) -> str:
    """Return a version's skill with its interval: filled where it has been champion, hollow where it was refused."""
    point, low, high = (known[name] for name in _NEEDED)
    said = words(language)["strip_alt"].format(
        x=skill(point, language), lo=skill(low, language), hi=skill(high, language)
    )
    tone = "said" if model.promoted_at is not None else "base"
    fill = tone if model.promoted_at is not None else "surface"
    title = f"{model.id}, {when(model.created_at, snapshot.now, language)}. {said}"
    ends = plot.line((at, low), (at, high), f'stroke="var(--cc-{tone})" stroke-width="2"')
    return (
        f"<g><title>{escape(title)}</title>{ends}"
        f'<circle cx="{plot.x(at)}" cy="{plot.y(point)}" r="{6 if model.champion else 4.5}" '
        f'fill="var(--cc-{fill})" stroke="var(--cc-{tone})" stroke-width="1.5"/></g>'
    )
