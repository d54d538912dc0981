"""The data dictionary: every table and column of `candlecast/store/schema.py` in words, one meaning per name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from candlecast.store import schema

TABLES: Mapping[str, str] = {
    "series": "Every (venue, symbol, interval) that was ever configured or asked for.",
    "candle": "Closed candles as the venue last said them.",
    "candle_correction": "What a candle said before its venue, or another source, replaced it. Append-only.",
    "confirmed_gap": "Candles that the venue itself lacks, and what shows it.",
    "series_audit": "What the newest look at the whole window of a series found.",
    "source_status": "Whether a source may be asked, and how far its clock is off.",
    "archive_file": "Files of a venue's archive that were read and checked.",
    "last_price": "What sources without candles last said a symbol costs: a cross-check, never a training candle.",
    "venue_status": "A venue's clock: start + speed * (now - epoch).",
    "model_version": "The registry: every trained artefact, whether it was promoted or not.",
    "model_artifact": "The bytes of a model version: XGBoost's own UBJSON, never pickle.",
    "champion": "Which model version answers for a venue and interval.",
    "evaluation": "Hold-out scores: one number per model version, series, horizon, forecaster and metric.",
    "trial": "Settings that a training tried before it fitted a version, and how they scored before the hold-out.",
    "evaluation_forecast": (
        "What a model version would have said before it was there. Never the ledger: only what was said live counts."
    ),
    "forecast": (
        "The ledger: every forecast as it was said before its target time. Append-only; each row is chained to the one "
        "before it in its series."
    ),
    "forecast_error": "A view: the ledger with what came. Nobody settles anything.",
    "job_run": "Executions of jobs.",
    "run_log": "What a run logged last, for those who cannot see its process.",
    "run_part": "What the processes of a run shared out; the newest such run of each job is kept.",
    "run_request": "Runs that somebody asked for.",
    "retraining_decision": "When it was decided to train the model of a venue and interval again, or not, and why.",
    "pruned_run": "How many runs retention has deleted.",
    "drift_report": "How far features and forecasts moved from the reference window.",
}

MEANINGS: Mapping[str, str] = {
    "absolute_error": "Size of `error`",
    "archive_file.name": "Path of the file below the archive",
    "asked_at": "When a run first named the series without it being configured",
    "audited_at": "When the look was taken, by the venue's clock",
    "ban_reason": "What the source said when it refused us",
    "banned_until": "Before this the source is not asked",
    "calibration": "What the thresholds were found on, and how often they alarm by chance; null: a rule of thumb",
    "cancel": "Whether somebody asked that it stops",
    "chosen": "Whether the version was fitted with these settings",
    "claimed_at": "When a run took the request on; null while it waits",
    "clock_epoch": "The wall's time at `clock_start`",
    "clock_speed": "Venue seconds per wall second",
    "clock_start": "The venue's time at `clock_epoch`",
    "close": "Last price of the candle; in the ledger the one that was predicted",
    "confirmed": "Missing candles that the venue lacks itself",
    "confirmed_at": "When the venue was last asked, by its clock",
    "content": "The bytes",
    "corrected_at": "When we learned the new candle, by the venue's clock",
    "count": "How many forecasts the number is about",
    "created_at": "When it was made, by the venue's clock",
    "current_end": "Newest cutoff of the recent window",
    "current_rows": "How many rows of it were compared",
    "current_start": "The recent window's cutoffs lie after this",
    "cutoff": "Close time of the newest candle that the forecast has seen",
    "decided_at": "When it was decided, by the venue's clock",
    "decision": "Whether it was promoted and why, with the numbers",
    "disagreements": "How many prices of the source have been far from the close so far",
    "disagrees": "Whether it is far from the newest close; null where there was none of about the same time",
    "done": "Finished steps",
    "drifted": "Whether the windows differ more than the reference's own weeks do",
    "end_time": "Exclusive end of the open times, or of an evaluation's cutoffs",
    "error": "Predicted minus realised close",
    "error_code": "Which error ended it, as `docs/errors.md` names it",
    "evidence": "What shows that the venue has no such candles",
    "exit_code": "What the process ended with",
    "expected": "Candles that the window should have",
    "failed": "Parts that failed",
    "finished_at": "When it ended",
    "forecaster": "Who forecast: the challenger, the champion, or a yardstick",
    "hash": "SHA-256 of the row and of the hash before it",
    "heartbeat_at": "When it last reported",
    "high": "Highest price",
    "holder": "Host and process of the run",
    "horizon": "How many intervals ahead",
    "html": "The page for people, compressed with gzip; null where none was made or kept",
    "id": "Its number; of a model version its name",
    "in_sample": "Whether the version had learned from what came; else a twin spoke that was fitted before the cutoff",
    "ingested_at": "When we learned it, by the venue's clock",
    "interval": "Length of a candle: `1m 5m 15m 1h 4h 1d`",
    "interval_seconds": "The same in seconds",
    "issued_at": "When it was said, by the venue's clock",
    "job": "`ingestion`, `training`, `drift` or `retention`",
    "job_run.error": "Why it failed, as sentences",
    "kind": "`xgboost`, or `naive` for the baseline",
    "lane": "Parts that one thread of each process takes: the venue of a series, all models",
    "last_close": "Close at the cutoff, which is what no change says",
    "low": "Lowest price",
    "manifest": "What the version was trained from and on: features, window, versions, calibration",
    "message": "What it is doing, or its summary line",
    "method": "How the distance of two windows is measured",
    "metric": "What the number measures",
    "model_version": "Which version it is of; in the ledger who spoke, `naive` for the baseline",
    "name": "Which part of the version",
    "naive_absolute_error": "Size of the error of no change",
    "number": "Which trial of its version, from 0, the recipe as it is",
    "numbers": "What the decision rests on",
    "open": "First price",
    "open_time": "When the candle begins; with the series its identity",
    "outcome": "What came of it: a result, and the error of a part that failed; null until it is done",
    "p_up": "Probability that the close is above `last_close`; null from who has no opinion",
    "parameters": "What was asked for",
    "phase": "`news`, `past` or `model`",
    "position": "Number of the row in its series' chain, from 1",
    "price": "In the symbol's quote currency",
    "priced_at": "When it was that price, by the source",
    "promoted_at": "When it became champion, by the venue's clock",
    "quantiles": "13 quantiles of the close, at the levels of `candlecast/forecast.py`",
    "quote_volume": "Traded amount in the quote currency; null where the venue does not say",
    "range": "High minus low",
    "realised_close": "What came; null until it is known",
    "reason": "Why it was promoted",
    "recheck_at": "When the venue is asked again, by its clock",
    "recorded_at": "When the row was written, by the database's own clock",
    "reference_end": "Newest cutoff of the reference window",
    "reference_rows": "How many rows of it were compared",
    "reference_start": "The reference window's cutoffs lie after this",
    "replaced_by": "The source of the candle that replaced it",
    "request_id": "The request that the run took on; null for one of the schedule",
    "requested_at": "When it was asked for",
    "requested_by": "The name of the token that asked, or the part of the product that did",
    "retraining_decision.reason": "Why, or why not",
    "retraining_decision.request_id": "The request that it led to",
    "retraining_decision.run_id": "The scheduled training that it is about",
    "ringing": "Alarms that go on after it: `skill`, `drift`",
    "role": "`champion`, `challenger` or `baseline`, at the moment it spoke",
    "rows": "Rows written",
    "run_id": "The run that made it",
    "run_part.holder": "Host and process that tried it last",
    "run_part.name": "The series, or venue and interval of the model",
    "run_part.position": "Its place in the order of its phase, from 0",
    "run_part.run_id": "The run that it is a part of",
    "run_log.lines": "At most 200 lines, oldest first, each with `at`, `level` and `message`",
    "runs": "How many",
    "scores": "Distance, threshold and verdict per column",
    "series_id": "Of which series",
    "seconds": "How long fitting and scoring took",
    "seed": "What made the random choices",
    "sha256": "Hash of the bytes",
    "share": "Share of the columns that drifted",
    "skew_at": "When the skew was measured, by the wall clock",
    "skew_seconds": "The source's clock minus ours",
    "source": "Who said it: a venue, its archive, or another one that stood in",
    "start_time": "First open time, or the first cutoff of an evaluation",
    "started_at": "When it began",
    "state": "`running`, `succeeded`, `failed` or `cancelled`",
    "stored": "Candles that are stored",
    "symbol": "`BASE-QUOTE`, such as `BTC-USDT`",
    "task": "What is to be done",
    "taker_buy_volume": "Amount that takers bought; null where the venue does not say",
    "target": "How many steps it has; null until it knows",
    "target_time": "Close time of the candle that is predicted: cutoff + horizon * interval",
    "train": "Whether to train",
    "trades": "Number of trades; null where the venue does not say",
    "tries": "How many processes have begun it",
    "trial.parameters": "Settings in place of the recipe's",
    "trial.scores": "Over the newest fifth of what came before the hold-out",
    "value": "The number; null where it is not defined",
    "venue": "Where candles come from: `binance`, `replay`, ...",
    "verified_at": "When the file was last found to be what its checksum says",
    "volume": "Traded amount in the base currency",
}
"""By column name; `table.column` where one table means something else."""

_HEAD = """# Data dictionary

Every table and column. Times are `timestamptz` in UTC, prices and volumes `double precision`; a candle's prices are in
the quote currency. Generated from `candlecast/store/schema.py` and `tools/dictionary.py` by `make generate`.
"""


def tables() -> list[Table]:
    """Return the tables, and the views that are read like tables."""
    return [one for one in vars(schema).values() if isinstance(one, Table)]


def meaning(column: Column[object]) -> str:
    """Return what a column means; raise KeyError for one that nobody has described."""
    own = f"{column.table.name}.{column.name}"
    return MEANINGS[own] if own in MEANINGS else MEANINGS[column.name]


def data_dictionary() -> str:
    """Return the dictionary as Markdown."""
    return _HEAD + "".join(part for table in tables() for part in _table(table))


def _table(table: Table) -> Iterator[str]:
    yield f"\n## {table.name}\n\n{TABLES[table.name]}\n\n"
    yield "| column | type | null | key | what it is |\n|---|---|---|---|---|\n"
    for column in table.columns:
        null = "yes" if column.nullable else ""
        text = meaning(column).replace("|", "\\|")
        yield f"| `{column.name}` | {_type(column)} | {null} | {_key(column)} | {text} |\n"


def _type(column: Column[object]) -> str:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it unannotated
    return str(column.type.compile(dialect)).lower().replace("timestamp with time zone", "timestamptz")


def _key(column: Column[object]) -> str:
    points = [f"-> `{key.column.table.name}.{key.column.name}`" for key in column.foreign_keys]
    return " ".join(["primary", *points] if column.primary_key else points)
