"""Boosted trees, deterministic and single-minded: what is asked of xgboost, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import xgboost

from candlecast.candles import Floats
from candlecast.features import FloatMatrix


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A fitted booster that predicts on one thread; its margins are logits or logarithms."""

    booster: xgboost.Booster

    @classmethod
    def fit(cls, rows: FloatMatrix, label: Floats, params: Mapping[str, Any], runtime: Mapping[str, int]) -> Self:
        """Fit `params["num_boost_round"]` rounds; `runtime` holds `seed` and `nthread`."""
        settings = {**params, **runtime, "tree_method": "hist", "verbosity": 0}
        rounds = settings.pop("num_boost_round")
        matrix = xgboost.QuantileDMatrix(rows, label, max_bin=settings["max_bin"], nthread=runtime["nthread"])
        return cls.from_bytes(bytes(xgboost.train(settings, matrix, rounds).save_raw("ubj")))

    def margins(self, rows: FloatMatrix) -> Floats:
        """Return the sum of the leaves of each row."""
        predicted = self.booster.inplace_predict(rows, predict_type="margin", validate_features=False)
        margins: Floats = predicted.astype("float64")
        return margins

    def contributions(self, rows: FloatMatrix) -> Floats:
        """Return what each column adds to the margins, and the margin without any: (rows, columns + 1), exact SHAP.

        Lundberg, Erion and Lee 2018, Consistent individualized feature attribution for tree ensembles.
        """
        parts = self.booster.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True, validate_features=False)
        contributions: Floats = parts.astype("float64")
        return contributions

    def to_bytes(self) -> bytes:
        """Return the booster in XGBoost's UBJSON."""
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return what `to_bytes` wrote; raise ValueError for anything else."""
        booster = xgboost.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(raw))
        except xgboost.core.XGBoostError as error:
            raise ValueError(f"these are not boosted trees: {str(error).splitlines()[0]}") from error
        booster.set_param({"nthread": 1})
        return cls(booster)
