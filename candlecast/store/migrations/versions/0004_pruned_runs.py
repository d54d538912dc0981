"""How many runs were pruned: the counters of ended runs never go back."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE pruned_run (
    job text NOT NULL,
    state text NOT NULL,
    runs bigint NOT NULL,
    PRIMARY KEY (job, state)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
