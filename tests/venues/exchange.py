"""One server per exchange, each speaking that exchange's protocol; `tests.venues.hostile` says how to make them lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from candlecast.candles import Candles, Interval, Series, Symbol, to_ms
from candlecast.clock import VenueClock
from tests.venues.hostile import Exchange, Fault, Reply, Request, Rows, SoFar, chosen_rows, json_reply, symbols

INVALID_SYMBOL = '{"code":-1121,"msg":"Invalid symbol."}'
INVALID_INTERVAL = '{"code":-1120,"msg":"Invalid interval."}'
TOO_MUCH_WEIGHT = (
    '{"code":-1003,"msg":"Too much request weight used; current limit is 1200 request weight per 1 MINUTE. '
    'Please use the websocket for live updates to avoid polling the API."}'
)
IP_BANNED = (
    '{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659761931230. '
    'Please use the websocket for live updates to avoid bans."}'
)
RESTRICTED_LOCATION = (
    '{"code": 0, "msg": "Service unavailable from a restricted location according to \'b. Eligibility\' in '
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message "
    'in error."}'
)
FORBIDDEN_PAGE = "<!DOCTYPE HTML><HTML><HEAD><TITLE>ERROR</TITLE></HEAD><BODY><H1>403 ERROR</H1></BODY></HTML>"

_INTERVALS = ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
_WEIGHTS = {"/api/v3/klines": 2, "/api/v3/time": 1, "/api/v3/exchangeInfo": 20}
_COINBASE_LIMIT = 300
KRAKEN_ROWS = 720
_NEVER = 2**62


class BinanceServer(Exchange):
    """Binance's spot REST API. `used_weight` and `weight_limit` may be set while it runs.

    with BinanceServer({Series.parse("binance:BTC-USDT:15m"): candles}, clock) as server:
        settings = load_settings(binance_url=server.url, venue_backoff=0)
    """

    per_second = 1000
    places: ClassVar[Mapping[str, int]] = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}

    def __init__(self, truth: Mapping[Series, Candles], clock: VenueClock | Callable[[], datetime]) -> None:
        super().__init__(truth, clock)
        self.used_weight = 0
        self.weight_limit = 6000
        self._weight_minute: int | None = None

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        status, content = self._content(request, fault)
        headers = {"x-mbx-used-weight-1m": str(self._weigh(request.path))}
        if isinstance(content, str):
            return Reply(status, content.encode(), headers)
        return json_reply(content, status, headers)

    def _weigh(self, path: str) -> int:
        minute = to_ms(self.now()) // 60_000
        if self._weight_minute not in (None, minute):
            self.used_weight = 0
        self._weight_minute = minute
        self.used_weight += _WEIGHTS.get(path, 1)
        return self.used_weight

    def _content(self, request: Request, fault: Fault | None) -> tuple[int, Any]:
        if request.path == "/api/v3/time":
            return 200, {"serverTime": to_ms(self.now()) * (1000 if fault is Fault.MICROSECONDS else 1)}
        if request.path not in _WEIGHTS:
            return 404, "<html><body><h2>404 Not found</h2></body></html>"
        wrong = self._wrong(request.path, request.params)
        if wrong is not None:
            return 400, wrong
        if request.path == "/api/v3/exchangeInfo":
            return 200, self._information(request.params["symbol"])
        return 200, self._klines(request.params, fault)

    def _wrong(self, path: str, params: dict[str, str]) -> Any:
        for name in ("symbol", "interval") if path == "/api/v3/klines" else ("symbol",):
            if not params.get(name):
                return _binance_error(
                    -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
                )
        for name in ("startTime", "endTime", "limit"):
            if not re.fullmatch(r"[0-9]{1,20}", params.get(name, "0")):
                return _binance_error(
                    -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
                )
        if params.get("interval", "1m") not in _INTERVALS:
            return INVALID_INTERVAL
        return None if params["symbol"] in map(_binance_spelling, symbols(self.truth)) else INVALID_SYMBOL

    def _information(self, symbol: str) -> dict[str, Any]:
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_limit}
        orders = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50}
        return {"rateLimits": [orders, limit], "symbols": [{"symbol": symbol, "status": "TRADING"}]}

    def _klines(self, params: dict[str, str], fault: Fault | None) -> Rows:
        symbol = next(one for one in symbols(self.truth) if _binance_spelling(one) == params["symbol"])
        if params["interval"] not in set(Interval):
            return []
        asked = symbol, Interval(params["interval"])
        limit = min(int(params.get("limit", 500)), 1000)
        part = slice(limit) if "startTime" in params else slice(-limit, None)
        now = to_ms(self.now())

        def chosen(shift: int) -> Rows:
            first = int(params["startTime"]) + shift if "startTime" in params else 0
            found = chosen_rows(self.truth.get(asked), first, int(params.get("endTime", _NEVER)), now, part)
            return [_kline(candle, asked[1]) for candle in found]

        return self.rows(asked, chosen, fault)


def kline(candles: Candles, row: int, now: int) -> list[Any]:
    """Return one row of Binance's answer; of a candle still open at `now` (epoch ms) only what happened so far."""
    return _kline(SoFar.of(candles, row, now), candles.interval)


def _kline(candle: SoFar, interval: Interval) -> list[Any]:
    return [
        candle.opened,
        *map(repr, (candle.open, candle.high, candle.low, candle.close, candle.volume)),
        candle.opened + interval.milliseconds - 1,
        repr(candle.quote_volume),
        candle.trades,
        repr(candle.taker_buy_volume),
        repr(candle.taker_buy_volume * candle.open),
        "0",
    ]


def _binance_spelling(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}"


def _binance_error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "msg": message}


class CoinbaseServer(Exchange):
    """Coinbase Exchange's REST API.

    An answer begins with `early` candles from before the start; `end_counts` says whether one at its end is part of it.
    """

    places: ClassVar[Mapping[str, int]] = {"low": 1, "high": 2, "open": 3, "close": 4, "volume": 5}
    early = 1
    end_counts = True

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        if request.path == "/time":
            now = self.now()
            return json_reply({"iso": now.isoformat(), "epoch": now.timestamp()})
        match = re.fullmatch(r"/products/([A-Z0-9]+)-([A-Z0-9]+)(/candles)?", request.path)
        if not match or Symbol(match[1], match[2]) not in symbols(self.truth):
            return json_reply({"message": "NotFound"}, 404)
        symbol = Symbol(match[1], match[2])
        if not match[3]:
            return json_reply({"id": str(symbol), "status": "online", "trading_disabled": False})
        return self._candles(symbol, request.params, fault)

    def _candles(self, symbol: Symbol, params: dict[str, str], fault: Fault | None) -> Reply:
        interval = next((one for one in Interval if str(one.seconds) == params.get("granularity")), None)
        if interval in (None, Interval.H4):
            return json_reply({"message": "Unsupported granularity"}, 400)
        start, end = (to_ms(datetime.fromisoformat(params[name])) for name in ("start", "end"))
        if (end - start) / interval.milliseconds > _COINBASE_LIMIT:
            message = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            return json_reply({"message": message}, 400)
        asked, now, last = (symbol, interval), to_ms(self.now()), end if self.end_counts else end - 1

        def chosen(shift: int) -> Rows:
            first = start + shift - self.early * interval.milliseconds
            found = chosen_rows(self.truth.get(asked), first, last, now)[-_COINBASE_LIMIT:]
            return [[c.opened // 1000, c.low, c.high, c.open, c.close, c.volume] for c in reversed(found)]

        return json_reply(self.rows(asked, chosen, fault))


class KrakenServer(Exchange):
    """Kraken's REST API."""

    places: ClassVar[Mapping[str, int]] = {"open": 1, "high": 2, "low": 3, "close": 4, "volume": 6}

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        if request.path == "/0/public/Time":
            return _kraken_result({"unixtime": int(self.now().timestamp())})
        pair = request.params.get("pair", "")
        symbol = next((one for one in symbols(self.truth) if _kraken_spelling(one) == pair), None)
        if symbol is None:
            return kraken_error("EQuery:Unknown asset pair")
        if request.path == "/0/public/AssetPairs":
            return _kraken_result({_kraken_key(symbol): {"altname": pair, "status": "online"}})
        interval = next((one for one in Interval if str(one.seconds // 60) == request.params.get("interval")), None)
        if interval is None:
            return kraken_error("EGeneral:Invalid arguments")
        rows = self._ohlc(symbol, interval, int(request.params.get("since", "0")), fault)
        return _kraken_result({_kraken_key(symbol): rows, "last": rows[-1][0] if rows else 0})

    def _ohlc(self, symbol: Symbol, interval: Interval, since: int, fault: Fault | None) -> Rows:
        asked, now = (symbol, interval), to_ms(self.now())

        def chosen(shift: int) -> Rows:
            # What contains `since` is part of the answer.
            first = since * 1000 + shift - interval.milliseconds + 1
            found = chosen_rows(self.truth.get(asked), first, _NEVER, now, slice(-KRAKEN_ROWS, None))
            return [_ohlc(candle) for candle in found]

        return self.rows(asked, chosen, fault)


class CoinGeckoServer(Exchange):
    """CoinGecko's last prices, by the coin's id and the currency."""

    places: ClassVar[Mapping[str, int]] = {}

    def __init__(self, prices: Mapping[str, Mapping[str, float]], clock: Callable[[], datetime]) -> None:
        super().__init__({}, clock)
        self.prices = prices

    def answer(self, request: Request, fault: Fault | None) -> Reply:
        if request.path != "/simple/price":
            return json_reply({"error": "Incorrect path"}, 404)
        for name in ("ids", "vs_currencies"):
            if name not in request.params:
                return json_reply({"error": f"Missing parameter {name}"}, 422)
        if fault is Fault.EMPTY:
            return json_reply({})
        currencies = request.params["vs_currencies"].split(",")
        times = request.params.get("include_last_updated_at") == "true"
        return json_reply(
            {
                coin: {currency: price for currency, price in self.prices[coin].items() if currency in currencies}
                | ({"last_updated_at": int(self.now().timestamp())} if times else {})
                for coin in request.params["ids"].split(",")
                if coin in self.prices
            }
        )


def kraken_error(*errors: str) -> Reply:
    """Return a failure as Kraken writes it: status 200, and no result."""
    return json_reply({"error": list(errors)})


def _kraken_result(result: dict[str, Any]) -> Reply:
    return json_reply({"error": [], "result": result})


def _kraken_spelling(symbol: Symbol) -> str:
    return str(symbol).replace("-", "").replace("BTC", "XBT").replace("DOGE", "XDG")


def _kraken_key(symbol: Symbol) -> str:
    spelt = _kraken_spelling(symbol)
    return f"X{spelt[:-3]}Z{symbol.quote}" if symbol.quote in ("EUR", "USD") else spelt


def _ohlc(candle: SoFar) -> list[Any]:
    prices = map(str, (candle.open, candle.high, candle.low, candle.close))
    return [candle.opened // 1000, *prices, str(candle.close), str(candle.volume), candle.trades]
