"""What the schema refuses and a changed value changes: rows 1 to 6, 11, 24, 27 to 30, 33 and 49 of the goal table."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from candlecast.settings import Settings
from tests.deploy.manifests import (
    CI,
    TOPOLOGIES,
    component,
    containers,
    helm,
    kind,
    need,
    needs_helm,
    objects,
    templates,
)
from tools.generate_kubernetes import CHART, CHART_DECIDES, values_schema

OPTIONAL = ("gateway.networking.k8s.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1")
"""What the chart makes objects of that not every cluster knows; a real API server judges those."""

TRIAL = ("--set", "database.mode=trial")

ROUTES = (
    "service.route.enabled=true,service.route.parentRefs[0].name=g,ui.route.enabled=true,ui.route.parentRefs[0].name=g"
)


@pytest.mark.row(2)
def test_the_schema_is_closed_but_for_global_and_enabled() -> None:
    schema = values_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["global"]["additionalProperties"] is True
    assert schema["properties"]["enabled"] == {"type": "boolean"}


@pytest.mark.row(4)
def test_every_value_is_described() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def walk(path: str, value: object, described: dict[str, Any]) -> None:
        if "$ref" in described and path == "pods":
            described = schema["$defs"]["pods"]
        if isinstance(value, dict) and "description" not in described:
            for key, inner in value.items():
                walk(f"{path}.{key}".lstrip("."), inner, described["properties"][key])
        else:
            assert described.get("description"), path

    walk("", values, schema)


@pytest.mark.row(3)
def test_every_setting_is_a_value_or_the_charts_own() -> None:
    settings = values_schema()["properties"]["settings"]["properties"]
    assert settings.keys() | CHART_DECIDES >= set(Settings.model_fields)
    assert not settings.keys() & CHART_DECIDES


@pytest.mark.row(2)
@needs_helm
@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--set", "nonsense=1"), "nonsense"),
        (("--set", "service.replica=1"), "replica"),
        (("--set", "settings.no_such_setting=1"), "no_such_setting"),
        (("--set", "service.autoscaling.mode=vpa"), "mode"),
        (("--set", "service.route.enabled=true"), "parentRefs"),
        (("--set", "service.path=api"), "path"),
        (("--set", "database.roles.mode=existing"), "existingSecret"),
        (("--set", "database.roles.prefix=a b"), "prefix"),
        (("--set", "rules.overrides.CandlecastCandlesStale.unless=1"), "unless"),
        (("--set", "image.tag=latest"), "tag"),
        (("--set-json", "networkPolicy.dns.ports=[]"), "ports"),
        (("--set", "ui.image.digest=sha256:1"), "digest"),
        (("--set", "ingestion.startingDeadlineSeconds=5"), "startingDeadlineSeconds"),
        (("--set", "service.resources.requests.cpu=null"), "cpu"),
        (("--set", "dispatcher.admissionPolicy.create=false"), "acceptUnguarded"),
        (("--set", "service.path=/api(/|$)(.*)"), "path"),
        (("--set", "service.ingress.tlsSecret=t,service.ingress.enabled=true"), "service.ingress.host"),
        (("--set", "service.ingress.enabled=true,ui.ingress.enabled=true"), "service.path=/api"),
        (("--set", ROUTES), "service.path=/api"),
        (("--set", "service.autoscaling.maxReplicas=1"), "maxReplicas"),
        (("--set", "service.autoscaling.minReplicas=0"), "minReplicas"),
        (("--set", "service.nodePort=30000"), "service.type=NodePort"),
        (("--set", "ui.nodePort=30000"), "ui.type=NodePort"),
        (("--set", "fullnameOverride=My_App"), "fullnameOverride"),
        (("--set", "image.tag=a b"), "tag"),
        (("--set", "rules.overrides.CandlecastCandleStale.for=1h"), "CandlecastCandlesStale"),
        (("--set", "settings.protect_reading=true,ui.holdsToken=false"), "ui.holdsToken=true"),
        (("--set", "database.mode=external"), "existingSecret"),
        (
            ("--set", "database.mode=external,database.external.url=postgresql://a,database.external.caSecret=b"),
            "sslMode",
        ),
    ],
)
def test_a_wrong_value_is_refused_by_name(options: tuple[str, ...], word: str) -> None:
    with pytest.raises(RuntimeError, match=word):
        helm(*TRIAL, *options)


@pytest.mark.row(2)
@needs_helm
def test_an_umbrella_chart_may_add_its_own_values() -> None:
    assert helm(*TRIAL, "--set", "global.theirs=1", "--set", "enabled=true")


@pytest.mark.row(1)
@needs_helm
@pytest.mark.parametrize("values", CI, ids=lambda path: path.stem)
@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_the_chart_lints_clean(values: Path, program: str) -> None:
    command = [need(program), "lint", "--strict", str(CHART), "--values", str(values)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.row(6)
@pytest.mark.parametrize("version", ["1.30", "1.34", "1.37"])
def test_every_object_is_valid_in_every_supported_kubernetes(version: str) -> None:
    import kubernetes_validate  # type: ignore[import-untyped]  # carries no types

    # Topologies share most of their objects.
    different = {json.dumps(one, sort_keys=True): one for topology in TOPOLOGIES for one in objects(topology)}
    known = 0
    for one in different.values():
        try:
            kubernetes_validate.validate(one, version, strict=True)
            known += 1
        except kubernetes_validate.SchemaNotFoundError:
            assert one["apiVersion"] in OPTIONAL, one["kind"]
    assert known > 60


@pytest.mark.row(29)
@needs_helm
def test_nothing_sets_replicas_where_the_autoscaler_does() -> None:
    def replicas(*options: str) -> Any:
        deployments = kind(helm(*TRIAL, *options), "Deployment")
        return next(one["spec"].get("replicas") for one in deployments if component(one) == "service")

    assert replicas() is None
    assert replicas("--set", "service.autoscaling.mode=none,service.replicas=3") == 3


@pytest.mark.row(33)
@needs_helm
def test_a_budget_exists_only_where_a_replica_can_be_spared() -> None:
    (budget,) = kind(helm(*TRIAL), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert not kind(helm(*TRIAL, "--set", "service.autoscaling.minReplicas=1"), "PodDisruptionBudget")
    assert not kind(helm(*TRIAL, "--set", "service.autoscaling.mode=none,service.replicas=1"), "PodDisruptionBudget")


@pytest.mark.row(30)
@needs_helm
def test_the_autoscaler_looks_at_the_services_own_container() -> None:
    (scaler,) = kind(helm(*TRIAL), "HorizontalPodAutoscaler")
    (metric,) = scaler["spec"]["metrics"]
    assert metric["containerResource"]["container"] == "service"
    assert scaler["spec"]["behavior"].keys() == {"scaleUp", "scaleDown"}


@pytest.mark.row(27)
@needs_helm
def test_a_digest_wins_over_a_tag_and_the_global_registry_over_all() -> None:
    digest = "sha256:" + "a" * 64
    pods = dict(templates(helm(*TRIAL, "--set", f"ui.image.digest={digest},global.imageRegistry=mirror.example.com")))
    images = {name: container["image"] for name, pod in pods.items() for container in containers(pod["spec"])}
    assert images["ui"] == f"mirror.example.com/candlecast/ui@{digest}"
    assert all(image.startswith("mirror.example.com/") for image in images.values())


@pytest.mark.row(27)
@needs_helm
def test_a_tag_may_look_like_a_number() -> None:
    pods = dict(templates(helm(*TRIAL, "--set", "image.tag=15")))
    assert pods["ui"]["spec"]["containers"][0]["image"] == "candlecast/ui:15"


@pytest.mark.row(8)
@needs_helm
def test_an_extra_variable_replaces_the_charts_own() -> None:
    manifests = helm(*TRIAL, "--set", "ui.extraEnv[0].name=CANDLECAST_UI_PORT,ui.extraEnv[0].value=x")
    pod = dict(templates(manifests))["ui"]
    values = [one["value"] for one in pod["spec"]["containers"][0]["env"] if one["name"] == "CANDLECAST_UI_PORT"]
    assert values == ["x"]


@pytest.mark.row(3)
@needs_helm
def test_settings_become_variables_that_mean_the_same() -> None:
    options = ("--set", "settings.series=replay:{BTC\\,ETH}-USDT:5m", "--set", "settings.backfill_days=365000")
    (config,) = [
        one for one in kind(helm(*TRIAL, *options), "ConfigMap") if one["metadata"]["name"] == "candlecast-settings"
    ]
    assert config["data"] == {
        "CANDLECAST_SERIES": "replay:{BTC,ETH}-USDT:5m",
        "CANDLECAST_BACKFILL_DAYS": "365000",
        "CANDLECAST_LOG_LEVEL": "INFO",
    }


@pytest.mark.row(35)
@needs_helm
def test_a_changed_setting_restarts_pods_and_runs_no_migration() -> None:
    before, after = helm(*TRIAL), helm(*TRIAL, "--set", "settings.log_level=DEBUG")
    old, new = dict(templates(before)), dict(templates(after))
    assert old["service"] != new["service"]
    assert old["database"] == new["database"]
    assert kind(before, "Job") == kind(after, "Job")


@pytest.mark.row(44)
@needs_helm
def test_a_migration_is_another_job_when_its_content_changes() -> None:
    def name(*options: str) -> str:
        (job,) = kind(helm(*TRIAL, *options), "Job")
        return str(job["metadata"]["name"])

    assert name() == name()
    assert len({name(), name("--set", "image.tag=other"), name("--set", "migrations.resources.limits.memory=1Gi")}) == 3


@pytest.mark.row(49)
@needs_helm
def test_objects_of_prometheus_operator_appear_only_where_it_is_known() -> None:
    definitions = ("--api-versions", "monitoring.coreos.com/v1/ServiceMonitor")
    assert not kind(helm(*TRIAL), "ServiceMonitor")
    assert kind(helm(*TRIAL, *definitions), "ServiceMonitor")
    assert kind(helm(*TRIAL, "--set", "metrics.serviceMonitor.mode=always"), "ServiceMonitor")
    assert not kind(helm(*TRIAL, *definitions, "--set", "metrics.serviceMonitor.mode=never"), "ServiceMonitor")


@pytest.mark.row(11)
@needs_helm
def test_names_fit_however_long_the_release_is_called() -> None:
    long = "a-release-name-that-is-as-long-as-helm-allows-it-to-be"[:53]
    for manifests in (helm(*TRIAL, release=long), helm(*TRIAL, "--set", f"fullnameOverride={'x' * 63}")):
        for one in manifests:
            limit = {"CronJob": 46, "ValidatingAdmissionPolicy": 253, "ValidatingAdmissionPolicyBinding": 253}
            assert len(one["metadata"]["name"]) <= limit.get(one["kind"], 63), one["kind"]


@pytest.mark.row(11)
@needs_helm
@pytest.mark.parametrize("release", ["2nd", "my.release"])
def test_a_release_whose_name_no_service_may_have_is_told_how_to_get_another(release: str) -> None:
    with pytest.raises(RuntimeError, match="set fullnameOverride"):
        helm(*TRIAL, release=release)
    assert helm(*TRIAL, "--set", "fullnameOverride=second", release=release)


@pytest.mark.row(11)
@needs_helm
def test_a_tag_that_is_too_long_for_a_label_is_cut_there_alone() -> None:
    tag = "a" * 62 + "-of-a-branch"
    manifests = helm(*TRIAL, "--set", f"image.tag={tag}")
    versions = {one["metadata"]["labels"]["app.kubernetes.io/version"] for one in manifests}
    assert versions == {"a" * 62}
    assert dict(templates(manifests))["ui"]["spec"]["containers"][0]["image"].endswith(f":{tag}")


@pytest.mark.row(5)
@needs_helm
def test_api_and_screen_share_a_host_where_their_paths_differ() -> None:
    options = "service.ingress.enabled=true,ui.ingress.enabled=true,service.path=/api/"
    assert len(kind(helm(*TRIAL, "--set", options), "Ingress")) == 2


@pytest.mark.row(10)
@needs_helm
def test_two_releases_share_no_name() -> None:
    def names(release: str, namespace: str) -> set[tuple[str, str | None, str]]:
        cluster_wide = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
        return {
            (one["kind"], None if one["kind"] in cluster_wide else namespace, one["metadata"]["name"])
            for one in helm(*TRIAL, release=release, namespace=namespace)
        }

    assert not names("a", "n") & names("b", "n")
    assert not names("a", "n") & names("a", "m")
    assert not names("b-c", "a") & names("c", "a-b")
