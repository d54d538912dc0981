"""The one HTTP client of the exchanges: who we say we are, when we try again, and what each failure is called."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from candlecast.errors import (
    CandlecastError,
    ConfigurationError,
    DataError,
    RateLimited,
    RestrictedLocation,
    TemporaryError,
    VenueUnavailable,
)
from candlecast.settings import Settings

_log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 30.0

Explain = Callable[[httpx.Response], CandlecastError | None]
"""A venue's own reading of a 4xx answer; None leaves it to the status code."""


class HttpClient:
    """GET JSON from one host. All waits are in seconds.

    Temporary errors are tried again up to `attempts` times, with exponential back-off and jitter or
    after what Retry-After says; where that is above `longest_wait` the error goes to the caller at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10,
        attempts: int = 5,
        backoff: float = 0.7,
        longest_wait: float = 60,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            self._client = httpx.Client(base_url=base_url, timeout=timeout, headers={"User-Agent": user_agent()})
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{base_url!r} is no web address: {error}") from None
        self._longest_wait = longest_wait
        self._backoff = wait_exponential(multiplier=backoff, max=_LONGEST_BACKOFF) + wait_random(0, backoff)
        self._retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=self._wait,
            retry=retry_if_exception(self._worth_another_try),
            before_sleep=before_sleep_log(_log, logging.INFO),
            sleep=sleep,
            reraise=True,
        )

    @classmethod
    def from_settings(cls, base_url: str, settings: Settings) -> Self:
        """Return a client for `base_url` as patient as the settings say."""
        return cls(
            base_url,
            timeout=settings.venue_timeout,
            attempts=settings.venue_attempts,
            backoff=settings.venue_backoff,
        )

    @property
    def host(self) -> str:
        """The host's name, without scheme and port."""
        return self._client.base_url.host

    def get(self, path: str, params: Mapping[str, str | int], explain: Explain) -> tuple[Any, httpx.Headers]:
        """Return the answer's JSON and headers; raise the error that the last attempt ended with."""
        return self._retrying(self._get_once, path, dict(params), explain)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get_once(self, path: str, params: dict[str, str | int], explain: Explain) -> tuple[Any, httpx.Headers]:
        try:
            response = self._client.get(path, params=params)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError(f"{self._client.base_url} is no address of an exchange: {error}") from None
        except httpx.RequestError as error:
            raise VenueUnavailable(f"{self.host} does not answer: {type(error).__name__} {error}".rstrip()) from error
        if response.status_code != httpx.codes.OK:
            raise self._error(response, explain)
        try:
            return response.json(), response.headers
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise VenueUnavailable(f"{self.host} answers with something that is not JSON") from error

    def _error(self, response: httpx.Response, explain: Explain) -> CandlecastError:
        status, said = response.status_code, f"{self.host} answers {response.status_code}"
        if 400 <= status < 500 and (explained := explain(response)):
            return explained
        if status in (418, 429):
            wait = retry_after(response)
            until = "" if wait is None else f"; it asks to wait {wait:.0f} s"
            banned = status == 418
            word = "bans this address for too many requests" if banned else "asks us to slow down"
            return RateLimited(f"{self.host} {word}{until}", wait, banned=banned)
        if status in (403, 451):
            return RestrictedLocation(f"{said}: it refuses requests from here; another venue may answer")
        if 400 <= status < 500:
            unknown = ConfigurationError if status == 404 else DataError
            return unknown(f"{said} to {response.request.url.path}: {response.text[:200]}")
        return VenueUnavailable(f"{said}; try again later", status=status)

    def _worth_another_try(self, error: BaseException) -> bool:
        if isinstance(error, RateLimited):
            return not error.details.get("banned") and (error.retry_after or 0) <= self._longest_wait
        return isinstance(error, TemporaryError) and not isinstance(error, RestrictedLocation)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, RateLimited) else None
        return self._backoff(state) if asked is None else asked


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that Retry-After asks for, at least 0; None where it is absent or unreadable."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def user_agent() -> str:
    """Return how candlecast names itself to others."""
    try:
        return f"candlecast/{version('candlecast')}"
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "candlecast/unknown"
