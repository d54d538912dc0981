"""What a run logged, for those who cannot see its process."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE run_log (
    run_id bigint PRIMARY KEY REFERENCES job_run (id) ON DELETE CASCADE,
    lines jsonb NOT NULL
);
"""


def upgrade() -> None:
    op.execute(TABLES)
