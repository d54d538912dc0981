"""The chart draws what was, what was said, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from candlecast.api import LedgerRow
from candlecast.candles import to_ms
from tests.ui.making import CUTOFF, STEP, abstained, baseline, candles, forecast, ledger_row, snapshot
from ui.chart import figure
from ui.chart_frame import Frame, Label, spread, time_ticks
from ui.chart_future import fan
from ui.chart_rows import Look, candle_rows
from ui.page import figure_json
from ui.snapshot import Snapshot
from ui.table import alternative, chart_words
from ui.theme import DARK, LIGHT

STEP_MS = 900_000


def drawn(shown: Snapshot | None, **look: Any) -> dict[str, Any]:
    """Return the figure as the browser gets it."""
    known: dict[str, Any] = json.loads(figure_json(shown, Look(**look), "nothing to draw"))
    return known


def traces(shown: Snapshot | None, **look: Any) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in drawn(shown, **look)["data"]}


def texts(shown: Snapshot | None, **look: Any) -> list[str]:
    return [note["text"] for note in drawn(shown, **look)["layout"].get("annotations", [])]


def test_candles_stand_in_the_middle_of_their_interval() -> None:
    trace = traces(snapshot())["candles"]
    assert trace["x"][-1] == to_ms(CUTOFF) - STEP_MS / 2
    assert trace["close"][-1] == 112_900.43


def test_rising_candles_are_hollow_and_falling_ones_filled() -> None:
    for mode, colours in (("light", LIGHT), ("dark", DARK)):
        trace = traces(snapshot(), mode=mode)["candles"]
        assert trace["increasing"] == {"line": {"color": colours["up"], "width": 1.6}, "fillcolor": colours["surface"]}
        assert trace["decreasing"] == {"line": {"color": colours["down"], "width": 1.6}, "fillcolor": colours["down"]}


def test_fan_has_corners_only_where_something_was_forecast() -> None:
    start = to_ms(CUTOFF)
    corners = fan([forecast(1), forecast(5)], "80", STEP_MS)
    assert [at for at, _, _ in corners] == [start, start + STEP_MS, start + 5 * STEP_MS]
    assert corners[0][1:] == corners[1][1:]  # the first horizon is a block
    assert corners[2][1:] == pytest.approx((110_892.2, 114_892.2))


def test_fan_without_the_first_horizon_opens_at_the_last_close() -> None:
    corners = fan([forecast(5)], "95", STEP_MS)
    assert list(corners[0]) == [to_ms(CUTOFF), 112_900.43, 112_900.43]
    assert len(corners) == 2


@pytest.mark.parametrize("reason", ["stale", "gap_in_window", "no_candles"])
def test_abstention_leaves_the_future_empty(reason: str) -> None:
    shown = traces(snapshot(abstained(reason)))
    assert not [name for name in shown if name.startswith("fan") or name == "said"]
    assert "no_change" in shown


def test_other_horizon_is_not_drawn_where_the_chosen_one_abstains() -> None:
    shown = traces(snapshot(abstained("stale", cutoff=CUTOFF), forecast(5)))
    assert "said" not in shown


def test_forecast_of_another_cutoff_is_not_drawn_into_the_same_fan() -> None:
    older = forecast(5, cutoff=CUTOFF - STEP, target_time=CUTOFF + 4 * STEP)
    assert len(traces(snapshot(forecast(1), older))["said"]["x"]) == 2


def test_no_change_runs_over_the_whole_width_dashed() -> None:
    shown = drawn(snapshot())
    line = next(trace for trace in shown["data"] if trace["name"] == "no_change")
    assert line["x"] == shown["layout"]["xaxis"]["range"]
    assert line["y"] == [112_900.43, 112_900.43]
    assert "px" in line["line"]["dash"]


def test_past_forecasts_are_ticks_and_never_a_line() -> None:
    said = traces(snapshot())["past_said"]
    assert said["mode"] == "markers"
    assert said["x"][0] == to_ms(CUTOFF - 8 * STEP) + STEP_MS / 2
    assert said["marker"]["line"]["color"] == LIGHT["said"]


def test_past_can_be_switched_off() -> None:
    assert not [name for name in traces(snapshot(), past=False) if name.startswith("past")]


def test_past_of_the_baseline_is_grey_beside_the_model_s_violet() -> None:
    rows = (ledger_row(CUTOFF - 3 * STEP, "baseline"), ledger_row(CUTOFF - 2 * STEP, "champion"))
    colours = [
        trace["marker"]["line"]["color"]
        for trace in drawn(snapshot(ledger=rows))["data"]
        if trace["name"] == "past_said"
    ]
    assert sorted(colours) == sorted([LIGHT["said"], LIGHT["base"]])


def test_baseline_is_drawn_in_grey_and_named() -> None:
    shown = snapshot(baseline(), baseline(5))
    assert traces(shown)["said"]["line"]["color"] == LIGHT["base"]
    assert "<b>baseline</b>" in texts(shown)


def test_gap_is_hatched_counted_and_breaks_the_line() -> None:
    shown = snapshot(candles=candles(12, missing=(4, 5, 6)))
    gap = traces(shown)["gap"]
    assert max(gap["x"]) - min(gap["x"]) == 3 * STEP_MS
    assert gap["fillpattern"]["shape"] == "/"
    assert "gap: 3 candles" in texts(shown)
    assert traces(shown, line=True)["close"]["y"].count(None) == 1


def test_line_has_no_break_without_a_gap() -> None:
    line = traces(snapshot(), line=True)["close"]
    assert line["y"].count(None) == 0
    assert "candles" not in traces(snapshot(), line=True)


def test_error_panel_has_ours_over_no_change_in_per_cent() -> None:
    shown = traces(snapshot())
    assert shown["error_ours"]["y"][0] == pytest.approx(100 * 50 / 112_000)
    assert shown["error_no_change"]["y"][0] == pytest.approx(100 * 100 / 112_000)
    ours, naive = shown["error_ours"]["width"], shown["error_no_change"]["width"]
    assert ours < naive


def test_forecast_that_is_not_known_yet_has_no_error() -> None:
    rows = (ledger_row(CUTOFF - 2 * STEP), ledger_row(CUTOFF - STEP, realised=None))
    assert len(traces(snapshot(ledger=rows))["error_ours"]["y"]) == 1


def test_simulated_is_written_across_the_plot() -> None:
    assert "<b>SIMULATED</b>" in texts(snapshot(forecast(simulated=True)))
    assert "<b>SIMULADO</b>" in texts(snapshot(forecast(simulated=True)), language="pt")
    assert not [text for text in texts(snapshot()) if "SIMUL" in text]


def test_phone_has_fewer_candles_no_volume_and_does_not_catch_the_finger() -> None:
    shown = snapshot(candles=candles(60))
    wide, phone = drawn(shown), drawn(shown, width=390)
    assert len(wide["data"]) > len(phone["data"])
    assert "volume" not in traces(shown, width=390)
    assert len(traces(shown, width=390)["candles"]["x"]) < 30
    assert phone["layout"]["height"] == 392
    assert phone["layout"]["dragmode"] is False


def test_chart_keeps_zoom_by_series_and_shows_no_mode_bar() -> None:
    shown = drawn(snapshot())
    assert shown["layout"]["uirevision"] == snapshot().series
    assert shown["config"]["displayModeBar"] is False
    assert shown["layout"]["yaxis"]["side"] == "right"


def test_live_ribbon_begins_with_the_first_forecast_and_is_absent_without_one() -> None:
    shapes = drawn(snapshot())["layout"]["shapes"]
    ribbon = next(shape for shape in shapes if shape["type"] == "rect" and shape.get("yref") == "paper")
    assert (ribbon["x0"], ribbon["x1"]) == (to_ms(CUTOFF - 8 * STEP), to_ms(CUTOFF))
    silent = drawn(snapshot(ledger=()))["layout"]["shapes"]
    assert not [shape for shape in silent if shape["type"] == "rect" and shape.get("yref") == "paper"]


def test_predicted_candle_is_drawn_only_when_it_was_predicted() -> None:
    def ghosts(shown: Snapshot) -> int:
        return sum(shape.get("name") == "ghost" for shape in drawn(shown)["layout"]["shapes"])

    assert ghosts(snapshot()) == 3
    assert ghosts(snapshot(baseline())) == 0


@pytest.mark.parametrize("shown", [None, snapshot(candles=None), snapshot(candles=candles(0))])
def test_chart_without_candles_is_a_still_frame_with_a_word(shown: Snapshot | None) -> None:
    assert drawn(shown)["data"] == []
    assert texts(shown) == ["nothing to draw"]
    assert drawn(shown)["layout"]["height"] == drawn(snapshot())["layout"]["height"]


def test_labels_that_are_too_close_are_pushed_apart_evenly_and_keep_their_order() -> None:
    frame = Frame.around(
        values=[0.0, 100.0], left=0, right=1, ticks=[], mode="light", language="en", narrow=False, series=""
    )
    labels = [Label("b", 50.1, ""), Label("a", 50.0, ""), Label("c", 90.0, "")]
    placed = spread(labels, frame)
    assert [label.text for label in placed] == ["a", "b", "c"]
    assert placed[1].at - placed[0].at == pytest.approx(15 * frame.pixel)
    assert (placed[0].at + placed[1].at) / 2 == pytest.approx(50.05)
    assert placed[2].at == 90.0


def test_time_axis_has_round_times_and_the_date_under_the_first_and_under_midnight() -> None:
    start = to_ms(CUTOFF)
    ticks = time_ticks(start, start + 15 * 3_600_000, "pt", 6)
    assert [text for _, text in ticks] == ["18:00<br>14 out", "21:00", "00:00<br>15 out", "03:00", "06:00"]
    days = time_ticks(start, start + 20 * 86_400_000, "en", 6)
    assert days[0][1] == "15 Oct"


def test_hover_shows_what_was_said_what_came_and_the_error() -> None:
    hover = traces(snapshot())["hover"]
    assert "said 112,050.00" in hover["text"][-1]
    assert hover["text"][0].count("<br>") == 1  # before the first forecast there is only a close


def test_alternative_says_candles_forecast_and_skill_in_three_sentences() -> None:
    shown = snapshot()
    said = alternative(shown, candle_rows(shown, Look()), "en")
    assert said.startswith("The last 12 candles ran from 112,000.00 to 112,900.43")
    assert "112,892.20, 80" in said
    assert said.endswith("Live skill: Not distinguishable from “no change”.")
    silent = snapshot(abstained("gap_in_window"))
    assert "Nothing is said about the future." in alternative(silent, candle_rows(silent, Look()), "en")


def test_table_has_every_candle_newest_first_with_what_was_said() -> None:
    shown = snapshot()
    table = chart_words(shown, candle_rows(shown, Look()), "en")
    assert table.count("<tr>") == 13
    body = table.split("<tbody>")[1]
    assert body.index("14 Oct 2025 16:00") < body.index("14 Oct 2025 15:45")
    assert "112,050.00" in body.split("</tr>")[0]


def test_figure_of_the_same_snapshot_is_the_same() -> None:
    assert figure(snapshot(), Look()).to_json() == figure(snapshot(), Look()).to_json()


def hindsight_row(back: int, origin: str) -> LedgerRow:
    """Return what a model would have said of the candle that closed `back` candles before the cutoff."""
    row = ledger_row(CUTOFF - (back + 1) * STEP)
    return row.model_copy(update={"origin": origin, "role": None, "issued_at": None})


def test_hindsight_is_shaded_by_its_kind_and_never_violet_where_it_was_learned_from() -> None:
    rows = tuple(hindsight_row(back, "in_sample" if back > 8 else "out_of_sample") for back in (11, 10, 9, 8))
    shown = snapshot(hindsight=rows)
    shades = [shape for shape in drawn(shown)["layout"]["shapes"] if "sample" in shape.get("name", "")]
    assert [shape["name"] for shape in shades] == ["in_sample"] * 2 + ["out_of_sample"] * 2
    assert shades[0]["x1"] == shades[2]["x0"] == to_ms(CUTOFF - 9 * STEP)
    colours = {
        trace["marker"]["line"]["color"]: len(trace["x"])
        for trace in drawn(shown)["data"]
        if trace["name"] == "past_said"
    }
    assert colours == {LIGHT["edge"]: 3, LIGHT["said"]: 9}
    assert "in-sample" in texts(shown)
    assert "<b>live: written down before</b>" in texts(shown)


def test_live_record_alone_is_not_shaded() -> None:
    assert not [shape for shape in drawn(snapshot())["layout"]["shapes"] if "sample" in shape.get("name", "")]


def test_predicted_candles_are_laid_over_the_real_ones_when_asked_for() -> None:
    whole = ledger_row(CUTOFF - STEP).model_copy(update={"open": 112_100.0, "high": 112_400.0, "low": 111_900.0})
    shown = snapshot(ledger=(ledger_row(CUTOFF - 2 * STEP), whole))
    assert "past_candles" not in traces(shown)
    outline = traces(shown, past_candles=True)["past_candles"]
    assert outline["line"]["dash"] == "2px,2px"
    drawn_prices = {value for value in outline["y"] if value is not None}
    assert drawn_prices == {112_050.0, 112_100.0, 112_400.0, 111_900.0}  # the row with a close alone has none
