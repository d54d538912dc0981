"""Every metric, defined once: prefix `candlecast_`, base unit in the name, labels from small sets.

The service counts (`HTTP_SECONDS`, `LATEST_ANSWERS`) and shows what its processes use (`SERVICE_PROCESSES`). The
exporter shows the state of the tables (`STATE`). Only one exporter runs, so no series is told twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

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


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric whose value is looked up when somebody scrapes, not counted before."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """Return it without samples: a counter where its name says so, else a gauge."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(self.name, self.documentation, labels=self.labels)


PROCESS_CPU = Measured(
    "candlecast_process_cpu_seconds_total", "CPU time of the service's processes, ended workers included"
)
PROCESS_MEMORY = Measured("candlecast_process_resident_memory_bytes", "Resident memory of the service's processes")
PROCESS_THREADS = Measured("candlecast_process_threads", "Threads of the service's processes")
PROCESS_FILES = Measured(
    "candlecast_process_open_file_descriptors", "Open files and sockets of the service's processes"
)
PROCESS_COUNT = Measured("candlecast_process_count", "Processes of the service: its workers and who looks after them")
SERVICE_PROCESSES = (PROCESS_CPU, PROCESS_MEMORY, PROCESS_THREADS, PROCESS_FILES, PROCESS_COUNT)

# `job_name`, because a scrape adds a label `job` of its own.
_KIND, _SERIES = ("venue", "interval"), ("venue", "symbol", "interval")

DATABASE_UP = Measured(
    "candlecast_database_up", "1 when the exporter reached the database; with 0 all other state is left out"
)
CANDLE_LAG = Measured(
    "candlecast_candle_lag_seconds",
    "The venue's now minus the close time of the newest candle of an active series; infinite where there is none",
    _SERIES,
)
CANDLE_INTERVAL = Measured("candlecast_candle_interval_seconds", "Length of a candle of an active series", _SERIES)
JOB_LAST_SUCCESS = Measured(
    "candlecast_job_last_success_timestamp_seconds",
    "When the job last succeeded; when the database got its first series, for one that never did",
    ("job_name",),
)
JOB_DURATION = Measured("candlecast_job_last_duration_seconds", "How long the job's last success took", ("job_name",))
JOB_RUNS = Measured("candlecast_job_runs_total", "Ended runs by outcome", ("job_name", "state"))
JOB_RUNNING = Measured("candlecast_job_running", "1 while the job runs", ("job_name",))
QUEUE_DEPTH = Measured("candlecast_run_requests_waiting", "Asked-for runs that nobody has begun", ("job_name",))
CHAMPION_AGE = Measured("candlecast_champion_age_seconds", "The venue's now minus when the champion was trained", _KIND)
DRIFT_SHARE = Measured("candlecast_drift_share_ratio", "Share of drifted columns in the newest drift report", _KIND)
DRIFT_DETECTED = Measured("candlecast_drift_detected", "1 when the newest drift report says drifted", _KIND)
DRIFT_AGE = Measured("candlecast_drift_report_age_seconds", "The venue's now minus when the report was made", _KIND)
LIVE_SKILL = Measured(
    "candlecast_live_skill_ratio",
    "1 - mean absolute error / that of no change, over the champion's newest scored forecasts; above 0 is better",
    (*_SERIES, "horizon"),
)
LIVE_SCORED = Measured(
    "candlecast_live_scored_forecasts", "Forecasts of the champion that live skill is about", (*_SERIES, "horizon")
)
LEDGER_ROWS = Measured("candlecast_ledger_forecasts", "Forecasts in the ledger", _SERIES)
CANDLES_MISSING = Measured(
    "candlecast_candles_missing",
    "Candles of the audited window that are neither stored nor known to be missing at the venue",
    _SERIES,
)
CANDLES_CONFIRMED_MISSING = Measured(
    "candlecast_candles_confirmed_missing", "Candles of the audited window that the venue itself does not have", _SERIES
)
SOURCE_SKEW = Measured(
    "candlecast_source_clock_skew_seconds", "The source's clock minus ours, as measured", ("source",)
)
SOURCE_BANNED = Measured("candlecast_source_banned", "1 while the source has banned our address", ("source",))
SOURCE_BAN_LEFT = Measured(
    "candlecast_source_ban_left_seconds", "How long the source's ban lasts on; zero where there is none", ("source",)
)
PRICE_AGE = Measured("candlecast_last_price_age_seconds", "How long ago the last price was made", ("symbol", "source"))
PRICE_DISAGREEMENTS = Measured(
    "candlecast_last_price_disagreements_total",
    "Last prices that were further from the newest close than is tolerated",
    ("symbol", "source"),
)
STATE = (
    DATABASE_UP,
    CANDLE_LAG,
    CANDLE_INTERVAL,
    JOB_LAST_SUCCESS,
    JOB_DURATION,
    JOB_RUNS,
    JOB_RUNNING,
    QUEUE_DEPTH,
    CHAMPION_AGE,
    DRIFT_SHARE,
    DRIFT_DETECTED,
    DRIFT_AGE,
    LIVE_SKILL,
    LIVE_SCORED,
    LEDGER_ROWS,
    CANDLES_MISSING,
    CANDLES_CONFIRMED_MISSING,
    SOURCE_SKEW,
    SOURCE_BANNED,
    SOURCE_BAN_LEFT,
    PRICE_AGE,
    PRICE_DISAGREEMENTS,
)


def exposition(collector: Collector) -> bytes:
    """Return the counted metrics, summed over worker processes where there are several, and what `collector` says."""
    registry = CollectorRegistry()
    registry.register(collector)
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest() + generate_latest(registry)
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it unannotated
    return generate_latest(registry)


def sample_names() -> set[str]:
    """Return the name of every sample that a scrape of service or exporter may hold."""
    histogram = "candlecast_http_request_duration_seconds"
    counted = {f"{histogram}_{part}" for part in ("bucket", "sum", "count")} | {"candlecast_latest_forecasts_total"}
    return counted | {metric.name for metric in (*SERVICE_PROCESSES, *STATE)}
