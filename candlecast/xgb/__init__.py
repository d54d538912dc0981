"""The boosted model; xgboost is imported nowhere else."""

from candlecast.xgb.forecaster import NOT_TUNED, XGBForecaster, data_hash

__all__ = ["NOT_TUNED", "XGBForecaster", "data_hash"]
