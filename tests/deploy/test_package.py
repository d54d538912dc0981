"""Row 55 of the scorecard: the chart's package is reproducible, goes through a registry, and can be verified."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.deploy.manifests import need
from tests.programs import free_port, running
from tests.waiting import eventually
from tools.generate_kubernetes import CHART


def package(folder: Path, *options: str) -> Path:
    """Package a copy of the chart, so that its files have other times than ours; return the package."""
    copy = folder / "candlecast"
    shutil.copytree(CHART, copy, copy_function=shutil.copyfile)
    command = [need("helm"), "package", str(copy), "--destination", str(folder), *options]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (made,) = folder.glob("*.tgz")
    return made


def contents(path: Path) -> dict[str, str]:
    """Return the hash of each file in a package."""
    with tarfile.open(path) as archive:
        return {
            member.name: hashlib.sha256(file.read()).hexdigest()
            for member in archive.getmembers()
            if (file := archive.extractfile(member)) is not None
        }


@pytest.mark.row(55)
def test_two_packages_of_one_chart_hold_the_same(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (contents(package(tmp_path / name)) for name in ("first", "second"))
    assert first == second
    assert "candlecast/templates/service/deployment.yaml" in first
    assert not [name for name in first if "/tests/" in name and "templates" not in name], "unit tests are ours alone"


@pytest.mark.row(55)
def test_the_package_holds_every_file_that_its_readme_sends_people_to(tmp_path: Path) -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:ci/|[A-Z])[\w/-]*\.(?:yaml|md))`", readme))
    assert named >= {"CHANGELOG.md", "ci/airgapped.yaml"}
    assert {f"candlecast/{name}" for name in named} - contents(package(tmp_path)).keys() == set()


@dataclass(frozen=True)
class Signed:
    """A signed package, and the ring with the key that verifies it."""

    package: Path
    keyring: Path


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Return a package that a throwaway key signed."""
    if shutil.which("gpg") is None:
        pytest.skip("NOT TESTED: no gpg")
    home = tmp_path_factory.mktemp("keys")
    home.chmod(0o700)
    environment = os.environ | {"GNUPGHOME": str(home)}
    user = "candlecast <release@example.com>"
    make_key = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", user, "rsa2048", "sign"]
    subprocess.run(make_key, check=True, capture_output=True, env=environment, timeout=120)
    export = ["gpg", "--batch", "--export-secret-keys"]
    keyring = home / "secret.gpg"
    keyring.write_bytes(subprocess.run(export, check=True, capture_output=True, env=environment).stdout)
    made = package(tmp_path_factory.mktemp("chart"), "--sign", "--key", "candlecast", "--keyring", str(keyring))
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
    return Signed(made, keyring)


@pytest.mark.row(55)
def test_a_signed_package_is_verified_and_a_changed_one_is_not(signed: Signed, tmp_path: Path) -> None:
    for name in (signed.package.name, f"{signed.package.name}.prov"):
        shutil.copy(signed.package.parent / name, tmp_path)
    copy = tmp_path / signed.package.name
    verify = [need("helm"), "verify", str(copy), "--keyring", str(signed.keyring)]
    assert "Signed by: candlecast" in subprocess.run(verify, check=True, capture_output=True, text=True).stdout
    copy.write_bytes(copy.read_bytes() + b"more")
    assert subprocess.run(verify, capture_output=True).returncode != 0


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Run an empty OCI registry; yield its address."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("NOT TESTED: no docker-registry")
    address = f"127.0.0.1:{free_port()}"
    configuration = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(configuration))
    with running([program, "serve", tmp_path / "registry.yaml"], os.environ, tmp_path / "registry.log"):
        eventually(lambda: httpx.get(f"http://{address}/v2/").is_success)
        yield address


@pytest.mark.row(55)
def test_a_pushed_package_is_pulled_as_it_was_signed(signed: Signed, registry: str, tmp_path: Path) -> None:
    charts = f"oci://{registry}/charts"
    _helm("push", str(signed.package), charts, "--plain-http")
    chart = f"{charts}/candlecast"
    verified = ("--verify", "--keyring", str(signed.keyring))
    _helm("pull", chart, "--plain-http", "--destination", str(tmp_path), *verified)
    assert (tmp_path / signed.package.name).read_bytes() == signed.package.read_bytes()
    assert "kind: StatefulSet" in _helm("template", "any", chart, "--plain-http", "--set", "database.mode=trial")


def _helm(*words: str) -> str:
    done = subprocess.run([need("helm"), *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
