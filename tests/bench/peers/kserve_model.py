"""KServe's Python server as its documentation shows it: one model of ours, one row in, one prediction out.

Run by the Python of an environment that has kserve and xgboost: kserve_model.py PORT MODEL.
"""

import sys
from typing import Any

import kserve  # type: ignore[import-not-found,unused-ignore]  # of another environment
import numpy as np
import xgboost


class Boosted(kserve.Model):  # type: ignore[misc,unused-ignore]
    """A booster that is loaded once."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.booster = xgboost.Booster({"nthread": 1}, model_file=path)
        self.ready = True

    def predict(self, payload: dict[str, Any], *_: object, **__: object) -> dict[str, Any]:
        """Return the prediction of each row under `instances`."""
        rows = np.array(payload["instances"], dtype=np.float32)
        return {"predictions": self.booster.inplace_predict(rows).tolist()}


if __name__ == "__main__":
    port, path = sys.argv[1:]
    kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1).start([Boosted("boosted", path)])
