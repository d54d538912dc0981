"""The boosted model. XGBoost is known nowhere else: its package to who fits, its shared library to who predicts."""

from candlecast.xgb.forecaster import NOT_TUNED, XGBForecaster, data_hash

__all__ = ["NOT_TUNED", "XGBForecaster", "data_hash"]
