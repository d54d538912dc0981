"""The cross-check: what somebody else says that the symbols cost."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing

from candlecast.candles import Series
from candlecast.errors import CandlecastError
from candlecast.jobs import ENDS_A_RUN, Run
from candlecast.settings import Settings
from candlecast.store import prices
from candlecast.venues import open_prices

log = logging.getLogger(__name__)

_WITHOUT_PRICES = ("replay", "simulated")
"""Venues whose now is not the world's."""


def check_prices(run: Run, settings: Settings, series: Sequence[Series]) -> None:
    """Write down the last price of every symbol and whether it agrees with the newest close.

    It is no part of ingestion's success: a failure is a warning.
    """
    symbols = list(dict.fromkeys(one.symbol for one in series if one.venue not in _WITHOUT_PRICES))
    source = open_prices(settings, sleep=run.sleep) if symbols else None
    if source is None:
        return
    with closing(source):
        try:
            found = source.latest(symbols)
        except ENDS_A_RUN:
            raise
        except CandlecastError as error:
            log.warning("no last prices: %s", error.message, extra={"fields": {"code": error.code}})
            return
    with run.database.begin() as connection:
        compared = prices.record(connection, found, tolerance=settings.price_tolerance)
    for one in compared:
        if one.disagrees:
            log.warning(
                "%s says %s costs %s, far from the newest close", source.name, one.price.symbol, one.price.price
            )
