"""What a model version would have said before it was there: marked history beside the ledger, never in it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE evaluation_forecast (
    model_version text NOT NULL REFERENCES model_version (id),
    series_id integer NOT NULL REFERENCES series (id),
    horizon smallint NOT NULL,
    cutoff timestamptz NOT NULL,
    in_sample boolean NOT NULL,
    last_close double precision NOT NULL,
    close double precision NOT NULL,
    p_up double precision,
    quantiles double precision[] NOT NULL,
    PRIMARY KEY (model_version, series_id, horizon, cutoff),
    CONSTRAINT evaluation_forecast_horizon_check CHECK (horizon >= 1),
    CONSTRAINT evaluation_forecast_p_up_check CHECK (p_up BETWEEN 0 AND 1),
    CONSTRAINT evaluation_forecast_quantiles_check CHECK (cardinality(quantiles) = 13)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
