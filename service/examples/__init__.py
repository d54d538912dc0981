"""An example of every operation: what to ask, what comes back, and which errors it can end in."""

from __future__ import annotations

from collections.abc import Mapping

from service.examples.example import EVERYWHERE, MODEL, Example
from service.examples.forecasts import FORECASTS
from service.examples.registry import REGISTRY
from service.examples.runs import RUNS
from service.examples.stored import STORED

__all__ = ["EVERYWHERE", "EXAMPLES", "LINKS", "MODEL", "Example"]

EXAMPLES: Mapping[str, Example] = {**FORECASTS, **STORED, **REGISTRY, **RUNS}
"""By operation id, which is the name of the function that answers."""

LINKS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "request_run": {
        "run": ("list_runs", "request_id", "$response.body#/request_id"),
        "cancel": ("cancel_request", "request_id", "$response.body#/request_id"),
    },
    "list_models": {
        "model": ("read_model", "model_version", "$response.body#/models/0/id"),
        "before": ("list_models", "before", "$response.body#/next_before"),
    },
    "list_drift": {
        "page": ("read_drift_page", "report_id", "$response.body#/reports/0/id"),
        "before": ("list_drift", "before", "$response.body#/next_before"),
    },
    "list_runs": {
        "run": ("read_run", "run_id", "$response.body#/runs/0/id"),
        "before": ("list_runs", "before", "$response.body#/next_before"),
    },
    "list_series": {"coverage": ("read_coverage", "series", "$response.body#/series/0/series")},
}
"""By operation id: what an answer leads to, as operation, its parameter, and where the answer holds the value."""
