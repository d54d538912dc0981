"""Rows 14 to 21, 27 to 29, 34, 36, 39 and 40 of the goal table, as far as a file can prove them."""

from pathlib import Path

import pytest

from candlecast.errors import ConfigurationError, DataError, ModelError, TemporaryError, UsageError
from tests.deploy.manifests import component, containers, kind, objects, templates, topologies


@pytest.mark.row(15)
@topologies
def test_every_container_gives_up_what_it_does_not_need(topology: Path) -> None:
    seen = 0
    for name, pod in templates(objects(topology)):
        for container in containers(pod["spec"]):
            seen += 1
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }, (name, container["name"])
    assert seen >= 9


@pytest.mark.row(16)
@topologies
def test_users_are_numbers_that_no_person_has(topology: Path) -> None:
    for name, pod in templates(objects(topology)):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == (999 if name == "database" else 10001)
        assert ("fsGroup" in context) == (name == "database")


@pytest.mark.row(28)
@topologies
def test_every_container_says_what_it_uses(topology: Path) -> None:
    for name, pod in templates(objects(topology)):
        for container in containers(pod["spec"]):
            resources = container["resources"]
            assert resources["requests"].keys() >= {"cpu", "memory"}, (name, container["name"])
            assert "memory" in resources["limits"], (name, container["name"])


@pytest.mark.row(17)
@topologies
def test_only_the_dispatcher_has_a_token(topology: Path) -> None:
    manifests = objects(topology)
    assert not any(account["automountServiceAccountToken"] for account in kind(manifests, "ServiceAccount"))
    holders = {name for name, pod in templates(manifests) if pod["spec"]["automountServiceAccountToken"]}
    assert holders == ({"dispatcher"} if topology.stem != "namespaced" else set())


@pytest.mark.row(18)
@topologies
def test_every_component_has_a_service_account_of_its_own(topology: Path) -> None:
    manifests = objects(topology)
    accounts = {account["metadata"]["name"]: component(account) for account in kind(manifests, "ServiceAccount")}
    assert len(set(accounts.values())) == len(accounts)
    for name, pod in templates(manifests):
        assert accounts[pod["spec"]["serviceAccountName"]] == name


@pytest.mark.row(21)
@topologies
def test_pods_are_not_told_about_other_services(topology: Path) -> None:
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in templates(objects(topology)))


@pytest.mark.row(27)
@topologies
def test_no_image_is_whatever_is_latest(topology: Path) -> None:
    for _, pod in templates(objects(topology)):
        for container in containers(pod["spec"]):
            name, _, tag = container["image"].rpartition(":")
            assert name
            assert tag != "latest"


@pytest.mark.row(8)
@topologies
def test_no_name_is_given_twice_in_a_pod(topology: Path) -> None:
    for _, pod in templates(objects(topology)):
        named = [pod["spec"].get("volumes", []), containers(pod["spec"])]
        for container in containers(pod["spec"]):
            named += [container.get("env", []), container.get("ports", [])]
            mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            assert len(set(mounts)) == len(mounts)
        for things in named:
            names = [thing["name"] for thing in things]
            assert len(set(names)) == len(names)


@pytest.mark.row(44)
@topologies
def test_pods_with_a_database_wait_for_its_schema(topology: Path) -> None:
    for name, pod in templates(objects(topology)):
        environment = {variable["name"] for variable in pod["spec"]["containers"][0].get("env", ())}
        waits = any(one["name"] == "wait" for one in pod["spec"].get("initContainers", ()))
        assert waits == ("CANDLECAST_DATABASE_URL" in environment and name != "migrate"), name
    assert "CANDLECAST_DATABASE_URL" not in str([pod for name, pod in templates(objects(topology)) if name == "ui"])


@pytest.mark.row(40)
@topologies
def test_scheduled_jobs_follow_one_skeleton(topology: Path) -> None:
    cronjobs = kind(objects(topology), "CronJob")
    assert {component(one) for one in cronjobs} >= {"ingestion", "training"}
    for cronjob in cronjobs:
        spec = cronjob["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["timeZone"] == "Etc/UTC"
        assert spec["startingDeadlineSeconds"] >= 10
        assert spec.keys() >= {"successfulJobsHistoryLimit", "failedJobsHistoryLimit"}
        job = spec["jobTemplate"]["spec"]
        assert job.keys() >= {"activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "podFailurePolicy"}
        assert job["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.row(40, 41)
@topologies
def test_exit_codes_mean_in_the_cluster_what_they_mean_in_the_code(topology: Path) -> None:
    final = {error.exit_code for error in (UsageError, DataError, ModelError, ConfigurationError)}
    for cronjob in kind(objects(topology), "CronJob"):
        fail, ignore = cronjob["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        assert fail["action"] == "FailJob"
        assert set(fail["onExitCodes"]["values"]) == final
        assert TemporaryError.exit_code not in fail["onExitCodes"]["values"]
        assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.row(34, 36, 39)
@topologies
def test_the_service_drains_before_it_ends_and_lives_without_its_database(topology: Path) -> None:
    (pod,) = [pod for name, pod in templates(objects(topology)) if name == "service"]
    (container,) = pod["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    uvicorn_waits = 20
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > pause + uvicorn_waits
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    assert spread["matchLabelKeys"] == ["pod-template-hash"]
