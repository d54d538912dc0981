"""Examples about what is stored, and the state of it all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from candlecast import api
from candlecast.errors import UnknownSeries, UsageError
from service.examples.example import CUTOFF, MODEL, NOW, OHLCV, OPEN_TIMES, SERIES, Example

_COUNTS = {"expected": 96, "stored": 95, "confirmed": 1, "missing": 0}

STORED: Mapping[str, Example] = {
    "read_candles": Example(
        api.CandleColumns(series=SERIES, interval="15m", open_time=OPEN_TIMES, **OHLCV, gaps=0, next_end=None),
        {"series": SERIES, "last": 2, "start": "2025-10-01T00:00:00Z", "end": "2025-10-15T00:00:00Z"},
        errors=(UnknownSeries, UsageError),
    ),
    "read_coverage": Example(
        api.Coverage(
            series=SERIES,
            start=CUTOFF.replace(hour=0),
            end=CUTOFF.replace(hour=0) + timedelta(days=1),
            **_COUNTS,
            completeness=1.0,
            days=[api.DayCoverage(day=date(2025, 10, 14), **_COUNTS)],
        ),
        {"series": SERIES, "start": "2025-10-14T00:00:00Z", "end": "2025-10-15T00:00:00Z"},
        errors=(UnknownSeries, UsageError),
    ),
    "latest_prices": Example(
        api.LatestPrices(
            prices=[
                api.LatestPrice(
                    symbol="BTC-USDT",
                    price=112771.0,
                    source="coingecko",
                    priced_at=NOW,
                    age_seconds=41.5,
                    disagrees=False,
                    disagreements=0,
                )
            ]
        ),
    ),
    "list_series": Example(
        api.SeriesList(
            series=[
                api.SeriesState(
                    series=SERIES,
                    venue="binance",
                    symbol="BTC-USDT",
                    interval="15m",
                    configured=True,
                    simulated=False,
                    candles=8640,
                    first_open_time=CUTOFF - timedelta(days=90),
                    last_close_time=CUTOFF,
                    age_seconds=180,
                    fresh=True,
                    champion=MODEL,
                )
            ],
            horizons=[1, 5],
        ),
    ),
    "read_status": Example(
        api.ServiceStatus(
            version="1.0.0",
            database="ok",
            venues=[api.VenueState(venue="binance", now=NOW, clock_speed=1, simulated=False)],
            series=15,
            fresh_series=15,
            champions=3,
            ledger_rows=86412,
            ledger_intact=True,
            ledger_checked_at=NOW,
            ledger_broken_at=None,
        ),
    ),
}
