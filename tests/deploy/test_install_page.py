"""docs/install.md can be typed: its options render, its manifests are admitted, what it needs it makes."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.deploy.manifests import Manifest, component, containers, helm, kind, needs_helm, templates
from tools.generate_kubernetes import CHART, ROOT
from tools.image_sizes import MOST_MEGABYTES

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
README = (CHART / "README.md").read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[str]:
    """Yield every block of shell commands."""
    yield from re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of every installation; options that stand alone belong to the one before them."""
    words: list[str] = []
    for line in "".join(blocks(text)).replace("\\\n", "").splitlines():
        if re.match(r"helm (install|upgrade) ", line):
            if words:
                yield words
            words = shlex.split(line, comments=True)
        elif line.startswith("  --set "):
            yield words
            words = [*words, *shlex.split(line, comments=True)]
    yield words


def options(words: list[str]) -> list[str]:
    """Return what a command sets, as `helm template` is told it."""
    return [word for pair in pairwise(words) if pair[0] in ("--set", "--values") for word in pair]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Return a file of values as a reader has one."""
    values = tmp_path / "my-values.yaml"
    values.write_text("database: {external: {existingSecret: candlecast-database}}\nimage: {registry: localhost}\n")
    return values


@needs_helm
@pytest.mark.parametrize("words", [*commands(PAGE), *commands(README)], ids=lambda words: " ".join(words)[:90])
def test_every_documented_installation_renders_and_names_a_registry(words: list[str], mine: Path) -> None:
    assert words[3] == "helm/candlecast"
    given = [str(mine) if word == "my-values.yaml" else word for word in options(words)]
    for _, pod in templates(helm(*given)):
        for container in containers(pod["spec"]):
            assert not container["image"].startswith("candlecast/")


@needs_helm
def test_the_commands_without_the_internet_make_every_secret_that_pods_ask_for() -> None:
    (block,) = [one for one in blocks(PAGE) if "ci/airgapped.yaml" in one]
    made = set(re.findall(r"create secret [a-z-]+ (\S+)", block))
    *_, words = commands(f"```sh\n{block}```\n")
    manifests = helm(*options(words))
    asked = set(re.findall(r"'secretKeyRef': {'key': '[^']*', 'name': '([^']*)'", str(_sorted(manifests))))
    pulled = {one["name"] for _, pod in templates(manifests) for one in pod["spec"].get("imagePullSecrets", ())}
    assert asked | pulled == made
    assert not kind(manifests, "Secret")
    assert "persistentVolumeClaim" not in str([pod for _, pod in templates(manifests)])


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def store() -> Manifest:
    """Return the pod that runs `python -m candlecast.store`."""
    (text,) = re.findall(r"<<'POD'\n(.*?)^POD$", PAGE, re.MULTILINE | re.DOTALL)
    pod: Manifest = yaml.safe_load(text)
    return pod


def test_the_pod_for_commands_of_the_database_is_one_that_the_restricted_profile_admits(store: Manifest) -> None:
    spec = store["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(spec):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]


@needs_helm
def test_the_network_policies_let_that_pod_to_the_database(store: Manifest) -> None:
    manifests = helm("--set", "database.mode=trial,image.registry=localhost")
    labels = store["metadata"]["labels"].items()
    policies = kind(manifests, "NetworkPolicy")
    (own,) = [one for one in policies if one["spec"]["podSelector"]["matchLabels"].items() <= labels]
    assert component(own) == "migrate"
    (database,) = [one for one in policies if component(one) == "database"]
    peers = [peer["podSelector"]["matchLabels"].items() for peer in database["spec"]["ingress"][0]["from"]]
    assert any(peer <= labels for peer in peers)
    images = {one["image"] for _, pod in templates(manifests) for one in containers(pod["spec"])}
    assert {one["image"] for one in containers(store["spec"])} <= images


@needs_helm
def test_commands_run_in_a_container_that_there_is() -> None:
    ((deployment, container),) = re.findall(r"exec deploy/(\S+) -c (\S+) -- python -m candlecast.store", PAGE)
    (found,) = [one for one in kind(helm("--set", "database.mode=trial"), "Deployment") if component(one) == "service"]
    assert found["metadata"]["name"] == deployment
    assert container in {one["name"] for one in containers(found["spec"]["template"]["spec"])}


def test_the_sizes_that_images_may_have_are_told() -> None:
    told = re.findall(r"^\| (\w+)[^|]* \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert {app: int(most) for app, _, most in told} == MOST_MEGABYTES
    assert all(int(size) <= int(most) for _, size, most in told)
