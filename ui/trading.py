"""What trading on the live forecasts would have left after costs: the library's backtest on the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np

from candlecast.api import LedgerRow
from candlecast.backtest import Costs, ThresholdRule, backtest
from candlecast.candles import Interval, to_datetime64, to_ms
from candlecast.evaluation import Judged
from ui.format import THIN, Language, axis_date, number, percent
from ui.markup import panel, quiet
from ui.plots import Plot, drawing, round_ticks
from ui.snapshot import Snapshot
from ui.words import words

_POINTS = 240
_FEWEST = 2
_BASIS_POINTS = 10_000
_FREE = Costs(fee=0, spread=0, slippage=0)


@dataclass(frozen=True, slots=True)
class Traded:
    """Buying at each close where a rise is likelier, and selling where it is not. Shares of what was there at first."""

    times: tuple[datetime, ...]
    """Target times, thinned."""
    after_costs: tuple[float, ...]
    without_costs: tuple[float, ...]
    held: tuple[float, ...]
    """What buying once and holding left."""
    fee: float
    break_even_fee: float | None
    """Fee per side at which nothing is won or lost; None where nothing was bought."""


def traded(rows: Sequence[LedgerRow], interval: Interval, costs: Costs | None = None) -> Traded | None:
    """Trade forecasts of the next candle; None without any whose close is known, and for those further ahead."""
    costs = costs or Costs()
    known = [row for row in rows if row.realised_close is not None and row.p_up is not None]
    if not known or known[0].horizon != 1:
        return None
    judged, rule = _judged(known), ThresholdRule(0.0)
    paid, free = (backtest(judged, interval, rule, one) for one in (costs, _FREE))
    held = judged.realised / judged.last_close[0] - 1
    kept = np.unique(np.linspace(0, len(known) - 1, min(_POINTS, len(known))).round().astype(int))
    return Traded(
        tuple(known[at].target_time for at in kept),
        tuple(float(paid.equity[at]) - 1 for at in kept),
        tuple(float(free.equity[at]) - 1 for at in kept),
        tuple(float(held[at]) for at in kept),
        costs.fee,
        paid.break_even_fee,
    )


def _judged(rows: Sequence[LedgerRow]) -> Judged:
    table = np.array([(r.last_close, r.close, r.p_up, r.realised_close) for r in rows], dtype=np.float64)
    cutoffs = np.array([to_datetime64(row.cutoff) for row in rows])
    last, close, chance, came = table.T
    return Judged(rows[0].horizon, cutoffs, last, close, np.empty((len(rows), 0)), chance, came)


def trading_panel(known: Traded | None, snapshot: Snapshot | None, language: Language) -> str:
    """Return the panel of what trading would have left, with the fee at which it would have been worth nothing."""
    say = words(language)
    if known is None or snapshot is None or len(known.times) < _FEWEST:
        further = snapshot is not None and snapshot.horizon > 1
        return panel(say["record_trading"], quiet(say["record_trading_ahead" if further else "record_no_trading"]))
    return panel(
        say["record_trading"],
        f"<p>{escape(_sentence(known, language))}</p>{_legend(language)}{_drawn(known, snapshot, language)}"
        + quiet(say["record_trading_line"].format(fee=_share(known.fee, language))),
        name="trading",
    )


def break_even_text(known: Traded | None, language: Language) -> str | None:
    """Return the fee per side at which nothing is won or lost, in basis points; None where nothing was bought."""
    if known is None or known.break_even_fee is None:
        return None
    return f"{number(_BASIS_POINTS * known.break_even_fee, 1, language)}{THIN}bp"


def _sentence(known: Traded, language: Language) -> str:
    say = words(language)
    left = {"left": percent(known.after_costs[-1], language), "held": percent(known.held[-1], language)}
    fee = break_even_text(known, language)
    if known.break_even_fee is None or fee is None:
        return say["record_never_bought"].format(**left)
    name = "record_lost_free" if known.break_even_fee < 0 else "record_traded"
    return say[name].format(fee=fee, **left)


def _share(value: float, language: Language) -> str:
    return f"{number(100 * value, 2, language)}{THIN}%"


_LINES = (
    ("after_costs", 'stroke="var(--cc-said)" stroke-width="2"'),
    ("without_costs", 'stroke="var(--cc-said)" stroke-width="1.5" stroke-dasharray="2 3"'),
    ("held", 'stroke="var(--cc-base)" stroke-width="1.5" stroke-dasharray="5 4"'),
)


def _legend(language: Language) -> str:
    say = words(language)
    items = "".join(
        f'<li><svg width="22" height="10" aria-hidden="true"><line x1="0" x2="22" y1="5" y2="5" {style}/></svg>'
        f"{escape(say[f'record_{name}'])}</li>"
        for name, style in _LINES
    )
    return f'<ul class="legend key">{items}</ul>'


def _drawn(known: Traded, snapshot: Snapshot, language: Language) -> str:
    say = words(language)
    values = [value for name, _ in _LINES for value in getattr(known, name)]
    air = 0.05 * (max(values) - min(values)) or 0.01
    times = [float(to_ms(moment)) for moment in known.times]
    plot = Plot(times[0], times[-1], min(0.0, *values) - air, max(0.0, *values) + air)
    ticks = round_ticks(plot.low, plot.high)
    parts = [plot.across(tick, f"{number(100 * tick, 0, language, signed=True)}") for tick in ticks]
    parts.append(plot.line((times[0], 0), (times[-1], 0), 'stroke="var(--cc-ink)"'))
    parts += [
        plot.curve(list(zip(times, getattr(known, name), strict=True)), style) for name, style in reversed(_LINES)
    ]
    parts += [plot.down(times[at], axis_date(known.times[at].astimezone(snapshot.zone), language)) for at in (0, -1)]
    parts.append(plot.titles("", say["record_equity_axis"]))
    return drawing(_sentence(known, language), parts)
