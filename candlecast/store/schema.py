"""The tables, as SQLAlchemy sees them. The truth is the migrations; a test proves that both agree.

Times are `timestamptz`. `issued_at`, `ingested_at`, `promoted_at`, `created_at`, `decided_at`, `corrected_at`,
`confirmed_at`, `recheck_at` and `audited_at` follow the venue's clock; `recorded_at` and everything about runs follow
the database's own clock, which no caller sets. Bans end, skews are measured and prices are taken by the wall clock.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    FetchedValue,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

_NOW = text("clock_timestamp()")
_TIME = DateTime(timezone=True)


def _candle_columns() -> list[Column[Any]]:
    """Return what is known of a candle, and who said it."""
    return [
        Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
        Column("open_time", _TIME, nullable=False),
        Column("open", Double, nullable=False),
        Column("high", Double, nullable=False),
        Column("low", Double, nullable=False),
        Column("close", Double, nullable=False),
        Column("volume", Double, nullable=False),
        Column("quote_volume", Double),
        Column("trades", BigInteger),
        Column("taker_buy_volume", Double),
        Column("source", Text, nullable=False),
    ]


series = Table(
    "series",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("venue", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("interval_seconds", Integer, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    # When a run first named the series without it being configured.
    Column("asked_at", _TIME),
    UniqueConstraint("venue", "symbol", "interval"),
)

candle = Table(
    "candle",
    metadata,
    *_candle_columns(),
    Column("ingested_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("series_id", "open_time"),
    CheckConstraint("high >= greatest(open, close) AND low <= least(open, close) AND low > 0", name="shape"),
)

# What a row of `candle` said before it was replaced. Append-only by trigger.
candle_correction = Table(
    "candle_correction",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    *_candle_columns(),
    Column("replaced_by", Text, nullable=False),
    Column("corrected_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Index(None, "series_id", "open_time"),
)

# Candles that the venue itself lacks: start_time <= open_time < end_time.
confirmed_gap = Table(
    "confirmed_gap",
    metadata,
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("start_time", _TIME, nullable=False),
    Column("end_time", _TIME, nullable=False),
    Column("source", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("confirmed_at", _TIME, nullable=False),
    Column("recheck_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("series_id", "start_time"),
    CheckConstraint("start_time < end_time", name="span"),
)

# What the newest look at a whole series found.
series_audit = Table(
    "series_audit",
    metadata,
    Column("series_id", Integer, ForeignKey("series.id"), primary_key=True, autoincrement=False),
    Column("start_time", _TIME, nullable=False),
    Column("end_time", _TIME, nullable=False),
    Column("expected", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("confirmed", BigInteger, nullable=False),
    Column("audited_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
)

source_status = Table(
    "source_status",
    metadata,
    Column("source", Text, primary_key=True),
    Column("banned_until", _TIME),
    Column("ban_reason", Text),
    Column("skew_seconds", Double),
    Column("skew_at", _TIME),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
)

archive_file = Table(
    "archive_file",
    metadata,
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("verified_at", _TIME, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("source", "name"),
)

last_price = Table(
    "last_price",
    metadata,
    Column("symbol", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("price", Double, nullable=False),
    Column("priced_at", _TIME, nullable=False),
    # Null while there is no close to compare with.
    Column("disagrees", Boolean),
    Column("disagreements", BigInteger, nullable=False, server_default=text("0")),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("symbol", "source"),
    CheckConstraint("price > 0", name="price"),
)

venue_status = Table(
    "venue_status",
    metadata,
    Column("venue", Text, primary_key=True),
    Column("clock_start", _TIME, nullable=False),
    Column("clock_epoch", _TIME, nullable=False),
    Column("clock_speed", Double, nullable=False),
    CheckConstraint("clock_speed > 0", name="clock_speed"),
)

model_version = Table(
    "model_version",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("venue", Text),
    Column("interval", Text),
    Column("created_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Column("manifest", JSONB, nullable=False),
    Column("decision", JSONB),
    Column("run_id", BigInteger, ForeignKey("job_run.id")),
)

model_artifact = Table(
    "model_artifact",
    metadata,
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("model_version", "name"),
)

champion = Table(
    "champion",
    metadata,
    Column("venue", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("promoted_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("venue", "interval"),
)

evaluation = Table(
    "evaluation",
    metadata,
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("horizon", SmallInteger, nullable=False),
    Column("forecaster", Text, nullable=False),
    Column("metric", Text, nullable=False),
    Column("value", Double),
    Column("count", Integer, nullable=False),
    Column("start_time", _TIME, nullable=False),
    Column("end_time", _TIME, nullable=False),
    PrimaryKeyConstraint("model_version", "series_id", "horizon", "forecaster", "metric"),
)

trial = Table(
    "trial",
    metadata,
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("number", SmallInteger, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("scores", JSONB, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("chosen", Boolean, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    PrimaryKeyConstraint("model_version", "number"),
)

evaluation_forecast = Table(
    "evaluation_forecast",
    metadata,
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("horizon", SmallInteger, nullable=False),
    Column("cutoff", _TIME, nullable=False),
    Column("in_sample", Boolean, nullable=False),
    Column("last_close", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("p_up", Double),
    Column("quantiles", ARRAY(Double), nullable=False),
    PrimaryKeyConstraint("model_version", "series_id", "horizon", "cutoff"),
    CheckConstraint("horizon >= 1", name="horizon"),
    CheckConstraint("p_up BETWEEN 0 AND 1", name="p_up"),
    CheckConstraint("cardinality(quantiles) = 13", name="quantiles"),
)

forecast = Table(
    "forecast",
    metadata,
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("cutoff", _TIME, nullable=False),
    Column("horizon", SmallInteger, nullable=False),
    Column("model_version", Text, ForeignKey("model_version.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("target_time", _TIME, nullable=False),
    Column("issued_at", _TIME, nullable=False),
    # Set by the trigger, whatever the caller says.
    Column("recorded_at", _TIME, FetchedValue(), nullable=False),
    Column("last_close", Double, nullable=False),
    Column("close", Double, nullable=False),
    Column("p_up", Double),
    Column("open", Double),
    Column("high", Double),
    Column("low", Double),
    Column("range", Double),
    Column("quantiles", ARRAY(Double), nullable=False),
    Column("position", BigInteger, FetchedValue(), nullable=False),
    Column("hash", LargeBinary, FetchedValue(), nullable=False),
    PrimaryKeyConstraint("series_id", "cutoff", "horizon", "model_version"),
    UniqueConstraint("series_id", "position"),
    CheckConstraint("issued_at < target_time AND cutoff <= issued_at", name="issued_before_target"),
    CheckConstraint("horizon >= 1 AND cutoff < target_time", name="horizon"),
    CheckConstraint("p_up BETWEEN 0 AND 1", name="p_up"),
    CheckConstraint("cardinality(quantiles) = 13", name="quantiles"),
    CheckConstraint("role IN ('champion', 'challenger', 'baseline')", name="role"),
)

# A view: nobody settles anything, what came is joined to what was said.
forecast_error = Table(
    "forecast_error",
    MetaData(),
    Column("series_id", Integer),
    Column("cutoff", _TIME),
    Column("horizon", SmallInteger),
    Column("model_version", Text),
    Column("role", Text),
    Column("target_time", _TIME),
    Column("issued_at", _TIME),
    Column("last_close", Double),
    Column("close", Double),
    Column("p_up", Double),
    Column("quantiles", ARRAY(Double)),
    Column("realised_close", Double),
    Column("error", Double),
    Column("absolute_error", Double),
    Column("naive_absolute_error", Double),
)

job_run = Table(
    "job_run",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Text, nullable=False),
    Column("request_id", BigInteger),
    Column("parameters", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("started_at", _TIME, nullable=False, server_default=_NOW),
    Column("heartbeat_at", _TIME, nullable=False, server_default=_NOW),
    Column("finished_at", _TIME),
    Column("done", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("target", Integer),
    Column("rows", BigInteger, nullable=False, server_default=text("0")),
    Column("message", Text),
    Column("exit_code", SmallInteger),
    Column("error_code", Text),
    Column("error", Text),
    ForeignKeyConstraint(["request_id"], ["run_request.id"]),
    CheckConstraint("state IN ('running', 'succeeded', 'failed', 'cancelled')", name="state"),
    Index(None, "job", "started_at"),
)

# The newest lines that a run logged.
run_log = Table(
    "run_log",
    metadata,
    Column("run_id", BigInteger, ForeignKey("job_run.id", ondelete="CASCADE"), primary_key=True),
    Column("lines", JSONB, nullable=False),
)

# What the processes of a run share out; those of a job's earlier runs are thrown away.
run_part = Table(
    "run_part",
    metadata,
    Column("run_id", BigInteger, ForeignKey("job_run.id", ondelete="CASCADE"), nullable=False),
    Column("phase", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("task", JSONB, nullable=False),
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    Column("holder", Text),
    Column("outcome", JSONB(none_as_null=True)),
    Column("finished_at", _TIME),
    PrimaryKeyConstraint("run_id", "phase", "name"),
    CheckConstraint("(outcome IS NULL) = (finished_at IS NULL)", name="finished"),
    Index("run_part_run_id_lane_position_idx", "run_id", "lane", "position", postgresql_where=text("outcome IS NULL")),
)

run_request = Table(
    "run_request",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", _TIME, nullable=False, server_default=_NOW),
    Column("claimed_at", _TIME),
    Column("cancel", Boolean, nullable=False, server_default=text("false")),
    Index(None, "job", "claimed_at"),
)

# Of each venue and interval the newest row says which alarms ring on.
retraining_decision = Table(
    "retraining_decision",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("venue", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("train", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("ringing", ARRAY(Text), nullable=False),
    Column("numbers", JSONB, nullable=False),
    Column("decided_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Column("run_id", BigInteger, ForeignKey("job_run.id", ondelete="SET NULL")),
    Column("request_id", BigInteger, ForeignKey("run_request.id", ondelete="SET NULL")),
    Index(None, "venue", "interval", "id"),
    Index(None, "run_id"),
    Index(None, "request_id"),
)

# Counts of ended runs whose rows are gone.
pruned_run = Table(
    "pruned_run",
    metadata,
    Column("job", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("runs", BigInteger, nullable=False),
    PrimaryKeyConstraint("job", "state"),
)

drift_report = Table(
    "drift_report",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("venue", Text, nullable=False),
    Column("interval", Text, nullable=False),
    Column("model_version", Text, ForeignKey("model_version.id")),
    Column("run_id", BigInteger, ForeignKey("job_run.id")),
    Column("created_at", _TIME, nullable=False),
    Column("recorded_at", _TIME, nullable=False, server_default=_NOW),
    Column("reference_start", _TIME, nullable=False),
    Column("reference_end", _TIME, nullable=False),
    Column("reference_rows", Integer, nullable=False),
    Column("current_start", _TIME, nullable=False),
    Column("current_end", _TIME, nullable=False),
    Column("current_rows", Integer, nullable=False),
    Column("method", Text, nullable=False),
    Column("share", Double, nullable=False),
    Column("drifted", Boolean, nullable=False),
    Column("scores", JSONB, nullable=False),
    Column("calibration", JSONB),
    # Compressed with gzip; null where no page was made, or an old one was thrown away.
    Column("html", LargeBinary),
    CheckConstraint(
        "reference_start < reference_end AND reference_end <= current_start AND current_start < current_end",
        name="windows",
    ),
    CheckConstraint("share BETWEEN 0 AND 1", name="share"),
    Index(None, "venue", "interval", "id"),
)
