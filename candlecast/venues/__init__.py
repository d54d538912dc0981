"""Where candles come from: one adapter per venue behind the `Venue` protocol."""

from candlecast.clock import VenueClock
from candlecast.errors import ConfigurationError
from candlecast.settings import Settings
from candlecast.venues.base import Archive, Fetched, PriceSource, Remembered, Source, Venue

__all__ = [
    "Archive",
    "Fetched",
    "PriceSource",
    "Remembered",
    "Source",
    "Venue",
    "open_archive",
    "open_prices",
    "open_venue",
]


def open_venue(name: str, settings: Settings, clock: VenueClock) -> Venue:
    """Return the adapter of the venue `name`; the caller closes it.

    `clock` is the venue's clock; for a live venue it is the wall clock, which the adapter then
    corrects by the exchange's own. Raise ConfigurationError for a venue that cannot be opened.
    """
    # Imported here so that a process pays only for its venue: the replay needs no HTTP client.
    if name == "binance":
        from candlecast.venues.binance import BinanceVenue

        return BinanceVenue.from_settings(settings, clock)
    if name == "replay":
        from candlecast.venues.replay import ReplayVenue

        return ReplayVenue.from_settings(settings, clock)
    if name == "simulated":
        from candlecast.venues.simulated import SimulatedVenue

        return SimulatedVenue(settings.simulated_seed, clock)
    raise ConfigurationError(f"the venue {name!r} is not built yet; binance, replay and simulated work", venue=name)


def open_archive(name: str, settings: Settings, remembered: Remembered) -> Archive | None:
    """Return the archive of the venue `name`, which the caller closes; None where it has none."""
    return None


def open_prices(settings: Settings) -> PriceSource | None:
    """Return the source of last prices, which the caller closes; None where it is switched off."""
    return None
