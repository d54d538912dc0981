"""What keeps a version from being released, the chart that is, and in which order `make release` goes."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import containers, kind, need, needs_helm, parse, templates
from tools.generate_kubernetes import CHART, ROOT
from tools.release import ReleaseError, main, obstacles, package

REGISTRY = "registry.example.com/me"
APPS = ("ingestion", "training", "service", "ui", "monitoring")

WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yaml").read_text(encoding="utf-8"))


def test_a_version_that_the_chart_does_not_carry_is_no_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "9.9.9"]) == 1
    said = capsys.readouterr().out
    assert "9.9.9 cannot be released: helm/candlecast/Chart.yaml says" in said
    assert "CHANGELOG.md has no heading 9.9.9" in said


def test_the_charts_own_version_has_its_changes_written_down() -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    assert [obstacle for obstacle in obstacles(version) if "not committed" not in obstacle] == []


@needs_helm
@pytest.mark.row(55)
def test_a_released_chart_runs_the_releases_images_as_it_comes(tmp_path: Path) -> None:
    made = package("0.3.0-rc.1", REGISTRY, tmp_path / "chart")
    text = run("template", "any", made, "--set", "database.mode=trial", "--kube-version", "1.34.0")
    used = {container["image"] for _, pod in templates(parse(text)) for container in containers(pod["spec"])}
    ours = {f"{REGISTRY}/candlecast/{app}:0.3.0-rc.1" for app in APPS}
    assert used == ours | {"docker.io/library/postgres:17"}
    told = yaml.safe_load(run("show", "chart", made))
    assert {one["image"] for one in yaml.safe_load(told["annotations"]["artifacthub.io/images"])} == used
    assert told["annotations"]["artifacthub.io/prerelease"] == "true"
    assert f'`"{REGISTRY}"`' in run("show", "readme", made)


@needs_helm
@pytest.mark.row(55)
def test_a_version_without_a_suffix_is_no_prerelease(tmp_path: Path) -> None:
    told = yaml.safe_load(run("show", "chart", package("0.3.0", REGISTRY, tmp_path / "chart")))
    assert told["annotations"]["artifacthub.io/prerelease"] == "false"


@needs_helm
@pytest.mark.parametrize(
    ("file", "words", "instead", "complaint"),
    [
        (
            "Chart.yaml",
            '    - {name: ui, image: "candlecast/ui:dev"}\n',
            "",
            "lists or runs, but not both: .*ui:0.3.0$",
        ),
        (
            "values.yaml",
            'registry: ""\n  # -- Tag of all',
            'host: ""\n  # -- Tag of all',
            "values.yaml has nothing like",
        ),
    ],
)
def test_a_chart_that_would_run_other_images_is_not_packaged(
    tmp_path: Path, file: str, words: str, instead: str, complaint: str
) -> None:
    chart = tmp_path / "candlecast"
    shutil.copytree(CHART, chart)
    text = (chart / file).read_text(encoding="utf-8")
    assert words in text
    (chart / file).write_text(text.replace(words, instead), encoding="utf-8")
    with pytest.raises(ReleaseError, match=complaint):
        package("0.3.0", REGISTRY, tmp_path / "made", chart=chart)


@pytest.mark.parametrize(
    ("options", "walked"),
    [
        pytest.param(["CLUSTER=../cluster"], ["../cluster up", "../cluster load", "../cluster run"], id="a cluster"),
        pytest.param([f"REGISTRY={REGISTRY}"], ["kind create cluster", "kind load docker-image"], id="kind"),
    ],
)
def test_a_rehearsal_checks_builds_packages_installs_and_pushes_nothing(
    tmp_path: Path, options: list[str], walked: list[str]
) -> None:
    said = planned(tmp_path, "DRY_RUN=1", "VERSION=0.3.0", *options, programs=["docker", "kind"])
    steps = [
        "-m tools.release check '0.3.0'",
        "dist/sbom/",
        "--target ingestion",
        "--target monitoring",
        "-m tools.release chart '0.3.0'",
        *walked,
        "upgrade --install candlecast dist/chart/candlecast-0.3.0.tgz",
        "test candlecast --namespace candlecast-test-release",
        "delete namespace candlecast-test-release",
        "would push",
    ]
    places = [said.find(step) for step in steps]
    assert -1 not in places, steps[places.index(-1)]
    assert places == sorted(places)
    assert "NOT WALKED: the signature" in said
    assert "NOT WALKED: the installation" not in said
    assert not re.search(r"^\S*(docker|podman|helm) push", said, re.MULTILINE)


@needs_helm
@pytest.mark.parametrize(
    ("options", "postgres"), [([], "docker.io/library/postgres:17"), (["CLUSTER=../cluster"], "localhost/postgres:15")]
)
def test_what_is_installed_is_the_package_as_it_comes(tmp_path: Path, options: list[str], postgres: str) -> None:
    said = planned(tmp_path, "DRY_RUN=1", "VERSION=0.3.0", *options, programs=["docker", "kind"])
    (command,) = re.findall(
        r" upgrade --install candlecast dist/chart/\S+ (.*)$", said.replace("\\\n", ""), re.MULTILINE
    )
    given = re.findall(r"(--(?:set|set-string|values)) (\S+)", command)
    made = package("0.3.0", "localhost", tmp_path / "chart")
    objects = parse(run("template", "candlecast", made, *chain.from_iterable(given), "--kube-version", "1.34.0"))
    images = {container["image"] for _, pod in templates(objects) for container in containers(pod["spec"])}
    assert images == {postgres} | {f"localhost/candlecast/{app}:0.3.0" for app in APPS}
    assert {one["spec"]["type"] for one in kind(objects, "Service") if "type" in one["spec"]} == {"ClusterIP"}
    assert "registry" not in command.replace("trial.image.registry", "")


@pytest.mark.parametrize("options", [[], ["CLUSTER=../cluster", f"REGISTRY={REGISTRY}"]])
def test_a_rehearsal_says_what_it_could_not_walk(tmp_path: Path, options: list[str]) -> None:
    said = planned(tmp_path, "DRY_RUN=1", "ENGINE=podman", *options)
    assert "NOT WALKED: the installation and helm test, which need kind and docker, or CLUSTER=" in said
    assert "upgrade --install" not in said


def test_a_release_is_tried_before_it_is_pushed_and_names_all_that_it_pushes(tmp_path: Path) -> None:
    options = ("VERSION=0.3.0", f"REGISTRY={REGISTRY}", "KEY=release")
    said = planned(tmp_path, *options, programs=["docker", "kind"])
    assert (
        said.index(" test candlecast") < said.index("docker push") < said.index(" push dist/chart/candlecast-0.3.0.tgz")
    )
    assert "--key 'release'" in said
    rehearsed = planned(tmp_path, *options, "DRY_RUN=1", programs=["docker", "kind"])
    (told,) = re.findall(r"^printf 'would push %s\\n' (.*)$", rehearsed, re.MULTILINE)
    images = [f"{REGISTRY}/candlecast/{app}:0.3.0" for app in APPS]
    chart = [f"'oci://{REGISTRY}/charts/candlecast:0.3.0'", "dist/chart/candlecast-0.3.0.tgz.prov"]
    assert told.split() == images + chart


@pytest.mark.parametrize(
    ("options", "need"), [([], "REGISTRY=registry.example.com/me"), ([f"REGISTRY={REGISTRY}"], "KEY=")]
)
def test_nothing_is_pushed_to_nowhere_or_unsigned(tmp_path: Path, options: list[str], need: str) -> None:
    said = planned(tmp_path, *options)
    assert re.search(rf'echo "make release needs {need}[^"]*"; exit 1', said)
    assert said.index("exit 1") < said.index("tools.release check")


def test_the_workflow_rehearses_the_tags_version_before_it_pushes_anything() -> None:
    jobs = WORKFLOW["jobs"]
    (rehearsal,) = [step["run"] for step in jobs["rehearse"]["steps"] if "DRY_RUN=1" in step.get("run", "")]
    assert "steps.names.outputs.version" in rehearsal
    assert jobs["images"]["needs"] == "rehearse"
    assert set(jobs["chart"]["needs"]) == {"rehearse", "images"}
    for job in ("images", "chart"):
        steps = jobs[job]["steps"]
        uses = [step.get("uses", "").partition("@")[0] for step in steps]
        signs = next(number for number, step in enumerate(steps) if "cosign sign" in step.get("run", ""))
        assert {"docker/login-action", "sigstore/cosign-installer"} <= set(uses[:signs]), job
    assert "permissions" not in jobs["rehearse"], "what is rehearsed may write nothing"


@pytest.mark.parametrize("pushed", [True, False])
def test_the_workflow_signs_the_chart_that_it_pushed_and_no_other(tmp_path: Path, *, pushed: bool) -> None:
    digest = "sha256:" + "a" * 64
    answer = f"echo 'Pushed: here'; echo 'Digest: {digest}'" if pushed else "echo 'denied' >&2; exit 1"
    stand_in(tmp_path, "helm", answer)
    stand_in(tmp_path, "cosign", 'echo "$@" > signed')
    (script,) = [step["run"] for step in WORKFLOW["jobs"]["chart"]["steps"] if step.get("id") == "push"]
    # What GitHub runs a step with that names bash, and one that names no shell.
    shell = {"bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], "": ["bash", "-e", "-c"]}
    command = [*shell[WORKFLOW.get("defaults", {}).get("run", {}).get("shell", "")], script]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "VERSION": "0.3.0", "REGISTRY": REGISTRY}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30)
    assert (done.returncode == 0) is pushed
    signed = tmp_path / "signed"
    assert signed.exists() is pushed
    if pushed:
        assert signed.read_text() == f"sign --yes {REGISTRY}/charts/candlecast@{digest}\n"


def planned(folder: Path, *options: str, programs: Sequence[str] = ()) -> str:
    """Return what `make release` would run where these programs are, and no other engine or cluster."""
    for program in programs:
        stand_in(folder, program, "exit 1")
    for program in ("make", "bash", "sh", "sed", "git", "grep", "printf"):
        found = shutil.which(program)
        if found and not (folder / program).exists():
            (folder / program).symlink_to(found)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "CLUSTER"))}
    command = ["make", "--dry-run", "release", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | {"PATH": str(folder)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stand_in(folder: Path, program: str, script: str) -> None:
    """Put a program of that name into a folder."""
    (folder / program).write_text(f"#!/bin/sh\n{script}\n")
    (folder / program).chmod(0o755)


def run(*arguments: object) -> str:
    """Run helm and return what it says."""
    command = [need("helm"), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
