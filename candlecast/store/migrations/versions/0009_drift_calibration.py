"""What the thresholds of a drift report were found on."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null where they are a rule of thumb, as those of all reports before this are.
    op.execute("ALTER TABLE drift_report ADD COLUMN calibration jsonb")
