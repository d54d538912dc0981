"""What helm says after an installation: nothing untrue, and commands that can be typed."""

import re
import subprocess
from functools import cache

import pytest

from tests.deploy.manifests import helm, kind, need, needs_helm, parse
from tests.deploy.test_values import TRIAL
from tools.generate_kubernetes import CHART

pytestmark = needs_helm

INGRESS = ("--set", "ui.ingress.enabled=true,ui.ingress.host=screen.example.com")
UNGUARDED = ("--set", "dispatcher.admissionPolicy.create=false,dispatcher.acceptUnguarded=true")


@cache
def notes(*options: str) -> str:
    """Return what helm prints after installing a trial with these options, in one line per paragraph."""
    command = [need("helm"), "install", "r", str(CHART), "--namespace", "n", "--dry-run=client", *TRIAL, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    paragraphs = done.stdout.partition("\nNOTES:\n")[2].split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def test_images_without_a_registry_are_told_and_others_are_not() -> None:
    assert "WARNING: the images have no registry" in notes()
    assert "no registry" not in notes("--set", "image.registry=localhost")
    assert "no registry" not in notes("--set", "global.imageRegistry=mirror.example.com")


def test_the_ways_in_are_the_addresses_that_were_given() -> None:
    said = notes("--set", "service.route.enabled=true,service.route.parentRefs[0].name=g,service.path=/api")
    assert "port-forward service/r-candlecast-service" in said
    options = "service.route.enabled=true,service.route.parentRefs[0].name=g,service.path=/api"
    said = notes("--set", f"{options},service.route.hostnames={{api.example.com}}", *INGRESS)
    assert "curl api.example.com/api/v1/forecasts/latest" in said
    assert "http://screen.example.com/" in said
    assert "port-forward" not in said
    assert "https://screen.example.com/" in notes(*INGRESS, "--set", "ui.ingress.tlsSecret=t")


@pytest.mark.parametrize(
    "options",
    [INGRESS, ("--set", "ui.type=NodePort"), ("--set", "ui.route.enabled=true,ui.route.parentRefs[0].name=g")],
)
def test_a_screen_in_the_open_that_lends_its_token_is_told(options: tuple[str, ...]) -> None:
    assert "WARNING: whoever reaches the screen can start runs" in notes(*options)


@pytest.mark.parametrize(
    "options",
    [
        (),
        (*INGRESS, "--set", "ui.holdsToken=false"),
        (*INGRESS, "--set", "ui.extraEnv[0].name=CANDLECAST_UI_PASSWORD,ui.extraEnv[0].value=x"),
    ],
    ids=["reached by nobody", "asks for a token", "asks for a password"],
)
def test_of_a_screen_that_lends_nobody_its_token_nothing_is_told(options: tuple[str, ...]) -> None:
    assert "can start runs" not in notes(*options)


def test_without_a_dispatcher_the_first_candles_and_the_first_training_are_told() -> None:
    said = notes("--set", "dispatcher.mode=none")
    assert 'next planned ingestion, "*/5 * * * *" Etc/UTC' in said
    assert "create job first-ingestion --from=cronjob/r-candlecast-ingestion" in said
    assert 'its schedule, "20 0 * * *" Etc/UTC' in said
    assert "create job first-training --from=cronjob/r-candlecast-training" in said
    filled = notes("--set", "dispatcher.mode=none,backfill.enabled=true")
    assert "A Job fetches the first candles" in filled
    assert "next planned ingestion" not in filled
    assert "first-training" in filled


def test_the_policies_of_an_unguarded_dispatcher_are_made_by_what_is_typed() -> None:
    said = notes(*UNGUARDED)
    (typed,) = re.findall(r"helm get values r -n n -o yaml \| (helm template .*?) \| kubectl apply", said)
    words = [str(CHART) if word == "CHART" else word for word in typed.split() if word != "\\"]
    given = "database: {mode: trial}\ndispatcher: {acceptUnguarded: true, admissionPolicy: {create: false}}\n"
    command = [need("helm"), *words[1:], "--kube-version", "1.34.0"]
    made = subprocess.run(command, input=given, check=True, capture_output=True, text=True, timeout=60).stdout
    of_the_chart = kind(helm(*TRIAL, release="r", namespace="n"), "ValidatingAdmissionPolicy")
    assert of_the_chart
    assert kind(parse(made), "ValidatingAdmissionPolicy") == of_the_chart
    assert len(kind(parse(made), "ValidatingAdmissionPolicyBinding")) == len(of_the_chart) == len(parse(made)) / 2
    assert "get validatingadmissionpolicies" not in notes()


def test_of_monitoring_only_what_there_is_is_told() -> None:
    never = notes("--set", "metrics.serviceMonitor.mode=never,rules.mode=never,dashboards.enabled=false")
    assert "scrape /metrics of r-candlecast-service and r-candlecast-exporter" in never
    for words in ("may select ServiceMonitors", "Alerts", "Dashboards"):
        assert words not in never
    always = notes("--set", "metrics.serviceMonitor.mode=always,rules.mode=always")
    for words in ("may select ServiceMonitors", "which is no address", "leave them to one of these"):
        assert words in always
    assert "which is no address" not in notes(
        "--set", "rules.mode=always,rules.runbookUrl=https://example.com/runbooks"
    )
