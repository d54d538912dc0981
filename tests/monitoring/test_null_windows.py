"""Drift on real candles: how often it is called when nothing was planted, and what is named when something was."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from candlecast.candles import Candles, Interval, Series, to_datetime64
from candlecast.drift import ColumnDrift, DriftSummary, Window
from monitoring.drift import METHOD, compare
from monitoring.pooling import calibrated_thresholds, compared_rows
from monitoring.thresholds import FALSE_ALARMS, calibrate, distance
from monitoring.windows import MOST_ROWS, Rows, choose_windows, join, null_past, sample, window_rows
from tests.real import real_candles
from tests.shared import requires_shared

START, END = datetime(2024, 9, 14, tzinfo=UTC), datetime(2025, 10, 9, tzinfo=UTC)  # the day after is no null window
JUDGED = datetime(2025, 5, 8, tzinfo=UTC)
DAY = timedelta(days=1)
NOW, FIRST = datetime(2025, 7, 1, tzinfo=UTC), datetime(2025, 1, 8, tzinfo=UTC)
BASES = ("BTC", "ETH", "SOL", "BNB", "XRP")


def _candles(interval: Interval) -> dict[Series, Candles]:
    return {Series.parse(f"binance:{base}-USDT:{interval}"): real_candles(base, interval, START, END) for base in BASES}


class _Market:
    """All rows of five series, made once, compared as of any moment."""

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        whole = Window(START, END)
        self._rows = [window_rows(s, candles, whole, None) for s, candles in _candles(interval).items()]
        self._first = min(rows.cutoff[0] for rows in self._rows).astype(datetime).replace(tzinfo=UTC)

    def compare(self, now: datetime, champion_age: timedelta) -> DriftSummary:
        """Compare what the job would at `now`, with a champion that learned until `champion_age` before."""
        trained = (self._first, now - champion_age)
        windows = choose_windows(self.interval, first=self._first, newest=now, trained=trained)
        past = null_past(self.interval, first=self._first, reference=windows[0])
        most = round(MOST_ROWS * (past.length / windows[1].length) / len(self._rows))
        rows = join([sample(_within(rows, past), most) for rows in self._rows])
        found = calibrate(rows, past, self.interval, windows=windows, now=now)
        assert found is not None
        reference, current = (sample(join([_within(rows, window) for rows in self._rows])) for window in windows)
        columns = {
            name: ColumnDrift(distance(column, current.columns[name]), found.columns[name])
            for name, column in reference.columns.items()
        }
        return DriftSummary(METHOD, columns, calibration=found.calibration)


def _within(rows: Rows, window: Window) -> Rows:
    return rows[(rows.cutoff > to_datetime64(window.start)) & (rows.cutoff <= to_datetime64(window.end))]


def _moments() -> Iterator[datetime]:
    for place in range((END - JUDGED) // (3 * DAY) + 1):
        yield JUDGED + place * 3 * DAY


@requires_shared
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("age", [0, 21])
@pytest.mark.parametrize("interval", [Interval.H1, Interval.M15, Interval.M5])
def test_null_windows_alarm_as_often_as_stated(interval: Interval, age: int) -> None:
    """Every threshold is calibrated on what came before; overlapping weeks count once for the error."""
    market = _Market(interval)
    found = [market.compare(now, age * DAY) for now in _moments()]
    columns = float(np.mean([[one.drifted for one in summary.columns.values()] for summary in found]))
    verdicts = float(np.mean([summary.drifted for summary in found]))
    stated = float(np.mean([summary.calibration.verdict_rate for summary in found if summary.calibration]))
    error = float(np.sqrt(FALSE_ALARMS * (1 - FALSE_ALARMS) / ((END - JUDGED) / (7 * DAY))))
    assert columns == pytest.approx(FALSE_ALARMS, abs=error)
    assert verdicts == pytest.approx(stated, abs=2 * error)


def _spiked(candles: Candles, since: datetime) -> Candles:
    """Return candles of which every fourth has eight times its volume from `since` on; prices stay."""
    later = (candles.close_time > to_datetime64(since)) & (np.arange(len(candles)) % 4 == 0)
    return replace(candles, volume=np.where(later, 8 * candles.volume, candles.volume))


def _long_legged(candles: Candles, since: datetime) -> Candles:
    """Return candles whose lows are farther down from `since` on; closes and volumes stay."""
    later = candles.close_time > to_datetime64(since)
    bottom = np.minimum(candles.open, candles.close)
    return replace(candles, low=np.where(later, bottom - 3 * (bottom - candles.low), candles.low))


@requires_shared
@pytest.mark.parametrize(
    ("planted", "named", "may_move"),
    [(_spiked, "volume_1_12", "volume_"), (_long_legged, "lower_wick_0", "(?!volume_)")],
)
def test_planted_family_is_named_within_one_window_and_no_other_column(
    planted: Callable[[Candles, datetime], Candles], named: str, may_move: str
) -> None:
    candles = {series: those.between(START, NOW) for series, those in _candles(Interval.M15).items()}
    windows = choose_windows(Interval.M15, first=FIRST, newest=NOW, trained=None)
    past = null_past(Interval.M15, first=FIRST, reference=windows[0])
    found = calibrated_thresholds(candles, past, windows, None, NOW)
    assert found is not None
    changed = {series: planted(those, windows[1].start) for series, those in candles.items()}
    rows = (compared_rows(these, windows, None) for these in (candles, changed))
    before, after = (compare(ours.columns, theirs.columns, found.columns).columns for ours, theirs in rows)
    moved = {name for name in before if before[name] != after[name]}
    assert all(re.match(may_move, name) for name in moved)
    assert {name for name in moved if after[name].drifted} >= {named}
    assert not before[named].drifted
