"""The boosted model; xgboost is imported nowhere else."""

from candlecast.xgb.forecaster import XGBForecaster, data_hash

__all__ = ["XGBForecaster", "data_hash"]
