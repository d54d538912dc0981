"""What the topologies of `ci/` promise beyond what every one of them does."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import CI, Manifest, component, containers, helm, kind, needs_helm, objects, templates
from tests.deploy.test_values import TRIAL
from tools.generate_kubernetes import CHART, ROOT

PROGRAMS = ("service", "ui", "exporter", "dispatcher", "ingestion", "training", "drift", "retention")
TOPOLOGY = {path.stem: path for path in CI}


@needs_helm
@pytest.mark.row(5)
@pytest.mark.parametrize("version", ["1.30.0", "1.33.5", "1.36.2", "1.37.0-gke.100"])
def test_the_chart_renders_for_every_supported_kubernetes(version: str) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == ">=1.30.0-0"
    assert len(helm(*TRIAL, "--kube-version", version)) > 40


@needs_helm
@pytest.mark.row(5)
def test_an_older_kubernetes_is_refused() -> None:
    with pytest.raises(RuntimeError, match="kubeVersion"):
        helm(*TRIAL, "--kube-version", "1.29.9")


@needs_helm
@pytest.mark.row(31)
def test_keda_takes_the_place_of_the_plain_autoscaler() -> None:
    manifests = objects(TOPOLOGY["keda"])
    assert not kind(manifests, "HorizontalPodAutoscaler")
    (scaled,) = kind(manifests, "ScaledObject")
    processor, requests = scaled["spec"]["triggers"]
    assert processor["metadata"] == {"value": "70", "containerName": "service"}
    assert 'namespace="candlecast",service="candlecast-service"' in requests["metadata"]["query"]
    assert scaled["spec"]["fallback"]["replicas"] == 4
    (deployment,) = [one for one in kind(manifests, "Deployment") if component(one) == "service"]
    assert "replicas" not in deployment["spec"]
    assert kind(manifests, "PodDisruptionBudget")
    (scaled,) = kind(helm(*TRIAL, "--set", "service.autoscaling.mode=keda"), "ScaledObject")
    assert [one["type"] for one in scaled["spec"]["triggers"]] == ["cpu"]
    assert "fallback" not in scaled["spec"]


@needs_helm
def test_a_gateway_leads_to_both_and_the_programs_know_their_paths() -> None:
    manifests = objects(TOPOLOGY["gateway"])
    rules = {component(one): one["spec"]["rules"][0] for one in kind(manifests, "HTTPRoute")}
    assert {name: rule["matches"][0]["path"]["value"] for name, rule in rules.items()} == {"service": "/api", "ui": "/"}
    pods = dict(templates(manifests))
    assert {"name": "CANDLECAST_ROOT_PATH", "value": "/api"} in pods["service"]["spec"]["containers"][0]["env"]
    assert "CANDLECAST_UI_ROOT_PATH" not in str(pods["ui"])


@needs_helm
def test_without_rights_on_the_cluster_a_job_fetches_the_first_candles() -> None:
    manifests = objects(TOPOLOGY["namespaced"])
    wide = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterRole", "Role"}
    assert not wide & {one["kind"] for one in manifests}
    assert {component(one) for one in kind(manifests, "Job")} == {"migrate", "backfill"}


@needs_helm
@pytest.mark.row(27)
def test_every_image_comes_from_the_mirror_with_its_pull_secret() -> None:
    for name, pod in templates(objects(TOPOLOGY["airgapped"])):
        assert all(one["image"].startswith("mirror.example.com/") for one in containers(pod["spec"])), name
        assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}], name


@needs_helm
@pytest.mark.row(27)
def test_a_component_may_have_a_pull_secret_of_its_own() -> None:
    options = "global.imagePullSecrets={all},ui.pod.imagePullSecrets={screen}"
    pods = dict(templates(helm(*TRIAL, "--set", options)))
    assert pods["ui"]["spec"]["imagePullSecrets"] == [{"name": "all"}, {"name": "screen"}]
    assert pods["service"]["spec"]["imagePullSecrets"] == [{"name": "all"}]


@needs_helm
@pytest.mark.row(8)
@pytest.mark.parametrize("name", PROGRAMS)
def test_no_variable_of_the_chart_can_be_doubled_from_outside(name: str) -> None:
    (pod,) = [pod for component, pod in templates(helm(*TRIAL)) if component == name]
    own = [one["name"] for one in pod["spec"]["containers"][0]["env"]]
    extra = ",".join(f"{name}.extraEnv[{i}].name={one},{name}.extraEnv[{i}].value=x" for i, one in enumerate(own))
    (pod,) = [pod for component, pod in templates(helm(*TRIAL, "--set", extra)) if component == name]
    for container in containers(pod["spec"]):
        names = [one["name"] for one in container.get("env", ())]
        assert len(set(names)) == len(names)
    assert {one["value"] for one in pod["spec"]["containers"][0]["env"]} == {"x"}


@needs_helm
@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("option", "restarted"),
    [
        ("settings.ui_dashboards_url=https://example.com", {"ui"}),
        ("settings.train_threads=2", set()),
        ("settings.retention_run_days=5", set()),
        ("settings.service_workers=2", {"service"}),
        ("settings.poll_seconds=3", {"service", "exporter", "dispatcher"}),
        ("settings.log_level=DEBUG", {"service", "exporter", "dispatcher", "ui"}),
        ("api.token=another", {"service", "ui"}),
        ("database.trial.password=another", {"service", "exporter", "dispatcher"}),
        ("ingestion.schedule=7 * * * *", set()),
        ("rules.runbookUrl=https://example.com", set()),
    ],
)
def test_a_pod_restarts_for_its_own_configuration_alone(option: str, restarted: set[str]) -> None:
    before, after = (_deployed(helm(*TRIAL, *more)) for more in ((), ("--set", option)))
    assert {name for name, pod in after.items() if pod != before[name]} == restarted


def _deployed(manifests: list[Manifest]) -> dict[str, Any]:
    return {component(one): one["spec"]["template"] for one in kind(manifests, "Deployment")}


@pytest.mark.row(35)
def test_settings_that_restart_one_program_are_read_by_no_other() -> None:
    helpers = (CHART / "templates/_pods.tpl").read_text(encoding="utf-8")
    (table,) = re.findall(r"\$others := dict (.*?) -\}\}", helpers)
    readers = {prefix.lower(): name for prefix, name in re.findall(r'"([A-Z_]+)" "([a-z]+)"', table)}
    programs = {"service": "service", "ui": "ui", "exporter": "monitoring", "dispatcher": "dispatcher"}
    for prefix, reader in readers.items():
        for name, folder in programs.items():
            assert not _readers(folder, prefix) or name == reader, (prefix, name)
        # The venues are ingestion's alone; service, exporter and dispatcher read what it stored.
        assert _readers("candlecast", prefix) <= {"venues"}, prefix


def _readers(folder: str, prefix: str) -> set[str]:
    """Return what below a folder reads settings that begin with a prefix."""
    return {
        path.relative_to(ROOT / folder).parts[0]
        for path in (ROOT / folder).rglob("*.py")
        if f"settings.{prefix}" in path.read_text(encoding="utf-8")
    }


@needs_helm
@pytest.mark.row(49)
def test_alerts_are_changed_and_disabled_by_name() -> None:
    (rules,) = kind(objects(TOPOLOGY["everything"]), "PrometheusRule")[:1]
    assert rules["metadata"]["labels"]["a"] == "b"
    alerts = {
        rule["alert"]: rule
        for one in kind(objects(TOPOLOGY["everything"]), "PrometheusRule")
        for group in one["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert alerts["CandlecastCandlesStale"]["for"] == "30m"
    assert alerts["CandlecastCandlesStale"]["labels"] == {"severity": "warning", "team": "forecasts"}
    assert "CandlecastServiceFailing" not in alerts
    assert alerts["CandlecastJobNotSucceeding"]["labels"]["severity"] == "warning"


@needs_helm
@pytest.mark.row(52)
def test_whatever_is_scraped_carries_the_release_that_dashboards_ask_for() -> None:
    monitors = kind(objects(TOPOLOGY["everything"]), "ServiceMonitor")
    assert {component(one) for one in monitors} == {"service", "exporter"}
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["endpoints"]
        (relabelled,) = endpoint["relabelings"]
        assert relabelled["targetLabel"] == "release"
        assert relabelled["sourceLabels"] == ["__meta_kubernetes_service_label_app_kubernetes_io_instance"]


@needs_helm
@pytest.mark.row(51)
@pytest.mark.parametrize("promise", ["availability", "latency", "freshness"])
def test_each_promise_has_burn_rates_over_four_windows(promise: str) -> None:
    rules = [
        group for one in kind(objects(TOPOLOGY["everything"]), "PrometheusRule") for group in one["spec"]["groups"]
    ]
    burning = [rule["expr"] for group in rules for rule in group["rules"] if f'slo="{promise}"' in rule.get("expr", "")]
    windows = {
        (window, float(factor))
        for expression in burning
        for window, factor in re.findall(r"ratio_rate(\w+)\{[^}]*\} > ([\d.]+) \*", expression)
    }
    assert windows == {
        ("1h", 14.4), ("5m", 14.4), ("6h", 6), ("30m", 6), ("1d", 3), ("2h", 3), ("3d", 1), ("6h", 1),
    }  # fmt: skip


@needs_helm
@pytest.mark.row(51)
def test_what_is_promised_is_a_value() -> None:
    given = ("--values", str(TOPOLOGY["everything"]), "--set", "rules.errorBudgets.availability=0.1")
    groups = [group for one in kind(helm(*given), "PrometheusRule") for group in one["spec"]["groups"]]
    alerts = [rule for group in groups for rule in group["rules"] if rule.get("alert", "").endswith("BudgetBurns")]
    budgets = {rule["alert"]: set(re.findall(r"> [\d.]+ \* ([\d.]+)", rule["expr"])) for rule in alerts}
    told = {rule["alert"]: re.findall(r"([\d.]+%) is what", rule["annotations"]["description"]) for rule in alerts}
    assert budgets == {
        "CandlecastAvailabilityBudgetBurns": {"0.001"},
        "CandlecastLatencyBudgetBurns": {"0.01"},
        "CandlecastFreshnessBudgetBurns": {"0.01"},
    }
    assert told["CandlecastAvailabilityBudgetBurns"] == ["0.1%"]
    assert told["CandlecastLatencyBudgetBurns"] == ["1%"]


@needs_helm
@pytest.mark.row(58)
def test_every_image_is_listed_for_those_who_mirror_them() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    listed = {one["image"] for one in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])}
    used = {container["image"] for _, pod in templates(helm(*TRIAL)) for container in containers(pod["spec"])}
    assert listed == used


@pytest.mark.row(56)
def test_artifact_hub_is_told_what_it_asks_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    told = {key.removeprefix("artifacthub.io/"): value for key, value in chart["annotations"].items()}
    assert told.keys() >= {"category", "changes", "images", "license", "prerelease"}
    assert told["license"] == "MIT"
    assert told["prerelease"] in ("true", "false")
    for change in yaml.safe_load(told["changes"]):
        assert change.keys() == {"kind", "description"}
        assert change["kind"] in ("added", "changed", "deprecated", "removed", "fixed", "security")
    for image in yaml.safe_load(told["images"]):
        assert image.keys() == {"name", "image"}
    log = (CHART / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {chart['version']}" in log


@pytest.mark.parametrize("path", CI, ids=lambda path: path.stem)
def test_every_topology_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
