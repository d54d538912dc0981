"""Last prices from CoinGecko: samples of a price, not candles, and good only for a comparison."""

import logging
import math
from collections.abc import Sequence
from typing import Any, Self

from candlecast.candles import Price, Symbol, from_ms
from candlecast.errors import VenueUnavailable
from candlecast.settings import Settings
from candlecast.venues.base import Sleep
from candlecast.venues.http import Answer, HttpClient

_log = logging.getLogger(__name__)

_IDS = {
    "AAVE": "aave",
    "ADA": "cardano",
    "ARB": "arbitrum",
    "ATOM": "cosmos",
    "AVAX": "avalanche-2",
    "BCH": "bitcoin-cash",
    "BNB": "binancecoin",
    "BTC": "bitcoin",
    "DOGE": "dogecoin",
    "DOT": "polkadot",
    "ETC": "ethereum-classic",
    "ETH": "ethereum",
    "FIL": "filecoin",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "NEAR": "near",
    "OP": "optimism",
    "SOL": "solana",
    "SUI": "sui",
    "TON": "the-open-network",
    "TRX": "tron",
    "UNI": "uniswap",
    "XLM": "stellar",
    "XRP": "ripple",
}
_CURRENCIES = ("BNB", "BRL", "BTC", "ETH", "EUR", "GBP", "JPY", "TRY", "USD")
_DOLLAR_TOKENS = ("BUSD", "DAI", "FDUSD", "TUSD", "USDC", "USDT")


class CoinGecko:
    """What well-known coins last cost."""

    name = "coingecko"

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @classmethod
    def from_settings(cls, settings: Settings, *, sleep: Sleep) -> Self:
        """Return the source for the host and the key that the settings hold."""
        key = settings.coingecko_api_key
        headers = {"x-cg-demo-api-key": key.get_secret_value()} if key else {}
        url, pause = settings.coingecko_url, settings.coingecko_pause
        return cls(HttpClient.from_settings(url, settings, pause=pause, headers=headers, sleep=sleep))

    def latest(self, symbols: Sequence[Symbol]) -> list[Price]:
        """Return a price for each symbol that CoinGecko knows, in dollars for one in a token worth a dollar.

        A symbol that it does not know, or gives no price with a time for, is left out and counted in the log.
        """
        wanted = dict.fromkeys(_priced(symbol) for symbol in symbols)
        known = [symbol for symbol in wanted if symbol.base in _IDS and symbol.quote in _CURRENCIES]
        if not known:
            return []
        prices = self._ask(known)
        if len(prices) < len(wanted):
            _log.info("coingecko gives no price for %d of %d symbols", len(wanted) - len(prices), len(wanted))
        return prices

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, symbols: Sequence[Symbol]) -> list[Price]:
        params: dict[str, str | int] = {
            "ids": ",".join(sorted({_IDS[symbol.base] for symbol in symbols})),
            "vs_currencies": ",".join(sorted({symbol.quote.lower() for symbol in symbols})),
            "include_last_updated_at": "true",
        }
        return self._http.get("/simple/price", lambda answer: _prices(answer, symbols), params)


def _prices(answer: Answer, symbols: Sequence[Symbol]) -> list[Price]:
    coins = answer.json()
    if not isinstance(coins, dict):
        raise VenueUnavailable(f"{answer.host} answers without prices: {answer.text[:100]}")
    return [price for symbol in symbols if (price := _price(symbol, coins.get(_IDS[symbol.base])))]


def _price(symbol: Symbol, coin: Any) -> Price | None:
    try:
        price = Price(
            symbol, float(coin[symbol.quote.lower()]), CoinGecko.name, from_ms(1000 * coin["last_updated_at"])
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return price if math.isfinite(price.price) and price.price > 0 else None


def _priced(symbol: Symbol) -> Symbol:
    return Symbol(symbol.base, "USD") if symbol.quote in _DOLLAR_TOKENS else symbol
