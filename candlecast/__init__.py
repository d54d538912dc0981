"""Forecasts of crypto candles, written down before the future is known and scored after."""

__version__ = "0.1.0.dev0"
