import gzip
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from candlecast.candles import Candles, Interval
from candlecast.evaluation import diebold_mariano
from tests.making import START, make_candles
from tests.shared import SHARED, requires_shared
from training.__main__ import main

BTC, ETH = "binance:BTC-USDT:15m", "binance:ETH-USDT:15m"
FAST = "persistence,fhs,logistic_regression"

Run = Callable[..., tuple[int, dict[str, Any], str]]


def write(path: Path, candles: Candles, **columns: Any) -> Path:
    """Write candles as CSV, with `columns` in place of theirs."""
    values = {"ts": candles.open_time.astype(np.int64)}
    values |= {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")} | columns
    text = io.StringIO()
    text.write(",".join(values) + "\n")
    for row in zip(*values.values(), strict=True):
        text.write(",".join(str(value) for value in row) + "\n")
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(scope="module")
def candles() -> Candles:
    return make_candles(2600)


@pytest.fixture
def file(tmp_path: Path, candles: Candles) -> Path:
    return write(tmp_path / "btc.csv.gz", candles)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        code = main(["evaluate", *arguments, "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else {}, err

    return call


def _at(candle: int) -> str:
    return (START + candle * Interval.M15.delta).isoformat()


def test_report_has_the_promised_shape_and_its_numbers_are_right(run: Run, file: Path, candles: Candles) -> None:
    code, report, err = run(
        "--candles",
        f"{BTC}={file}",
        "--series",
        BTC,
        "--from",
        _at(1500),
        "--to",
        _at(2500),
        "--forecasters",
        FAST,
        "--refit-every",
        "7",
    )
    assert code == 0
    assert {k: report[k] for k in ("series", "horizon", "from", "to", "refit_every_days")} == {
        "series": BTC,
        "horizon": 1,
        "from": _at(1500),
        "to": _at(2500),
        "refit_every_days": 7,
    }
    assert set(report["forecasters"]) == set(report["comparisons"]) == set(FAST.split(","))
    last, real = candles.close[1499:2499], candles.close[1500:2500]
    still = report["forecasters"]["persistence"]["overall"]
    assert still["count"] == 1000
    assert still["mae"] == pytest.approx(np.abs(real - last).mean())
    assert still["mae_ratio"] == 1
    assert still["auc"] is still["pinball"] is still["accuracy"] is None
    assert still["mase"] == pytest.approx(np.abs(real - last).mean() / np.abs(np.diff(candles.close[:1499])).mean())
    fhs = report["forecasters"]["fhs"]["overall"]
    assert fhs["pinball_skill"] == 0
    assert fhs["coverage_80"] == pytest.approx(0.8, abs=0.05)
    assert report["forecasters"]["logistic_regression"]["overall"]["mae"] is None
    assert report["forecasters"]["logistic_regression"]["overall"]["auc"] == pytest.approx(0.5, abs=0.06)
    assert report["comparisons"]["logistic_regression"] == {"dm_statistic": None, "dm_p": None}
    low, high = report["intervals"]["logistic_regression"]["auc"]
    assert low < report["forecasters"]["logistic_regression"]["overall"]["auc"] < high
    assert "logistic_regression: window 2 of 2" in err


def test_months_share_out_the_cutoffs(run: Run, file: Path, candles: Candles) -> None:
    _, report, _ = run(
        "--candles", f"{BTC}={file}", "--series", BTC, "--from", "2025-09-20", "--forecasters", "persistence"
    )
    months = report["forecasters"]["persistence"]["months"]
    assert list(months) == ["2025-09"]
    assert months["2025-09"]["count"] == report["forecasters"]["persistence"]["overall"]["count"] == 2600 - 19 * 96
    later = Candles.concatenate([candles, make_candles(400, start=candles.cutoff)])
    write(file, later)
    _, report, _ = run(
        "--candles", f"{BTC}={file}", "--series", BTC, "--from", "2025-09-20", "--forecasters", "persistence"
    )
    months = report["forecasters"]["persistence"]["months"]
    assert {name: one["count"] for name, one in months.items()} == {"2025-09": 11 * 96, "2025-10": 3000 - 30 * 96}
    assert report["to"] == later.cutoff.isoformat()


def test_own_model_is_judged_beside_the_yardsticks_and_the_same_question_has_the_same_answer(
    run: Run, file: Path, tmp_path: Path, candles: Candles
) -> None:
    eth = write(tmp_path / "eth.csv", make_candles(2600, seed=2))
    arguments = (
        "--candles",
        f"{BTC}={file}",
        "--candles",
        f"{ETH}={eth}",
        "--series",
        BTC,
        "--from",
        _at(2000),
        "--forecasters",
        "candlecast,drift",
        "--horizon",
        "5",
    )
    code, report, _ = run(*arguments)
    assert code == 0
    assert list(report["forecasters"]) == ["candlecast", "drift"]
    ours = report["forecasters"]["candlecast"]["overall"]
    assert ours["count"] == 596
    assert None not in ours.values()
    assert ours["mae_ratio"] == pytest.approx(1, abs=0.02)
    test = report["comparisons"]["candlecast"]
    assert -4 < test["dm_statistic"] < 4
    assert (test["dm_statistic"] < 0) == (test["dm_p"] < 0.5)
    assert run(*arguments)[1] == report
    alone = run("--candles", f"{BTC}={file}", *arguments[4:])[1]
    assert alone["forecasters"]["candlecast"] != report["forecasters"]["candlecast"]


def test_the_future_of_the_files_changes_nothing(run: Run, file: Path, candles: Candles) -> None:
    question = (
        "--candles",
        f"{BTC}={file}",
        "--series",
        BTC,
        "--from",
        _at(2000),
        "--to",
        _at(2300),
        "--forecasters",
        "candlecast,fhs",
    )
    _, whole, _ = run(*question)
    write(file, candles[:2301])
    assert run(*question)[1] == whole


def test_files_of_one_series_are_joined_in_any_order(run: Run, tmp_path: Path, candles: Candles) -> None:
    late = write(tmp_path / "late.csv", candles[1400:])
    early = write(tmp_path / "early.csv", candles[:1500])
    whole = write(tmp_path / "whole.csv", candles)
    question = ("--series", BTC, "--from", _at(2000), "--forecasters", FAST)
    joined = run("--candles", f"{BTC}={late}", "--candles", f"{BTC}={early}", *question)[1]
    assert joined == run("--candles", f"{BTC}={whole}", *question)[1]
    assert joined["forecasters"]["fhs"]["overall"]["count"] == 600
    write(early, candles[:1500], close=candles.close[:1500] * 1.00001, high=candles.high[:1500] * 1.1)
    code, _, err = run("--candles", f"{BTC}={late}", "--candles", f"{BTC}={early}", *question)
    assert code == 65
    assert "disagree about 100 candles, the first at 2025-09-15 14:00" in err


def _broken(candles: Candles, name: str, row: int, value: float) -> np.ndarray[Any, Any]:
    column: np.ndarray[Any, Any] = np.array(getattr(candles, name))
    column[row] = value
    return column


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path, c: path.write_text("ts,open,high,low,volume\n1,1,1,1,1\n"), "lacks the column 'close'"),
        (lambda path, c: path.write_text("ts,open,high,low,close,volume\n"), "is empty"),
        (lambda path, c: path.write_text(""), "is empty"),
        (lambda path, c: write(path, c[np.sort(np.append(np.arange(2600), 7))]), "line 10: .*duplicate"),
        (lambda path, c: write(path, c[np.arange(2600)[::-1]]), "not ascending"),
        (lambda path, c: write(path, c, close=_broken(c, "close", 4, np.nan)), "line 6: .*not finite"),
        (lambda path, c: write(path, c, high=_broken(c, "high", 4, 1)), "line 6: .*high is below open or close"),
        (lambda path, c: write(path, c, low=["x"] * 2600), "line 2: low is 'x', no number"),
        (lambda path, c: write(path, c[np.arange(2600) % 4 == 0]), "holds 1h candles, not 15m"),
        (lambda path, c: write(path, make_candles(500, Interval.M5)), "holds 5m candles, not 15m"),
        (lambda path, c: write(path, c, ts=c.open_time.astype(np.int64) + 0.5), "line 2: ts is no whole number"),
        (lambda path, c: path.write_text("ts,open,high,low,close,volume\n1,2,3\n"), "line 2: not 6 values"),
        (lambda path, c: path.write_bytes(b"\xff\xfe\x00"), "is no CSV text"),
    ],
)
def test_file_that_is_wrong_is_refused_by_name_line_and_reason(
    run: Run, tmp_path: Path, candles: Candles, spoil: Callable[[Path, Candles], object], sentence: str
) -> None:
    path = tmp_path / "btc.csv"
    spoil(path, candles)
    code, report, err = run("--candles", f"{BTC}={path}", "--series", BTC, "--from", _at(2000))
    assert code == 65
    assert report["error"]["code"] == "invalid_candles"
    assert re.search(rf"btc\.csv.*{sentence}", err), err


@pytest.mark.parametrize(
    ("arguments", "code", "word", "sentence"),
    [
        (["--series", ETH, "--from", "2025-09-20"], 65, "unknown_series", f"no file was given for {ETH}"),
        (["--series", BTC, "--from", "2026-01-01"], 64, "usage_error", "is not before the last close"),
        (["--series", BTC, "--from", "tomorrow"], 64, "usage_error", "--from 'tomorrow' is no date"),
        (["--series", BTC, "--from", "2025-09-20", "--to", "2025-09-10"], 64, "usage_error", "is not after --from"),
        (
            ["--series", BTC, "--from", "2025-09-20", "--forecasters", "oracle"],
            64,
            "usage_error",
            "unknown forecaster oracle",
        ),
        (["--series", BTC, "--from", "2025-09-20", "--calendar", "weekdays"], 64, "usage_error", "for daily candles"),
    ],
)
def test_question_that_cannot_be_answered_is_an_error_of_its_own(
    run: Run, file: Path, arguments: list[str], code: int, word: str, sentence: str
) -> None:
    ended, report, err = run("--candles", f"{BTC}={file}", *arguments)
    assert ended == code
    assert report["error"]["code"] == word
    assert sentence in err


@pytest.mark.parametrize("arguments", [["--horizon", "0"], ["--refit-every", "x"], ["--calendar", "moon"]])
def test_misspelt_option_ends_with_the_code_of_usage_errors(run: Run, file: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--candles", f"{BTC}={file}", "--series", BTC, "--from", _at(2000), *arguments)
    assert ended.value.code == 64


@pytest.mark.parametrize(
    ("given", "sentence"), [("btc.csv", "is no SERIES=FILE"), (f"{BTC}=nowhere.csv", "nowhere.csv cannot be read")]
)
def test_file_that_is_not_there_is_a_usage_error(run: Run, given: str, sentence: str) -> None:
    code, _, err = run("--candles", given, "--series", BTC, "--from", _at(2000))
    assert code == 64
    assert sentence in err


@pytest.mark.parametrize("forecasters", ["candlecast", "fhs", "random_forest", "logistic_regression"])
def test_too_few_candles_before_the_first_cutoff_say_have_and_need(run: Run, file: Path, forecasters: str) -> None:
    code, report, err = run(
        "--candles", f"{BTC}={file}", "--series", BTC, "--from", _at(150), "--forecasters", forecasters
    )
    assert code == 65
    error = report["error"]
    assert error["code"] == "not_enough_candles"
    assert error["have"] in (149, 150)
    assert error["need"] > error["have"]
    assert f"need {error['need']}" in err


def test_cutoffs_without_a_window_before_them_are_not_enough_candles(run: Run, file: Path, candles: Candles) -> None:
    write(file, candles[np.arange(2600) % 300 != 0])
    code, report, _ = run(
        "--candles", f"{BTC}={file}", "--series", BTC, "--from", _at(2000), "--forecasters", "persistence"
    )
    assert code == 65
    assert report["error"]["code"] == "not_enough_candles"


def _stock(count: int) -> Candles:
    """Return daily candles of weekdays only."""
    days = make_candles(2 * count, Interval.D1, start=datetime(2015, 1, 1, tzinfo=UTC))
    weekday = (days.open_time.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return days[weekday < 5][:count]


def test_weekends_are_no_gaps_on_the_calendar_of_weekdays(run: Run, tmp_path: Path) -> None:
    stock = _stock(1300)
    file = write(tmp_path / "stock.csv", stock)
    question = ("--candles", f"yahoo:MSFT-USD:1d={file}", "--series", "yahoo:MSFT-USD:1d", "--from")
    start = stock.close_time[1000]
    code, report, _ = run(
        *question,
        f"{start.astype('datetime64[D]')}",
        "--calendar",
        "weekdays",
        "--forecasters",
        "candlecast,persistence",
    )
    assert code == 0
    assert report["series"] == "yahoo:MSFT-USD:1d"
    still = report["forecasters"]["persistence"]["overall"]
    assert still["count"] == 299
    assert still["mae"] == pytest.approx(np.abs(np.diff(stock.close[1000:])).mean())
    months = report["forecasters"]["persistence"]["months"]
    real = np.unique(stock.close_time[1000:1299].astype("datetime64[M]").astype(str), return_counts=True)
    assert {name: one["count"] for name, one in months.items()} == dict(zip(*(a.tolist() for a in real), strict=True))
    code, report, _ = run(*question, f"{start.astype('datetime64[D]')}", "--forecasters", "persistence")
    assert report["error"]["code"] == "not_enough_candles"


@requires_shared
def test_daily_stock_file_of_yahoo_works_and_a_short_one_says_so(run: Run) -> None:
    data = SHARED / "data"
    name = "replay:MSFT-USD:1d"
    code, report, _ = run(
        "--candles",
        f"{name}={data / 'yahoo-MSFT-1d-2020-01-02-2024-03-14.csv.gz'}",
        "--series",
        name,
        "--from",
        "2024-01-01",
        "--calendar",
        "weekdays",
    )
    assert code == 0
    assert report["forecasters"]["candlecast"]["overall"]["count"] == 50
    assert set(report["forecasters"]) >= {"candlecast", "persistence", "random_forest", "logistic_regression", "ewma"}
    short = data / "yahoo-AAPL-1d-2022-04-07-2022-12-16.csv.gz"
    code, report, _ = run(
        "--candles",
        f"replay:AAPL-USD:1d={short}",
        "--series",
        "replay:AAPL-USD:1d",
        "--from",
        "2022-10-01",
        "--calendar",
        "weekdays",
    )
    assert code == 65
    assert report["error"]["code"] == "not_enough_candles"


def test_comparison_is_of_absolute_errors_with_persistence(run: Run, file: Path, candles: Candles) -> None:
    _, report, _ = run(
        "--candles", f"{BTC}={file}", "--series", BTC, "--from", _at(2000), "--forecasters", "drift,persistence"
    )
    history = candles.close[:1999]
    slope = (history[-1] / history[0]) ** (1 / 1998)
    last, real = candles.close[1999:-1], candles.close[2000:]
    test = diebold_mariano(np.abs(last * slope - real) / last, np.abs(last - real) / last, 1)
    assert report["comparisons"]["drift"]["dm_statistic"] == pytest.approx(test.statistic, rel=1e-6)
    assert report["comparisons"]["drift"]["dm_p"] == pytest.approx(test.p_value, rel=1e-6)
    assert report["comparisons"]["persistence"] == {"dm_statistic": None, "dm_p": None}


def test_table_for_people_names_everybody(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["evaluate", "--candles", f"{BTC}={file}", "--series", BTC, "--from", _at(2300), "--forecasters", FAST])
    assert code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{BTC}, 1 ahead, cutoffs {_at(2300)}")
    assert all(word in out for word in ("persistence", "fhs", "logistic_regression", "pinball_skill", "dm_p"))


def test_training_without_a_command_takes_no_argument() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["retrain"])
    assert ended.value.code == 64
