"""How far the next candle goes, in units of sig: the size of the move that quantiles are measured in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from candlecast.candles import Floats, Times
from candlecast.features import FloatMatrix
from candlecast.xgb.season import Season
from candlecast.xgb.trees import Trees


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Boosted regressions, by name, that read the series' `own` first columns and the season of the target candle."""

    own: int
    season: Season
    regressions: Mapping[str, Trees]

    @classmethod
    def fit(
        cls,
        rows: FloatMatrix,
        starts: Times,
        season: Season,
        labels: Mapping[str, Floats],
        settings: Mapping[str, Mapping[str, Any]],
        runtime: Mapping[str, int],
    ) -> Self:
        """Fit one regression per label on rows of own columns, whose target candles open at `starts`."""
        read = _seasoned(rows, season, starts)
        fitted = {name: Trees.fit(read, label, settings[name], runtime) for name, label in labels.items()}
        return cls(rows.shape[1], season, fitted)

    def of(self, rows: FloatMatrix, starts: Times) -> Floats:
        """Return the geometric mean of what the regressions say; only its calibration gives it a unit."""
        read = _seasoned(rows[:, : self.own], self.season, starts)
        scale: Floats = np.exp(np.mean([trees.margins(read) for trees in self.regressions.values()], axis=0))
        return scale

    def raw(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield the artefacts with name and suffix."""
        for name, trees in self.regressions.items():
            yield name, "ubj", trees.to_bytes()
        yield "season", "npy", self.season.to_bytes()

    def facts(self) -> dict[str, Any]:
        """Return what is needed beside the artefacts, JSON-able."""
        return {"own": self.own, "regressions": list(self.regressions)}

    @classmethod
    def load(cls, horizon: int, artefacts: Mapping[str, bytes], facts: Mapping[str, Any]) -> Self:
        """Return what gave these artefacts and facts."""
        regressions = {name: Trees.from_bytes(artefacts[f"{name}-{horizon}.ubj"]) for name in facts["regressions"]}
        return cls(int(facts["own"]), Season.from_bytes(artefacts[f"season-{horizon}.npy"]), regressions)


def _seasoned(rows: FloatMatrix, season: Season, starts: Times) -> FloatMatrix:
    return np.column_stack([rows, season.at(starts).astype(np.float32)])
