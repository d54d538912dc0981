"""Drift reports: scores of every run, the page for people of some."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# The page is compressed before it arrives, so Postgres need not try.
TABLES = """
CREATE TABLE drift_report (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text NOT NULL,
    interval text NOT NULL,
    model_version text REFERENCES model_version (id),
    run_id bigint REFERENCES job_run (id),
    created_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reference_start timestamptz NOT NULL,
    reference_end timestamptz NOT NULL,
    reference_rows integer NOT NULL,
    current_start timestamptz NOT NULL,
    current_end timestamptz NOT NULL,
    current_rows integer NOT NULL,
    method text NOT NULL,
    share double precision NOT NULL,
    drifted boolean NOT NULL,
    scores jsonb NOT NULL,
    html bytea,
    CONSTRAINT drift_report_windows_check CHECK (reference_start < reference_end AND reference_end <= current_start
        AND current_start < current_end),
    CONSTRAINT drift_report_share_check CHECK (share BETWEEN 0 AND 1)
);
CREATE INDEX drift_report_venue_idx ON drift_report (venue, interval, id);
ALTER TABLE drift_report ALTER COLUMN html SET STORAGE EXTERNAL;
"""


def upgrade() -> None:
    op.execute(TABLES)
