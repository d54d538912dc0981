"""What the features measure, in words. Their names carry their parameters."""

from __future__ import annotations

import re
from collections.abc import Callable

_WORDS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"market_(.+)", lambda m: f"the other symbols: {describe(m[1])}"),
    (r"newest_(\w+?)_(.+)", lambda m: f"the newest {m[1]} candle inside: {describe(m[2])}"),
    (r"part_(\w+)_(\d+)", lambda m: f"{_measure(m[1])} of {_place(m[2], 'part inside the candle')}"),
    (r"return_(\d+)", lambda m: f"the return of {_place(m[1], 'candle')}"),
    (r"momentum_(\d+)", lambda m: f"the move over the last {m[1]} candles"),
    (
        r"(close_location|range|body|upper_wick|lower_wick)_(\d+)",
        lambda m: f"{_measure(m[1])} of {_place(m[2], 'candle')}",
    ),
    (r"volatility_now", lambda m: "how far the newest candle moved, against what is usual"),
    (r"volatility_yesterday", lambda m: "volatility at this time of the day before"),
    (r"volatility_(?:flat_)?(\d+)", lambda m: f"volatility of the last {m[1]} candles, against what is usual"),
    (r"squared_returns_(\d+)", lambda m: f"size of the last {m[1]} returns, against what is usual"),
    (r"volume_(\d+)_(\d+)", lambda m: f"volume of the last {m[1]} candles against that of the last {m[2]}"),
    (r"(.+)_at_(\d+)", lambda m: f"the {_plain(m[1])}, where the next candle begins at minute {m[2]}"),
    (r"(.+)_at_hour", lambda m: f"the {_plain(m[1])}, where the next candle begins an hour"),
    (r"(.+)_off_hour", lambda m: f"the {_plain(m[1])}, where the next candle begins no hour"),
    (r"(.+)_at_quarter", lambda m: f"the {_plain(m[1])}, where the next candle begins a quarter of an hour"),
    (r"slot", lambda m: "where in the hour the next candle begins"),
    (r"hour", lambda m: "the hour of the day"),
    (r"weekday", lambda m: "the day of the week"),
    (r"symbol", lambda m: "which symbol it is"),
)
_MEASURES = {
    "close_location": "where between low and high the close lies",
    "range": "high minus low",
    "body": "close minus open",
    "upper_wick": "how far the high lies above the body",
    "lower_wick": "how far the low lies below the body",
    "volume_share": "the share of the volume",
}


def describe(feature: str) -> str:
    """Return what a feature measures, in words."""
    for pattern, words in _WORDS:
        if match := re.fullmatch(pattern, feature):
            return words(match)
    return _plain(feature)


def _measure(name: str) -> str:
    return _MEASURES.get(name, _plain(name))


def _place(back: str, what: str) -> str:
    return f"the newest {what}" if back == "0" else f"the {what} {back} before the newest"


def _plain(name: str) -> str:
    return name.replace("_", " ")
