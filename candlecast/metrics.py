"""Every metric, defined once: prefix `candlecast_`, base unit in the name, labels from small sets."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

HTTP_SECONDS = Histogram(
    "candlecast_http_request_duration_seconds",
    "Time to answer a request, by route template",
    ["method", "route", "status"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
LATEST_ANSWERS = Counter(
    "candlecast_latest_forecasts",
    "Latest forecasts answered, by status and the reason of an abstention",
    ["status", "reason"],
)


def exposition() -> bytes:
    """Return all metrics as Prometheus text, summed over worker processes where there are several."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it unannotated
    return generate_latest(registry)
