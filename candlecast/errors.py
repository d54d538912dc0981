"""Every error candlecast raises on purpose, with the three things its readers need.

CandlecastError                 exit 1   http 500
├── UsageError                  exit 64  http 400   the command or request is misspelt
│   ├── TooLarge                http 413            the request is larger than the service reads
│   ├── HeadTooLarge            http 431            its address or headers are
│   ├── TooSlow                 http 408            it did not arrive in time
│   ├── NoHttp                  http 400            it is no HTTP
│   ├── NotJson                 http 400            its body cannot be read
│   ├── NotParquet              http 400
│   ├── UnsupportedMediaType    http 415            its body is of a kind that the route does not read
│   ├── MethodNotAllowed        http 405
│   └── InvalidRequest          http 422            its fields are not what the route asks for
├── ConfigurationError          exit 78  http 500   a person must act; do not retry
├── Unauthorized                exit 77  http 401   no token, or a wrong one
├── TemporaryError              exit 75  http 503   try again later
│   ├── VenueUnavailable
│   ├── RateLimited             (retry_after)
│   ├── RestrictedLocation      try the next venue
│   ├── ChecksumMismatch        a file of an archive is damaged, or being replaced
│   ├── TooManyAttempts         http 429            (retry_after)
│   ├── TooBusy                 http 429            (retry_after)
│   ├── StoreUnavailable
│   ├── JobLocked               names the holder
│   ├── Interrupted             SIGTERM ended the run
│   └── LockLost                another run may have begun
├── DataError                   exit 65  http 422
│   ├── InvalidCandles
│   ├── NotEnoughCandles
│   ├── GapInWindow
│   ├── ForecastRefused         the ledger does not take it: too late, or not about the future
│   ├── UnknownSeries           http 404
│   └── NotFound                http 404   any other thing asked for by name
├── ModelError                  exit 70  http 409
│   ├── FeatureMismatch
│   └── ArtifactCorrupt
└── InternalError               a defect

`exit_code` is what a job's process ends with and what the chart's podFailurePolicy reads;
`http_status` is what the service answers; `code` is the machine's word for both; `remedy` says what to do, and what
to type. `docs/errors.md` and the service's page of errors are made from this tree.
The message is a sentence for a person: it names the thing and the way out.
"""

import re
from typing import Any, ClassVar


class CandlecastError(Exception):
    """Base of all errors that candlecast raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    remedy: ClassVar[str] = "Read the message; the log has the line with the same request id or run id."

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def code(self) -> str:
        """Return the error's name as a snake_case word, such as `unknown_series`."""
        return self.named()

    @classmethod
    def named(cls) -> str:
        """Return the code of this class."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


class UsageError(CandlecastError):
    """The command line or the request is misspelt."""

    exit_code = 64
    http_status = 400
    remedy = (
        "Read the message, which names the word that is wrong. `GET /docs` lists what each route takes, "
        "`--help` what a command takes."
    )


class TooLarge(UsageError):
    """The request is larger than the service reads."""

    http_status = 413
    remedy = (
        "Send less at once, or let whoever runs the service raise `CANDLECAST_MAX_REQUEST_BYTES` or "
        "`CANDLECAST_MAX_REQUEST_CANDLES`."
    )


class HeadTooLarge(UsageError):
    """The request's address or its headers are larger than the service reads."""

    http_status = 431
    remedy = "Send fewer and shorter headers, and a shorter address."


class TooSlow(UsageError):
    """The request did not arrive in time."""

    http_status = 408
    remedy = "Send it again, at once and over a faster connection, or send less."


class NoHttp(UsageError):
    """What arrived is not HTTP."""

    remedy = "Ask with an HTTP client such as `curl`; TLS ends at the proxy in front of the service."


class NotJson(UsageError):
    """The request's body is not JSON, or names a field twice."""

    remedy = "Send JSON in UTF-8 that names each field once: `curl -H 'content-type: application/json' -d @FILE ...`."


class NotParquet(UsageError):
    """The request's body is not a Parquet file, or not one with a column per name of a candle."""

    remedy = "Write it with pandas or pyarrow: `frame.to_parquet(FILE)`, with the columns that the message names."


class UnsupportedMediaType(UsageError):
    """The request's body is of a kind that this route does not read."""

    http_status = 415
    remedy = "Send a `content-type` that the message names, and no `content-encoding`."


class MethodNotAllowed(UsageError):
    """There is such an address, but not with this method."""

    http_status = 405
    remedy = "Use a method of the answer's `Allow`; `GET /openapi.json` lists the routes."


class InvalidRequest(UsageError):
    """A parameter or a field of the body is missing, unknown or of another kind."""

    http_status = 422
    remedy = "Mend the field that `errors` names; `GET /docs` shows what each route takes."


class ConfigurationError(CandlecastError):
    """A setting is missing or wrong; retrying cannot help."""

    exit_code = 78
    remedy = "Set the variable that the message names; `docs/configuration.md` lists all of them."


class Unauthorized(CandlecastError):
    """The request carries no token, or a wrong one."""

    exit_code = 77
    http_status = 401
    remedy = (
        "Send `Authorization: Bearer TOKEN`. A new token: `openssl rand -hex 32`; its entry in "
        "`CANDLECAST_API_TOKENS`: `name:$(printf %s TOKEN | sha256sum | cut -d' ' -f1)`."
    )


class TemporaryError(CandlecastError):
    """Something outside is away for now; the same call may succeed later."""

    exit_code = 75
    http_status = 503
    remedy = "Wait, then send the same request or start the same job again."


class VenueUnavailable(TemporaryError):
    """The venue does not answer, or answers with a server error."""

    remedy = (
        "Wait: the next run asks again and goes on where this one stopped. `CANDLECAST_FALLBACKS` names "
        "venues that stand in."
    )


class RateLimited(TemporaryError):
    """The venue asks us to slow down; `retry_after` seconds where it says how long."""

    remedy = "Wait as long as the message says; `CANDLECAST_VENUE_CONCURRENCY=1` asks more slowly."

    def __init__(self, message: str, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class RestrictedLocation(TemporaryError):
    """The venue refuses this place for legal reasons; another venue may answer."""

    remedy = (
        "Name a venue that answers from here: `CANDLECAST_FALLBACKS=binance:BTC-USDT=kraken:BTC-USDT`, or run "
        "elsewhere."
    )


class ChecksumMismatch(TemporaryError):
    """A file of an archive is not what its checksum says: damaged on the way, or just being replaced."""

    remedy = (
        "Wait: the next run fetches the file again. An empty `CANDLECAST_BINANCE_ARCHIVE_URL` leaves archives alone."
    )


class TooManyAttempts(TemporaryError):
    """Too many wrong tokens came from one address; others are refused like this for `retry_after` seconds.

    Ten within a minute are too many; a right token that came from there before passes all the while, for many callers
    may share an address. Each worker process of the service counts those that came to it.
    """

    http_status = 429
    remedy = (
        "Wait, then send the right token. Where all callers seem to share one address, name the proxy in front in "
        "`CANDLECAST_TRUSTED_PROXIES`."
    )

    def __init__(self, message: str, retry_after: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class TooBusy(TemporaryError):
    """Too many requests with candles of their own wait for their turn; come back after `retry_after` seconds.

    Each worker process of the service has a queue for short requests and one for long ones.
    """

    http_status = 429
    remedy = (
        "Wait as long as `Retry-After` says, then send it again; ask for many cutoffs of one array with `last`, not "
        "one by one. Whoever runs the service may add workers, or raise `CANDLECAST_MAX_WAITING_FORECASTS`."
    )

    def __init__(self, message: str, retry_after: float, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class StoreUnavailable(TemporaryError):
    """The database cannot be reached."""

    remedy = "Look whether Postgres runs and `CANDLECAST_DATABASE_URL` is right: `python -m candlecast.store wait`."


class JobLocked(TemporaryError):
    """Another run of the same job holds the lock."""

    remedy = "Wait until the run that the message names has ended; `GET /v1/runs` shows it."


class Interrupted(TemporaryError):
    """The process was told to end (SIGTERM) and stopped after its current step."""

    remedy = "Nothing: the next run goes on from here."


class LockLost(TemporaryError):
    """The connection that held the job's lock is gone, so another run may have begun."""

    remedy = "Nothing: the next run goes on from here. Often: look at the database's restarts and poolers."


class DataError(CandlecastError):
    """The candles, or the request about them, are wrong."""

    exit_code = 65
    http_status = 422
    remedy = "Read the message, which names the row or the series that is wrong."


class InvalidCandles(DataError):
    """Candles contradict themselves; `details` names row, reason and count."""

    remedy = (
        "Mend the row that the message names: high at or above open and close, low at or below them, prices "
        "above 0, open times ascending and on the grid of the interval."
    )


class NotEnoughCandles(DataError):
    """Fewer candles than the calculation needs."""

    remedy = 'Send more candles, or let a run fetch them: `POST /v1/runs` with `{"job": "ingestion"}`.'


class GapInWindow(DataError):
    """Candles are missing inside the window that the calculation reads."""

    remedy = 'Send the missing candles, or let a run fetch them: `POST /v1/runs` with `{"job": "ingestion"}`.'


class ForecastRefused(DataError):
    """The ledger does not take this forecast: it comes too late, or contradicts itself."""

    remedy = "Nothing: the next candle brings the next forecast. Often: look at the clocks of the pods."


class UnknownSeries(DataError):
    """No such series is configured or stored."""

    http_status = 404
    remedy = "Write `venue:BASE-QUOTE:interval`, such as `binance:BTC-USDT:15m`; `GET /v1/series` lists what there is."


class NotFound(DataError):
    """No row of that name or number exists."""

    http_status = 404
    remedy = "Look at the list that the message names; `GET /openapi.json` lists the routes."


class ModelError(CandlecastError):
    """A model version cannot be used."""

    exit_code = 70
    http_status = 409
    remedy = 'Train again: `POST /v1/runs` with `{"job": "training"}`.'


class FeatureMismatch(ModelError):
    """The model was fitted on other features than this code builds."""

    remedy = 'Train again with this version: `POST /v1/runs` with `{"job": "training"}`.'


class ArtifactCorrupt(ModelError):
    """The stored bytes of a model version are not the ones that were registered."""

    remedy = (
        "Promote another version or train again, and look who writes into the database: `POST /v1/runs` with "
        '`{"job": "training"}`.'
    )


class InternalError(CandlecastError):
    """Something happened that nobody foresaw: a defect."""

    remedy = "Look for the `request_id` in the service's log, and report the traceback beside it."


def error_of(code: str, message: str) -> CandlecastError:
    """Return the error of that code again, as another process told it; a code that nobody knows is the root's."""
    kind = next((one for one in error_tree() if one.named() == code), CandlecastError)
    error = kind.__new__(kind)
    CandlecastError.__init__(error, message)
    return error


def error_tree() -> list[type[CandlecastError]]:
    """Return every class of the tree, a parent before its children."""

    def below(parent: type[CandlecastError]) -> list[type[CandlecastError]]:
        own = [child for child in parent.__subclasses__() if child.__module__ == __name__]
        return [parent, *(found for child in own for found in below(child))]

    return below(CandlecastError)
