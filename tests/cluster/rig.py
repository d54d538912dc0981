"""kubectl, helm, and a pod that calls the API from inside the cluster."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.programs import free_port
from tools.generate_kubernetes import ROOT, find_helm

VALUES = os.environ.get("CANDLECAST_TEST_VALUES", "helm/candlecast/ci/trial-replay.yaml")
LABEL = "app.kubernetes.io/component"

Object = dict[str, Any]


class Rig:
    """One namespace of the cluster that KUBECONFIG names."""

    def __init__(self, namespace: str, release: str = "candlecast") -> None:
        self.namespace = namespace
        self.release = release

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace and return its output."""
        return self._run(["kubectl", "--namespace", self.namespace, *arguments], stdin, check=check)

    def attempt(self, *arguments: str, stdin: str | None = None) -> tuple[bool, str]:
        """Run kubectl and return whether it succeeded, and all it said."""
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    def helm(self, *arguments: str, program: str | None = None) -> str:
        """Run helm in the namespace."""
        helm = program or find_helm()
        assert helm is not None, "no helm on PATH"
        return self._run([helm, *arguments, "--namespace", self.namespace], None)

    def get(self, kind: str, name: str = "", component: str = "") -> Any:
        """Return one object, or the list of those of a component or all."""
        chosen = [name] if name else (["-l", f"{LABEL}={component}"] if component else [])
        answer = json.loads(self.kubectl("get", kind, *chosen, "-o", "json"))
        return answer if name else answer["items"]

    def pods(self, component: str) -> list[Object]:
        """Return a component's pods that run and are not about to end."""
        return [
            pod
            for pod in self.get("pod", component=component)
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def pod(self, component: str) -> str:
        """Return the name of a component's pod."""
        name: str = self.pods(component)[0]["metadata"]["name"]
        return name

    def python(self, component: str, code: str) -> tuple[bool, str]:
        """Run Python in the component's own container."""
        return self.attempt("exec", self.pod(component), "-c", component, "--", "python", "-c", code)

    def address(self, component: str, port: int) -> str:
        """Return the URL of a component's Service from anywhere in the cluster."""
        return f"http://{self.release}-{component}.{self.namespace}.svc:{port}"

    @contextmanager
    def forwarded(self, component: str, port: int) -> Iterator[str]:
        """Forward a free port of this machine to a component's Service, as a person does; yield its URL."""
        here = free_port()
        service = f"service/{self.release}-{component}"
        command = ["kubectl", "--namespace", self.namespace, "port-forward", service, f"{here}:{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
            try:
                assert forward.stdout is not None
                assert "Forwarding" in forward.stdout.readline()
                yield f"http://127.0.0.1:{here}"
            finally:
                forward.terminate()

    def token(self) -> str:
        """Return the API token."""
        return base64.b64decode(self.get("secret", f"{self.release}-api")["data"]["token"]).decode()

    def fresh_namespace(self) -> None:
        """Create the namespace anew, with the restricted profile enforced."""
        self.attempt("delete", "namespace", self.namespace, "--wait")
        for volume in json.loads(self.kubectl("get", "pv", "-o", "json"))["items"]:
            # The test cluster's volumes stay bound to claims that are gone.
            claim = volume["spec"].get("claimRef", {})
            if volume["status"]["phase"] == "Released" and claim.get("namespace", "").startswith("candlecast-test"):
                _wipe(volume["spec"].get("local", {}).get("path", ""))
                self.kubectl("patch", "pv", volume["metadata"]["name"], "-p", '{"spec":{"claimRef":null}}')
        self.kubectl("create", "namespace", self.namespace)
        self.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")

    def uninstall(self, program: str | None = None) -> None:
        """Uninstall the release."""
        self.helm("uninstall", self.release, "--wait", "--timeout", "2m", program=program)

    def _run(self, command: list[str], stdin: str | None, *, check: bool = True) -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout


class Caller:
    """A pod in a namespace of its own that calls the service: the same on any cluster, and under its policies."""

    def __init__(self, rig: Rig, service: str) -> None:
        self.rig = rig
        self.service = service

    def start(self) -> None:
        """Run the pod."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "caller"},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "caller",
                        "image": os.environ.get("CANDLECAST_TEST_IMAGE", "localhost/candlecast/ingestion:dev"),
                        "command": ["python", "-c", "import time; time.sleep(7200)"],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
        self.rig.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        self.rig.kubectl("wait", "pod/caller", "--for=condition=Ready", "--timeout=120s")

    def get(self, path: str) -> Any:
        """Return the JSON at a path of the service."""
        return self.call("GET", path)[1]

    def call(self, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
        """Return the status and the JSON of one call; 0 when nothing answers."""
        code = (
            "import sys,json,httpx\n"
            "m,u,b,t=json.load(sys.stdin)\n"
            "try:\n r=httpx.request(m,u,json=b,headers={'Authorization':'Bearer '+t} if t else {},timeout=10)\n"
            "except httpx.HTTPError as e:\n print(json.dumps([0,str(e)]));sys.exit()\n"
            "try: j=r.json()\n"
            "except ValueError: j=r.text\n"
            "print(json.dumps([r.status_code,j]))"
        )
        stdin = json.dumps([method, f"{self.service}{path}", body, token])
        answer = self.rig.kubectl("exec", "-i", "caller", "--", "python", "-c", code, stdin=stdin)
        status, content = json.loads(answer)
        return status, content

    def load(self, path: str, *, seconds: float, threads: int, most: int) -> subprocess.Popen[str]:
        """Begin to call a path with new connections, at most `most` times; `outcome` waits and tells what came back."""
        script = (Path(__file__).parent / "load.py").read_text(encoding="utf-8")
        command = ["kubectl", "--namespace", self.rig.namespace, "exec", "caller", "--", "python", "-c", script]
        arguments = [f"{self.service}{path}", str(seconds), str(threads), str(most)]
        return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_for_forecast(self, seconds: float) -> str:
        """Wait until some series has a forecast and return its status."""
        found: list[str] = []

        def answered() -> bool:
            status, answer = self.call("GET", "/v1/forecasts/latest")
            if status == 200:
                found[:] = [one["status"] for one in answer["forecasts"] if one["status"] != "abstained"]
            return bool(found)

        until(answered, seconds, "a forecast")
        return found[0]


def _wipe(folder: str) -> None:
    """Empty a volume of the test cluster, which nobody else does for it; touch nothing but those."""
    volumes = Path(os.environ.get("CLUSTER_HOME", Path.home() / ".cache/candlecast-cluster")) / "run/volumes"
    if folder and Path(folder).parent == volumes:
        for inner in Path(folder).iterdir():
            shutil.rmtree(inner) if inner.is_dir() else inner.unlink()


def outcome(load: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a load saw: `requests`, `statuses` by code, `errors` as text; and how many `seconds` it lasted."""
    output, problems = load.communicate(timeout=600)
    assert load.returncode == 0, problems
    answer: dict[str, Any] = json.loads(output)
    return answer


@contextmanager
def readers(caller: Caller, *, seconds: float) -> Iterator[None]:
    """Let readers ask for the latest forecasts during the block: every answer is 2xx, and they outlast the block."""
    load = caller.load("/v1/forecasts/latest", seconds=seconds, threads=2, most=1000 * int(seconds))
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    seen = outcome(load)
    print(f"{took:.0f} s, {seen}")  # noqa: T201
    assert seen["errors"] == {}
    assert seen["statuses"] == {"200": seen["requests"]}
    assert seen["seconds"] > took


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until something holds and return how long it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < seconds, f"no {what} within {seconds:.0f} s"
        time.sleep(1)
    return time.monotonic() - begin
