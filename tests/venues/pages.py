"""Pages as tests look at them."""

from collections.abc import Iterable

from candlecast.candles import Candles, Interval
from candlecast.venues import Fetched

_PRICES = ("open_time", "open", "high", "low", "close", "volume")


def joined(pages: Iterable[Fetched], interval: Interval = Interval.M15) -> Candles:
    """Return the candles of all pages; they must follow each other."""
    return Candles.concatenate([Candles.empty(interval), *(page.candles for page in pages)])


def prices(candles: Candles) -> Candles:
    """Return the candles without the optional columns."""
    return Candles.of(candles.interval, **{name: candles.columns()[name] for name in _PRICES})
