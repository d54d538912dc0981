"""Which model versions answer in this worker, as a metric."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from candlecast.metrics import LOADED_MODEL
from candlecast.store.models import NAIVE
from service.board import Board


class LoadedModels(Collector):
    """The champion of every venue and interval, or the baseline where there is none."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        """Yield one sample for each venue and interval, none before the database was reached."""
        if not self._board.reached:
            return
        family = LOADED_MODEL.family()
        states = self._board.series.items()
        for kind, version in {(one.venue, str(one.interval)): state.champion or NAIVE for one, state in states}.items():
            family.add_metric([*kind, version], 1.0)
        yield family

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering must not ask the board."""
        return []
