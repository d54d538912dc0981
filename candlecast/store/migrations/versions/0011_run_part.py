"""Parts of a run, for the processes that share it."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE run_part (
    run_id bigint NOT NULL REFERENCES job_run (id) ON DELETE CASCADE,
    phase text NOT NULL,
    name text NOT NULL,
    lane text NOT NULL,
    position integer NOT NULL,
    task jsonb NOT NULL,
    tries smallint NOT NULL DEFAULT 0,
    holder text,
    outcome jsonb,
    finished_at timestamptz,
    PRIMARY KEY (run_id, phase, name),
    CONSTRAINT run_part_finished_check CHECK ((outcome IS NULL) = (finished_at IS NULL))
);
CREATE INDEX run_part_run_id_lane_position_idx ON run_part (run_id, lane, position) WHERE outcome IS NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
