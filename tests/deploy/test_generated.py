"""One truth: copies are fresh, and what compose and the images say agrees with the code."""

from pathlib import Path

import pytest
import yaml

from candlecast.settings import Settings
from tools.generate_kubernetes import ROOT, generated


@pytest.mark.row(4, 13, 53)
def test_every_generated_file_is_fresh() -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in generated()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "run `make generate`"


def test_no_dashboard_or_rule_is_left_over_in_the_chart() -> None:
    made = {path for path, _ in generated()}
    assert set((ROOT / "helm/candlecast/files").glob("*/*")) <= made


def test_compose_describes_the_whole_product() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    default = {name for name, service in services.items() if "profiles" not in service}
    assert default == {"postgres", "migrate", "dispatcher", "service", "ui"}
    assert services.keys() - default == {"alertmanager", "exporter", "grafana", "prometheus"}
    variables = {name for service in services.values() for name in service.get("environment", ())}
    known = {f"CANDLECAST_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in variables if name.startswith("CANDLECAST_")} <= known
    assert "CANDLECAST_DATABASE_URL" not in services["ui"]["environment"]


@pytest.mark.parametrize("service", ["migrate", "dispatcher", "service", "ui", "exporter"])
def test_compose_builds_targets_that_exist(service: str) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert f" AS {services[service]['build']['target']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_every_locked_package_carries_hashes() -> None:
    files = [*ROOT.glob("*/requirements.txt"), ROOT / "tools/requirements-image.txt"]
    assert len(files) == 7
    for file in files:
        pins = [line for line in file.read_text(encoding="utf-8").splitlines() if "==" in line]
        assert pins, file
        assert all(line.endswith("\\") for line in pins), file


def test_no_file_of_the_installation_names_a_package_index() -> None:
    for name in ("Dockerfile", "compose.yaml", "bentofile.yaml", "Makefile"):
        assert "index-url" not in Path(ROOT / name).read_text(encoding="utf-8")
