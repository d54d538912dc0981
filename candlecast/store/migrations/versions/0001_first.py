"""Tables of the first candle's journey, the ledger's trigger and the view of realised errors."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE series (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue text NOT NULL,
    symbol text NOT NULL,
    interval text NOT NULL,
    interval_seconds integer NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT series_venue_key UNIQUE (venue, symbol, interval)
);

CREATE TABLE candle (
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
    ingested_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (series_id, open_time),
    CONSTRAINT candle_shape_check CHECK (high >= greatest(open, close) AND low <= least(open, close) AND low > 0)
);

CREATE TABLE venue_status (
    venue text PRIMARY KEY,
    clock_start timestamptz NOT NULL,
    clock_epoch timestamptz NOT NULL,
    clock_speed double precision NOT NULL,
    CONSTRAINT venue_status_clock_speed_check CHECK (clock_speed > 0)
);

CREATE TABLE run_request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    parameters jsonb NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at timestamptz,
    cancel boolean NOT NULL DEFAULT false
);
CREATE INDEX run_request_job_idx ON run_request (job, claimed_at);

CREATE TABLE job_run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    request_id bigint REFERENCES run_request (id),
    parameters jsonb NOT NULL,
    state text NOT NULL,
    holder text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    done integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    target integer,
    rows bigint NOT NULL DEFAULT 0,
    message text,
    exit_code smallint,
    error_code text,
    error text,
    CONSTRAINT job_run_state_check CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled'))
);
CREATE INDEX job_run_job_idx ON job_run (job, started_at);

CREATE TABLE model_version (
    id text PRIMARY KEY,
    kind text NOT NULL,
    venue text,
    interval text,
    created_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    manifest jsonb NOT NULL,
    decision jsonb,
    run_id bigint REFERENCES job_run (id)
);

CREATE TABLE model_artifact (
    model_version text NOT NULL REFERENCES model_version (id),
    name text NOT NULL,
    sha256 bytea NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (model_version, name)
);

CREATE TABLE champion (
    venue text NOT NULL,
    interval text NOT NULL,
    model_version text NOT NULL REFERENCES model_version (id),
    promoted_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    reason text NOT NULL,
    PRIMARY KEY (venue, interval)
);

CREATE TABLE evaluation (
    model_version text NOT NULL REFERENCES model_version (id),
    series_id integer NOT NULL REFERENCES series (id),
    horizon smallint NOT NULL,
    forecaster text NOT NULL,
    metric text NOT NULL,
    value double precision,
    count integer NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz NOT NULL,
    PRIMARY KEY (model_version, series_id, horizon, forecaster, metric)
);

CREATE TABLE forecast (
    series_id integer NOT NULL REFERENCES series (id),
    cutoff timestamptz NOT NULL,
    horizon smallint NOT NULL,
    model_version text NOT NULL REFERENCES model_version (id),
    role text NOT NULL,
    target_time timestamptz NOT NULL,
    issued_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    last_close double precision NOT NULL,
    close double precision NOT NULL,
    p_up double precision,
    open double precision,
    high double precision,
    low double precision,
    range double precision,
    quantiles double precision[] NOT NULL,
    position bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (series_id, cutoff, horizon, model_version),
    CONSTRAINT forecast_series_id_key UNIQUE (series_id, position),
    CONSTRAINT forecast_issued_before_target_check CHECK (issued_at < target_time AND cutoff <= issued_at),
    CONSTRAINT forecast_horizon_check CHECK (horizon >= 1 AND cutoff < target_time),
    CONSTRAINT forecast_p_up_check CHECK (p_up BETWEEN 0 AND 1),
    CONSTRAINT forecast_quantiles_check CHECK (cardinality(quantiles) = 13),
    CONSTRAINT forecast_role_check CHECK (role IN ('champion', 'challenger', 'baseline'))
);
"""

# The digest reads the binary form of every value, so that it does not depend on how numbers and times are printed:
# each value is its length (4 bytes, -1 for NULL) and its bytes, and the first one is the hash of the row before.
LEDGER = """
CREATE FUNCTION ledger_field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(int4send(length(value)) || value, int4send(-1))
$$;

CREATE FUNCTION ledger_digest(previous bytea, f forecast) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(
        ledger_field(previous)
        || ledger_field(int4send(f.series_id)) || ledger_field(int8send(f.position))
        || ledger_field(timestamptz_send(f.cutoff)) || ledger_field(int2send(f.horizon))
        || ledger_field(convert_to(f.model_version, 'UTF8')) || ledger_field(convert_to(f.role, 'UTF8'))
        || ledger_field(timestamptz_send(f.target_time)) || ledger_field(timestamptz_send(f.issued_at))
        || ledger_field(timestamptz_send(f.recorded_at))
        || ledger_field(float8send(f.last_close)) || ledger_field(float8send(f.close))
        || ledger_field(float8send(f.p_up)) || ledger_field(float8send(f.open)) || ledger_field(float8send(f.high))
        || ledger_field(float8send(f.low)) || ledger_field(float8send(f.range))
        || ledger_field(array_send(f.quantiles))
    )
$$;

-- A live venue's clock is the wall clock, so there the database can see for itself that the future was not known.
CREATE FUNCTION ledger_append() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
    about record;
BEGIN
    -- The lock first: whoever waits for it may wait past the target.
    PERFORM pg_advisory_xact_lock(hashtext('candlecast:ledger'), NEW.series_id);
    NEW.recorded_at := clock_timestamp();
    SELECT venue, interval_seconds INTO about FROM series WHERE id = NEW.series_id;
    IF NEW.target_time <> NEW.cutoff + NEW.horizon * make_interval(secs => about.interval_seconds) THEN
        RAISE EXCEPTION 'target_time % is not % intervals after cutoff %', NEW.target_time, NEW.horizon, NEW.cutoff
            USING ERRCODE = 'check_violation';
    END IF;
    IF about.venue <> 'replay' AND NEW.recorded_at >= NEW.target_time THEN
        RAISE EXCEPTION 'too late: % is past, a forecast is written down before its target', NEW.target_time
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT f.position, f.hash INTO last FROM forecast f
        WHERE f.series_id = NEW.series_id ORDER BY f.position DESC LIMIT 1;
    NEW.position := coalesce(last.position, 0) + 1;
    NEW.hash := ledger_digest(last.hash, NEW);
    RETURN NEW;
END $$;

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER forecast_append BEFORE INSERT ON forecast FOR EACH ROW EXECUTE FUNCTION ledger_append();
CREATE TRIGGER forecast_refuse BEFORE UPDATE OR DELETE ON forecast FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
CREATE TRIGGER forecast_refuse_truncate BEFORE TRUNCATE ON forecast EXECUTE FUNCTION ledger_refuse();

CREATE VIEW forecast_error AS
SELECT f.series_id, f.cutoff, f.horizon, f.model_version, f.role, f.target_time, f.issued_at, f.last_close, f.close,
       f.p_up, f.quantiles, c.close AS realised_close, f.close - c.close AS error,
       abs(f.close - c.close) AS absolute_error, abs(f.last_close - c.close) AS naive_absolute_error
FROM forecast f
JOIN series s ON s.id = f.series_id
JOIN candle c ON c.series_id = f.series_id AND c.open_time = f.target_time - make_interval(secs => s.interval_seconds);
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(LEDGER)
