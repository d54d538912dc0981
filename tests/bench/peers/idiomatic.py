"""BentoML as its documentation shows it: a service class, a pydantic request, XGBoost called for one row."""

import os

import bentoml
import numpy as np
import xgboost
from pydantic import BaseModel


class Row(BaseModel):
    """The features of one moment."""

    row: list[float]


class Predicted(BaseModel):
    """What follows."""

    value: float


@bentoml.service(workers=1)
class Idiomatic:
    """One model."""

    def __init__(self) -> None:
        self.booster = xgboost.Booster(model_file=f"{os.environ['BENCH_FOLDER']}/model.ubj")
        self.booster.set_param({"nthread": 1})

    @bentoml.api  # type: ignore[untyped-decorator]  # BentoML leaves its decorators unannotated
    def predict(self, row: Row, /) -> Predicted:
        """Predict one row."""
        features = np.array([row.row], dtype=np.float32)
        return Predicted(value=float(self.booster.inplace_predict(features)[0]))
