"""Where candles come from: one adapter per venue behind the `Venue` protocol."""

import time

from candlecast.candles import VENUES
from candlecast.clock import VenueClock
from candlecast.errors import ConfigurationError
from candlecast.settings import Settings
from candlecast.venues.base import Archive, Fetched, PriceSource, Remembered, Sleep, Source, Venue

__all__ = [
    "Archive",
    "Fetched",
    "PriceSource",
    "Remembered",
    "Sleep",
    "Source",
    "Venue",
    "open_archive",
    "open_prices",
    "open_venue",
]


def open_venue(name: str, settings: Settings, clock: VenueClock, *, sleep: Sleep = time.sleep) -> Venue:
    """Return the adapter of the venue `name`; the caller closes it.

    `clock` is the venue's clock; for a live venue it is the wall clock, which the adapter then
    corrects by the exchange's own. `sleep` is how it waits between requests. Raise ConfigurationError
    for a venue that cannot be opened.
    """
    # Imported here so that a process pays only for its venue: the replay needs no HTTP client.
    if name == "binance":
        from candlecast.venues.binance import BinanceVenue

        return BinanceVenue.from_settings(settings, clock, sleep=sleep)
    if name == "coinbase":
        from candlecast.venues.coinbase import CoinbaseVenue

        return CoinbaseVenue.from_settings(settings, clock, sleep=sleep)
    if name == "kraken":
        from candlecast.venues.kraken import KrakenVenue

        return KrakenVenue.from_settings(settings, clock, sleep=sleep)
    if name == "replay":
        from candlecast.venues.replay import ReplayVenue

        return ReplayVenue.from_settings(settings, clock)
    if name == "simulated":
        from candlecast.venues.simulated import SimulatedVenue

        return SimulatedVenue(settings.simulated_seed, clock)
    raise ConfigurationError(f"unknown venue {name!r}; known are {', '.join(VENUES)}", venue=name)


def open_archive(name: str, settings: Settings, remembered: Remembered, *, sleep: Sleep = time.sleep) -> Archive | None:
    """Return the archive of the venue `name`, which the caller closes; None where there is none."""
    if name != "binance" or not settings.binance_archive_url:
        return None
    from candlecast.venues.binance_archive import BinanceArchive

    return BinanceArchive.from_settings(settings, remembered, sleep=sleep)


def open_prices(settings: Settings, *, sleep: Sleep = time.sleep) -> PriceSource | None:
    """Return the source of last prices, which the caller closes; None where it is switched off."""
    if not settings.coingecko_url:
        return None
    from candlecast.venues.coingecko import CoinGecko

    return CoinGecko.from_settings(settings, sleep=sleep)
