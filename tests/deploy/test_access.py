"""Who may do what and talk to whom: rows 19, 20, 22 and 24 of the goal table."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import RENDERED, Manifest, component, helm, kind, needs_helm, objects, templates, topologies
from tools.generate_kubernetes import ROOT


@pytest.mark.row(19)
@topologies
def test_the_only_role_reads_what_it_starts_and_creates_jobs(topology: Path) -> None:
    manifests = objects(topology)
    assert not kind(manifests, "ClusterRole")
    assert not kind(manifests, "ClusterRoleBinding")
    cronjobs = _dispatched(manifests)
    assert [role["rules"] for role in kind(manifests, "Role")] == [
        [
            {"apiGroups": ["batch"], "resources": ["cronjobs"], "resourceNames": cronjobs, "verbs": ["get"]},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "watch"]},
        ]
        for _ in cronjobs[:1]
    ]


@pytest.mark.row(20)
@topologies
def test_every_cronjob_guards_its_copies(topology: Path) -> None:
    manifests = objects(topology)
    cronjobs = _dispatched(manifests)
    bindings = {one["metadata"]["name"]: one["spec"] for one in kind(manifests, "ValidatingAdmissionPolicyBinding")}
    policies = {one["metadata"]["name"]: one["spec"] for one in kind(manifests, "ValidatingAdmissionPolicy")}
    assert policies.keys() == bindings.keys() == {binding["policyName"] for binding in bindings.values()}
    guards = {name: policy for name, policy in policies.items() if policy["failurePolicy"] == "Fail"}
    own = hashlib.sha256(b"candlecast/candlecast").hexdigest()[:8]
    guarded = [*cronjobs, "candlecast-dispatcher"] if cronjobs else []
    assert guards.keys() == {name.replace("candlecast-", f"candlecast-candlecast-{own}-") for name in guarded}
    for name, policy in guards.items():
        assert bindings[name]["validationActions"] == ["Deny"]
        assert "system:serviceaccount:candlecast:candlecast-dispatcher" in policy["matchConditions"][0]["expression"]
        if "paramKind" in policy:
            cronjob = bindings[name]["paramRef"]["name"]
            # Only what carries the label: a parameter that is not found is denied to everybody it concerns.
            selector = policy["matchConstraints"]["objectSelector"]["matchLabels"]
            assert selector == {"candlecast.io/cronjob": cronjob}
            assert bindings[name]["paramRef"]["parameterNotFoundAction"] == "Deny"
            compared = " ".join(one["expression"] for one in policy["validations"])
            for part in ("spec.template.spec", "metadata.labels", "metadata.?annotations", "spec.?backoffLimit"):
                assert f"object.{part}" in compared or f"object.spec.template.{part}" in compared, part


@pytest.mark.row(48)
def test_the_page_names_the_policy_that_stays() -> None:
    policies = kind(objects(RENDERED[0]), "ValidatingAdmissionPolicy")
    (stays,) = [one["metadata"]["name"] for one in policies if "helm.sh/resource-policy" in str(one["metadata"])]
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    assert f"kubectl delete validatingadmissionpolicy,validatingadmissionpolicybinding {stays}`" in page


@pytest.mark.row(22)
@topologies
def test_every_pod_is_under_exactly_one_policy_of_both_directions(topology: Path) -> None:
    manifests = objects(topology)
    policies = kind(manifests, "NetworkPolicy")
    if topology.stem == "small":  # switched off there
        assert policies == []
        return
    for name, pod in templates(manifests):
        labels = pod["metadata"]["labels"].items()
        over = [one for one in policies if one["spec"]["podSelector"]["matchLabels"].items() <= labels]
        assert [component(one) for one in over] == [name]
        assert over[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert [{}] not in (over[0]["spec"]["ingress"], over[0]["spec"]["egress"])


@pytest.mark.row(23)
@topologies
def test_the_screen_reaches_the_service_and_nothing_else(topology: Path) -> None:
    for policy in [one for one in kind(objects(topology), "NetworkPolicy") if component(one) == "ui"]:
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
    outward = {name for name, numbers in ports.items() if numbers & {443, 6443}}
    assert outward == {"ingestion", "backfill", "dispatcher"} & ports.keys()
    assert ports.get("database", set()) == set()


@needs_helm
@pytest.mark.row(22)
@pytest.mark.parametrize("nothing", ["[]", "null"])
@pytest.mark.parametrize("value", ["ingressFrom", "metricsFrom", "apiServer.cidrs", "database.to", "venues.to"])
def test_an_empty_list_of_peers_lets_nobody_through(value: str, nothing: str) -> None:
    options = ("--set", "database.external.existingSecret=mine", "--set-json", f"networkPolicy.{value}={nothing}")
    for policy in kind(helm(*options), "NetworkPolicy"):
        assert all(rule["from"] for rule in policy["spec"]["ingress"]), component(policy)
        assert all(rule["to"] for rule in policy["spec"]["egress"]), component(policy)


@needs_helm
@pytest.mark.row(22)
@pytest.mark.parametrize("value", ["dns.ports", "apiServer.ports", "database.ports"])
def test_ports_that_are_taken_away_open_no_others(value: str) -> None:
    options = ("--set", "database.external.existingSecret=mine", "--set-json", f"networkPolicy.{value}=null")
    rules = [rule for policy in kind(helm(*options), "NetworkPolicy") for rule in policy["spec"]["egress"]]
    assert rules
    assert all(rule["ports"] for rule in rules)


@pytest.mark.row(24)
@topologies
def test_no_secret_is_written_where_one_was_given(topology: Path) -> None:
    if topology.parent.name == "rendered" or topology.stem in ("airgapped", "parts"):
        assert kind(objects(topology), "Secret") == []
        assert "password" not in str(kind(objects(topology), "ConfigMap"))


def _dispatched(manifests: list[Manifest]) -> list[str]:
    """Return the CronJobs that the dispatcher may start: all but retention, and none without a dispatcher."""
    if not [one for one in kind(manifests, "Deployment") if component(one) == "dispatcher"]:
        return []
    return [
        f"candlecast-{job}"
        for job in ("ingestion", "training", "drift")
        if any(component(one) == job for one in kind(manifests, "CronJob"))
    ]


def _ports(rule: dict[str, Any]) -> set[int]:
    return {port["port"] for port in rule["ports"]}
