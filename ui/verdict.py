"""The verdict: the largest thing on the page, and the skill strip beside it. It repeats what the service judged."""

from __future__ import annotations

import math
from html import escape

from candlecast.api import LatestForecast, ModelVersion, Skill
from ui.format import Language, number, skill, skill_decimals, when
from ui.markup import plain, strong, ticking
from ui.snapshot import Snapshot
from ui.told import told
from ui.words import words

_EDGE = 1.5  # per cent of the width left free at both ends of the axis
_STEPS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)


def verdict_card(snapshot: Snapshot, language: Language) -> str:
    """Return the card with the one `h1`, its evidence and the skill strip."""
    scope = escape(_scope(snapshot, language))
    evidence = "".join(f'<p class="evidence">{line}</p>' for line in _evidence(snapshot, language))
    note = f'<p class="note">{_note(snapshot, language)}</p>'
    return (
        f'<section class="card verdict" id="content" tabindex="-1"><div class="said"><p class="scope">{scope}</p>'
        f"<h1>{headline(snapshot, language)}</h1>{evidence}{note}</div>"
        f'<div class="strip">{skill_strip(_scored(snapshot), language)}</div></section>'
    )


def plain_card(title: str, line: str, language: Language) -> str:
    """Return the same card for the states without a forecast to judge: loading, empty, service away."""
    return (
        '<section class="card verdict" id="content" tabindex="-1"><div class="said"><p class="scope">&nbsp;</p>'
        f'<h1>{escape(title)}</h1><p class="evidence">{escape(line)}</p></div>'
        f'<div class="strip">{skill_strip(None, language)}</div></section>'
    )


def headline(snapshot: Snapshot, language: Language) -> str:
    """Return the verdict in words, as HTML."""
    say, forecast = words(language), snapshot.forecast
    if forecast is None or forecast.status == "abstained":
        return _silence(snapshot, forecast, language)
    if forecast.status == "baseline":
        return escape(say["baseline_verdict"])
    return escape(judgement(forecast.live_skill, language))


def judgement(scores: Skill | None, language: Language) -> str:
    """Return the service's verdict on the live skill, in words."""
    say = words(language)
    if scores is None:
        return say["too_early"]
    if scores.verdict in ("better", "worse") and scores.skill is not None:
        return say[scores.verdict].format(x=skill(abs(scores.skill), language, signed=False))
    return say[scores.verdict]


def headline_text(snapshot: Snapshot, language: Language) -> str:
    """Return the verdict without markup."""
    return plain(headline(snapshot, language))


def _silence(snapshot: Snapshot, forecast: LatestForecast | None, language: Language) -> str:
    say = words(language)
    reason = (forecast.reason if forecast else None) or ""
    if reason == "stale":
        if snapshot.newest_close is None:
            return escape(say["abstained_stale_plain"])
        before, _, after = say["abstained_stale"].partition("{age}")
        return escape(before) + ticking("{age}", snapshot.newest_close, snapshot.now) + escape(after)
    template = say.get(f"abstained_{reason}", say["abstained"])
    return escape(template.format(series=snapshot.series or ""))


def _scope(snapshot: Snapshot, language: Language) -> str:
    say = words(language)
    ahead = say["scope_next"] if snapshot.horizon == 1 else say["scope_ahead"].format(n=snapshot.horizon)
    return say["scope"].format(series=snapshot.series, horizon=ahead)


def _evidence(snapshot: Snapshot, language: Language) -> list[str]:
    say, forecast = words(language), snapshot.forecast
    if forecast is None or forecast.status == "abstained":
        return [_abstained_line(forecast, language)]
    if forecast.status == "baseline":
        return [_refusal(snapshot.challenger, language)]
    scores = forecast.live_skill
    lines = [_scores(scores, language)] if scores else []
    if forecast.stale and forecast.issued_at:
        away = snapshot.status is not None and snapshot.status.database == "away"
        written = say["stale_line"].format(time=when(forecast.issued_at, snapshot.now, language))
        lines.append(escape(f"{say['database_away']} {written}" if away else written))
    return lines


def _scores(scores: Skill, language: Language) -> str:
    say = words(language)
    figures = _figures(scores, language)
    if figures is None:
        counts = {"n": number(scores.scored, 0, language), "min": number(scores.minimum, 0, language)}
        return strong(say["evidence_early"], **counts)
    judged_by_interval = scores.verdict == "not_distinguishable"
    return escape(say["evidence_with" if judged_by_interval else "evidence"]).format(
        x=f"<b>{figures['x']}</b>",
        n=number(scores.scored, 0, language),
        ci=f"<b>{say['ci'].format(lo=figures['lo'], hi=figures['hi'])}</b>",
    )


def _figures(scores: Skill | None, language: Language) -> dict[str, str] | None:
    if scores is None or scores.skill is None or scores.lower is None or scores.upper is None:
        return None
    places = skill_decimals(scores.skill, scores.lower, scores.upper)
    named = {"x": scores.skill, "lo": scores.lower, "hi": scores.upper}
    return {name: skill(value, language, decimals=places) for name, value in named.items()}


def _abstained_line(forecast: LatestForecast | None, language: Language) -> str:
    say = words(language)
    own = say.get(f"abstained_{forecast.reason}_line") if forecast else None
    if own:
        return escape(own)
    figures = _figures(forecast.live_skill if forecast else None, language)
    return strong(say["skill_so_far"], **figures) if figures else escape(say["rather_nothing"])


def _refusal(challenger: ModelVersion | None, language: Language) -> str:
    say = words(language)
    if challenger is None or challenger.decision is None:
        return escape(say["baseline_untrained"])
    if challenger.decision.get("promote"):
        return escape(say["baseline_promoted"])
    numbers = challenger.decision.get("numbers") or {}
    values = [numbers.get(name) for name in ("skill", "skill_lower", "skill_upper")]
    if not all(isinstance(value, int | float) for value in values):
        return escape(say["baseline_refused_plain"])
    point, lower, upper = (float(value) for value in values if isinstance(value, int | float))
    scores = Skill(scored=0, minimum=0, skill=point, lower=lower, upper=upper, verdict="not_distinguishable")
    return strong(say["baseline_refused"], **(_figures(scores, language) or {}))


def _note(snapshot: Snapshot, language: Language) -> str:
    say, forecast = words(language), snapshot.forecast
    if snapshot.abstained:
        return escape(told((forecast.detail if forecast else None) or "", language))
    if snapshot.simulated and not snapshot.baseline:
        return escape(say["simulated_skill"])
    if snapshot.baseline:
        reason = (snapshot.challenger.decision or {}).get("reason") if snapshot.challenger else None
        return escape(
            say["baseline_why"].format(reason=told(str(reason), language)) if reason else say["baseline_later"]
        )
    return escape(say["live_only"])


def _scored(snapshot: Snapshot) -> Skill | None:
    # What the baseline scores against itself says nothing.
    return snapshot.forecast.live_skill if snapshot.forecast and not snapshot.baseline else None


def skill_strip(scores: Skill | None, language: Language) -> str:
    """Return the drawing of skill and its interval on an axis with "no change" in the middle, as inline SVG."""
    say, figures = words(language), _figures(scores, language)
    parts = [
        '<rect x="1.5%" y="30" width="48.5%" height="28" fill="var(--cc-sunk)"/>',
        '<line x1="1.5%" x2="98.5%" y1="60" y2="60" stroke="var(--cc-edge)"/>',
        _text("1.5%", 14, say["axis_worse"], "start"),
        _text("98.5%", 14, say["axis_better"], "end"),
        _text("50%", 14, say["no_change"], "middle", bold=True),
        '<line x1="50%" x2="50%" y1="20" y2="66" stroke="var(--cc-ink)" stroke-width="1.5"/>',
        _text("50%", 80, "0", "middle"),
    ]
    alt = say["strip_alt_empty"]
    if figures and scores and scores.skill is not None and scores.lower is not None and scores.upper is not None:
        parts += _whisker(scores.skill, scores.lower, scores.upper, language)
        alt = say["strip_alt"].format(**figures)
    return f'<svg role="img" width="100%" height="88"><title>{escape(alt)}</title>{"".join(parts)}</svg>'


def axis_limit(*values: float) -> float:
    """Return the round number that the symmetric axis ends at, at or beyond the widest of `values`."""
    widest = max(abs(value) for value in values) or 0.001
    unit = 10.0 ** math.floor(math.log10(widest))
    return next(step * unit for step in _STEPS if step * unit >= widest * (1 - 1e-9))


def _whisker(point: float, lower: float, upper: float, language: Language) -> list[str]:
    limit = axis_limit(point, lower, upper)
    low, dot, high = (_x(value, limit) for value in (lower, point, upper))
    said = "var(--cc-said)"
    bar = f'<line x1="{low}" x2="{high}" y1="44" y2="44" stroke="{said}" stroke-width="4"/>'
    ends = "".join(f'<line x1="{x}" x2="{x}" y1="35" y2="53" stroke="{said}" stroke-width="2"/>' for x in (low, high))
    ring = f'<circle cx="{dot}" cy="44" r="7.5" fill="{said}" stroke="var(--cc-surface)" stroke-width="2"/>'
    places = 2 if limit >= 0.001 else 3
    places = 1 if limit >= 0.01 else places
    ticks = []
    for share, anchor in ((-1.0, "start"), (-0.5, "middle"), (0.5, "middle"), (1.0, "end")):
        x = _x(share * limit, limit)
        ticks.append(f'<line x1="{x}" x2="{x}" y1="60" y2="65" stroke="var(--cc-edge)"/>')
        ticks.append(_text(x, 80, skill(share * limit, language, decimals=places), anchor))
    return [bar, ends, ring, *ticks]


def _x(value: float, limit: float) -> str:
    return f"{50 + value / limit * (50 - _EDGE):.2f}%"


def _text(x: str, y: int, text: str, anchor: str, *, bold: bool = False) -> str:
    look = 'fill="var(--cc-ink)" font-weight="650"' if bold else 'fill="var(--cc-ink2)"'
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="12" {look}>{escape(text)}</text>'
