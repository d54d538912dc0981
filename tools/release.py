"""`python -m tools.release --version 0.2.0`: say what keeps a version from being released; `make release` asks it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Print every obstacle; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument("--version", required=True, help="the version that is to be released, such as 0.2.0")
    version = parser.parse_args(arguments).version
    found = list(obstacles(version))
    for obstacle in found:
        print(f"{version} cannot be released: {obstacle}")  # noqa: T201  # a command's answer
    return 1 if found else 0


def obstacles(version: str) -> Iterator[str]:
    """Yield what is missing, as sentences."""
    chart = yaml.safe_load((ROOT / "helm/candlecast/Chart.yaml").read_text(encoding="utf-8"))
    if chart["version"] != version:
        yield f"helm/candlecast/Chart.yaml says {chart['version']}; change it, its changes and its CHANGELOG.md"
    if f"## {version}\n" not in (ROOT / "helm/candlecast/CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"helm/candlecast/CHANGELOG.md has no heading {version}; write what changes for whoever upgrades"
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        yield f"there are changes that are not committed:\n{changed}"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S603, S607


if __name__ == "__main__":
    sys.exit(main())
