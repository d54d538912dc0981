"""The dispatcher of a cluster: starts asked-for runs as Jobs, each an exact copy of its CronJob's template.

It holds the product's only Kubernetes token. What it may do with it is bounded twice: by a Role, and by an admission
policy that compares each Job with the CronJob. The schedule is the CronJobs' own; only the first run of a job that
never ran is asked for from here, so that a new installation need not wait for the next planned moment.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
from sqlalchemy import Connection

from candlecast.errors import ConfigurationError, StoreUnavailable, TemporaryError
from candlecast.settings import Settings
from candlecast.store import runs
from candlecast.store.database import REQUEST_CHANNEL, Database, Listener

log = logging.getLogger(__name__)

_TIMEOUT = 10.0
_FIRST_RETRY = 5.0
_LAST_RETRY = 300.0
_MOST_REQUESTS = 500
_FIRST_START = "first start"
_LABEL = "candlecast.io/cronjob"
# The admission policy's words for a state that passes by itself.
_BUSY = "a scheduled run is active"


class Refused(TemporaryError):
    """The API server refused a request; the message is its own."""


@dataclass(slots=True)
class _Wait:
    """When a request may be tried again, and how long the next wait is."""

    until: float = 0
    seconds: float = _FIRST_RETRY

    def longer(self) -> None:
        self.until = time.monotonic() + self.seconds
        self.seconds = min(_LAST_RETRY, 2 * self.seconds)


class Cluster:
    """The few requests to the API server. The token rotates, so a Cluster is opened for each round and then closed."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        if settings.namespace is None:
            raise ConfigurationError("set CANDLECAST_NAMESPACE to the namespace that the CronJobs live in")
        folder = settings.kubernetes_credentials
        try:
            token = (folder / "token").read_text(encoding="ascii").strip()
            trusted = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        except OSError as error:
            raise ConfigurationError(
                f"no service-account token in {folder} ({error.strerror}); in a cluster it is mounted there, "
                "elsewhere set CANDLECAST_DISPATCHER_MODE=subprocess"
            ) from None
        self._http = httpx.Client(
            base_url=f"{settings.kubernetes_url}/apis/batch/v1/namespaces/{settings.namespace}",
            headers={"Authorization": f"Bearer {token}", "User-Agent": "candlecast-dispatcher"},
            timeout=_TIMEOUT,
            verify=trusted,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def cronjob(self, name: str) -> dict[str, Any]:
        """Return the CronJob; raise Refused."""
        return self._ask("GET", f"/cronjobs/{name}")

    def is_active(self, cronjob: Mapping[str, Any]) -> bool:
        """Return whether a Job that belongs to the CronJob has not ended, scheduled or asked for."""
        uid = cronjob["metadata"]["uid"]
        return any(
            not _has_ended(job)
            for job in self._ask("GET", "/jobs")["items"]
            if any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences", ()))
        )

    def create(self, job: Mapping[str, Any]) -> bool:
        """Create the Job and return whether its name was free; raise Refused."""
        try:
            self._ask("POST", "/jobs", job)
        except Refused as error:
            if error.details["status"] == httpx.codes.CONFLICT:
                return False
            raise
        return True

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Refused(f"the API server does not answer: {error or type(error).__name__}", status=0) from error
        if response.is_error:
            raise Refused(_message(response), status=response.status_code)
        answer: dict[str, Any] = response.json()
        return answer


class KubernetesDispatcher:
    """Turns requests into Jobs until stopped."""

    def __init__(self, settings: Settings, database: Database, transport: httpx.BaseTransport | None = None) -> None:
        if not settings.cronjobs:
            raise ConfigurationError(
                "set CANDLECAST_CRONJOBS to job=cronjob pairs, such as training=candlecast-training"
            )
        self.settings = settings
        self.database = database
        self._transport = transport
        self._waits: dict[int, _Wait] = {}  # per request
        self._stop = threading.Event()
        self._listener: Listener | None = None

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stop.set()

    def run(self) -> None:
        """Dispatch until stopped. Jobs that were started go on."""
        log.info("dispatching %s", ", ".join(f"{job} as {name}" for job, name in self.settings.cronjobs.items()))
        try:
            while not self._stop.is_set():
                try:
                    self.dispatch()
                    self._wait()
                except StoreUnavailable as error:
                    log.warning("%s; trying again", error.message)
                    self._hang_up()
                    self._stop.wait(self.settings.poll_seconds)
        finally:
            self._hang_up()

    def dispatch(self) -> None:
        """Start every job that somebody waits for, as far as it may start now."""
        with self.database.begin() as connection:
            self._ask_for_first_runs(connection)
            oldest = _oldest_requests(connection)
        self._waits = {request: self._waits.get(request) or _Wait() for request in oldest.values()}
        now = time.monotonic()
        due = {
            job: request
            for job, request in oldest.items()
            if job in self.settings.cronjobs and now >= self._waits[request].until
        }
        if not due:
            return
        with Cluster(self.settings, self._transport) as cluster:
            for job, request in due.items():
                self._start(cluster, job, request)

    def _start(self, cluster: Cluster, job: str, request: int) -> None:
        fields = {"job": job, "request_id": request}
        wait = self._waits[request]
        try:
            cronjob = cluster.cronjob(self.settings.cronjobs[job])
            if cluster.is_active(cronjob):
                wait.until = time.monotonic() + self.settings.poll_seconds
                return
            name = _create_as(cluster, cronjob, request)
        except Refused as error:
            busy = _BUSY in error.message
            log.log(
                logging.INFO if busy else logging.WARNING,
                "%s was not started, trying again in %.0f s: %s",
                job,
                wait.seconds,
                error.message,
                extra={"fields": fields},
            )
        else:
            log.info("started %s as %s", job, name, extra={"fields": fields})
        # Also after a success: a Job that ends without claiming its request must not be followed by another at once.
        wait.longer()

    def _ask_for_first_runs(self, connection: Connection) -> None:
        if "ingestion" in self.settings.cronjobs and not runs.recent(connection, limit=1, job="ingestion"):
            runs.ask(connection, "ingestion", {}, requested_by=_FIRST_START)
        if (
            "training" in self.settings.cronjobs
            and runs.last_success(connection, "ingestion") is not None
            and not runs.recent(connection, limit=1, job="training")
        ):
            runs.ask(connection, "training", {}, requested_by=_FIRST_START)

    def _wait(self) -> None:
        if self._listener is None and self.database.can_listen:
            self._listener = self.database.listener(REQUEST_CHANNEL)
        if self._listener is None:
            self._stop.wait(self.settings.poll_seconds)
            return
        # In short steps, so that stopping does not have to wait for news.
        end = time.monotonic() + self.settings.poll_seconds
        while not self._stop.is_set() and time.monotonic() < end and not self._listener.wait(0.5):
            pass

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def manual_job(cronjob: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what `kubectl create job NAME --from=cronjob/...` would create, with the label that the policies want."""
    template = cronjob["spec"]["jobTemplate"]
    metadata = template.get("metadata", {})
    owner = cronjob["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {**metadata.get("labels", {}), _LABEL: owner["name"]},
            "annotations": {**metadata.get("annotations", {}), "cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": owner["name"],
                    "uid": owner["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": template["spec"],
    }


def _create_as(cluster: Cluster, cronjob: Mapping[str, Any], request: int) -> str:
    """Create the Job under the first free name of its request: an earlier Job may have ended before it claimed it."""
    base = f"{cronjob['metadata']['name']}-manual-{request}"
    for attempt in range(1, 100):
        name = base if attempt == 1 else f"{base}-{attempt}"
        if cluster.create(manual_job(cronjob, name)):
            return name
    raise Refused(f"99 Jobs named {base} exist; none of them claimed the request", status=httpx.codes.CONFLICT)


def _oldest_requests(connection: Connection) -> dict[str, int]:
    """Return the oldest unclaimed request of each job."""
    oldest = {}
    for job in runs.waiting(connection):
        queued = [row.request_id for row in runs.recent(connection, limit=_MOST_REQUESTS, job=job) if row.id is None]
        if numbers := [number for number in queued if number is not None]:
            oldest[job] = min(numbers)
    return oldest


def _has_ended(job: Mapping[str, Any]) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def _message(response: httpx.Response) -> str:
    """Return the API server's own sentence."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"the API server answered {response.status_code}"
