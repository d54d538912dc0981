"""Boosted trees, deterministic and single-minded: what is asked of XGBoost, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from candlecast.candles import Floats
from candlecast.features import FloatMatrix
from candlecast.xgb.library import Booster


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """A fitted booster that predicts on one thread; its margins are logits or logarithms."""

    booster: Booster

    @classmethod
    def fit(cls, rows: FloatMatrix, label: Floats, params: Mapping[str, Any], runtime: Mapping[str, int]) -> Self:
        """Fit `params["num_boost_round"]` rounds; `runtime` holds `seed` and `nthread`."""
        import xgboost  # only here: who predicts has no use for it, nor the memory

        settings = {**params, **runtime, "tree_method": "hist", "verbosity": 0}
        rounds = settings.pop("num_boost_round")
        matrix = xgboost.QuantileDMatrix(rows, label, max_bin=settings["max_bin"], nthread=runtime["nthread"])
        return cls.from_bytes(bytes(xgboost.train(settings, matrix, rounds).save_raw("ubj")))

    def margins(self, rows: FloatMatrix) -> Floats:
        """Return the sum of the leaves of each row."""
        return self.booster.margins(rows)

    def contributions(self, rows: FloatMatrix) -> Floats:
        """Return what each column adds to the margins, and the margin without any: (rows, columns + 1), exact SHAP.

        Lundberg, Erion and Lee 2018, Consistent individualized feature attribution for tree ensembles.
        """
        return self.booster.contributions(rows)

    def to_bytes(self) -> bytes:
        """Return the booster in XGBoost's UBJSON."""
        return self.booster.to_bytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Return what `to_bytes` wrote; raise ValueError for anything else."""
        try:
            return cls(Booster(raw))
        except ValueError as error:
            raise ValueError(f"these are not boosted trees: {error}") from error
