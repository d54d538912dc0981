"""What the Models and Drift tabs say about versions and reports."""

from __future__ import annotations

from datetime import timedelta

from candlecast.api import ColumnDrift, CompareWindow, DriftCalibration, DriftReport, ModelVersion
from tests.ui.making import CUTOFF, NOW, challenger, snapshot
from ui import drifting, registry
from ui.markup import plain

NUMBERS = {"skill": 0.003, "skill_lower": -0.002, "skill_upper": 0.008, "mae_ratio": 0.997, "windows_won": 4}


def version(name: str, **changes: object) -> ModelVersion:
    """Return a version that was refused, with its numbers."""
    refused = {"promote": False, "reason": "chance <explains> it", "numbers": NUMBERS}
    return challenger(refused).model_copy(update={"id": name, **changes})


def test_versions_say_who_answers_why_and_how_sure_the_skill_is() -> None:
    models = (version("new"), version("old", champion=True, promoted_at=NOW))
    said = registry.versions(models, snapshot(), "en")
    assert "chance &lt;explains&gt; it" in said
    assert said.count('class="whisker"') == 2
    assert plain(said).index("refused") < plain(said).index("Champion")
    assert "0.9970" in said


def test_versions_of_other_venues_and_intervals_are_left_out() -> None:
    models = [version("mine"), version("other", interval="1h"), version("else", venue="kraken")]
    assert [model.id for model in registry.of_series(models, snapshot())] == ["mine"]


def test_version_without_numbers_is_drawn_without_them() -> None:
    said = registry.versions((challenger(None),), snapshot(), "pt")
    assert "whisker" not in said
    assert "não avaliada" in said


def test_card_holds_what_the_manifest_knows_and_nothing_else() -> None:
    training = {
        "a": {"start": "2025-01-01T00:00:00+00:00", "end": "2025-09-01T00:00:00+00:00", "candles": 1000},
        "b": {"start": "2025-03-01T00:00:00+00:00", "end": "2025-10-01T00:00:00+00:00", "candles": 500},
    }
    manifest = {"training": training, "features": {"names": ["x", "y"]}, "symbols": ["<b>"]}
    said = registry.card(version("new", manifest=manifest), snapshot(), "en")
    assert "1,500, 1 Jan 2025 to 1 Oct 2025" in said
    assert "&lt;b&gt;" in said
    assert "Made with" not in said


def report(number: int, share: float, *, page: bool) -> DriftReport:
    """Return a drift report of two columns, one beyond its threshold."""
    window = CompareWindow(start=CUTOFF - timedelta(days=7), end=CUTOFF, rows=1344)
    columns = [
        ColumnDrift(name="<volume>", score=0.3, threshold=0.1, drifted=True),
        ColumnDrift(name="range", score=None, threshold=0.1, drifted=False),
    ]
    return DriftReport(
        id=number, venue="binance", interval="15m", model_version=None, created_at=NOW, reference=window,
        current=window, method="wasserstein", share=share, drifted=share > 0.3, columns=columns,
        report=f"/v1/drift/{number}/report" if page else None,
    )  # fmt: skip


def test_newest_report_says_how_many_columns_moved_and_against_what() -> None:
    said = plain(drifting.newest([report(2, 0.5, page=False)], snapshot(), "en"))
    assert "Drifted, 1 of 2 columns moved beyond their threshold" in said
    assert "none: compared with what came before" in said


def test_newest_report_says_how_often_it_alarms_by_chance() -> None:
    known = report(2, 0.5, page=False)
    assert "the thresholds are a rule of thumb" in plain(drifting.newest([known], snapshot(), "en"))
    calibration = DriftCalibration(
        column_rate=0.05, verdict_rate=0.04, null_windows=57, start=CUTOFF - timedelta(days=100), end=CUTOFF
    )
    said = plain(drifting.newest([known.model_copy(update={"calibration": calibration})], snapshot(), "en"))
    assert "a column 5\u202f%, the whole 4\u202f% of the time, by 57 pairs of windows since" in said


def test_columns_are_escaped_and_one_without_a_score_has_no_bar() -> None:
    said = drifting.columns([report(2, 0.5, page=False)], "en")
    assert "&lt;volume&gt;" in said
    assert said.count("<svg") == 1


def test_report_runs_its_scripts_in_a_sandbox_without_an_origin() -> None:
    said = drifting.page([report(3, 0.1, page=False), report(2, 0.1, page=True)], snapshot(), "en")
    assert 'src="files/drift/2" sandbox="allow-scripts"' in said
    assert "allow-same-origin" not in said


def test_no_report_is_said_in_every_panel() -> None:
    for drawn in (drifting.newest, drifting.over_time, drifting.page):
        assert "No drift report" in drawn((), snapshot(), "en")
