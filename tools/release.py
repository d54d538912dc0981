"""`python -m tools.release`: what `make release` asks before it begins, and the chart that it releases.

`check 0.2.0` says what keeps a version from being released. `chart 0.2.0 --registry R` packages the chart into
dist/chart so that it runs the images that the release pushes to R, and refuses a package that would run others.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from tools.generate_kubernetes import CHART, ROOT, find_helm

PACKAGES = ROOT / "dist/chart"


def main(arguments: list[str] | None = None) -> int:
    """Check or package; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check":
            check(options.version)
        else:
            signature = ["--sign", "--key", options.key, "--keyring", options.keyring] if options.key else []
            made = package(options.version, options.registry, PACKAGES, signature=signature)
            print(f"{made} runs {', '.join(sorted(images(made)))}")  # noqa: T201  # a command's answer
    except ReleaseError as error:
        print(f"{options.version} cannot be released: {error}")  # noqa: T201
        return 1
    return 0


class ReleaseError(Exception):
    """What keeps a version from being released, as sentences."""


def check(version: str) -> None:
    """Raise ReleaseError with every obstacle, one per line."""
    if found := list(obstacles(version)):
        raise ReleaseError("\n".join(found))


def obstacles(version: str) -> Iterator[str]:
    """Yield what is missing, as sentences."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    if chart["version"] != version:
        yield f"helm/candlecast/Chart.yaml says {chart['version']}; change it, its changes and its CHANGELOG.md"
    if f"## {version}\n" not in (CHART / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"helm/candlecast/CHANGELOG.md has no heading {version}; write what changes for whoever upgrades"
    if changed := _run("git", "status", "--porcelain", "--untracked-files=no"):
        yield f"there are changes that are not committed:\n{changed}"


def package(version: str, registry: str, folder: Path, *, signature: Sequence[str] = (), chart: Path = CHART) -> Path:
    """Package the chart of a version whose images are in a registry, alone in a folder; return the package.

    `signature` is what `helm package` is told about the key. Raise ReleaseError when what was packaged would run other
    images than it lists.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "candlecast"
        shutil.copytree(chart, copy)
        point_at(copy, version, registry)
        versions = ["--version", version, "--app-version", version]
        _helm("package", str(copy), *versions, "--destination", str(folder), *signature)
    made = folder / f"candlecast-{version}.tgz"
    if different := images(made) ^ listed(made):
        raise ReleaseError(f"{made.name} lists or runs, but not both: {', '.join(sorted(different))}")
    return made


def point_at(chart: Path, version: str, registry: str) -> None:
    """Write into a copy of the chart where the images of a version are, and whether that is a prerelease."""
    _replace(chart / "values.yaml", r'^(image:\n  # -- Registry [^\n]*\n  registry: )""', rf'\1"{registry}"')
    _replace(chart / "README.md", r'^(\| image\.registry \| string \| )`""`', rf'\1`"{registry}"`')
    _replace(chart / "Chart.yaml", r'"(candlecast/\w+):dev"', rf'"{registry}/\1:{version}"')
    _replace(chart / "Chart.yaml", r'^(  artifacthub\.io/prerelease: )"\w+"', rf'\1"{str("-" in version).lower()}"')


def images(chart: Path) -> set[str]:
    """Return the images that a packaged chart runs as it comes, with the trial's Postgres."""
    # Without a version helm takes the one it was built with, which may be older than the chart allows.
    manifests = _helm("template", "any", str(chart), "--set", "database.mode=trial", "--kube-version", "1.34.0")
    return set(re.findall(r"^ *(?:- )?image: (\S+)$", manifests, re.MULTILINE))


def listed(chart: Path) -> set[str]:
    """Return the images that a packaged chart says to run, for those who mirror them."""
    annotations = yaml.safe_load(_helm("show", "chart", str(chart)))["annotations"]
    return {one["image"] for one in yaml.safe_load(annotations["artifacthub.io/images"])}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="say what keeps a version from being released")
    chart = commands.add_parser("chart", help="package the chart, pointing at the release's images")
    for command in (check, chart):
        command.add_argument("version", help="the version that is to be released, such as 0.2.0")
    chart.add_argument("--registry", required=True, help="where the images are, such as registry.example.com/me")
    chart.add_argument("--key", help="name of the key to sign the package with; unsigned when not given")
    chart.add_argument("--keyring", default=str(Path.home() / ".gnupg/secring.gpg"), help="file that holds the key")
    return parser


def _replace(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not count:
        raise ReleaseError(f"{file.name} has nothing like {pattern}; tools/release.py and the chart must agree")
    file.write_text(text, encoding="utf-8")


def _helm(*arguments: str) -> str:
    helm = find_helm()
    if helm is None:
        raise ReleaseError("there is no helm on PATH")
    return _run(helm, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603  # our own words
    if done.returncode:
        raise ReleaseError(f"{' '.join(command[:2])} says: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
