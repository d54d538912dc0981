"""The one HTTP client of the exchanges: who we say we are, when we try again, and what each failure is called."""

import json
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Self, TypeVar

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

from candlecast import __version__
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
from candlecast.venues.base import Sleep
from candlecast.venues.pace import Pace

USER_AGENT = f"candlecast/{__version__}"
"""How candlecast names itself to others."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_LONGEST_BACKOFF = 30.0
_LARGEST_ANSWER = 16_000_000  # bytes; a page of 1000 klines has 200,000
_QUOTED = 2_000  # bytes
_LONGEST_PATIENCE = 7 * 86_400.0  # seconds; Binance bans for three days at most
_SLOWEST_ANSWER = 6  # timeouts; one alone bounds only the wait for the next byte


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered, whole."""

    host: str
    path: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body as text, for people and error messages."""
        return self.body[:_QUOTED].decode(errors="replace")

    def json(self) -> Any:
        """Return what the body says; raise VenueUnavailable when it is not JSON, such as a proxy's page."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise VenueUnavailable(f"{self.host} answers with something that is not JSON: {self.text[:80]!r}") from None

    @property
    def retry_after(self) -> float | None:
        """The seconds that Retry-After asks for, at least 0; None where it is absent or unreadable."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isdecimal():
            return float(text)
        try:
            return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            return None


Explain = Callable[[Answer], CandlecastError | None]
"""A venue's own reading of an answer; None leaves a 4xx to its status, and lets a 200 pass."""


class HttpClient:
    """GET from one host; several threads may. All waits are in seconds.

    Temporary errors are tried again up to `attempts` times, with exponential back-off and jitter or
    after what Retry-After says; where that is above `longest_wait` the error goes to the caller at once,
    and to everybody who asks before the host wants to be asked again. Redirects are not followed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 10,
        attempts: int = 5,
        backoff: float = 0.7,
        pause: float = 0,
        longest_wait: float = 60,
        largest_answer: int = _LARGEST_ANSWER,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        try:
            self._client = httpx.Client(
                base_url=base_url,
                timeout=timeout,
                headers={"User-Agent": USER_AGENT, **(headers or {})},
                verify=_certificates(),
            )
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"{base_url!r} is no web address: {error}") from None
        self._pace = Pace(pause, first_pause=backoff, longest_wait=longest_wait, clock=clock, sleep=sleep)
        self._clock = clock
        self._longest_answer = _SLOWEST_ANSWER * timeout
        self._largest_answer = largest_answer
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
    def from_settings(cls, base_url: str, settings: Settings, *, pause: float = 0, **options: Any) -> Self:
        """Return a client for `base_url` as patient as the settings say."""
        return cls(
            base_url,
            timeout=settings.venue_timeout,
            attempts=settings.venue_attempts,
            backoff=settings.venue_backoff,
            longest_wait=settings.venue_longest_wait,
            pause=pause,
            **options,
        )

    @property
    def host(self) -> str:
        """The host's name, without scheme and port."""
        return self._client.base_url.host

    def get(
        self,
        path: str,
        read: Callable[[Answer], T],
        params: Mapping[str, str | int] | None = None,
        explain: Explain = lambda answer: None,
    ) -> T:
        """Return what `read` makes of the answer; raise the error that the last attempt ended with.

        `read` raises VenueUnavailable for an answer that is none, which is a reason to ask again.
        """
        read_answer: T = self._retrying(self._get, path, read, dict(params or {}), explain)
        return read_answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _get(self, path: str, read: Callable[[Answer], T], params: dict[str, str | int], explain: Explain) -> T:
        self._pace.turn()
        answer = self._ask(path, params)
        error = explain(answer) if answer.status < 500 else None
        if error is None and answer.status != httpx.codes.OK:
            error = _meaning(answer)
        if isinstance(error, RateLimited):
            self._pace.complain(error)
        if error is not None:
            raise error
        return read(answer)

    def _ask(self, path: str, params: dict[str, str | int]) -> Answer:
        try:
            with self._client.stream("GET", path, params=params) as response:
                body = self._read(response)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise ConfigurationError(f"{self._client.base_url} is no address of an exchange: {error}") from None
        except httpx.RequestError as error:
            raise VenueUnavailable(f"{self.host} does not answer: {type(error).__name__} {error}".rstrip()) from error
        return Answer(self.host, path, response.status_code, response.headers, body)

    def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        end = self._clock() + self._longest_answer
        for part in response.iter_bytes():
            body += part
            if len(body) > self._largest_answer:
                raise VenueUnavailable(f"{self.host} answers with more than {self._largest_answer:,} bytes")
            if self._clock() > end:
                raise VenueUnavailable(f"{self.host} takes longer than {self._longest_answer:.0f} s for an answer")
        return bytes(body)

    def _worth_another_try(self, error: BaseException) -> bool:
        if isinstance(error, RateLimited):
            return not error.details.get("banned") and (error.retry_after or 0) <= self._longest_wait
        return isinstance(error, TemporaryError) and not isinstance(error, RestrictedLocation)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_for = isinstance(error, RateLimited) and error.retry_after is not None
        return 0.0 if asked_for else self._backoff(state)  # the next turn comes no earlier than was asked for


def rate_limited(answer: Answer, wait: float | None, *, banned: bool) -> RateLimited:
    """Return the error for a host that wants to be left alone for `wait` seconds, None where it does not say.

    A wait beyond a week is a mistake of theirs and taken as a week.
    """
    word = "bans this address for too many requests" if banned else "asks us to slow down"
    if wait is None:
        return RateLimited(f"{answer.host} {word}", banned=banned)
    wait = min(wait, _LONGEST_PATIENCE)
    until = datetime.now(UTC) + timedelta(seconds=wait)
    return RateLimited(f"{answer.host} {word}; it asks to wait {wait:.0f} s", wait, banned=banned, until=until)


def _meaning(answer: Answer) -> CandlecastError:
    status, said = answer.status, f"{answer.host} answers {answer.status}"
    if status in (418, 429):
        return rate_limited(answer, answer.retry_after, banned=status == 418)
    if status in (403, 451):
        return RestrictedLocation(f"{said}: it refuses requests from here; another venue may answer")
    if 400 <= status < 500:
        unknown = ConfigurationError if status == 404 else DataError
        return unknown(f"{said} to {answer.path}: {answer.text[:200]}")
    return VenueUnavailable(f"{said}; try again later", status=status)


@cache
def _certificates() -> ssl.SSLContext:
    """Return whom we trust; reading that takes longer than a request, so that all clients share it."""
    return httpx.create_ssl_context()
