"""What is thrown away when it is old. The ledger, corrections, scores and the rows of model versions never are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long things are kept, by the database's own clock; candles by how long before their series' newest.

    `candles` None keeps them all. Less than what ingestion backfills would make it fetch them again.
    """

    runs: timedelta
    drift_pages: timedelta
    artefacts: timedelta
    candles: timedelta | None = None


# Ended runs, except those that a model version or a drift report names and the newest success of every job. The
# exporter counts what is deleted as if it were there.
_RUNS = """
WITH pruned AS (
    DELETE FROM job_run j
    WHERE j.finished_at < clock_timestamp() - :runs
      AND NOT EXISTS (SELECT FROM model_version m WHERE m.run_id = j.id)
      AND NOT EXISTS (SELECT FROM drift_report d WHERE d.run_id = j.id)
      AND j.id NOT IN (SELECT max(id) FROM job_run WHERE state = 'succeeded' GROUP BY job)
    RETURNING job, state
), counted AS (
    INSERT INTO pruned_run AS p (job, state, runs)
    SELECT job, state, count(*) FROM pruned GROUP BY job, state
    ON CONFLICT (job, state) DO UPDATE SET runs = p.runs + excluded.runs
)
SELECT count(*) FROM pruned
"""

# Requests that nobody waits for any more and no run is left of.
_REQUESTS = """
WITH pruned AS (
    DELETE FROM run_request r
    WHERE r.requested_at < clock_timestamp() - :runs AND (r.claimed_at IS NOT NULL OR r.cancel)
      AND NOT EXISTS (SELECT FROM job_run j WHERE j.request_id = r.id)
    RETURNING r.id
)
SELECT count(*) FROM pruned
"""

# All but the newest of each venue and interval, which says which alarms ring on.
_DECISIONS = """
WITH pruned AS (
    DELETE FROM retraining_decision d
    WHERE d.recorded_at < clock_timestamp() - :runs
      AND d.id NOT IN (SELECT max(id) FROM retraining_decision GROUP BY venue, interval)
    RETURNING d.id
)
SELECT count(*) FROM pruned
"""

_DRIFT_PAGES = """
WITH pruned AS (
    UPDATE drift_report SET html = NULL
    WHERE html IS NOT NULL AND recorded_at < clock_timestamp() - :drift_pages
    RETURNING id
)
SELECT count(*) FROM pruned
"""

# The bytes of model versions that never answered: not promoted, not champion, and nothing of theirs in the ledger but
# what they said as challengers.
_ARTEFACTS = """
WITH pruned AS (
    DELETE FROM model_artifact a USING model_version m
    WHERE m.id = a.model_version AND m.recorded_at < clock_timestamp() - :artefacts
      AND m.decision ->> 'promote' IS DISTINCT FROM 'true'
      AND NOT EXISTS (SELECT FROM champion c WHERE c.model_version = m.id)
      AND NOT EXISTS (SELECT FROM forecast f WHERE f.model_version = m.id AND f.role <> 'challenger')
    RETURNING a.name
)
SELECT count(*) FROM pruned
"""

# What evaluation said of versions that neither answer nor are the newest of their venue and interval.
_EVALUATION_FORECASTS = """
WITH told AS (
    SELECT id, venue, interval, recorded_at FROM model_version m
    WHERE EXISTS (SELECT FROM evaluation_forecast e WHERE e.model_version = m.id)
), pruned AS (
    DELETE FROM evaluation_forecast e USING told
    WHERE e.model_version = told.id
      AND NOT EXISTS (SELECT FROM champion c WHERE c.model_version = told.id)
      AND EXISTS (
          SELECT FROM told newer
          WHERE (newer.venue, newer.interval) = (told.venue, told.interval) AND newer.recorded_at > told.recorded_at
      )
    RETURNING e.cutoff
)
SELECT count(*) FROM pruned
"""

# A candle that a forecast of the ledger is about is what the forecast is scored with.
_CANDLES = """
WITH pruned AS (
    DELETE FROM candle c USING (
        SELECT id, make_interval(secs => interval_seconds) AS step,
               newest.open_time - CAST(:candles AS interval) AS first
        FROM series s CROSS JOIN LATERAL (
            SELECT open_time FROM candle WHERE series_id = s.id ORDER BY open_time DESC LIMIT 1
        ) newest
    ) kept
    WHERE c.series_id = kept.id AND c.open_time < kept.first AND NOT EXISTS (
        SELECT FROM forecast f WHERE f.series_id = c.series_id AND f.target_time = c.open_time + kept.step
    )
    RETURNING c.open_time
)
SELECT count(*) FROM pruned
"""

_KINDS = {
    "runs": _RUNS,
    "requests": _REQUESTS,
    "decisions": _DECISIONS,
    "drift_pages": _DRIFT_PAGES,
    "artefacts": _ARTEFACTS,
    "evaluation_forecasts": _EVALUATION_FORECASTS,
    "candles": _CANDLES,
}
"""What is pruned, in this order: one statement each, which returns how many rows it touched."""


def prune(connection: Connection, policy: RetentionPolicy, *, dry_run: bool) -> dict[str, int]:
    """Throw away what is older than the policy keeps; return how many rows of each kind.

    A dry run does the same and takes it back, so that it counts exactly what would go.
    """
    kept = {name: getattr(policy, name) for name in ("runs", "drift_pages", "artefacts", "candles")}
    with connection.begin_nested() as savepoint:
        counts: dict[str, int] = {
            kind: connection.execute(text(statement), kept).scalar_one() for kind, statement in _KINDS.items()
        }
        if dry_run:
            savepoint.rollback()
    return counts
