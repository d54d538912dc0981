"""What the newest look at a whole series found, so that nobody has to count its candles at every scrape."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE series_audit (
    series_id integer PRIMARY KEY REFERENCES series (id),
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    expected bigint NOT NULL,
    stored bigint NOT NULL,
    confirmed bigint NOT NULL,
    audited_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


def upgrade() -> None:
    op.execute(TABLES)
