"""The right side of the chart: the fan, the predicted candle, and "no change". Only where something was forecast."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly 5 ships no types

from candlecast.api import LatestForecast
from candlecast.candles import to_ms
from ui.chart_frame import Frame, Label, spread
from ui.chart_rows import Look, Rows, spoken
from ui.snapshot import Snapshot
from ui.theme import faded
from ui.words import words

_GHOST_LEAST = 5  # px: a thinner body could not be told from a line


def fan(forecasts: Sequence[LatestForecast], percent: str, step: int) -> list[tuple[float, float, float]]:
    """Return the corners of the fan as (time, lower, upper): only where something was forecast.

    The first horizon is a block one candle wide; without a forecast for it the fan opens at the last close.
    """
    corners: list[tuple[float, float, float]] = []
    for forecast in forecasts:
        given = (forecast.intervals or {}).get(percent)
        if given is None or forecast.cutoff is None or forecast.target_time is None:
            continue
        start, target = to_ms(forecast.cutoff), to_ms(forecast.target_time)
        if not corners and forecast.horizon == 1:
            corners.append((start, given.lower, given.upper))
        elif not corners and forecast.last_close is not None:
            corners.append((start, forecast.last_close, forecast.last_close))
        corners.append((max(target, start + step), given.lower, given.upper))
    return corners


def draw_future(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    """Draw what is said about the candles to come, and the line of "no change" over the full width."""
    say, colours, forecasts = words(look.language), frame.colours, spoken(snapshot)
    last = rows.close[-1]
    end = frame.right
    drawing.add_trace(
        go.Scatter(
            x=[frame.left, end], y=[last, last], mode="lines",
            line={"color": colours["base"], "width": 1.2, "dash": "6px,4px"}, name="no_change", hoverinfo="skip",
        )
    )  # fmt: skip
    if not forecasts:
        drawing.add_annotation(**frame.label(Label(say["no_change"], last, colours["base"]), rows.cutoff, "bottom"))
        return
    colour = colours["base"] if snapshot.baseline else colours["said"]
    labels = [Label(say["no_change"], last, colours["base"])]
    for percent, opacity, dash, width in (("95", 0.10, "dot", 1.2), ("80", 0.18, "solid", 1.2)):
        corners = fan(forecasts, percent, rows.step)
        if not corners:
            continue
        drawing.add_traces(_band(corners, faded(colour, opacity), colour, dash, width, percent))
        labels.append(Label(f"{percent}\N{NARROW NO-BREAK SPACE}%", corners[-1][2], colours["ink2"]))
    labels += _said_line(
        drawing, forecasts, rows, colour, say["label_baseline" if snapshot.baseline else "label_forecast"]
    )
    _ghost(drawing, frame, forecasts[0], rows, colour)
    tip = max(to_ms(f.target_time) for f in forecasts if f.target_time)
    for label in spread(labels, frame):
        drawing.add_annotation(**frame.label(label, max(tip, rows.cutoff + rows.step), "middle"))


def _band(
    corners: list[tuple[float, float, float]], fill: str, colour: str, dash: str, width: float, percent: str
) -> list[go.Scatter]:
    times = [at for at, _, _ in corners]
    lower = [low for _, low, _ in corners]
    upper = [high for _, _, high in corners]
    area = go.Scatter(
        x=times + times[::-1], y=upper + lower[::-1], fill="toself", fillcolor=fill, mode="lines",
        line={"width": 0}, name=f"fan_{percent}", hoverinfo="skip",
    )  # fmt: skip
    line = {"color": colour, "width": width, "dash": dash}
    edges = [
        go.Scatter(x=times, y=side, mode="lines", line=line, name=f"fan_{percent}_edge", hoverinfo="skip")
        for side in (lower, upper)
    ]
    return [area, *edges]


def _said_line(drawing: go.Figure, forecasts: list[LatestForecast], rows: Rows, colour: str, word: str) -> list[Label]:
    xs: list[float] = []
    ys: list[float] = []
    for forecast in forecasts:
        if forecast.point is None or forecast.target_time is None:
            continue
        target = to_ms(forecast.target_time)
        if forecast.horizon == 1:
            xs.append(rows.cutoff)
            ys.append(forecast.point.close)
        xs.append(target)
        ys.append(forecast.point.close)
    if not xs:
        return []
    sizes = [0] * (len(xs) - 1) + [6]
    drawing.add_trace(
        go.Scatter(
            x=xs, y=ys, mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": sizes, "color": colour, "line": {"width": 0}}, name="said", hoverinfo="skip",
        )
    )  # fmt: skip
    return [Label(f"<b>{escape(word)}</b>", ys[-1], colour)]


def _ghost(drawing: go.Figure, frame: Frame, forecast: LatestForecast, rows: Rows, colour: str) -> None:
    point = forecast.point
    if forecast.horizon != 1 or point is None or point.open is None or point.high is None or point.low is None:
        return
    half, middle = 0.3 * rows.step, rows.cutoff + rows.step / 2
    top, bottom = max(point.open, point.close), min(point.open, point.close)
    thin = max(0.0, _GHOST_LEAST * frame.pixel - (top - bottom)) / 2
    top, bottom = top + thin, bottom - thin
    line = {"color": colour, "width": 2, "dash": "2px,2px"}
    for start, end in ((point.high, top), (bottom, point.low)):
        drawing.add_shape(type="line", x0=middle, x1=middle, y0=start, y1=end, line=line, name="ghost")
    drawing.add_shape(
        type="rect",
        x0=middle - half,
        x1=middle + half,
        y0=bottom,
        y1=top,
        fillcolor=frame.colours["surface"],
        line=line,
        name="ghost",
    )
