"""Settings that a training tried."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE trial (
    model_version text NOT NULL REFERENCES model_version (id),
    number smallint NOT NULL,
    parameters jsonb NOT NULL,
    seed bigint NOT NULL,
    scores jsonb NOT NULL,
    seconds double precision NOT NULL,
    chosen boolean NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (model_version, number)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
