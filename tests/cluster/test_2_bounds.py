"""What components may not do, tried for real: tokens, networks, the dispatcher's Jobs, exit codes."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.cluster.conftest import Installation
from tests.cluster.rig import Rig, until

MOUNTED = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"


@pytest.mark.row(17)
@pytest.mark.parametrize("component", ["service", "ui", "exporter", "dispatcher"])
def test_only_the_dispatcher_has_a_token(installation: Installation, component: str) -> None:
    worked, answer = installation.rig.python(component, MOUNTED)
    assert worked, answer
    assert answer.strip() == str(component == "dispatcher")


@pytest.mark.row(23)
def test_the_screen_cannot_reach_the_database(installation: Installation) -> None:
    rig = installation.rig
    connect = (
        f"import socket; socket.create_connection(('{rig.release}-database', 5432), timeout=5); print('connected')"
    )
    worked, answer = rig.python("service", connect)
    assert worked, answer
    worked, answer = rig.python("ui", connect)
    assert not worked, answer
    assert "timed out" in answer or "No route" in answer or "refused" in answer


@pytest.mark.row(23)
def test_nobody_but_the_dispatcher_can_reach_the_api_server(installation: Installation) -> None:
    code = "import socket; socket.create_connection(('kubernetes.default.svc', 443), timeout=5)"
    for component in ("service", "ui", "exporter"):
        worked, answer = installation.rig.python(component, code)
        assert not worked, (component, answer)
    worked, answer = installation.rig.python("dispatcher", code)
    assert worked, answer


@pytest.mark.row(15)
def test_the_root_file_system_is_read_only_and_tmp_is_not(installation: Installation) -> None:
    for component in ("service", "ui", "exporter", "dispatcher"):
        worked, answer = installation.rig.python(component, "open('/app/x', 'w')")
        assert not worked
        assert "Read-only file system" in answer
        worked, answer = installation.rig.python(component, "open('/tmp/x', 'w'); import os; print(os.getuid())")
        assert worked, answer
        assert answer.strip() == "10001"


@pytest.mark.parametrize("component", ["service", "ui", "exporter", "dispatcher"])
def test_an_image_holds_compiled_programs_and_nothing_to_build_with(installation: Installation, component: str) -> None:
    code = (
        "import glob, shutil\n"
        "print([name for name in ('pip', 'gcc', 'cc', 'make', 'git', 'curl') if shutil.which(name)],"
        " glob.glob('/var/lib/apt/lists/*_Packages*') + glob.glob('/var/cache/apt/archives/*.deb'),"
        " len(glob.glob('/app/**/*.py', recursive=True)) - len(glob.glob('/app/**/*.pyc', recursive=True)))"
    )
    worked, answer = installation.rig.python(component, code)
    assert worked, answer
    assert answer.strip() == "[] [] 0"


@pytest.mark.row(20)
class TestAdmission:
    """The cases of a dispatcher that somebody took over, and what roles already refuse."""

    @pytest.fixture
    def job(self, installation: Installation) -> dict[str, Any]:
        return manual_job(installation.rig, "training")

    def test_an_exact_copy_is_allowed(self, installation: Installation, job: dict[str, Any]) -> None:
        worked, answer = create_as_dispatcher(installation.rig, job)
        assert worked, answer

    def test_another_name_is_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["metadata"]["name"] = "something-else"
        _refused(installation.rig, job, "the label candlecast.io/cronjob must name a CronJob")

    def test_another_cronjobs_name_is_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["metadata"]["name"] = f"{installation.rig.release}-ingestion-manual-1"
        _refused(installation.rig, job, "the label candlecast.io/cronjob must name a CronJob")
        job["metadata"]["labels"]["candlecast.io/cronjob"] = f"{installation.rig.release}-ingestion"
        _refused(installation.rig, job, "pod spec must be exactly the CronJob's")

    def test_a_job_without_the_label_is_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["metadata"]["labels"] = {}
        _refused(installation.rig, job, "the label candlecast.io/cronjob must name a CronJob")

    def test_another_command_is_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", "id"]
        _refused(installation.rig, job, "pod spec must be exactly the CronJob's")

    def test_another_image_is_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/evil:1"
        _refused(installation.rig, job, "pod spec must be exactly the CronJob's")

    def test_other_labels_are_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] = "service"
        _refused(installation.rig, job, "pod labels must be exactly the CronJob's")

    def test_other_annotations_are_refused(self, installation: Installation, job: dict[str, Any]) -> None:
        annotations = job["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations["vault.hashicorp.com/agent-inject"] = "true"
        _refused(installation.rig, job, "pod annotations must be exactly the CronJob's")

    @pytest.mark.parametrize("limit", ["backoffLimit", "activeDeadlineSeconds"])
    def test_more_attempts_and_more_time_are_refused(
        self, installation: Installation, job: dict[str, Any], limit: str
    ) -> None:
        job["spec"][limit] += 1
        _refused(installation.rig, job, "attempts and deadline must be exactly the CronJob's")

    @pytest.mark.parametrize(
        "change", [{"parallelism": 5}, {"completions": 5}, {"completionMode": "Indexed", "completions": 1}]
    )
    def test_other_pods_at_once_than_the_cronjobs_are_refused(
        self, installation: Installation, job: dict[str, Any], change: dict[str, Any]
    ) -> None:
        job["spec"] |= change
        _refused(installation.rig, job, "as many pods at once as the CronJob says")

    def test_a_run_beside_a_scheduled_one_is_refused(self, installation: Installation) -> None:
        rig = installation.rig
        job = manual_job(rig, "ingestion")

        def refused() -> bool:
            worked, answer = create_as_dispatcher(rig, job)
            return not worked and "a scheduled run is active" in answer

        # Ingestion runs every minute here: ask, without creating anything, until that is under way.
        until(refused, 150, "refusal while a scheduled run is active")

    @pytest.mark.row(19)
    def test_pods_and_cronjobs_are_out_of_reach(self, installation: Installation) -> None:
        rig = installation.rig
        for verb, kind in (("create", "pods"), ("patch", "cronjobs"), ("get", "secrets"), ("delete", "jobs")):
            worked, answer = rig.attempt("auth", "can-i", verb, kind, *_as_dispatcher(rig))
            assert not worked, f"{verb} {kind}: {answer}"


@pytest.mark.row(41)
class TestExitCodes:
    """A training pod that ends with a code, under the CronJob's own failure policy."""

    @pytest.mark.parametrize(("code", "pods", "reason"), [(64, 1, "PodFailurePolicy"), (75, 2, "BackoffLimitExceeded")])
    def test_the_code_decides_about_another_attempt(
        self, installation: Installation, code: int, pods: int, reason: str
    ) -> None:
        rig = installation.rig
        job = manual_job(rig, "training")
        job["metadata"]["name"] = f"exit-{code}"
        job["metadata"]["ownerReferences"] = []
        pod = job["spec"]["template"]["spec"]
        pod["containers"][0]["command"] = ["python", "-c", f"raise SystemExit({code})"]
        pod["initContainers"] = []
        rig.kubectl("create", "-f", "-", stdin=json.dumps(job))
        rig.kubectl("wait", f"job/exit-{code}", "--for=condition=Failed", "--timeout=120s")
        ended = rig.get("job", f"exit-{code}")["status"]
        assert [one["reason"] for one in ended["conditions"] if one["type"] == "Failed"] == [reason]
        made = json.loads(rig.kubectl("get", "pod", "-l", f"job-name=exit-{code}", "-o", "json"))["items"]
        assert len(made) == pods
        rig.kubectl("delete", "job", f"exit-{code}")


def manual_job(rig: Rig, job: str) -> dict[str, Any]:
    """Return what the dispatcher would create."""
    cronjob = rig.get("cronjob", f"{rig.release}-{job}")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{rig.release}-{job}-manual-999",
            "labels": {"candlecast.io/cronjob": f"{rig.release}-{job}"},
            "ownerReferences": [],
        },
        "spec": copy.deepcopy(cronjob["spec"]["jobTemplate"]["spec"]),
    }


def _as_dispatcher(rig: Rig) -> tuple[str, ...]:
    return ("--as", f"system:serviceaccount:{rig.namespace}:{rig.release}-dispatcher")


def create_as_dispatcher(rig: Rig, job: dict[str, Any]) -> tuple[bool, str]:
    """Return whether the dispatcher may create a Job, and the API server's words; nothing is created."""
    return rig.attempt("create", "--dry-run=server", "-f", "-", *_as_dispatcher(rig), stdin=json.dumps(job))


def _refused(rig: Rig, job: dict[str, Any], message: str) -> None:
    worked, answer = create_as_dispatcher(rig, job)
    assert not worked
    assert message in answer
