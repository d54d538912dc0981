"""Training: candle -> model version -> maybe champion."""
