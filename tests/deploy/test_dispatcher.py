"""The dispatcher of a cluster, against a stand-in for the API server and a real database."""

import json
from typing import Any

import httpx
import pytest

from candlecast.errors import ConfigurationError
from candlecast.settings import Settings
from candlecast.store import runs
from candlecast.store.database import Database
from dispatcher.kubernetes import Cluster, KubernetesDispatcher

_INDEXED = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
TEMPLATE = {
    "metadata": {"labels": {"app": "training"}},
    "spec": {**_INDEXED, "backoffLimit": 1, "template": {"spec": {"containers": [{"name": "training", "image": "i"}]}}},
}


class ApiServer:
    """Remembers Jobs, refuses names that exist, and says what it is told to say."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.tokens: list[str] = []
        self.refusal: tuple[int, str] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.tokens.append(request.headers["Authorization"])
        path = request.url.path.removeprefix("/apis/batch/v1/namespaces/here/")
        if request.method == "GET" and path.startswith("cronjobs/"):
            name = path.removeprefix("cronjobs/")
            metadata = {"name": name, "uid": f"uid of {name}"}
            return httpx.Response(200, json={"metadata": metadata, "spec": {"jobTemplate": TEMPLATE}})
        if request.method == "GET":
            return httpx.Response(200, json={"items": list(self.jobs.values())})
        if self.refusal:
            return httpx.Response(self.refusal[0], json={"kind": "Status", "message": self.refusal[1]})
        job = json.loads(request.content)
        if job["metadata"]["name"] in self.jobs:
            return httpx.Response(409, json={"kind": "Status", "message": "already exists"})
        self.jobs[job["metadata"]["name"]] = job
        return httpx.Response(201, json=job)

    def end(self, name: str) -> None:
        """Let a Job end."""
        self.jobs[name]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def dispatcher(settings: Settings, database: Database, api: ApiServer) -> KubernetesDispatcher:
    return KubernetesDispatcher(settings, database, httpx.MockTransport(api))


def _ask(database: Database, job: str = "training") -> int:
    with database.begin() as connection:
        return runs.ask(connection, job, {}, requested_by="test")


def test_a_request_becomes_an_exact_copy_of_the_cronjob(
    dispatcher: KubernetesDispatcher, database: Database, api: ApiServer
) -> None:
    request = _ask(database)
    dispatcher.dispatch()
    (job,) = api.jobs.values()
    assert job["metadata"]["name"] == f"r-training-manual-{request}"
    assert job["spec"] == TEMPLATE["spec"]
    assert job["metadata"]["labels"] == {"app": "training", "candlecast.io/cronjob": "r-training"}
    assert job["metadata"]["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", "r-training", "uid of r-training")


def test_nothing_starts_while_a_run_is_active(
    dispatcher: KubernetesDispatcher, database: Database, api: ApiServer
) -> None:
    first, second = _ask(database), _ask(database)
    for _ in range(3):
        dispatcher.dispatch()
    assert list(api.jobs) == [f"r-training-manual-{first}"]
    with database.begin() as connection:
        claimed = runs.claim(connection, "training")
    assert claimed is not None
    assert claimed.request_id == first
    dispatcher.dispatch()
    assert len(api.jobs) == 1
    api.end(f"r-training-manual-{first}")
    dispatcher._waits.clear()  # the wait of a poll
    dispatcher.dispatch()
    assert list(api.jobs)[1:] == [f"r-training-manual-{second}"]


def test_a_job_that_ended_without_its_request_is_followed_by_another_name_after_a_wait(
    dispatcher: KubernetesDispatcher, database: Database, api: ApiServer
) -> None:
    request = _ask(database)
    dispatcher.dispatch()
    api.end(f"r-training-manual-{request}")
    dispatcher.dispatch()
    assert len(api.jobs) == 1
    dispatcher._waits[request].until = 0
    dispatcher.dispatch()
    assert list(api.jobs) == [f"r-training-manual-{request}", f"r-training-manual-{request}-2"]


@pytest.mark.parametrize(
    ("status", "message", "level"),
    [(422, "ValidatingAdmissionPolicy denied request: a scheduled run is active", "INFO"), (403, "no", "WARNING")],
)
def test_a_refusal_is_logged_in_the_servers_words_and_tried_again_later(
    dispatcher: KubernetesDispatcher,
    database: Database,
    api: ApiServer,
    caplog: pytest.LogCaptureFixture,
    status: int,
    message: str,
    level: str,
) -> None:
    request = _ask(database)
    api.refusal = (status, message)
    with caplog.at_level("INFO"):
        dispatcher.dispatch()
    (record,) = [one for one in caplog.records if one.name == "dispatcher.kubernetes"]
    assert record.levelname == level
    assert message in record.message
    asked = len(api.tokens)
    dispatcher.dispatch()
    assert len(api.tokens) == asked
    assert dispatcher._waits[request].seconds == 10


def test_the_token_is_read_anew_for_every_round(
    dispatcher: KubernetesDispatcher, settings: Settings, database: Database, api: ApiServer
) -> None:
    request = _ask(database)
    dispatcher.dispatch()
    (settings.kubernetes_credentials / "token").write_text("second")
    dispatcher._waits[request].until = 0
    dispatcher.dispatch()
    assert {api.tokens[0], api.tokens[-1]} == {"Bearer first", "Bearer second"}


def test_the_first_runs_of_an_installation_are_asked_for_once(
    settings: Settings, database: Database, api: ApiServer
) -> None:
    both = settings.model_copy(update={"cronjobs": {"ingestion": "r-ingestion", "training": "r-training"}})
    dispatcher = KubernetesDispatcher(both, database, httpx.MockTransport(api))
    dispatcher.dispatch()
    dispatcher.dispatch()
    assert list(api.jobs) == ["r-ingestion-manual-1"]
    with database.begin() as connection:
        run = runs.start(connection, "ingestion", runs.claim(connection, "ingestion"), holder="test")
        runs.finish(connection, run, state="succeeded", exit_code=0)
    dispatcher.dispatch()
    dispatcher.dispatch()
    assert list(api.jobs) == ["r-ingestion-manual-1", "r-training-manual-2"]


def test_without_a_mounted_token_it_says_what_to_do(settings: Settings) -> None:
    (settings.kubernetes_credentials / "token").unlink()
    with pytest.raises(ConfigurationError, match="CANDLECAST_DISPATCHER_MODE=subprocess"):
        Cluster(settings)


def test_a_refused_connection_is_a_wait_and_no_end(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    _ask(database)
    KubernetesDispatcher(settings, database, httpx.MockTransport(away)).dispatch()
    assert "does not answer: refused" in caplog.text
