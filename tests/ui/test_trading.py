"""What trading on the ledger's rows would have left: worked out by hand, after costs, and said plainly."""

from __future__ import annotations

import pytest

from candlecast.api import LedgerRow
from candlecast.backtest import Costs
from candlecast.candles import Interval
from tests.ui.making import snapshot
from tests.ui.test_scoring import a_record, row
from ui.trading import break_even_text, traded, trading_panel

CHEAP = Costs(fee=0.01, spread=0, slippage=0)


def chain(*moves: tuple[float, float]) -> list[LedgerRow]:
    """Return rows of (chance of a rise, factor that came), each from the close before it."""
    rows, price = [], 100.0
    for at, (chance, factor) in enumerate(moves):
        came = price * factor
        rows.append(row(at, price, came, chance).model_copy(update={"last_close": price}))
        price = came
    return rows


def test_held_while_a_rise_is_likelier_and_paid_for_on_both_sides() -> None:
    known = traded(chain((0.6, 1.10), (0.6, 1.00), (0.4, 0.50)), Interval.M15, CHEAP)
    assert known is not None
    assert known.without_costs[-1] == pytest.approx(0.10)
    assert known.after_costs[-1] == pytest.approx((1.10 - 0.01) * 1.00 * (1 - 0.01) - 1)
    assert known.held[-1] == pytest.approx(1.10 * 0.50 - 1)
    assert known.break_even_fee == pytest.approx(0.05)
    assert break_even_text(known, "pt") == "500,0\N{NARROW NO-BREAK SPACE}bp"


def test_rule_that_never_buys_has_no_break_even_fee() -> None:
    known = traded(chain((0.4, 1.1), (0.3, 1.1)), Interval.M15)
    assert known is not None
    assert known.break_even_fee is None
    assert break_even_text(known, "en") is None
    assert "never bought" in trading_panel(known, snapshot(), "en")


def test_loss_before_any_fee_is_said() -> None:
    said = trading_panel(traded(chain((0.6, 0.9), (0.6, 0.9)), Interval.M15), snapshot(), "en")
    assert "would have lost even without a fee" in said
    assert said.count("<polyline") == 3


def test_rows_that_cannot_be_traded_leave_a_sentence() -> None:
    assert traded([row(0, 101, None), row(1, 101, 102, None)], Interval.M15) is None
    far = [one.model_copy(update={"horizon": 5}) for one in a_record(20)]
    assert traded(far, Interval.M15) is None
    assert "Choose horizon 1" in trading_panel(None, snapshot(horizon=5), "en")
    assert "Nothing to trade on yet" in trading_panel(None, snapshot(), "en")


def test_long_record_is_thinned_and_ends_where_it_ends() -> None:
    rows = a_record(2000)
    known = traded(rows, Interval.M15)
    assert known is not None
    assert len(known.times) == len(known.after_costs) == 240
    assert known.times[-1] == rows[-1].target_time
