"""Every metric, defined once: prefix `candlecast_`, base unit in the name, labels from small sets.

The service counts and measures (`COUNTED`), and shows what its processes use and which models it has loaded
(`SERVICE_STATE`). The exporter shows the state of the tables (`STATE`). Only one exporter runs, so no series is told
twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

P = ParamSpec("P")
T = TypeVar("T")

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
HTTP_IN_PROGRESS = Gauge(
    "candlecast_http_requests_in_progress",
    "Requests that are being answered; those that a ready answer is given to are not among them",
    multiprocess_mode="livesum",
)
CHAMPION_REFUSED = Gauge(
    "candlecast_champion_refused",
    "1 while a worker does not load the champion of a venue and interval, and answers with the one before",
    ["venue", "interval"],
    multiprocess_mode="livemax",
)
STAGE_SECONDS = Histogram(
    "candlecast_stage_duration_seconds",
    "Time that one stage of making forecasts takes: see STAGES",
    ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
COUNTED = (HTTP_SECONDS, LATEST_ANSWERS, HTTP_IN_PROGRESS, CHAMPION_REFUSED, STAGE_SECONDS)

STAGES = {
    "refresh": "one look for news: new candles and champions, and all that follows from them",
    "load": "reading a new champion and trying it",
    "forecast": "baseline and champion forecast one series at its newest candle",
    "record": "writing them into the ledger",
    "score": "the live skill of one series",
    "answer": "making one ready answer of one series and horizon, which then is given until something changes",
    "own_candles": "forecasting a caller's own candles",
}


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
PROCESS_NEWEST_START = Measured(
    "candlecast_process_newest_start_timestamp_seconds",
    "When the youngest process of the service began; it changes when a worker is replaced",
)
SERVICE_PROCESSES = (
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_THREADS,
    PROCESS_FILES,
    PROCESS_COUNT,
    PROCESS_NEWEST_START,
)

# `job_name`, because a scrape adds a label `job` of its own.
_KIND, _SERIES = ("venue", "interval"), ("venue", "symbol", "interval")
_SAID = (*_SERIES, "horizon")

LOADED_MODEL = Measured(
    "candlecast_loaded_model_info",
    "1 for each model version that answers in the worker that was asked, by venue and interval",
    (*_KIND, "model_version"),
)
SERVICE_STATE = (*SERVICE_PROCESSES, LOADED_MODEL)

DATABASE_UP = Measured(
    "candlecast_database_up", "1 when the exporter reached the database; with 0 all other state is left out"
)

CANDLE_LAG = Measured(
    "candlecast_candle_lag_seconds",
    "The venue's now minus the close time of the newest candle of an active series; infinite where there is none",
    _SERIES,
)
CANDLE_INTERVAL = Measured("candlecast_candle_interval_seconds", "Length of a candle of an active series", _SERIES)
CANDLES_MISSING = Measured(
    "candlecast_candles_missing",
    "Candles of the audited window that are neither stored nor known to be missing at the venue",
    _SERIES,
)
CANDLES_CONFIRMED_MISSING = Measured(
    "candlecast_candles_confirmed_missing", "Candles of the audited window that the venue itself does not have", _SERIES
)
COMPLETENESS = Measured(
    "candlecast_candles_completeness_ratio",
    "Share of the audited window's candles that are stored, or known to be missing at the venue",
    _SERIES,
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

JOB_LAST_SUCCESS = Measured(
    "candlecast_job_last_success_timestamp_seconds",
    "When the job last succeeded; when the database got its first series, for one that never did",
    ("job_name",),
)
JOB_DURATION = Measured("candlecast_job_last_duration_seconds", "How long the job's last success took", ("job_name",))
JOB_ROWS = Measured("candlecast_job_last_rows", "Rows that the job's last success wrote", ("job_name",))
JOB_RUNS = Measured("candlecast_job_runs_total", "Ended runs by outcome", ("job_name", "state"))
JOB_FAILURES = Measured(
    "candlecast_job_recent_failures",
    "Runs that began in the last 24 hours and failed, by the code of their error; "
    "venue_unavailable, rate_limited and restricted_location are the venues'",
    ("job_name", "code"),
)
JOB_RUNNING = Measured("candlecast_job_running", "1 while the job runs", ("job_name",))
QUEUE_DEPTH = Measured("candlecast_run_requests_waiting", "Asked-for runs that nobody has begun", ("job_name",))

CHAMPION_PRESENT = Measured(
    "candlecast_champion_present", "1 where the active series of a venue and interval have a champion", _KIND
)
CHAMPION_INFO = Measured("candlecast_champion_info", "1 for each champion", (*_KIND, "model_version"))
CHAMPION_AGE = Measured("candlecast_champion_age_seconds", "The venue's now minus when the champion was trained", _KIND)
MODEL_DECISIONS = Measured(
    "candlecast_model_decisions_total", "Trained model versions by what was decided: promoted or refused",
    (*_KIND, "decision"),
)  # fmt: skip

DRIFT_SHARE = Measured("candlecast_drift_share_ratio", "Share of drifted columns in the newest drift report", _KIND)
DRIFT_DETECTED = Measured("candlecast_drift_detected", "1 when the newest drift report says drifted", _KIND)
DRIFT_AGE = Measured("candlecast_drift_report_age_seconds", "The venue's now minus when the report was made", _KIND)
DRIFT_COLUMN = Measured(
    "candlecast_drift_column_ratio",
    "Distance of a column in the newest drift report over the distance that counts as drift; only the columns that "
    "moved most",
    (*_KIND, "column"),
)

LIVE_SCORED = Measured(
    "candlecast_live_scored_forecasts",
    "The champion's forecasts whose target lies in the window that ends with the newest candle, and whose close came",
    (*_SAID, "window"),
)
LIVE_ERROR = Measured(
    "candlecast_live_error_ratio", "Mean of |forecast close - close| / close of these", (*_SAID, "window")
)
LIVE_SKILL = Measured(
    "candlecast_live_skill_ratio",
    "1 - their mean absolute error / that of the baseline's own forecasts; above 0 is better",
    (*_SAID, "window"),
)
LIVE_COVERAGE = Measured(
    "candlecast_live_coverage_ratio",
    "Share of them whose interval of that level, in percent, held the close",
    (*_SAID, "window", "level"),
)
LIVE_BRIER = Measured(
    "candlecast_live_brier_score",
    "Mean squared error of their probability of a rise; 0.25 is what one half for ever would get",
    (*_SAID, "window"),
)
POOLED_SKILL = Measured(
    "candlecast_pooled_live_skill_ratio",
    "Skill of all series of a venue and interval together over 7 days: its value and the bounds of its 95 % interval",
    (*_KIND, "horizon", "bound"),
)

LEDGER_ROWS = Measured("candlecast_ledger_forecasts", "Forecasts in the ledger", _SERIES)
FORECAST_LAG = Measured(
    "candlecast_forecast_lag_seconds",
    "Close time of the newest candle minus the newest cutoff that the ledger holds a forecast of",
    _SERIES,
)
LEDGER_INTACT = Measured("candlecast_ledger_intact", "1 when at the last check each row's hash followed from the last")
LEDGER_CHECKED = Measured("candlecast_ledger_checked_timestamp_seconds", "When the ledger's chain was last checked")

STATE = (
    DATABASE_UP,
    CANDLE_LAG,
    CANDLE_INTERVAL,
    CANDLES_MISSING,
    CANDLES_CONFIRMED_MISSING,
    COMPLETENESS,
    SOURCE_SKEW,
    SOURCE_BANNED,
    SOURCE_BAN_LEFT,
    PRICE_AGE,
    PRICE_DISAGREEMENTS,
    JOB_LAST_SUCCESS,
    JOB_DURATION,
    JOB_ROWS,
    JOB_RUNS,
    JOB_FAILURES,
    JOB_RUNNING,
    QUEUE_DEPTH,
    CHAMPION_PRESENT,
    CHAMPION_INFO,
    CHAMPION_AGE,
    MODEL_DECISIONS,
    DRIFT_SHARE,
    DRIFT_DETECTED,
    DRIFT_AGE,
    DRIFT_COLUMN,
    LIVE_SCORED,
    LIVE_ERROR,
    LIVE_SKILL,
    LIVE_COVERAGE,
    LIVE_BRIER,
    POOLED_SKILL,
    LEDGER_ROWS,
    FORECAST_LAG,
    LEDGER_INTACT,
    LEDGER_CHECKED,
)


def timed(stage: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Observe how long each call of a function takes; `stage` is one of `STAGES`."""
    if stage not in STAGES:
        raise ValueError(f"{stage!r} is no stage; known are {', '.join(STAGES)}")
    return STAGE_SECONDS.labels(stage).time()


def exposition(collectors: Iterable[Collector]) -> bytes:
    """Return the counted metrics, summed over worker processes where there are several, and what `collectors` say."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if shared is None:
        return generate_latest() + generate_latest(registry)
    _forget_ended(Path(shared))
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client leaves it unannotated
    return generate_latest(registry)


def _forget_ended(folder: Path) -> None:
    """Leave the gauges of workers that have ended out of the sums; what they counted stays."""
    ended = {number for file in folder.glob("gauge_live*_*.db") if not _runs(number := file.stem.rpartition("_")[2])}
    for number in ended:
        with suppress(FileNotFoundError):  # another worker was asked at the same moment
            mark_process_dead(int(number), str(folder))  # type: ignore[no-untyped-call]  # as above


def _runs(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    return True


def sample_names() -> set[str]:
    """Return the name of every sample that a scrape of service or exporter may hold."""
    histograms = ("candlecast_http_request_duration_seconds", "candlecast_stage_duration_seconds")
    counted = {f"{histogram}_{part}" for histogram in histograms for part in ("bucket", "sum", "count")}
    counted |= {"candlecast_latest_forecasts_total", "candlecast_http_requests_in_progress"}
    counted |= {"candlecast_champion_refused"}
    return counted | {metric.name for metric in (*SERVICE_STATE, *STATE)}
