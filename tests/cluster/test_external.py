"""A Postgres that is not the chart's own: over TLS alone, its certificate checked, a user of it per program."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.rig import VALUES, Caller, Rig, until

NAMESPACE = "candlecast-test-external"
HOST = f"postgres.{NAMESPACE}.svc"
PASSWORD = secrets.token_hex(16)

# Postgres refuses whoever comes without TLS: its list of hosts has no line for them.
START = """
set -eu
printf %s "$PASSWORD" > /tmp/password
initdb -D /data/cluster -U candlecast --auth-local=trust --auth-host=scram-sha-256 --pwfile=/tmp/password >/dev/null
printf 'local all all trust\\nhostssl all all all scram-sha-256\\n' > /data/cluster/pg_hba.conf
echo 'CREATE DATABASE candlecast;' | postgres --single -D /data/cluster postgres >/dev/null
exec postgres -D /data/cluster -c listen_addresses='*' -c unix_socket_directories=/data -c max_connections=200 \\
  -c ssl=on -c ssl_cert_file=/tls/tls.crt -c ssl_key_file=/tls/tls.key
"""

VALUES_OF_IT = (
    "database.mode=external,database.external.existingSecret=managed,database.external.keys.host=host",
    "database.external.keys.user=username,database.external.sslMode=verify-full,database.external.caSecret=managed-ca",
    "database.roles.mode=create,service.autoscaling.mode=none,service.replicas=1,drift.enabled=false",
)


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run Postgres with a certificate of an authority of its own, and install a release that uses it."""
    rig = Rig(NAMESPACE)
    rig.fresh_namespace()
    folder = tmp_path_factory.mktemp("certificates")
    _make_certificates(folder)
    rig.kubectl("create", "secret", "tls", "postgres", f"--cert={folder}/tls.crt", f"--key={folder}/tls.key")
    rig.kubectl("create", "secret", "generic", "managed-ca", f"--from-file=ca.crt={folder}/ca.crt")
    parts = {"host": HOST, "dbname": "candlecast", "username": "candlecast", "password": PASSWORD}
    rig.kubectl("create", "secret", "generic", "managed", *(f"--from-literal={k}={v}" for k, v in parts.items()))
    rig.kubectl("apply", "-f", "-", stdin=json.dumps(_postgres()))
    rig.kubectl("wait", "pod/postgres", "--for=condition=Ready", "--timeout=120s")
    sets = [word for values in VALUES_OF_IT for word in ("--set", values)]
    rig.helm("install", rig.release, "helm/candlecast", "--values", VALUES, *sets)
    yield rig
    if not os.environ.get("CANDLECAST_KEEP"):
        rig.uninstall()
        rig.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.row(24, 26)
def test_every_program_comes_over_tls_as_its_own_user(external: Rig) -> None:
    callers = Rig(f"{NAMESPACE}-callers")
    callers.fresh_namespace()
    caller = Caller(callers, external.address("service", 3000))
    caller.start()
    caller.wait_for_forecast(300)
    query = (
        "SELECT usename, bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE client_addr IS NOT NULL GROUP BY usename"
    )
    seen: dict[str, str] = {}

    def all_seen() -> bool:
        lines = _sql(external, query).split()
        seen.update(dict(line.split("|") for line in lines))
        return {"candlecast_serve", "candlecast_dispatch", "candlecast_monitor"} <= set(seen)

    until(all_seen, 120, "connections of every program")
    assert set(seen.values()) == {"t"}
    callers.kubectl("delete", "namespace", callers.namespace, "--wait=false")


@pytest.mark.row(26)
def test_a_certificate_of_another_authority_is_refused(external: Rig, tmp_path: Path) -> None:
    _make_certificates(tmp_path)
    other = (tmp_path / "ca.crt").read_text()
    code = (
        "import os, pathlib, psycopg2\n"
        f"pathlib.Path('/tmp/other.crt').write_text({other!r})\n"
        "try: psycopg2.connect(host=%r, dbname='candlecast', user='candlecast', password=%r, sslmode='verify-full',"
        " sslrootcert='/tmp/other.crt')\n"
        "except psycopg2.OperationalError as error: print(error)\n"
    ) % (HOST, PASSWORD)
    worked, answer = external.python("service", code)
    assert worked, answer
    assert "certificate verify failed" in answer


def _make_certificates(folder: Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "1")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=an authority")
    openssl("req", *new[:3], "-keyout", "tls.key", "-out", "tls.csr", "-subj", f"/CN={HOST}")
    (folder / "names").write_text(f"subjectAltName=DNS:{HOST}")
    signed = (
        "-in",
        "tls.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "names",
        "-days",
        "1",
    )
    openssl("x509", "-req", *signed, "-out", "tls.crt")


def _postgres() -> dict[str, Any]:
    container = {
        "name": "postgres",
        "image": "localhost/postgres:15",
        "command": ["sh", "-c", START],
        "env": [{"name": "PASSWORD", "value": PASSWORD}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "-q", "-h", "/data", "-U", "candlecast"]},
            "periodSeconds": 1,
        },
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("data", "tls", "tmp")],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "postgres", "labels": {"app": "postgres"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 999, "runAsGroup": 999, "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "tls", "secret": {"secretName": "postgres", "defaultMode": 0o640}},
            ],
        },
    }  # fmt: skip
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "postgres"},
        "spec": {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [pod, service]}


def _sql(rig: Rig, query: str) -> str:
    return rig.kubectl("exec", "postgres", "--", "psql", "-h", "/data", "-U", "candlecast", "-At", "-c", query)
