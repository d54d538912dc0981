"""Where candles came from and what they replaced, gaps that the venue has itself, and the state of every source."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE series ADD COLUMN asked_at timestamptz;

CREATE TABLE candle_correction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_id integer NOT NULL REFERENCES series (id),
    open_time timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision NOT NULL,
    quote_volume double precision,
    trades bigint,
    taker_buy_volume double precision,
    source text NOT NULL,
    replaced_by text NOT NULL,
    corrected_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX candle_correction_series_id_idx ON candle_correction (series_id, open_time);

CREATE TABLE confirmed_gap (
    series_id integer NOT NULL REFERENCES series (id),
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    source text NOT NULL,
    evidence text NOT NULL,
    confirmed_at timestamptz NOT NULL,
    recheck_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (series_id, start_time),
    CONSTRAINT confirmed_gap_span_check CHECK (start_time < end_time)
);

CREATE TABLE source_status (
    source text PRIMARY KEY,
    banned_until timestamptz,
    ban_reason text,
    skew_seconds double precision,
    skew_at timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE archive_file (
    source text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, name)
);

CREATE TABLE last_price (
    symbol text NOT NULL,
    source text NOT NULL,
    price double precision NOT NULL,
    priced_at timestamptz NOT NULL,
    disagrees boolean,
    disagreements bigint NOT NULL DEFAULT 0,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (symbol, source),
    CONSTRAINT last_price_price_check CHECK (price > 0)
);
"""

APPEND_ONLY = """
CREATE FUNCTION correction_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'corrections are append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER candle_correction_refuse BEFORE UPDATE OR DELETE ON candle_correction
    FOR EACH ROW EXECUTE FUNCTION correction_refuse();
CREATE TRIGGER candle_correction_refuse_truncate BEFORE TRUNCATE ON candle_correction
    EXECUTE FUNCTION correction_refuse();
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(APPEND_ONLY)
