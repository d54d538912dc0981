"""Every error candlecast raises on purpose, with the three things its readers need.

CandlecastError                 exit 1   http 500
├── UsageError                  exit 64  http 400   the command or request is misspelt
│   └── TooLarge                http 413            the request is larger than the service reads
├── ConfigurationError          exit 78  http 500   a person must act; do not retry
├── Unauthorized                exit 77  http 401   no token, or a wrong one
├── TemporaryError              exit 75  http 503   try again later
│   ├── VenueUnavailable
│   ├── RateLimited             (retry_after)
│   ├── RestrictedLocation      try the next venue
│   ├── StoreUnavailable
│   └── JobLocked               names the holder
├── DataError                   exit 65  http 422
│   ├── InvalidCandles
│   ├── NotEnoughCandles
│   ├── GapInWindow
│   ├── ForecastRefused         the ledger does not take it: too late, or not about the future
│   ├── UnknownSeries           http 404
│   └── NotFound                http 404   any other thing asked for by name
└── ModelError                  exit 70  http 409
    ├── FeatureMismatch
    └── ArtifactCorrupt

`exit_code` is what a job's process ends with and what the chart's podFailurePolicy reads;
`http_status` is what the service answers; `code` is the machine's word for both.
The message is a sentence for a person: it names the thing and the way out.
"""

import re
from typing import Any, ClassVar


class CandlecastError(Exception):
    """Base of all errors that candlecast raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def code(self) -> str:
        """Return the error's name as a snake_case word, such as `unknown_series`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class UsageError(CandlecastError):
    """The command line or the request is misspelt."""

    exit_code = 64
    http_status = 400


class TooLarge(UsageError):
    """The request is larger than the service reads."""

    http_status = 413


class ConfigurationError(CandlecastError):
    """A setting is missing or wrong; retrying cannot help."""

    exit_code = 78


class Unauthorized(CandlecastError):
    """The request carries no token, or a wrong one."""

    exit_code = 77
    http_status = 401


class TemporaryError(CandlecastError):
    """Something outside is away for now; the same call may succeed later."""

    exit_code = 75
    http_status = 503


class VenueUnavailable(TemporaryError):
    """The venue does not answer, or answers with a server error."""


class RateLimited(TemporaryError):
    """The venue asks us to slow down; `retry_after` seconds where it says how long."""

    def __init__(self, message: str, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class RestrictedLocation(TemporaryError):
    """The venue refuses this place for legal reasons; another venue may answer."""


class StoreUnavailable(TemporaryError):
    """The database cannot be reached."""


class JobLocked(TemporaryError):
    """Another run of the same job holds the lock."""


class DataError(CandlecastError):
    """The candles, or the request about them, are wrong."""

    exit_code = 65
    http_status = 422


class InvalidCandles(DataError):
    """Candles contradict themselves; `details` names row, reason and count."""


class NotEnoughCandles(DataError):
    """Fewer candles than the calculation needs."""


class GapInWindow(DataError):
    """Candles are missing inside the window that the calculation reads."""


class ForecastRefused(DataError):
    """The ledger does not take this forecast: it comes too late, or contradicts itself."""


class UnknownSeries(DataError):
    """No such series is configured or stored."""

    http_status = 404


class NotFound(DataError):
    """No row of that name or number exists."""

    http_status = 404


class ModelError(CandlecastError):
    """A model version cannot be used."""

    exit_code = 70
    http_status = 409


class FeatureMismatch(ModelError):
    """The model was fitted on other features than this code builds."""


class ArtifactCorrupt(ModelError):
    """The stored bytes of a model version are not the ones that were registered."""
