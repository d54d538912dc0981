"""What keeps a version from being released."""

import pytest
import yaml

from tools.release import ROOT, main, obstacles


def test_a_version_that_the_chart_does_not_carry_is_no_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version", "9.9.9"]) == 1
    said = capsys.readouterr().out
    assert "9.9.9 cannot be released: helm/candlecast/Chart.yaml says" in said
    assert "CHANGELOG.md has no heading 9.9.9" in said


def test_the_charts_own_version_has_its_changes_written_down() -> None:
    version = yaml.safe_load((ROOT / "helm/candlecast/Chart.yaml").read_text(encoding="utf-8"))["version"]
    assert [obstacle for obstacle in obstacles(version) if "not committed" not in obstacle] == []
