"""How to read this: what the words of the screen mean, with a picture each, and what the service offers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from candlecast.api import Skill
from ui import plots
from ui.format import Language
from ui.markup import heading, panel, quiet, rows_table
from ui.scoring import Bin, Estimate
from ui.verdict import skill_strip
from ui.words import words

Route = tuple[str, str, str]

_EXAMPLE = Skill(scored=2000, minimum=100, skill=0.008, lower=-0.004, upper=0.02, verdict="not_distinguishable")
_COVERED = {80: Estimate(0.793, 0.009), 95: Estimate(0.951, 0.005)}
_BINS = tuple(
    Bin(said, Estimate(rose, 0.02))
    for said, rose in ((0.44, 0.45), (0.47, 0.46), (0.5, 0.51), (0.53, 0.52), (0.56, 0.57))
)
_METHODS = ("get", "post")


def head(language: Language) -> str:
    """Return the tab's heading."""
    say = words(language)
    return heading(say["reading_title"], say["reading_line"])


def lessons(language: Language) -> str:
    """Return the explanations, each with its picture."""
    pictures = {
        "skill": skill_strip(_EXAMPLE, language),
        "coverage": plots.promise(_COVERED, language),
        "calibration": plots.reliability(_BINS, language),
        "abstention": _blank(language),
        "ledger": _chain(language),
        "baseline": "",
    }
    return (
        f'<div class="lessons">{"".join(_lesson(name, picture, language) for name, picture in pictures.items())}</div>'
    )


def _lesson(name: str, picture: str, language: Language) -> str:
    say = words(language)
    return panel(say[f"reading_{name}"], f"<p>{escape(say[f'lesson_{name}'])}</p>{picture}")


def _blank(language: Language) -> str:
    candles = "".join(
        f'<g stroke="var(--cc-{tone})" fill="var(--cc-{fill})" stroke-width="1.6"><line x1="{x}%" x2="{x}%" '
        f'y1="{top - 10}" y2="{top + 44}"/><rect x="{x - 1.6}%" width="3.2%" y="{top}" height="30"/></g>'
        for x, top, tone, fill in _CANDLES
    )
    word = words(language)["unknown_yet"]
    edge = '<line x1="50%" x2="50%" y1="0" y2="120" stroke="var(--cc-ink)" stroke-width="1.5"/>'
    return plots.drawing(
        words(language)["reading_blank_alt"], [candles, edge, plots.label("52%", 14, word)], height=124
    )


_CANDLES = ((8, 60, "up", "surface"), (17, 44, "up", "surface"), (26, 50, "down", "down"), (35, 62, "down", "down"),
            (44, 48, "up", "surface"))  # fmt: skip


def _chain(language: Language) -> str:
    rows = "".join(
        f'<rect x="{2 + 25 * at}%" y="14" width="20%" height="36" rx="4" fill="var(--cc-accent-soft)" '
        f'stroke="var(--cc-said)"/>' + (f'<line x1="{25 * at - 3}%" x2="{25 * at + 2}%" y1="32" y2="32" '
        'stroke="var(--cc-said)" stroke-width="2"/>' if at else "")
        for at in range(4)
    )  # fmt: skip
    return plots.drawing(words(language)["reading_chain_alt"], [rows], height=64)


def routes(described: Mapping[str, Any]) -> tuple[Route, ...]:
    """Return method, path and summary of every route that an OpenAPI document describes."""
    found = []
    for path, methods in (described.get("paths") or {}).items():
        for method in _METHODS:
            if method in methods:
                known = methods[method]
                text = str(known.get("description") or known.get("summary") or "")
                found.append((method.upper(), str(path), text.partition("\n")[0]))
    return tuple(found)


def service(address: str, dashboards: str | None, found: tuple[Route, ...], language: Language) -> str:
    """Return where the service is, its documentation, the dashboards, and its routes."""
    say = words(language)
    base = address.rstrip("/")
    line = f"<p>{escape(say['reading_service_line'].format(address=base))} {_link(f'{base}/docs')}</p>"
    if dashboards:
        line += f"<p>{escape(say['reading_dashboards'])} {_link(dashboards)}</p>"
    if not found:
        return panel(say["reading_service"], line + quiet(say["reading_no_routes"]))
    heads = [say[f"reading_{name}"] for name in ("path", "method", "what")]
    rows = [[f"<code>{escape(path)}</code>", escape(method), escape(text)] for method, path, text in found]
    table = rows_table(say["reading_routes"], heads, rows, texts=3)
    return panel(say["reading_service"], f'{line}<div class="routes">{table}</div>')


def _link(address: str) -> str:
    return f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(address)}</a>'
