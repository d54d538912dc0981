"""Small pieces of HTML that the panels share. Everything that comes from outside is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape

from candlecast.candles import to_ms
from ui.format import span

_ICONS = {
    "fresh": '<circle cx="8" cy="8" r="6.2"/><path d="M5.2 8.2l2 2 3.6-4.2"/>',
    "stale": '<circle cx="8" cy="8" r="6.2"/><path d="M8 4.6V8l2.4 1.8"/>',
    "chain": '<rect x="1.5" y="5" width="7" height="6" rx="3"/><rect x="7.5" y="5" width="7" height="6" rx="3"/>',
    "broken": '<path d="M6 5H4.5a3 3 0 000 6H6M10 5h1.5a3 3 0 010 6H10M7.5 2.5v2M8.5 11.5v2"/>',
    "menu": '<path d="M2 4h12M2 8h12M2 12h12"/>',
    "warning": '<path d="M8 2.2l6.3 11.3H1.7z"/><path d="M8 6.6v3.2M8 11.6v.4"/>',
}

MARK = (
    '<svg class="mark" width="26" height="26" viewBox="0 0 26 26" aria-hidden="true">'
    '<g stroke="var(--cc-ink)" fill="var(--cc-ink)" stroke-width="1.6"><path d="M8 3v20" fill="none"/>'
    '<rect x="4.8" y="7" width="6.4" height="11"/></g><g stroke="var(--cc-said)" fill="none" stroke-width="1.8" '
    'stroke-dasharray="2.4 2"><path d="M18 4v4M18 18v4"/><rect x="14.8" y="8" width="6.4" height="10"/></g></svg>'
)


def icon(name: str) -> str:
    """Return a line icon that takes the colour of the text around it; decoration only."""
    return (
        '<svg class="icon" width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" '
        f'stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{_ICONS[name]}</svg>'
    )


def strong(template: str, **parts: str) -> str:
    """Fill an escaped sentence with escaped parts in bold."""
    return escape(template).format_map({name: f"<b>{escape(text)}</b>" for name, text in parts.items()})


def ticking(template: str, at: datetime, now: datetime, *, down: bool = False, past: str = "") -> str:
    """Return a length of time that the browser keeps current: `{age}` of the template is filled by both.

    `down` counts towards `at` and says `past` once it is reached; otherwise it counts from `at` on.
    """
    seconds = (at - now).total_seconds() if down else (now - at).total_seconds()
    text = past if down and seconds <= 0 else template.format(age=span(seconds))
    kind = "down" if down else "up"
    return (
        f'<span class="tick" data-tick="{kind}" data-at="{to_ms(at)}" data-text="{escape(template)}" '
        f'data-past="{escape(past)}">{escape(text)}</span>'
    )


def plain(html: str) -> str:
    """Return the text of our own markup, for places that take no markup."""
    return re.sub(r"<[^>]+>", "", html)


def rows_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Return a table that scrolls by itself where it is too wide.

    The cells are markup, the first of each row is its head, the first `texts` columns are words and stand left.
    """
    align = [' class="text"' if at < texts else "" for at in range(len(heads))]
    top = "".join(f"<th scope=col{align[at]}>{escape(head)}</th>" for at, head in enumerate(heads))
    body = "".join(f"<tr>{_cells(row, align)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="rows">'
        f'<caption class="unseen">{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _cells(row: Sequence[str], align: Sequence[str]) -> str:
    first, *rest = row
    cells = "".join(f"<td{align[at]}>{cell}</td>" for at, cell in enumerate(rest, 1))
    return f"<th scope=row{align[0]}>{first}</th>{cells}"


def panel(title: str, body: str, *, name: str = "") -> str:
    """Return a card with a heading; `body` is markup."""
    known = f' id="{name}"' if name else ""
    return f'<section class="card panel"{known}><h2>{escape(title)}</h2>{body}</section>'


def heading(title: str, line: str) -> str:
    """Return the one heading of a tab that has no verdict, and the sentence below it."""
    return (
        f'<section class="heading" id="content" tabindex="-1"><h1>{escape(title)}</h1><p>{escape(line)}</p></section>'
    )


def quiet(text: str) -> str:
    """Return a sentence in the place of what is not there."""
    return f'<p class="quiet">{escape(text)}</p>'
