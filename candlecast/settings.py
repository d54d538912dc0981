"""All settings: field default, then `CANDLECAST_...` environment, then a command's flag.

Built once at the border of a process (`__main__`) and passed down; nothing else reads the environment.
"""

import itertools
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from candlecast.candles import Series, Symbol
from candlecast.errors import ConfigurationError, UsageError

# Nobody stands in for a market that is made up or played back, nor the other way round.
_ALONE = {"replay", "simulated"}

DEFAULT_SERIES = "binance:{BTC,ETH,SOL,BNB,XRP}-USDT:{5m,15m,1h}"


class Settings(BaseSettings):
    """Everything that can be set. Each field's environment variable is CANDLECAST_ and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="CANDLECAST_", use_attribute_docstrings=True, frozen=True)

    database_url: SecretStr | None = None
    """Postgres, as `postgresql://user:password@host/name`. Left out, local commands start an embedded one."""

    database_direct_url: SecretStr | None = None
    """The same database without a transaction pooler in between, for LISTEN. Left out, changes are polled for."""

    database_user: str | None = None
    """User to connect as, instead of the one in the database's URLs."""

    database_password: SecretStr | None = None
    """That user's password, instead of the one in the database's URLs; nothing in it has to be escaped."""

    data_dir: Path = Path("var")
    """Where local runs keep the embedded database and their token."""

    series: Annotated[tuple[Series, ...], NoDecode] = Field(default=DEFAULT_SERIES, validate_default=True)
    """Series to ingest, train and serve, separated by commas or spaces; braces expand, as in the default."""

    horizons: Annotated[tuple[int, ...], NoDecode] = Field(default="1,5", validate_default=True)
    """How many candles ahead to forecast, separated by commas."""

    backfill_days: float = Field(default=90, gt=0)
    """How many days before the venue's now a new series starts."""

    fallbacks: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(default_factory=dict)
    """Which venues stand in for a series' own while that cannot be asked, as
    `binance:BTC-USDT=kraken:BTC-USDT coinbase:BTC-USDT`, separated by commas; they must trade the very same pair."""

    venue_concurrency: int = Field(default=4, ge=1)
    """Series of one venue that ingestion asks for at once."""

    ingestion_parallelism: int = Field(default=1, ge=1, le=100)
    """Processes that share a run of ingestion out, series by series. Each keeps to its share of what a venue allows."""

    overlap_candles: int = Field(default=10, ge=0)
    """Newest stored candles that ingestion asks for again with the next ones: a venue may have restated them."""

    gap_recheck_days: Annotated[tuple[float, ...], NoDecode] = Field(default="1,7,30", validate_default=True)
    """Days after which a gap that the venue has itself is asked for again: the first time, the second, and so on."""

    price_tolerance: float = Field(default=0.02, gt=0)
    """How far a last price may be from the newest close, as a share of the close, before the two disagree."""

    max_series: int = Field(default=100, ge=1)
    """Most series, configured and asked for by runs together; a run that names one more is refused."""

    retention_run_days: float = Field(default=90, gt=0)
    """Days that ended runs and answered requests are kept; the newest success of every job stays."""

    retention_drift_page_days: float = Field(default=30, gt=0)
    """Days that the pages of drift reports are kept; their scores stay."""

    retention_artefact_days: float = Field(default=30, gt=0)
    """Days that the artefacts of model versions that never answered are kept."""

    retention_candle_days: float | None = Field(default=None, gt=0)
    """Days of candles that are kept, at least `backfill_days`; left out, all. What a forecast is scored with stays."""

    max_staleness: int = Field(default=3, ge=0)
    """Intervals after a forecast's target time before the service says nothing rather than something old."""

    min_train_candles: int = Field(default=2000, ge=1000)
    """Fewest candles of a series that training uses; with fewer it ends as `not_enough_candles`."""

    train_threads: int = Field(default=1, ge=1)
    """Threads of one training run; the CPU limit of its container, never more."""

    training_parallelism: int = Field(default=1, ge=1, le=100)
    """Processes that share a run of training out, model by model."""

    job_index: int = Field(default=0, ge=0)
    """Which of the processes of a run this one is: 0 leads, all others take part. Set by whoever starts them."""

    feature_dir: Path | None = None
    """Folder where training keeps feature matrices as Parquet, and takes those that were made from exactly its candles.
    Left out, it builds them anew."""

    train_trials: int = Field(default=0, ge=0, le=100)
    """Settings that a training tries, beside those of its recipe, before it fits; 0 tries none, because none was seen
    to help (docs/forecast-quality.md). Each costs a fit."""

    retrain_minimum_hours: float = Field(default=6, ge=0)
    """No training of a model sooner than this after the one before, unless a person asks for it."""

    retrain_maximum_hours: float = Field(default=24, gt=0)
    """A training is asked for when the one before is older than this; poor live skill or drift ask earlier."""

    retrain_daily_budget: int = Field(default=3, ge=1)
    """Most trainings of a model within 24 hours, those that persons ask for aside."""

    binance_url: str = "https://data-api.binance.vision"
    """Binance's public market-data host."""

    binance_archive_url: str = "https://data.binance.vision"
    """Where Binance publishes its past as files. Empty, its REST host is asked for everything."""

    coinbase_url: str = "https://api.exchange.coinbase.com"
    """Coinbase Exchange's public host."""

    kraken_url: str = "https://api.kraken.com"
    """Kraken's public host."""

    coingecko_url: str = "https://api.coingecko.com/api/v3"
    """CoinGecko, whose last prices are compared with the newest candles. Empty, nothing is compared."""

    coingecko_api_key: SecretStr | None = None
    """A demo key of CoinGecko. Left out, it is asked without one, which it allows less often."""

    binance_pause: float = Field(default=0, ge=0)
    """Seconds between two requests to Binance, which counts their weight instead."""

    coinbase_pause: float = Field(default=0.2, ge=0)
    """Seconds between two requests to Coinbase."""

    kraken_pause: float = Field(default=1, ge=0)
    """Seconds between two requests to Kraken."""

    coingecko_pause: float = Field(default=12, ge=0)
    """Seconds between two requests to CoinGecko."""

    venue_timeout: float = Field(default=10, gt=0)
    """Seconds to wait for a venue's answer."""

    venue_attempts: int = Field(default=5, ge=1)
    """Attempts per request before a temporary error is given up on."""

    venue_backoff: float = Field(default=0.7, ge=0)
    """Seconds before the second attempt; doubles with each further one, with jitter."""

    venue_longest_wait: float = Field(default=60, ge=0)
    """Most seconds to wait when a venue asks us to; what would take longer is left to a later run."""

    replay_dir: Path | None = None
    """Folder of `<venue>-<SYMBOL>-<interval>-<first>-<last>.csv.gz` files that the replay venue plays."""

    replay_start: datetime = datetime(2025, 9, 1, tzinfo=UTC)
    """Where the replay's clock starts."""

    replay_speed: float = Field(default=90, gt=0)
    """Venue seconds per wall second of the replay."""

    simulated_seed: int = 7
    """Seed of the simulated venue's market."""

    service_host: str = "127.0.0.1"
    """Address that the service listens on; 0.0.0.0 in a container."""

    service_port: int = Field(default=3000, ge=1, le=65535)
    """Port of the service."""

    service_workers: int = Field(default=1, ge=1)
    """Worker processes of the service."""

    poll_seconds: float = Field(default=2, gt=0)
    """How often the service and the dispatcher look for news where no notification arrives."""

    market_patience: float = Field(default=3, ge=0)
    """Most seconds that a forecast waits, after its candle arrived, for the other candles of the same moment that its
    model looks at; then it is made without them."""

    shadow_challenger: bool = True
    """Whether the newest judged model version that does not answer forecasts beside the champion: never served, written
    into the ledger as `challenger`."""

    max_request_bytes: int = Field(default=8_000_000, ge=1)
    """Largest request body that the service reads."""

    max_request_candles: int = Field(default=20_000, ge=512)
    """Most candles that a caller may send in one request."""

    max_waiting_forecasts: int = Field(default=100, ge=1)
    """Requests with candles of their own that may wait for their turn in each worker, a tenth of them where the answer
    takes long; one more is told to come back later."""

    api_tokens: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """Who may change things: `name:sha256-of-the-token` pairs, separated by commas."""

    protect_reading: bool = False
    """Whether reading `/v1` needs a token too. The screen then needs `CANDLECAST_API_TOKEN`."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins such as `https://desk.example.org`, separated by commas, whose pages may ask from a browser."""

    root_path: str = ""
    """Path that a proxy puts the service under, such as `/candlecast`; whether it strips it or not."""

    trusted_proxies: str = "127.0.0.1"
    """Addresses or networks of proxies, separated by commas, whose `X-Forwarded-For` names the caller; `*` for any."""

    api_token: SecretStr | None = None
    """Token that the screen uses towards the service. Left out, the screen asks for it."""

    api_base_url: str = "http://127.0.0.1:3000"
    """Where the screen finds the service."""

    ui_host: str = "127.0.0.1"
    """Address that the screen listens on; 0.0.0.0 in a container."""

    ui_port: int = Field(default=7860, ge=1, le=65535)
    """Port of the screen."""

    ui_root_path: str = ""
    """Path that a proxy puts the screen under, such as `/screen`; whether it strips it or not."""

    ui_password: SecretStr | None = None
    """Password that the screen asks for, with any user name. Left out, everybody who reaches it sees it."""

    ui_user_header: str | None = Field(default=None, pattern="^[A-Za-z0-9-]+$")
    """Header in which a proxy names the user it has let in, such as `X-Forwarded-User`; without it the screen answers
    nobody. Only behind a proxy that takes it off what clients send."""

    ui_dashboards_url: str | None = Field(default=None, pattern="^https?://")
    """Where the dashboards are, for the link on *How to read this*."""

    exporter_host: str = "127.0.0.1"
    """Address that the exporter listens on; 0.0.0.0 in a container."""

    exporter_port: int = Field(default=9108, ge=1, le=65535)
    """Port of the exporter's metrics."""

    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    """Port of the Prometheus that `make run MONITORING=1` runs."""

    alertmanager_port: int = Field(default=9093, ge=1, le=65535)
    """Port of the Alertmanager that `make run MONITORING=1` runs."""

    dispatcher_mode: str = Field(default="subprocess", pattern="^(none|subprocess|kubernetes)$")
    """How asked-for runs start: as subprocesses that follow the schedule too, as Kubernetes Jobs, or not at all."""

    namespace: str | None = None
    """Kubernetes dispatcher: the namespace that the CronJobs live in."""

    cronjobs: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """Kubernetes dispatcher: which CronJob each job is started from, as `job=cronjob` pairs, separated by commas."""

    kubernetes_url: str = "https://kubernetes.default.svc"
    """Kubernetes dispatcher: the API server."""

    kubernetes_credentials: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Kubernetes dispatcher: folder of the mounted service account's `token` and `ca.crt`."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Least severity that is logged."""

    def fallbacks_of(self, series: Series) -> tuple[str, ...]:
        """Return the venues that stand in for a series' own, in the order of asking."""
        return self.fallbacks.get(f"{series.venue}:{series.symbol}", ())

    def shared_pause(self, pause: float) -> float:
        """Return the pause of each process of an ingestion with which all of them together keep to `pause`."""
        return pause * self.ingestion_parallelism

    @property
    def gap_rechecks(self) -> tuple[timedelta, ...]:
        """Return how long a gap stays confirmed: the first time, the second, and so on."""
        return tuple(timedelta(days=days) for days in self.gap_recheck_days)

    @field_validator("series", mode="before")
    @classmethod
    def _parse_series(cls, value: object) -> object:
        return parse_series(value) if isinstance(value, str) else value

    @field_validator("series")
    @classmethod
    def _some_series(cls, value: tuple[Series, ...]) -> tuple[Series, ...]:
        if not value:
            raise ValueError("name at least one series, such as binance:BTC-USDT:15m")
        return value

    @field_validator("fallbacks", mode="before")
    @classmethod
    def _parse_fallbacks(cls, value: object) -> object:
        return _parse_fallbacks(value) if isinstance(value, str) else value

    @field_validator("gap_recheck_days", mode="before")
    @classmethod
    def _parse_days(cls, value: object) -> object:
        return tuple(float(part) for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("gap_recheck_days")
    @classmethod
    def _growing_days(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) <= 0 or list(value) != sorted(set(value)):
            raise ValueError("write numbers of days above 0, each larger than the one before")
        return value

    @field_validator("horizons", mode="before")
    @classmethod
    def _parse_horizons(cls, value: object) -> object:
        return tuple(sorted({int(part) for part in value.split(",")})) if isinstance(value, str) else value

    @field_validator("horizons")
    @classmethod
    def _positive_horizons(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 1:
            raise ValueError("a horizon is a whole number of candles ahead, 1 or more")
        return value

    @field_validator("api_tokens", mode="before")
    @classmethod
    def _parse_tokens(cls, value: object) -> object:
        return _parse_tokens(value) if isinstance(value, str) else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _parse_origins(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _whole_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/?#\s*]+", origin):
                raise ValueError(f"write scheme and host, such as https://desk.example.org; {origin!r} is no origin")
        return value

    @field_validator("root_path", "ui_root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        path = value.rstrip("/")
        if path and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
            raise ValueError(f"write it like /candlecast; {value!r} is no path")
        return path

    @field_validator("cronjobs", mode="before")
    @classmethod
    def _parse_cronjobs(cls, value: object) -> object:
        return _parse_cronjobs(value) if isinstance(value, str) else value

    @field_validator("retrain_maximum_hours")
    @classmethod
    def _above_minimum(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("retrain_minimum_hours", 0):
            raise ValueError("the longest time between trainings is below the shortest")
        return value

    @field_validator("replay_start")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, with `overrides` on top; raise ConfigurationError that names every wrong variable."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        problems = [
            f"CANDLECAST_{'_'.join(str(part) for part in problem['loc'][:1]).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        ]
        raise ConfigurationError("; ".join(problems)) from None


def parse_series(text: str) -> tuple[Series, ...]:
    """Return the series that `text` names, in order, each once; braces expand as in a shell. Raises ValueError."""
    try:
        words = [word for word in re.split(r"[\s,]+(?![^{]*})", text.strip()) if word]
        return tuple(dict.fromkeys(Series.parse(name) for word in words for name in _expand(word)))
    except UsageError as error:
        raise ValueError(error.message) from None


def _expand(pattern: str) -> list[str]:
    parts = re.split(r"\{([^}]*)\}", pattern)
    choices = [part.split(",") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _parse_fallbacks(text: str) -> dict[str, tuple[str, ...]]:
    pairs: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, others = entry.partition("=")
        if not equals or not others.split():
            raise ValueError(f"write venue:BASE-QUOTE=venue:BASE-QUOTE; {entry!r} names no venue that stands in")
        venue, symbol = _parse_pair(name.strip())
        pairs[f"{venue}:{symbol}"] = tuple(_parse_fallback(venue, symbol, other) for other in others.split())
    return pairs


def _parse_fallback(venue: str, symbol: Symbol, text: str) -> str:
    other, traded = _parse_pair(text)
    if traded != symbol:
        raise ValueError(f"{text} cannot stand in for {venue}:{symbol}: {traded} has other prices than {symbol}")
    if other == venue or {venue, other} & _ALONE:
        raise ValueError(f"{text} cannot stand in for {venue}:{symbol}; name another exchange")
    return other


def _parse_pair(text: str) -> tuple[str, Symbol]:
    try:
        series = Series.parse(f"{text}:1m")
    except UsageError as error:
        raise ValueError(error.message) from None
    return series.venue, series.symbol


def _parse_tokens(text: str) -> dict[str, str]:
    pairs = dict(part.strip().partition(":")[::2] for part in text.split(",") if part.strip())
    for name, digest in pairs.items():
        if not name or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"write name:sha256 pairs; the entry of {name!r} does not hold 64 hex digits")
    return pairs


def _parse_cronjobs(text: str) -> dict[str, str]:
    pairs = dict(part.strip().partition("=")[::2] for part in text.split(",") if part.strip())
    for job, name in pairs.items():
        if not job or not name:
            raise ValueError(f"write job=cronjob pairs; {job or name!r} is not one")
    return pairs
