"""What the service tells in English reaches a Portuguese reader in Portuguese, or unchanged."""

from __future__ import annotations

import pytest

from candlecast.candles import Candles, Interval
from candlecast.errors import InvalidCandles, NotEnoughCandles
from candlecast.features import FeatureSpec, newest_unbroken
from service.feature_words import describe
from tests.making import make_candles
from tests.ui.making import baseline, challenger, snapshot
from ui.told import told
from ui.verdict import verdict_card


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.H1, Interval.D1])
def test_every_feature_has_portuguese_words(interval: Interval) -> None:
    for name in FeatureSpec(interval).names:
        for feature in (name, f"newest_5m_{name}"):
            words = told(describe(feature), "pt")
            english = {"the", "of", "last", "candles", "newest"} & set(words.replace(",", "").split())
            assert english <= {"candles"}, words


def test_reasons_of_a_refusal_are_told_one_by_one() -> None:
    reason = (
        "its MAE is 0.9970 of no change's, which chance explains (p = 0.170, allowed 0.05); "
        "its 80 % interval covered 70.1 %, more than 3 points off; a reason of tomorrow"
    )
    assert told(reason, "en") == reason
    first, second, unknown = told(reason, "pt").split("; ")
    assert first == "seu MAE é 0,9970 do de “sem mudança”, o que o acaso explica (p = 0,170, permitido 0,05)"
    assert (
        second.replace("\N{NARROW NO-BREAK SPACE}", " ") == "seu intervalo de 80 % cobriu 70,1 %, mais de 3 pontos fora"
    )
    assert unknown == "a reason of tomorrow"


def test_time_in_a_sentence_is_written_as_dates_are() -> None:
    said = told("the newest candle of binance:BTC-USDT:15m closed at 2025-09-01 12:00 UTC", "pt")
    assert said == "o candle mais novo de binance:BTC-USDT:15m fechou em 01/09/2025 12:00\N{NARROW NO-BREAK SPACE}UTC"


def test_what_runs_end_with_is_told() -> None:
    assert told("0 new and 2 corrected candles in 3 series", "pt") == "0 candles novos e 2 corrigidos em 3 séries"
    assert told("replay 15m promoted, replay 1h refused", "pt") == "replay 15m promovido, replay 1h recusado"


def test_too_few_candles_are_told_with_the_way_out() -> None:
    with pytest.raises(NotEnoughCandles) as caught:
        newest_unbroken(make_candles(3, Interval.M15), 512, "yours")
    assert told(caught.value.message, "pt") == "yours: há 3 candles, são precisos 512; busque ou envie mais"


@pytest.mark.parametrize("column", ["open_time", "high", "low", "close", "volume"])
def test_every_fault_of_a_row_is_told(column: str) -> None:
    good = make_candles(3, Interval.M15)
    columns = good.columns() | {column: getattr(good, column).copy()}
    columns[column][1] = columns[column][1] + 1 if column == "open_time" else -1.0
    with pytest.raises(InvalidCandles) as caught:
        Candles.of(Interval.M15, **columns)
    reason = caught.value.details["reason"]
    assert told(reason, "pt") != reason


def test_verdict_of_a_refusal_is_all_portuguese() -> None:
    refused = challenger({"promote": False, "reason": "its pinball loss is 1.0100 of the baseline's, not below 1"})
    card = verdict_card(snapshot(baseline(), challenger=refused), "pt")
    assert "sua perda pinball é 1,0100 da perda da referência, não abaixo de 1" in card
    assert "its" not in card
