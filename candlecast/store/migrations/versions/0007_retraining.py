"""When it was decided to train again, or not, and why."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE retraining_decision (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text NOT NULL,
    interval text NOT NULL,
    train boolean NOT NULL,
    reason text NOT NULL,
    ringing text[] NOT NULL,
    numbers jsonb NOT NULL,
    decided_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id bigint REFERENCES job_run (id) ON DELETE SET NULL,
    request_id bigint REFERENCES run_request (id) ON DELETE SET NULL
);
CREATE INDEX retraining_decision_venue_idx ON retraining_decision (venue, interval, id);
CREATE INDEX retraining_decision_run_id_idx ON retraining_decision (run_id);
CREATE INDEX retraining_decision_request_id_idx ON retraining_decision (request_id);
"""


def upgrade() -> None:
    op.execute(TABLES)
