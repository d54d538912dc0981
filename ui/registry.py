"""The Models tab's panels: every version with its decision and scores, and the card of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any

from candlecast.api import ModelVersion, Trial
from ui.format import NOTHING, Language, date_text, number, skill, span, when
from ui.markup import heading, icon, panel, quiet, rows_table
from ui.plots import share, whisker
from ui.snapshot import Snapshot
from ui.told import told
from ui.verdict import axis_limit
from ui.words import words

_COLUMNS = ("version", "state", "why", "against", "skill", "mae_ratio", "in_80", "in_95", "windows", "made")
_LIBRARIES = 6
_HASH = 12


def head(language: Language) -> str:
    """Return the tab's heading."""
    say = words(language)
    return heading(say["models_title"], say["models_line"])


def of_series(models: Sequence[ModelVersion], snapshot: Snapshot) -> tuple[ModelVersion, ...]:
    """Return the versions of the chosen series' venue and interval, newest first."""
    series = snapshot.parsed
    if series is None:
        return ()
    kind = (series.venue, str(series.interval))
    return tuple(model for model in models if (model.venue, model.interval) == kind)


def versions(models: Sequence[ModelVersion], snapshot: Snapshot | None, language: Language) -> str:
    """Return the table of versions: which one answers, why each was promoted or refused, and how it scored."""
    say = words(language)
    if snapshot is None or not models:
        return panel(say["models_versions"], quiet(say["models_none"]))
    numbers = [decision_numbers(model) for model in models]
    ends = [abs(one[name]) for one in numbers for name in ("skill_lower", "skill_upper") if name in one]
    limit = axis_limit(*ends) if ends else 0.01
    heads = [say[f"models_{name}"] for name in _COLUMNS]
    rows = [_version(model, one, limit, snapshot, language) for model, one in zip(models, numbers, strict=True)]
    table = rows_table(say["models_versions"], heads, rows, texts=3)
    return panel(say["models_versions"], f'<div class="versions">{table}</div>{quiet(say["models_scores_line"])}')


def _version(
    model: ModelVersion, known: dict[str, float], limit: float, snapshot: Snapshot, language: Language
) -> list[str]:
    drawn, written = "", NOTHING
    if {"skill", "skill_lower", "skill_upper"} <= known.keys():
        point, low, high = (known[name] for name in ("skill", "skill_lower", "skill_upper"))
        written = skill(point, language)
        alt = words(language)["strip_alt"].format(x=written, lo=skill(low, language), hi=skill(high, language))
        drawn = whisker(point, low, high, limit, alt)
    return [
        f'<span class="id">{escape(model.id)}</span>',
        _state(model, language),
        f'<span class="why">{escape(told(str((model.decision or {}).get("reason") or NOTHING), language))}</span>',
        drawn,
        written,
        number(known["mae_ratio"], 4, language) if "mae_ratio" in known else NOTHING,
        *(share(known[name], language) if name in known else NOTHING for name in ("coverage_80", "coverage_95")),
        number(known["windows_won"], 0, language) if "windows_won" in known else NOTHING,
        escape(when(model.created_at, snapshot.now, language)),
    ]


def _state(model: ModelVersion, language: Language) -> str:
    say = words(language)
    if model.champion:
        return f'<span class="mark good">{icon("fresh")}<b>{escape(say["models_champion"])}</b></span>'
    if model.promoted_at is not None:
        return escape(say["models_was_champion"])
    return escape(say["models_refused" if model.decision else "models_undecided"])


def decision_numbers(model: ModelVersion) -> dict[str, float]:
    """Return the numbers that the decision about a version was made from."""
    known = (model.decision or {}).get("numbers") or {}
    return {name: float(value) for name, value in known.items() if isinstance(value, int | float)}


def card(model: ModelVersion | None, snapshot: Snapshot | None, language: Language) -> str:
    """Return the model card: what it was trained on, with what, and what it may be used for."""
    say = words(language)
    if model is None or snapshot is None:
        return panel(say["models_card"], quiet(say["models_none"]))
    facts = "".join(f"<dt>{escape(say[key])}</dt><dd>{escape(value)}</dd>" for key, value in _facts(model, language))
    return panel(
        say["models_card_of"].format(id=model.id), f'<dl class="record">{facts}</dl>{quiet(say["models_use"])}'
    )


def trials(found: Sequence[Trial], language: Language) -> str:
    """Return the settings that were tried for a version, and which of them it was fitted with; empty without any."""
    if not found:
        return ""
    say = words(language)
    heads = [say[f"models_{name}"] for name in ("trial", "settings", "pinball", "took")]
    rows = [_trial(one, language) for one in found]
    return panel(say["models_trials"], rows_table(say["models_trials"], heads, rows, texts=2))


def _trial(one: Trial, language: Language) -> list[str]:
    say, ratio = words(language), one.scores.get("pinball_ratio")
    number_of = number(one.number, 0, language)
    settings = ", ".join(f"{name} {value:g}" for name, value in one.parameters.items()) or say["models_recipe"]
    return [
        f'<b class="ours">{number_of}, {escape(say["models_chosen"])}</b>' if one.chosen else number_of,
        escape(settings),
        NOTHING if ratio is None else number(ratio, 4, language),
        span(one.seconds),
    ]


def _facts(model: ModelVersion, language: Language) -> list[tuple[str, str]]:
    known = model.manifest
    rows, features = known.get("rows"), known.get("features") or {}
    names = features.get("names")
    facts = [
        ("models_kind", model.kind),
        ("models_symbols", _listed(known.get("symbols"))),
        ("models_horizons", _listed(known.get("horizons"))),
        ("models_rows", number(rows, 0, language) if isinstance(rows, int) else NOTHING),
        ("models_training", _training(known.get("training"), language)),
        ("models_features", number(len(names), 0, language) if isinstance(names, list) else NOTHING),
        ("models_fingerprint", str(features.get("fingerprint", NOTHING))[:_HASH]),
        ("models_data_hash", str(known.get("data_hash") or NOTHING)[:_HASH]),
        ("models_libraries", _libraries(known.get("libraries"))),
    ]
    return [(key, value) for key, value in facts if value != NOTHING]


def _listed(given: Any) -> str:
    return ", ".join(str(one) for one in given) if isinstance(given, list) and given else NOTHING


def _training(given: Any, language: Language) -> str:
    """Return how many candles of which days the version was trained on, over all its series."""
    parts = [part for part in given.values() if isinstance(part, dict)] if isinstance(given, dict) else []
    if not parts or not all({"start", "end", "candles"} <= part.keys() for part in parts):
        return NOTHING
    first, last = min(part["start"] for part in parts), max(part["end"] for part in parts)
    return words(language)["models_trained_on"].format(
        n=number(sum(part["candles"] for part in parts), 0, language),
        first=date_text(datetime.fromisoformat(first), language),
        last=date_text(datetime.fromisoformat(last), language),
    )


def _libraries(given: Any) -> str:
    if not isinstance(given, dict):
        return NOTHING
    return ", ".join(f"{name} {version}" for name, version in list(given.items())[:_LIBRARIES])
