"""The chart for those who do not see it: three sentences, and the same figures as a table."""

from __future__ import annotations

from html import escape

from candlecast.api import LedgerRow
from candlecast.candles import from_ms, to_ms
from ui.chart_rows import Rows, spoken
from ui.format import NOTHING, Language, bounds, delta, moment_text, number, price, when
from ui.snapshot import Snapshot
from ui.verdict import headline_text
from ui.words import words


def alternative(snapshot: Snapshot | None, rows: Rows | None, language: Language) -> str:
    """Return what candles did, what we said, and the live skill, in three sentences."""
    say = words(language)
    if snapshot is None or rows is None:
        return say["chart_alt_none"]
    candles = say["chart_alt_candles"].format(
        n=number(len(rows.opened), 0, language),
        first=price(rows.open[0], language, snapshot.decimals),
        last=price(rows.close[-1], language, snapshot.decimals),
        low=price(min(rows.low), language, snapshot.decimals),
        high=price(max(rows.high), language, snapshot.decimals),
    )
    skill = say["chart_alt_skill"].format(verdict=headline_text(snapshot, language))
    return f"{candles} {_said(snapshot, language)} {skill}"


def _said(snapshot: Snapshot, language: Language) -> str:
    say, forecast = words(language), snapshot.forecast
    if not spoken(snapshot) or forecast is None or forecast.point is None or forecast.target_time is None:
        return say["chart_alt_silent"]
    given = forecast.intervals or {}
    if "80" not in given or "95" not in given:
        return say["chart_alt_silent"]

    def written(value: float) -> str:
        return price(value, language, snapshot.decimals)

    return say["chart_alt_said"].format(
        time=when(forecast.target_time, snapshot.now, language),
        close=written(forecast.point.close),
        lo80=written(given["80"].lower),
        hi80=written(given["80"].upper),
        lo95=written(given["95"].lower),
        hi95=written(given["95"].upper),
    )


def chart_words(snapshot: Snapshot | None, rows: Rows | None, language: Language) -> str:
    """Return the text alternative, hidden from sight, and the table behind its button."""
    say = words(language)
    alt = f'<p class="unseen" id="chart-alt">{escape(alternative(snapshot, rows, language))}</p>'
    if snapshot is None or rows is None:
        return alt
    summary = f"<summary>{escape(say['table'])}</summary>"
    return f'{alt}<details class="table">{summary}{_table(snapshot, rows, language)}</details>'


def _table(snapshot: Snapshot, rows: Rows, language: Language) -> str:
    say = words(language)
    names = ("time", "open", "high", "low", "close", "said", "band", "error")
    heads = "".join(f"<th scope=col>{escape(say[f'table_{name}'])}</th>" for name in names)
    said = {to_ms(row.target_time) - rows.step: row for row in snapshot.ledger}
    body = "".join(
        _row(snapshot, rows, at, said.get(rows.opened[at]), language) for at in reversed(range(len(rows.opened)))
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(say["table_caption"])}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(snapshot: Snapshot, rows: Rows, at: int, said: LedgerRow | None, language: Language) -> str:
    close, places = rows.close[at], snapshot.decimals
    cells = [price(value[at], language, places) for value in (rows.open, rows.high, rows.low, rows.close)]
    given = said.intervals.get("80") if said else None
    cells += [
        price(said.close, language, places) if said else NOTHING,
        bounds(given.lower, given.upper, language, places) if given else NOTHING,
        delta(said.close - close, close, language, places) if said else NOTHING,
    ]
    closed = moment_text(from_ms(rows.opened[at] + rows.step).astimezone(snapshot.zone), language)
    return f"<tr><th scope=row>{escape(closed)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def legend(language: Language) -> str:
    """Return what the marks of the chart mean."""
    say = words(language)
    return (
        f'<h2 class="unseen">{escape(say["chart"])}</h2><ul class="legend">'
        f"<li>{_candle('up', 'var(--cc-surface)')}{escape(say['legend_up'])}</li>"
        f"<li>{_candle('down', 'var(--cc-down)')}{escape(say['legend_down'])}</li>"
        f'<li><svg width="14" height="12" aria-hidden="true"><path d="M1 6h12" stroke="var(--cc-said)" '
        f'stroke-width="2.5"/></svg>{escape(say["legend_said"])}</li>'
        f'<li><svg width="14" height="14" aria-hidden="true"><rect x="1.5" y="1.5" width="11" height="11" fill="none" '
        f'stroke="var(--cc-said)" stroke-width="2" stroke-dasharray="2.5 2"/></svg>{escape(say["legend_next"])}</li>'
        f'<li><svg width="18" height="12" aria-hidden="true"><path d="M0 6h18" stroke="var(--cc-base)" '
        f'stroke-width="1.5" stroke-dasharray="4 2.5"/></svg>{escape(say["no_change"])}</li></ul>'
    )


def _candle(tone: str, fill: str) -> str:
    return (
        f'<svg width="12" height="16" aria-hidden="true"><g stroke="var(--cc-{tone})" stroke-width="1.5" '
        f'fill="{fill}"><path d="M6 1v14"/><rect x="2.8" y="4.5" width="6.4" height="7"/></g></svg>'
    )
