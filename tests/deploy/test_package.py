"""Row 55 of the scorecard: the chart's package is reproducible, and who holds its signature can verify it."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.deploy.manifests import need
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


@pytest.mark.row(55)
def test_a_signed_package_is_verified_and_a_changed_one_is_not(tmp_path: Path) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("NOT TESTED: no gpg")
    home = tmp_path / "keys"
    home.mkdir(mode=0o700)
    environment = os.environ | {"GNUPGHOME": str(home)}
    user = "candlecast <release@example.com>"
    make_key = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", user, "rsa2048", "sign"]
    subprocess.run(make_key, check=True, capture_output=True, env=environment, timeout=120)
    keyring = tmp_path / "secret.gpg"
    keyring.write_bytes(
        subprocess.run(
            ["gpg", "--batch", "--export-secret-keys"], check=True, capture_output=True, env=environment
        ).stdout
    )
    folder = tmp_path / "chart"
    folder.mkdir()
    signed = package(folder, "--sign", "--key", "candlecast", "--keyring", str(keyring))
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
    verify = [need("helm"), "verify", str(signed), "--keyring", str(keyring)]
    assert "Signed by: candlecast" in subprocess.run(verify, check=True, capture_output=True, text=True).stdout
    signed.write_bytes(signed.read_bytes() + b"more")
    assert subprocess.run(verify, capture_output=True).returncode != 0
