"""Where things are on the chart: panels, axes, tick texts, and labels that do not run into each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, timedelta, tzinfo
from typing import Any, Final

from candlecast.candles import from_ms
from ui.format import Language, axis_date, number
from ui.theme import FONTS, Mode, tokens

_MINUTE = 60_000
_STEPS: Final = tuple(
    _MINUTE * minutes
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 5760, 10080, 20160, 40320)
)
_DAY = 1440 * _MINUTE
_LINE = 15  # px that one label needs
_WIDE = {"height": 500, "ribbon": (0.955, 1.0), "price": (0.345, 0.943), "error": (0.165, 0.29), "volume": (0.0, 0.1)}
_PHONE = {"height": 392, "ribbon": (0.945, 1.0), "price": (0.33, 0.925), "error": (0.0, 0.2), "volume": (0.0, 0.0)}
_BOTTOM = 40
_GREY = "#7D7A86"
_BANNER = 50  # px that a banner takes from the first screenful

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """A word at the right end of the fan."""

    text: str
    at: float
    colour: str


@dataclass(slots=True)
class Frame:
    """The coordinates of one drawing."""

    left: float
    right: float
    low: float
    high: float
    ticks: list[tuple[int, str]]
    mode: Mode
    language: Language
    narrow: bool
    series: str
    height: int
    ribbon: Span
    price: Span
    error: Span
    volume: Span
    error_limit: float = 0.01
    volume_limit: float = 1.0

    @classmethod
    def around(
        cls,
        *,
        values: list[float],
        left: float,
        right: float,
        ticks: list[tuple[int, str]],
        mode: Mode,
        language: Language,
        narrow: bool,
        series: str,
        banner: bool = False,
    ) -> Frame:
        """Return the frame that holds all `values` with a little air."""
        low, high = min(values), max(values)
        air = 0.04 * (high - low) or 0.001 * high
        measures: dict[str, Any] = dict(_PHONE if narrow else _WIDE)
        if banner and not narrow:
            measures["height"] -= _BANNER
        return cls(left, right, low - air, high + air, ticks, mode, language, narrow, series, **measures)

    @staticmethod
    def blank(narrow: bool, text: str) -> dict[str, Any]:
        """Return the layout of a chart without candles: a still frame of the same height and a word."""
        hidden = {"visible": False}
        word = {"text": text, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False}
        # Shown before the colour mode is known: a grey that can be read on both surfaces.
        font = {"family": ", ".join(FONTS), "size": 14, "color": _GREY}
        return {
            "height": (_PHONE if narrow else _WIDE)["height"],
            "xaxis": hidden,
            "yaxis": hidden,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
            "annotations": [word | {"font": font}],
        }

    @property
    def colours(self) -> dict[str, str]:
        """The colours of the mode."""
        return tokens(self.mode)

    @property
    def pixel(self) -> float:
        """How much price one pixel is."""
        return (self.high - self.low) / ((self.price[1] - self.price[0]) * (self.height - _BOTTOM))

    def paper(self, x: float, y: float) -> dict[str, Any]:
        """Return a place as shares of the whole drawing."""
        return {"xref": "paper", "yref": "paper", "x": x, "y": y}

    def title(self, text: str, top: float) -> dict[str, Any]:
        """Return the annotation that names a lower panel, above its left end."""
        place = self.paper(0, top)
        font = {"color": self.colours["ink2"]}
        return {"text": text, "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": font, **place}

    def label(self, label: Label, x: float, yanchor: str) -> dict[str, Any]:
        """Return the annotation of a word right of `x`."""
        font = {"color": label.colour}
        return {
            "text": label.text, "x": x, "y": label.at, "xanchor": "left", "xshift": 7, "yanchor": yanchor,
            "showarrow": False, "font": font,
        }  # fmt: skip


def spread(labels: list[Label], frame: Frame) -> list[Label]:
    """Push labels apart that are closer than one line, evenly around where they would stand; keep their order."""
    room = _LINE * frame.pixel
    groups: list[list[Label]] = []
    for label in sorted(labels, key=lambda one: one.at):
        groups.append([label])
        while len(groups) > 1 and _bottom(groups[-1], room) < _top(groups[-2], room) + room:
            last = groups.pop()
            groups[-1] += last
    return [
        replace(label, at=_bottom(group, room) + place * room) for group in groups for place, label in enumerate(group)
    ]


def _bottom(group: list[Label], room: float) -> float:
    return sum(label.at for label in group) / len(group) - (len(group) - 1) / 2 * room


def _top(group: list[Label], room: float) -> float:
    return _bottom(group, room) + (len(group) - 1) * room


def time_ticks(start: int, end: int, language: Language, most: int, zone: tzinfo = UTC) -> list[tuple[int, str]]:
    """Return times for the axis with their texts; the date stands under the first one and under midnight."""
    ahead = round(1000 * (from_ms(start).astimezone(zone).utcoffset() or timedelta(0)).total_seconds())
    step = next((step for step in _STEPS if (end - start) / step <= most), _STEPS[-1])
    ticks: list[tuple[int, str]] = []
    for at in range(-(-(start + ahead) // step) * step - ahead, end + 1, step):
        moment = from_ms(at).astimezone(zone)
        date = axis_date(moment, language)
        if step >= _DAY:
            ticks.append((at, date))
        else:
            dated = not ticks or (at + ahead) % _DAY == 0
            ticks.append((at, f"{moment:%H:%M}" + (f"<br>{date}" if dated else "")))
    return ticks


def axes(frame: Frame) -> dict[str, Any]:
    """Return the layout: one time axis below, prices on the right, no mode bar, zoom that survives a refresh."""
    colours = frame.colours
    layout: dict[str, Any] = {
        "height": frame.height,
        "xaxis": _time_axis(frame),
        "yaxis": _axis(frame, frame.price, [frame.low, frame.high]) | {"nticks": 7, "tickformat": _decimals(frame)},
        "yaxis2": _error_axis(frame),
        "uirevision": frame.series,
        "showlegend": False,
        "barmode": "overlay",
        "hovermode": "x",
        "dragmode": False if frame.narrow else "zoom",
        "separators": ",." if frame.language == "pt" else ".,",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 0, "r": 58, "t": 0, "b": _BOTTOM, "pad": 0},
        "font": {"family": ", ".join(FONTS), "size": 12, "color": colours["ink2"]},
        "hoverlabel": {
            "bgcolor": colours["surface"],
            "bordercolor": colours["edge"],
            "font": {"color": colours["ink"], "size": 12},
            "align": "left",
        },
    }
    if not frame.narrow:
        layout["yaxis3"] = _axis(frame, frame.volume, [0, frame.volume_limit * 1.05]) | {
            "nticks": 3,
            "tickformat": ",",
        }
    return layout


def _decimals(frame: Frame) -> str:
    width = frame.high - frame.low
    for decimals in range(9):
        if width / 6 >= 10**-decimals:
            return f",.{decimals}f"
    return ",.8f"


def _time_axis(frame: Frame) -> dict[str, Any]:
    return {
        "type": "date",
        "range": [frame.left, frame.right],
        "tickmode": "array",
        "tickvals": [at for at, _ in frame.ticks],
        "ticktext": [text for _, text in frame.ticks],
        "rangeslider": {"visible": False},
        "showgrid": True,
        "gridcolor": frame.colours["line"],
        "gridwidth": 1,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "anchor": "y2" if frame.narrow else "y3",
        "showspikes": False,
    }


def _axis(frame: Frame, domain: Span, span: list[float]) -> dict[str, Any]:
    return {
        "domain": list(domain),
        "range": span,
        "side": "right",
        "showgrid": True,
        "gridcolor": frame.colours["line"],
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "ticklabelposition": "outside",
    }


def _error_axis(frame: Frame) -> dict[str, Any]:
    limit = frame.error_limit
    half = float(f"{limit / 1.6:.1g}")
    places = max(0, -math.floor(math.log10(half)))
    texts = [number(value, places, frame.language, signed=True) for value in (-half, 0, half)]
    ticks = {"tickmode": "array", "tickvals": [-half, 0, half], "ticktext": texts}
    zero = {"zeroline": True, "zerolinecolor": frame.colours["edge"], "zerolinewidth": 1}
    return _axis(frame, frame.error, [-limit, limit]) | ticks | zero
