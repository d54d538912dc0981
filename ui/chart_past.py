"""What was said over what came: bands and ticks, predicted candles, errors, and where each of them is from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from operator import attrgetter

import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly 5 ships no types

from candlecast.api import LedgerRow
from candlecast.candles import from_ms, to_ms
from ui.chart_frame import Frame
from ui.chart_rows import Look, Rows, Xs, said_in_view, tone
from ui.format import Language, delta, price, shared_decimals, when
from ui.snapshot import Snapshot
from ui.theme import faded
from ui.words import words

_TONES = ("edge", "base", "said")
_SHADES = {"in_sample": 0.065, "out_of_sample": 0.03, "live": 0.0}
_RULES = {"in_sample": "dot", "out_of_sample": "dash", "live": "solid"}
_WORD, _SENTENCE = (0.12, 0.2), (0.25, 0.5)  # shares of the width that the short and the long word need: wide, narrow
_CANDLE_HALF = 0.44  # of an interval: a little wider than the candle below


def draw_origins(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    """Draw the cutoff, and above and behind the candles whether what was said was live or hindsight."""
    colours, cutoff = frame.colours, rows.cutoff
    drawing.add_shape(
        type="line", xref="x", yref="paper", x0=cutoff, x1=cutoff, y0=frame.price[0], y1=frame.ribbon[1],
        line={"color": colours["ink"], "width": 1.5},
    )  # fmt: skip
    unknown = words(look.language)["unknown_short" if look.narrow else "unknown_yet"]
    _ribbon_word(drawing, frame, cutoff, escape(unknown), colours["ink2"])
    parts = [(origin, list(part)) for origin, part in groupby(said_in_view(snapshot, rows), attrgetter("origin"))]
    for at, (origin, said) in enumerate(parts):
        start = to_ms(said[0].target_time) - rows.step
        end = cutoff if at + 1 == len(parts) else to_ms(said[-1].target_time)
        _shade(drawing, frame, (start, end), origin)
        _ribbon(drawing, frame, (start, end), origin, said)
        share, wide = (end - start) / (frame.right - frame.left), int(look.narrow)
        if share > _WORD[wide]:
            text = words(look.language)[f"origin_{origin}" if share > _SENTENCE[wide] else f"short_{origin}"]
            colour = colours["accent" if origin == "live" else "ink2"]
            written = f"<b>{escape(text)}</b>" if origin == "live" else escape(text)
            _ribbon_word(drawing, frame, start, written, colour)


def _ribbon_word(drawing: go.Figure, frame: Frame, x: float, text: str, colour: str) -> None:
    drawing.add_annotation(
        text=text, x=x, xanchor="left", xshift=6, font={"color": colour},
        yref="paper", y=sum(frame.ribbon) / 2, yanchor="middle", showarrow=False,
    )  # fmt: skip


def _ribbon(drawing: go.Figure, frame: Frame, span: tuple[int, int], origin: str, said: Sequence[LedgerRow]) -> None:
    colours, (bottom, top), (start, end) = frame.colours, frame.ribbon, span
    live = origin == "live"
    drawing.add_shape(
        type="rect", xref="x", yref="paper", x0=start, x1=end, y0=bottom, y1=top,
        fillcolor=colours["accent_soft" if live else "sunk"], line={"width": 0}, layer="below",
    )  # fmt: skip
    colour = "edge" if not live else "base" if all(row.role == "baseline" for row in said) else "said"
    drawing.add_shape(
        type="line", xref="x", yref="paper", x0=start, x1=end, y0=top, y1=top,
        line={"color": colours[colour], "width": 3, "dash": _RULES[origin]},
    )  # fmt: skip


def _shade(drawing: go.Figure, frame: Frame, span: tuple[int, int], origin: str) -> None:
    if not _SHADES[origin]:
        return
    for low, high in (frame.price, frame.error):
        drawing.add_shape(
            type="rect", xref="x", yref="paper", x0=span[0], x1=span[1], y0=low, y1=high, layer="below",
            fillcolor=faded(frame.colours["ink"], _SHADES[origin]), line={"width": 0}, name=origin,
        )  # fmt: skip


def draw_past(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    """Draw a tick and its 80 % band for each candle, or the whole candle that was predicted, as the reader wants it."""
    found = said_in_view(snapshot, rows)
    for colour in _TONES:
        said = [row for row in found if tone(row) == colour]
        if said and look.past:
            drawing.add_trace(_bands(said, rows.step, frame.colours[colour]))
            drawing.add_trace(_ticks(said, rows.step, frame.colours[colour]))
        if said and look.past_candles:
            drawing.add_trace(_outlines(said, rows.step, frame.colours[colour]))


def _bands(said: Sequence[LedgerRow], step: int, colour: str) -> go.Scatter:
    xs: Xs = []
    ys: Xs = []
    for row in said:
        given = row.intervals.get("80")
        if given is None:
            continue
        end = to_ms(row.target_time)
        xs += [end - step, end, end, end - step, end - step, None]
        ys += [given.lower, given.lower, given.upper, given.upper, given.lower, None]
    return go.Scatter(
        x=xs, y=ys, fill="toself", mode="lines", line={"width": 0}, fillcolor=faded(colour, 0.11),
        name="past_band", hoverinfo="skip",
    )  # fmt: skip


def _ticks(said: Sequence[LedgerRow], step: int, colour: str) -> go.Scatter:
    marker = {"symbol": "line-ew", "size": 6.5, "line": {"width": 2, "color": colour}}
    return go.Scatter(
        x=[to_ms(row.target_time) - step / 2 for row in said],
        y=[row.close for row in said],
        mode="markers",
        marker=marker,
        name="past_said",
        hoverinfo="skip",
    )


def _outlines(said: Sequence[LedgerRow], step: int, colour: str) -> go.Scatter:
    """Return predicted candles as dashed outlines; what gave a close alone has none."""
    xs: Xs = []
    ys: Xs = []
    for row in said:
        if row.open is None or row.high is None or row.low is None:
            continue
        middle, (bottom, top) = to_ms(row.target_time) - step / 2, sorted((row.open, row.close))
        left, right = middle - _CANDLE_HALF * step, middle + _CANDLE_HALF * step
        xs += [left, right, right, left, left, None, middle, middle, None, middle, middle, None]
        ys += [bottom, bottom, top, top, bottom, None, top, row.high, None, bottom, row.low, None]
    return go.Scatter(
        x=xs, y=ys, mode="lines", line={"color": colour, "width": 1.2, "dash": "2px,2px"}, name="past_candles",
        hoverinfo="skip",
    )  # fmt: skip


def edges(row: LedgerRow, look: Look) -> tuple[float, ...]:
    """Return the prices that the drawing of a row reaches."""
    given = row.intervals.get("80") if look.past else None
    candle = (row.high, row.low) if look.past_candles else ()
    reached = tuple(value for value in candle if value is not None)
    return (given.lower, given.upper, *reached) if given else (row.close, *reached)


def draw_errors(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows) -> None:
    """Draw one signed bar per candle, ours narrow over that of "no change"."""
    scored = [row for row in said_in_view(snapshot, rows) if row.realised_close]
    middles = [to_ms(row.target_time) - rows.step / 2 for row in scored]
    ours = [100 * (row.close / row.realised_close - 1) for row in scored if row.realised_close]
    naive = [100 * (row.last_close / row.realised_close - 1) for row in scored if row.realised_close]
    for values, share, colour, name in (
        (naive, 0.8, faded(frame.colours["base"], 0.38), "error_no_change"),
        (ours, 0.36, [frame.colours[tone(row)] for row in scored], "error_ours"),
    ):
        drawing.add_trace(
            go.Bar(
                x=middles, y=values, width=share * rows.step, marker={"color": colour, "line": {"width": 0}},
                yaxis="y2", name=name, hoverinfo="skip",
            )
        )  # fmt: skip
    frame.error_limit = max([0.01, *(abs(value) for value in ours + naive)]) * 1.1
    say = words(frame.language)
    drawing.add_annotation(**frame.title(say["error_axis_short" if frame.narrow else "error_axis"], frame.error[1]))


def draw_hover(drawing: go.Figure, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    """Let every candle say what was said of it, what came, and where that is from."""
    said = {to_ms(row.target_time) - rows.step: row for row in said_in_view(snapshot, rows)}
    decimals = shared_decimals(rows.close)
    texts = [
        _hover_text(from_ms(opened + rows.step), close, said.get(opened), snapshot.now, look.language, decimals)
        for opened, close in zip(rows.opened, rows.close, strict=True)
    ]
    drawing.add_trace(
        go.Scatter(
            x=rows.middle, y=rows.close, mode="markers", marker={"opacity": 0, "size": 1}, name="hover",
            text=texts, hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip


def _hover_text(
    at: datetime, close: float, row: LedgerRow | None, now: datetime, language: Language, decimals: int
) -> str:
    say = words(language)
    lines = [f"<b>{when(at, now, language)}</b>", f"{say['hover_came']} {price(close, language, decimals)}"]
    if row is not None:
        lines.insert(1, f"{say['hover_said']} {price(row.close, language, decimals)}")
        lines.append(f"{say['hover_error']} {delta(row.close - close, close, language, decimals)}")
        lines.append(say[f"short_{row.origin}"] + " · " + escape(row.model_version))
    return "<br>".join(lines)
