"""Exchange to candle table: asks where each series ends, fetches what is missing, writes it."""
