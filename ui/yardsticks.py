"""How the newest model version and every yardstick scored on the hold-out, on the same cutoffs."""

from __future__ import annotations

from html import escape

from candlecast.api import Score
from ui.format import NOTHING, THIN, Language, number, skill
from ui.markup import panel, quiet, rows_table
from ui.plots import share, skill_mark
from ui.verdict import axis_limit
from ui.words import words

_SHARES = ("coverage_80", "coverage_95", "accuracy")
_NEAR = 0.02  # a forecaster farther than this from no change gets an arrow, so that the near ones can be told apart


def yardsticks(scores: tuple[Score, ...], language: Language) -> str:
    """Return how the newest model version and every yardstick scored on the hold-out, on the same cutoffs."""
    say = words(language)
    if not scores:
        return panel(say["record_yardsticks"], quiet(say["record_no_yardsticks"]))
    by_name: dict[str, dict[str, float]] = {}
    for one in scores:
        if one.value is not None:
            by_name.setdefault(one.forecaster, {})[one.metric] = one.value
    names = ("forecaster", "against", "skill", "in_80", "in_95", "direction_short")
    heads = [say[f"record_{name}"] for name in names] + ["AUC"]
    near = [abs(one.get("skill", 0.0)) for one in by_name.values() if abs(one.get("skill", 0.0)) <= _NEAR]
    limit = axis_limit(*near) if any(near) else _NEAR
    order = sorted(by_name, key=lambda name: -by_name[name].get("skill", 0.0 if name == "naive" else -9.9))
    rows = [_yardstick(name, by_name[name], limit, language) for name in order]
    note = say["record_yardsticks_line"].format(n=number(max(one.count for one in scores), 0, language))
    table = rows_table(say["record_yardsticks"], heads, rows)
    return panel(say["record_yardsticks"], f'<div class="yardsticks">{table}</div>{quiet(note)}')


def _yardstick(forecaster: str, known: dict[str, float], limit: float, language: Language) -> list[str]:
    say = words(language)
    gain = known.get("skill", 0.0 if forecaster == "naive" else None)
    tone = "said" if forecaster == "challenger" else "base"
    cells = ["" if gain is None else skill_mark(gain, limit, tone)]
    cells.append(NOTHING if gain is None else skill(gain, language) if gain else number(0, 1, language) + f"{THIN}%")
    cells += [share(known[name], language) if name in known else NOTHING for name in _SHARES]
    cells.append(number(known["auc"], 3, language) if "auc" in known else NOTHING)
    shown = escape(say.get(f"forecaster_{forecaster}", forecaster))
    return [f'<b class="ours">{shown}</b>' if forecaster == "challenger" else shown, *cells]
