"""The chart: what came in blue and orange, what we said in violet, nothing where nothing was said.

Plotly knows no CSS variables, so the figure is built anew for each colour mode, language and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly 5 ships no types

from candlecast.api import LatestForecast, LedgerRow
from candlecast.candles import Interval, from_ms, to_ms
from ui.chart_frame import Frame, Label, axes, spread, time_ticks
from ui.format import Language, delta, price, shared_decimals, when
from ui.snapshot import Snapshot
from ui.theme import Mode, faded
from ui.words import words

NARROW = 720
_NARROW_CANDLES = 22
_WIDE = 1200
_BESIDE_WIDE = 520  # px beside the plot: page and card padding, the side column, the price axis
_BESIDE = 130
_LABELS = 86  # px that the longest label at the fan's end needs, with its distance
_LINE_ABOVE = 240
_GHOST_LEAST = 5  # px: a thinner body could not be told from a line

Xs = list[float | None]


@dataclass(frozen=True, slots=True)
class Look:
    """How to draw: the reader's language, colours and width, and what they switched on."""

    language: Language = "en"
    mode: Mode = "light"
    width: int = 1440
    past: bool = True
    line: bool = False

    @property
    def narrow(self) -> bool:
        """Whether this is a phone."""
        return self.width < NARROW


@dataclass(frozen=True, slots=True)
class Rows:
    """The candles that are drawn, times in epoch milliseconds."""

    step: int
    opened: list[int]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]

    @property
    def middle(self) -> list[float]:
        """Where candles are drawn: between their opening and their close."""
        return [at + self.step / 2 for at in self.opened]

    @property
    def cutoff(self) -> int:
        """Close of the last candle."""
        return self.opened[-1] + self.step

    def gaps(self) -> list[tuple[int, int]]:
        """Return where candles are missing, as (from, to)."""
        pairs = zip(self.opened, self.opened[1:], strict=False)
        return [(before + self.step, after) for before, after in pairs if after - before > self.step]


def figure(snapshot: Snapshot | None, look: Look, empty: str = "") -> go.Figure:
    """Return the chart of a snapshot; the word `empty` in its place where there are no candles."""
    rows = candle_rows(snapshot, look)
    drawing = go.Figure(layout={"template": "none"})
    if snapshot is None or rows is None:
        return drawing.update_layout(**Frame.blank(look.narrow, empty))
    frame = _frame(snapshot, rows, look)
    _background(drawing, frame, snapshot, rows, look)
    if look.past:
        _past(drawing, frame, snapshot, rows)
    _candles(drawing, frame, rows, look)
    _future(drawing, frame, snapshot, rows, look)
    _errors(drawing, frame, snapshot, rows)
    if not look.narrow:
        _volume(drawing, frame, snapshot, rows)
    _hover(drawing, snapshot, rows, look)
    return drawing.update_layout(**axes(frame))


def candle_rows(snapshot: Snapshot | None, look: Look) -> Rows | None:
    """Return the last candles that fit the width; None where there are none."""
    if snapshot is None or snapshot.candles is None or not snapshot.candles.open_time:
        return None
    columns = snapshot.candles
    count = _NARROW_CANDLES if look.narrow else len(columns.open_time)
    kept = {name: getattr(columns, name)[-count:] for name in ("open", "high", "low", "close", "volume")}
    return Rows(Interval.parse(columns.interval).milliseconds, columns.open_time[-count:], **kept)


def spoken(snapshot: Snapshot) -> list[LatestForecast]:
    """Return the forecasts that are drawn: those of the chosen one's cutoff that say something."""
    chosen = snapshot.forecast
    if chosen is None or chosen.status == "abstained":
        return []
    return [f for f in snapshot.forecasts if f.status != "abstained" and f.cutoff == chosen.cutoff and f.point]


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


def _frame(snapshot: Snapshot, rows: Rows, look: Look) -> Frame:
    forecasts = spoken(snapshot)
    ends = [to_ms(f.target_time) for f in forecasts if f.target_time]
    last = max([*ends, rows.cutoff + 2 * rows.step])
    shown = rows.cutoff - rows.opened[0]
    right = last + round(_label_share(look.width) * (shown + last - rows.cutoff))
    values = [*rows.low, *rows.high]
    values += [edge for _, low, high in fan(forecasts, "95", rows.step) for edge in (low, high)]
    if look.past:
        values += [edge for row in _rows_in_view(snapshot, rows) for edge in _edges(row)]
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


def _edges(row: LedgerRow) -> tuple[float, ...]:
    given = row.intervals.get("80")
    return (given.lower, given.upper) if given else (row.close,)


def _rows_in_view(snapshot: Snapshot, rows: Rows) -> list[LedgerRow]:
    opened = set(rows.opened)
    return [row for row in snapshot.ledger if to_ms(row.target_time) - rows.step in opened]


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
    _ribbon(drawing, frame, snapshot, rows, look)


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


def _ribbon(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    say, colours = words(look.language), frame.colours
    bottom, top = frame.ribbon
    cutoff = rows.cutoff
    drawing.add_shape(
        type="line", xref="x", yref="paper", x0=cutoff, x1=cutoff, y0=frame.price[0], y1=top,
        line={"color": colours["ink"], "width": 1.5},
    )  # fmt: skip
    middle = {"yref": "paper", "y": (bottom + top) / 2, "yanchor": "middle", "showarrow": False}
    unknown = say["unknown_short" if look.narrow else "unknown_yet"]
    drawing.add_annotation(
        text=escape(unknown), x=cutoff, xanchor="left", xshift=6, font={"color": colours["ink2"]}, **middle
    )
    seen = _rows_in_view(snapshot, rows)
    if not seen:
        return
    start = min(to_ms(row.target_time) for row in seen) - rows.step
    colour = colours["base"] if all(row.role == "baseline" for row in seen) else colours["said"]
    drawing.add_shape(
        type="rect", xref="x", yref="paper", x0=start, x1=cutoff, y0=bottom, y1=top,
        fillcolor=colours["accent_soft"], line={"width": 0}, layer="below",
    )  # fmt: skip
    drawing.add_shape(
        type="line", xref="x", yref="paper", x0=start, x1=cutoff, y0=top, y1=top, line={"color": colour, "width": 3}
    )
    share = (cutoff - start) / (frame.right - frame.left)
    if share > (0.12 if not look.narrow else 0.2):
        text = say["live" if share > (0.25 if not look.narrow else 0.5) else "live_short"]
        drawing.add_annotation(
            text=f"<b>{escape(text)}</b>",
            x=start,
            xanchor="left",
            xshift=6,
            font={"color": colours["accent"]},
            **middle,
        )


def _past(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows) -> None:
    for role in ("champion", "baseline"):
        said = [row for row in _rows_in_view(snapshot, rows) if (row.role == "baseline") == (role == "baseline")]
        if not said:
            continue
        colour = frame.colours["base" if role == "baseline" else "said"]
        drawing.add_trace(_past_bands(said, rows.step, colour))
        drawing.add_trace(_past_ticks(said, rows.step, colour))


def _past_bands(said: list[LedgerRow], step: int, colour: str) -> go.Scatter:
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


def _past_ticks(said: list[LedgerRow], step: int, colour: str) -> go.Scatter:
    marker = {"symbol": "line-ew", "size": 6.5, "line": {"width": 2, "color": colour}}
    return go.Scatter(
        x=[to_ms(row.target_time) - step / 2 for row in said],
        y=[row.close for row in said],
        mode="markers",
        marker=marker,
        name="past_said",
        hoverinfo="skip",
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


def _future(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows, look: Look) -> None:
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


def _errors(drawing: go.Figure, frame: Frame, snapshot: Snapshot, rows: Rows) -> None:
    scored = [row for row in _rows_in_view(snapshot, rows) if row.realised_close]
    middles = [to_ms(row.target_time) - rows.step / 2 for row in scored]
    ours = [100 * (row.close / row.realised_close - 1) for row in scored if row.realised_close]
    naive = [100 * (row.last_close / row.realised_close - 1) for row in scored if row.realised_close]
    said = [frame.colours["base" if row.role == "baseline" else "said"] for row in scored]
    for values, share, colour, name in (
        (naive, 0.8, faded(frame.colours["base"], 0.38), "error_no_change"),
        (ours, 0.36, said, "error_ours"),
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


def _hover(drawing: go.Figure, snapshot: Snapshot, rows: Rows, look: Look) -> None:
    said = {to_ms(row.target_time) - rows.step: row for row in snapshot.ledger}
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
        lines.append(say["hover_origin"] + " · " + escape(row.model_version))
    return "<br>".join(lines)
