"""What people bring as CSV: understood where it can be, else refused with the line and the column at fault."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from candlecast.candles import to_ms
from tests.ui.making import CUTOFF, STEP, candles
from ui.format import Language
from ui.markup import plain
from ui.own_candles import MOST_BYTES, Refused, read_csv, sample
from ui.tabs.own import understood
from ui.words import words

HEAD = "open_time,open,high,low,close,volume"
START = to_ms(CUTOFF)


def a_csv(
    rows: int = 4,
    *,
    head: str = HEAD,
    time: Callable[[int], str] = lambda at: (CUTOFF + at * STEP).isoformat(),
    sep: str = ",",
    number: Callable[[float], str] = str,
) -> str:
    """Return candles as text; the closes count up from 100.5."""
    lines = [sep.join([time(at), *(number(value) for value in (100, 102, 99, 100.5 + at, 7))]) for at in range(rows)]
    return "\n".join([head.replace(",", sep), *lines]) + "\n"


def refused(text: str | bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        read_csv(text.encode() if isinstance(text, str) else text)
    for language in ("en", "pt"):
        assert words(language)[caught.value.reason].format(**caught.value.parts)
    return caught.value


def test_plain_csv_is_read() -> None:
    own = read_csv(a_csv().encode())
    assert own.interval == "15m"
    assert own.candles.open_time == [START + at * 900_000 for at in range(4)]
    assert own.candles.close == [100.5, 101.5, 102.5, 103.5]
    assert own.lines == [2, 3, 4, 5]


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_delimiter_is_found(sep: str) -> None:
    assert read_csv(a_csv(sep=sep).encode()).candles.volume == [7.0] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_byte_order_marks_and_encodings_do_not_matter(encoding: str) -> None:
    head = "data;abertura;máxima;mínima;fechamento;volume"
    text = a_csv(sep=";").replace(HEAD.replace(",", ";"), head)
    own = read_csv(text.encode(encoding))
    assert own.headers["high"] == "máxima"
    assert len(own.candles.close) == 4


def test_decimal_commas_are_understood_beside_another_delimiter() -> None:
    def brazilian(value: float) -> str:
        return f"{1000 + value:,.2f}".translate(str.maketrans(",.", ".,"))

    own = read_csv(a_csv(sep=";", number=brazilian).encode())
    assert own.decimal_comma
    assert own.candles.close[0] == 1100.5


@pytest.mark.parametrize(
    "time",
    [
        lambda at: str(START // 1000 + at * 900),
        lambda at: str(START + at * 900_000),
        lambda at: str((START + at * 900_000) * 1000),
        lambda at: str((START + at * 900_000) * 1_000_000),
        lambda at: (CUTOFF + at * STEP).strftime("%Y-%m-%d %H:%M"),
        lambda at: (CUTOFF + at * STEP).strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda at: (CUTOFF + at * STEP).strftime("%Y-%m-%dT") + f"{16 + at // 4 - 3}:{15 * (at % 4):02d}:00-03:00",
    ],
    ids=["seconds", "milliseconds", "microseconds", "nanoseconds", "without zone", "UTC", "another zone"],
)
def test_times_are_understood_in_every_usual_way(time: Callable[[int], str]) -> None:
    assert read_csv(a_csv(time=time).encode()).candles.open_time[:2] == [START, START + 900_000]


def test_unsorted_rows_are_put_in_order_and_remember_their_lines() -> None:
    first, *rows = a_csv().splitlines()
    own = read_csv("\n".join([first, *reversed(rows)]).encode())
    assert own.candles.close == [100.5, 101.5, 102.5, 103.5]
    assert own.lines == [5, 4, 3, 2]


def test_empty_lines_are_passed_over_and_counted() -> None:
    lines = a_csv().splitlines()
    broken = lines[-1].replace("103.5", "x")
    assert refused("\n".join([*lines[:2], "", *lines[2:-1], broken])).parts["line"] == 6


def test_formula_is_a_cell_that_is_no_number_and_is_never_worked_out() -> None:
    error = refused(a_csv().replace("102.5", "=1+1"))
    assert (error.reason, error.parts["line"], error.parts["column"]) == ("own_no_number", 4, "close")
    assert error.parts["cell"] == "=1+1"


@pytest.mark.parametrize("cell", ["nan", "inf", "", "1e999", "<script>"])
def test_cell_without_a_finite_number_is_named_with_line_and_column(cell: str) -> None:
    error = refused(a_csv().replace("101.5", cell))
    assert (error.reason, error.parts["line"]) == ("own_no_number", 3)


def test_missing_column_is_named_with_those_that_are_there() -> None:
    error = refused(a_csv().replace("volume", "weight"))
    assert error.reason == "own_missing"
    assert error.parts["column"] == "volume"
    assert "weight" in str(error.parts["have"])


def test_mixed_time_zones_are_refused_where_they_begin() -> None:
    text = a_csv(time=lambda at: (CUTOFF + at * STEP).strftime("%Y-%m-%dT%H:%M:%S") + ("Z" if at < 2 else ""))
    error = refused(text)
    assert (error.reason, error.parts["line"]) == ("own_mixed_zones", 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "own_nothing"),
        (HEAD, "own_nothing"),
        ("hello", "own_one_column"),
        ("1700000000,1,2,0.5,1.5,3\n1700000900,1,2,0.5,1.5,3", "own_no_header"),
        (a_csv(1), "own_too_few"),
        (a_csv() + "1,2,3,4,5,6,7,8\n", "own_ragged"),
        (a_csv().replace("2025-10-14T16:15", "yesterday"), "own_no_time"),
        (a_csv(time=lambda at: str(START // 1000 + at * 77)), "own_interval"),
        (a_csv(time=lambda at: str(START // 1000 + at // 2 * 900)), "own_twice"),
        (b"\x00\x01\x02,\xff\xfe", "own_nothing"),
    ],
)
def test_what_is_no_table_of_candles_is_refused_with_a_reason(text: str | bytes, reason: str) -> None:
    assert refused(text).reason == reason


def test_fifty_megabytes_are_refused_before_they_are_read() -> None:
    assert refused(b"1" * (MOST_BYTES + 1)).reason == "own_too_big"


def test_sample_is_understood() -> None:
    own = read_csv(sample(candles(20)).encode())
    assert own.candles.close == candles(20).close


@pytest.mark.parametrize("language", ["en", "pt"])
def test_what_was_understood_is_shown_escaped(language: Language) -> None:
    own = read_csv(a_csv().replace("close", "Close").encode())
    own.headers["close"] = "<b>close</b>"
    shown = understood(own, language)
    assert "&lt;b&gt;close" in shown
    assert "15m" in plain(shown)
