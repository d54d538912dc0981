"""Who may do what and talk to whom: rows 19, 20, 22 and 24 of the goal table."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import component, kind, objects, templates, topologies


@pytest.mark.row(19)
@topologies
def test_the_only_role_reads_three_cronjobs_and_creates_jobs(topology: Path) -> None:
    manifests = objects(topology)
    assert not kind(manifests, "ClusterRole")
    assert not kind(manifests, "ClusterRoleBinding")
    (role,) = kind(manifests, "Role")
    cronjobs = {one["metadata"]["name"] for one in kind(manifests, "CronJob")}
    assert role["rules"] == [
        {
            "apiGroups": ["batch"],
            "resources": ["cronjobs"],
            "resourceNames": [f"candlecast-{job}" for job in ("ingestion", "training", "drift")],
            "verbs": ["get"],
        },
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "watch"]},
    ]
    assert set(role["rules"][0]["resourceNames"]) == cronjobs


@pytest.mark.row(20)
@topologies
def test_every_cronjob_guards_its_copies(topology: Path) -> None:
    manifests = objects(topology)
    cronjobs = {one["metadata"]["name"] for one in kind(manifests, "CronJob")}
    bindings = {one["metadata"]["name"]: one["spec"] for one in kind(manifests, "ValidatingAdmissionPolicyBinding")}
    policies = {one["metadata"]["name"]: one["spec"] for one in kind(manifests, "ValidatingAdmissionPolicy")}
    assert policies.keys() == bindings.keys() == {binding["policyName"] for binding in bindings.values()}
    guards = {name: policy for name, policy in policies.items() if policy["failurePolicy"] == "Fail"}
    assert guards.keys() == {f"candlecast-{name}" for name in cronjobs} | {"candlecast-candlecast-dispatcher"}
    for name, policy in guards.items():
        assert bindings[name]["validationActions"] == ["Deny"]
        assert "system:serviceaccount:candlecast:candlecast-dispatcher" in policy["matchConditions"][0]["expression"]
        if "paramKind" in policy:
            cronjob = bindings[name]["paramRef"]["name"]
            # Only what carries the label: a parameter that is not found is denied to everybody it concerns.
            selector = policy["matchConstraints"]["objectSelector"]["matchLabels"]
            assert selector == {"candlecast.io/cronjob": cronjob}
            assert bindings[name]["paramRef"]["parameterNotFoundAction"] == "Deny"


@pytest.mark.row(22)
@topologies
def test_every_pod_is_under_exactly_one_policy_of_both_directions(topology: Path) -> None:
    manifests = objects(topology)
    policies = kind(manifests, "NetworkPolicy")
    for name, pod in templates(manifests):
        labels = pod["metadata"]["labels"].items()
        over = [one for one in policies if one["spec"]["podSelector"]["matchLabels"].items() <= labels]
        assert [component(one) for one in over] == [name]
        assert over[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert [{}] not in (over[0]["spec"]["ingress"], over[0]["spec"]["egress"])


@pytest.mark.row(23)
@topologies
def test_the_screen_reaches_the_service_and_nothing_else(topology: Path) -> None:
    (policy,) = [one for one in kind(objects(topology), "NetworkPolicy") if component(one) == "ui"]
    assert [_ports(rule) for rule in policy["spec"]["egress"]] == [{53, 5353}, {3000}]
    (peer,) = policy["spec"]["egress"][1]["to"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "service"


@pytest.mark.row(23)
@topologies
def test_only_ingestion_and_dispatcher_leave_the_cluster(topology: Path) -> None:
    ports = {
        component(policy): set().union(*map(_ports, policy["spec"]["egress"]))
        for policy in kind(objects(topology), "NetworkPolicy")
    }
    assert {name for name, numbers in ports.items() if numbers & {443, 6443}} == {"ingestion", "dispatcher"}
    assert ports.get("database", set()) == set()


@pytest.mark.row(24)
@topologies
def test_no_secret_is_written_where_one_was_given(topology: Path) -> None:
    if topology.parent.name == "rendered":
        assert kind(objects(topology), "Secret") == []
        assert "password" not in str(kind(objects(topology), "ConfigMap"))


def _ports(rule: dict[str, Any]) -> set[int]:
    return {port["port"] for port in rule["ports"]}
