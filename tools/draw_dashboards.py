"""`python -m tools.draw_dashboards URL`: draw the Grafana dashboards from a running Prometheus, without Grafana.

Panels, queries and places are those of monitoring/grafana/dashboards; the drawing is Plotly's, so it only shows which
numbers a dashboard has, not how Grafana shows them. Writes one HTML page per dashboard.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import plotly.graph_objects as go  # type: ignore[import-untyped]  # it carries no types

from candlecast.errors import CandlecastError, ConfigurationError

ROOT = Path(__file__).parent.parent

_POINTS = 120
_COLUMNS = 24  # of Grafana's grid
_COLOURS = (
    "#3366cc",
    "#dc3912",
    "#ff9900",
    "#109618",
    "#990099",
    "#0099c6",
    "#dd4477",
    "#66aa00",
    "#b82e2e",
    "#316395",
)
_NAMED = 4  # curves
_GAP = 0.012  # of the page, between panels
_ROW_PIXELS = 38

Curves = list[tuple[str, list[datetime], list[float]]]


def main(arguments: list[str] | None = None) -> int:
    """Draw all dashboards; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.draw_dashboards", description=__doc__)
    parser.add_argument("url", help="Prometheus, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=30, help="up to now (default 30)")
    parser.add_argument("--out", type=Path, default=Path("var/dashboards"), help="folder (default var/dashboards)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with httpx.Client(base_url=options.url, timeout=30) as prometheus:
            for file in sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json")):
                page = draw(json.loads(file.read_text(encoding="utf-8")), prometheus, 60 * options.minutes)
                page.write_html(options.out / f"{file.stem}.html", include_plotlyjs=True)
                print(options.out / f"{file.stem}.html")  # noqa: T201  # a command's answer
    except CandlecastError as error:
        print(f"draw_dashboards: {error.message}", file=sys.stderr)  # noqa: T201  # a command's answer
        return error.exit_code
    return 0


def draw(dashboard: Mapping[str, Any], prometheus: httpx.Client, seconds: float) -> go.Figure:
    """Return a dashboard's panels over the last `seconds`; raise ConfigurationError when Prometheus does not answer."""
    places = [panel["gridPos"] for panel in _panels(dashboard)]
    first = min(at["y"] for at in places)
    rows = max(at["y"] + at["h"] for at in places) - first
    page = go.Figure()
    for number, panel in enumerate(_panels(dashboard), start=1):
        x, y = _place(panel, first, rows)
        name = "" if number == 1 else str(number)
        shown = [curve for target in panel["targets"] for curve in _curves(prometheus, target, seconds)]
        for place, (legend, times, values) in enumerate(shown):
            page.add_scatter(
                x=times,
                y=values,
                name=legend,
                xaxis=f"x{name}",
                yaxis=f"y{name}",
                line={"color": _COLOURS[place % len(_COLOURS)], "width": 1.5},
            )
        axis = {"tickfont": {"size": 9}, "gridcolor": "#eee"}
        percent = {"tickformat": ".2~%"} if panel["fieldConfig"]["defaults"]["unit"] == "percentunit" else {}
        page.update_layout(
            {
                f"xaxis{name}": {"domain": x, "anchor": f"y{name}", "nticks": 4, **axis},
                f"yaxis{name}": {
                    "domain": y,
                    "anchor": f"x{name}",
                    "nticks": 5,
                    "rangemode": "tozero",
                    **axis,
                    **percent,
                },
            }
        )
        page.add_annotation(
            x=x[0], y=y[1], xref="paper", yref="paper", xanchor="left", yanchor="bottom",
            text=_title(panel["title"], [legend for legend, _, _ in shown]), showarrow=False, font={"size": 11},
        )  # fmt: skip
    page.update_layout(
        title=f"{dashboard['title']} (drawn without Grafana, from the same queries)",
        template="plotly_white",
        width=1500,
        height=_ROW_PIXELS * rows,
        showlegend=False,
        margin={"l": 40, "r": 20, "t": 70, "b": 30},
    )
    return page


def _panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (panel for panel in dashboard["panels"] if "targets" in panel)


def _place(panel: Mapping[str, Any], first: int, rows: int) -> tuple[list[float], list[float]]:
    """Return where a panel lies on the page, from its lower left corner, with room for its title and its numbers.

    `first` is the row of Grafana's grid that the page begins with.
    """
    at = panel["gridPos"]
    x = [at["x"] / _COLUMNS + _GAP, (at["x"] + at["w"]) / _COLUMNS - _GAP]
    top = at["y"] - first
    y = [1 - (top + at["h"]) / rows + _GAP, 1 - top / rows - _GAP]
    return x, y


def _title(title: str, legends: Sequence[str]) -> str:
    """Return a panel's title with the names of its first curves in their colours."""
    names = zip(_COLOURS, legends[:_NAMED], strict=False)
    named = " ".join(f'<span style="color:{colour};font-size:9px">{name}</span>' for colour, name in names)
    return f"<b>{title}</b> {named}{' …' if len(legends) > _NAMED else ''}"


def _curves(prometheus: httpx.Client, target: Mapping[str, Any], seconds: float) -> Curves:
    now = time.time()
    asked: dict[str, str | float] = {
        "query": re.sub(r"\$__rate_interval", "1m", re.sub(r"\$(namespace|release)", ".*", target["expr"])),
        "start": now - seconds,
        "end": now,
        "step": seconds / _POINTS,
    }
    try:
        answer = prometheus.get("/api/v1/query_range", params=asked).raise_for_status().json()
    except httpx.HTTPError as error:
        raise ConfigurationError(f"Prometheus at {prometheus.base_url} does not answer: {error}") from error
    return [
        (
            _legend(target["legendFormat"], found["metric"]),
            [datetime.fromtimestamp(at, UTC) for at, _ in found["values"]],
            [float(value) for _, value in found["values"]],
        )
        for found in answer["data"]["result"]
    ]


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), template)


if __name__ == "__main__":
    sys.exit(main())
