"""The yardstick of the screen: a bare Gradio page with one candlestick, on the port that is given."""

from __future__ import annotations

import sys

import gradio as gr
import plotly.graph_objects as go  # type: ignore[import-untyped]  # plotly 5 ships no types
import uvicorn
from fastapi import FastAPI

COUNT = 60


def page() -> gr.Blocks:
    """Return a page with one chart and nothing else."""
    closes = [100 + at % 7 for at in range(COUNT)]
    opens = [100.0, *closes[:-1]]
    chart = go.Candlestick(
        x=list(range(COUNT)),
        open=opens,
        close=closes,
        high=[max(pair) + 1 for pair in zip(opens, closes, strict=True)],
        low=[min(pair) - 1 for pair in zip(opens, closes, strict=True)],
    )
    blocks = gr.Blocks(analytics_enabled=False)
    with blocks:
        gr.Plot(go.Figure(chart), elem_id="chart")
    return blocks


if __name__ == "__main__":
    # Not `launch`, which gives up where the machine is too busy to answer it at once.
    app = gr.mount_gradio_app(FastAPI(), page(), path="/")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)
