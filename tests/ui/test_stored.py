"""What the Data tab says about series, missing candles and runs."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from candlecast.api import Coverage, DayCoverage, LatestPrice, Run, SeriesList
from tests.making import a_run
from tests.ui.making import CUTOFF, NOW, SERIES, snapshot, state
from ui import panels, stored
from ui.markup import plain
from ui.tabs.data import parsed_days


def day(at: int, stored_: int = 96, confirmed: int = 0) -> DayCoverage:
    missing = 96 - stored_ - confirmed
    return DayCoverage(
        day=date(2025, 10, 1) + timedelta(days=at), expected=96, stored=stored_, confirmed=confirmed, missing=missing
    )


def coverage(*days: DayCoverage) -> Coverage:
    counted = {name: sum(getattr(one, name) for one in days) for name in ("expected", "stored", "confirmed", "missing")}
    share = counted["stored"] / (counted["expected"] - counted["confirmed"])
    return Coverage(series=SERIES, start=CUTOFF, end=CUTOFF, completeness=share, days=list(days), **counted)


def test_days_of_one_kind_are_one_mark_with_their_dates_and_counts() -> None:
    days = [day(0), day(1), day(2, 90), day(3, 90), day(4, 95, 1), day(5, 0)]
    drawn = stored.completeness_panel({SERIES: coverage(*days)}, "en").partition("</ul>")[2]
    assert drawn.count("<rect") == 4
    assert re.findall('width="([0-9]+)" height', drawn) == ["2", "2", "1", "1"]
    for said in (
        "3 Oct 2025 to 4 Oct 2025: 12 missing",
        "5 Oct 2025: complete but for 1",
        "nothing stored, 96 missing",
    ):
        assert said in drawn


def test_one_missing_candle_in_very_many_is_never_a_hundred_per_cent() -> None:
    assert stored.completeness(1.0, "en").startswith("100")
    assert stored.completeness(1 - 1e-9, "en").startswith("99.99")


def test_series_without_candles_and_stale_ones_say_so() -> None:
    empty = state(series="binance:A-B:1h", candles=0, last_close_time=None, age_seconds=None, fresh=False)
    listing = SeriesList(series=[state(fresh=False), empty], horizons=[1])
    said = plain(stored.series_panel(snapshot(listing=listing), {}, "en"))
    assert "Stale" in said
    assert "Empty" in said


def failed_run(**changes: object) -> Run:
    known = {"done": 3, "failed": 1, "target": 4, "started_at": NOW}
    return a_run("failed", **known | {"error_code": "rate_limited", "error": "<b>slow</b>"} | changes)


def test_failed_run_says_what_went_wrong_and_the_way_out() -> None:
    said = stored.runs_panel((failed_run(),), snapshot(), "en")
    assert "&lt;b&gt;slow" in said
    assert "Ask again in a few minutes" in said
    assert "3 / 4, 1 failed" in plain(said)
    assert "schedule" in said


def test_newest_lines_of_the_log_are_beside_the_run() -> None:
    line = {"at": NOW, "level": "warning", "message": "page 3 <script>"}
    said = stored.runs_panel((failed_run(log=[line]), failed_run()), snapshot(), "en")
    assert said.count("<details") == 1
    assert "page 3 &lt;script&gt;" in said


def test_line_that_only_repeats_the_message_is_no_log() -> None:
    line = {"at": NOW, "level": "info", "message": "3 new candles"}
    assert "<details" not in stored.runs_panel((failed_run(message="3 new candles", log=[line]),), snapshot(), "en")


@pytest.mark.parametrize(("job", "tab"), [("training", "models"), ("drift", "drift"), ("ingestion", None)])
def test_run_leads_to_what_it_has_made(job: str, tab: str | None) -> None:
    said = stored.runs_panel((a_run("succeeded", job=job),), snapshot(), "en")
    assert (f"tab={tab}" in said) == (tab is not None)
    assert f"tab={tab}" not in stored.runs_panel((a_run("failed", job=job),), snapshot(), "en")


def test_nothing_yet_is_said_in_every_panel() -> None:
    bare = snapshot(candles=None, ledger=(), listing=SeriesList(series=[], horizons=[1]))
    assert "No series yet" in stored.series_panel(bare, {}, "en")
    assert "No run yet" in stored.runs_panel((), bare, "en")
    assert "No candles of this series yet" in stored.candles_panel(bare, "en")
    assert "Nothing has been written down" in stored.ledger_panel(bare, "en")


@pytest.mark.parametrize("text", ["", "31/01/2025", "2025-02-30", "2025-10-15", "tomorrow"])
def test_only_a_day_before_now_can_be_backfilled_from(text: str) -> None:
    assert parsed_days(text, "", NOW) is None
    assert parsed_days(" 2025-01-31 ", "", NOW) == (datetime(2025, 1, 31, tzinfo=UTC), None)


@pytest.mark.parametrize("last", ["2025-01-30", "31/01/2025", "9999-12-31"])
def test_last_day_of_a_backfill_is_fetched_whole_and_not_before_the_first(last: str) -> None:
    assert parsed_days("2025-01-31", last, NOW) is None
    one_day = (datetime(2025, 1, 31, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))
    assert parsed_days("2025-01-31", "2025-01-31", NOW) == one_day


def price(disagrees: bool | None, value: float = 112_865.43) -> LatestPrice:
    return LatestPrice(
        symbol="BTC-USDT", price=value, source="coingecko", priced_at=NOW, age_seconds=9, disagrees=disagrees,
        disagreements=0,
    )  # fmt: skip


def test_cross_check_price_takes_a_card_and_warns_where_it_disagrees() -> None:
    agrees = panels.cards(snapshot(cross_check=price(False)), "en")
    assert "Cross-check price, coingecko" in agrees
    assert "agrees, 0.03" in agrees
    off = panels.cards(snapshot(cross_check=price(True, 124_190.0)), "en")
    assert "Disagrees with the last close by 10.00" in off
    assert "Cross-check" not in panels.cards(snapshot(), "en")
