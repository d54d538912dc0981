"""A small typed client of the HTTP API, for programs that wait and for those that do not.

with Client("http://127.0.0.1:3000") as client:
    forecasts = client.latest_forecasts("binance:BTC-USDT:15m").forecasts
"""

from candlecast.client.asynchronous import AsyncClient
from candlecast.client.base import ApiError, ServiceAway, ServiceBusy, TokenNeeded
from candlecast.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client", "ServiceAway", "ServiceBusy", "TokenNeeded"]
