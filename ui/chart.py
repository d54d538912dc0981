"""The chart: what came in blue and orange, what we said in violet, nothing where nothing was said.

Plotly knows no CSS variables, so the figure is built anew for each colour mode, language and width.
"""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly 5 ships no types

from candlecast.candles import to_ms
from ui.chart_frame import Frame, axes, time_ticks
from ui.chart_future import draw_future, fan
from ui.chart_past import draw_errors, draw_hover, draw_origins, draw_past, edges
from ui.chart_rows import Look, Rows, Xs, candle_rows, said_in_view, spoken
from ui.snapshot import Snapshot
from ui.theme import faded
from ui.words import words

_WIDE = 1200
_BESIDE_WIDE = 520  # px beside the plot: page and card padding, the side column, the price axis
_BESIDE = 130
_LABELS = 86  # px that the longest label at the fan's end needs, with its distance
_LINE_ABOVE = 240


def figure(snapshot: Snapshot | None, look: Look, empty: str = "") -> go.Figure:
    """Return the chart of a snapshot; the word `empty` in its place where there are no candles."""
    rows = candle_rows(snapshot, look)
    drawing = go.Figure(layout={"template": "none"})
    if snapshot is None or rows is None:
        return drawing.update_layout(**Frame.blank(look.narrow, empty))
    frame = _frame(snapshot, rows, look)
    _background(drawing, frame, snapshot, rows, look)
    draw_past(drawing, frame, snapshot, rows, look)
    _candles(drawing, frame, rows, look)
    draw_future(drawing, frame, snapshot, rows, look)
    draw_errors(drawing, frame, snapshot, rows)
    if not look.narrow:
        _volume(drawing, frame, snapshot, rows)
    draw_hover(drawing, snapshot, rows, look)
    return drawing.update_layout(**axes(frame))


def _frame(snapshot: Snapshot, rows: Rows, look: Look) -> Frame:
    forecasts = spoken(snapshot)
    ends = [to_ms(f.target_time) for f in forecasts if f.target_time]
    last = max([*ends, rows.cutoff + 2 * rows.step])
    shown = rows.cutoff - rows.opened[0]
    right = last + round(_label_share(look.width) * (shown + last - rows.cutoff))
    values = [*rows.low, *rows.high]
    values += [edge for _, low, high in fan(forecasts, "95", rows.step) for edge in (low, high)]
    if look.past or look.past_candles:
        values += [edge for row in said_in_view(snapshot, rows) for edge in edges(row, look)]
    return Frame.around(
        values=values,
        left=rows.opened[0] - round(0.2 * rows.step),
        right=right,
        # A text at the very edge would be cut, and with it the date.
        ticks=time_ticks(
            rows.opened[0] + round(0.03 * shown),
            rows.cutoff,
            look.language,
            3 if look.narrow else 6,
            snapshot.zone,
        ),
        mode=look.mode,
        language=look.language,
        narrow=look.narrow,
        series=snapshot.series or "",
        banner=snapshot.simulated or snapshot.baseline,
    )


def _label_share(width: int) -> float:
    """Return how much wider the drawing must be for the labels at the fan's end."""
    beside = _BESIDE_WIDE if width >= _WIDE else _BESIDE
    return _LABELS / max(_LABELS, width - beside - _LABELS)


def _background(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    say, colours = words(look.language), frame.colours
    if snapshot.simulated:
        size = 40 if look.narrow else 84
        drawing.add_annotation(
            text=f"<b>{escape(say['simulated'])}</b>",
            **frame.paper(0.44, sum(frame.price) / 2),
            showarrow=False,
            font={"size": size, "color": faded(colours["ink"], 0.07)},
        )
    for start, end in rows.gaps():
        _gap(drawing, frame, rows, (start, end))
    draw_origins(drawing, frame, snapshot, rows, look)


def _gap(drawing: go.Figure, frame: Frame, rows: Rows, gap: tuple[int, int]) -> None:
    start, end = gap
    say, missing = words(frame.language), (end - start) // rows.step
    drawing.add_trace(
        go.Scatter(
            x=[start, end, end, start, start],
            y=[frame.low, frame.low, frame.high, frame.high, frame.low],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillpattern={
                "shape": "/",
                "size": 7,
                "solidity": 0.12,
                "fgcolor": frame.colours["edge"],
                "fillmode": "replace",
            },
            name="gap",
            hoverinfo="skip",
        )
    )
    text = say["gap_one"] if missing == 1 else say["gap"].format(n=missing)
    drawing.add_annotation(
        text=text,
        x=(start + end) / 2,
        y=frame.low,
        yanchor="bottom",
        showarrow=False,
        bgcolor=frame.colours["surface"],
        font={"color": frame.colours["ink2"]},
    )


def _candles(drawing: go.Figure, frame: Frame, rows: Rows, look: Look) -> None:
    colours = frame.colours
    if look.line or len(rows.opened) > _LINE_ABOVE:
        xs, ys = _broken(rows)
        drawing.add_trace(
            go.Scatter(
                x=xs, y=ys, mode="lines", line={"color": colours["ink"], "width": 1.6}, name="close", hoverinfo="skip"
            )
        )
        return
    drawing.add_trace(
        go.Candlestick(
            x=rows.middle,
            open=rows.open,
            high=rows.high,
            low=rows.low,
            close=rows.close,
            increasing={"line": {"color": colours["up"], "width": 1.6}, "fillcolor": colours["surface"]},
            decreasing={"line": {"color": colours["down"], "width": 1.6}, "fillcolor": colours["down"]},
            name="candles",
            hoverinfo="skip",
        )
    )


def _broken(rows: Rows) -> tuple[Xs, Xs]:
    """Return the closes with a hole wherever a candle is missing: a line must not run through a gap."""
    xs: Xs = []
    ys: Xs = []
    ends = {start for start, _ in rows.gaps()}
    for opened, close in zip(rows.opened, rows.close, strict=True):
        xs.append(opened + rows.step / 2)
        ys.append(close)
        if opened + rows.step in ends:
            xs.append(None)
            ys.append(None)
    return xs, ys


def _volume(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows) -> None:
    drawing.add_trace(
        go.Bar(
            x=rows.middle, y=rows.volume, width=0.7 * rows.step, yaxis="y3", name="volume", hoverinfo="skip",
            marker={"color": faded(frame.colours["base"], 0.55), "line": {"width": 0}},
        )
    )  # fmt: skip
    frame.volume_limit = max([*rows.volume, 1e-12])
    base = snapshot.parsed.symbol.base if snapshot.parsed else ""
    text = words(frame.language)["volume_axis"].format(base=base).rstrip(", ")
    drawing.add_annotation(**frame.title(text, frame.volume[1]))
