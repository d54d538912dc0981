"""The model card says what the registry holds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from candlecast.candles import Interval, Series
from candlecast.store.models import Score, Version
from service.card import model_card

NOW = datetime(2025, 9, 10, 12, tzinfo=UTC)
BTC = Series.parse("binance:BTC-USDT:15m")
CHECK = {"name": "random_walk", "passed": True, "reason": "no skill", "numbers": {}}
MANIFEST: dict[str, Any] = {
    "training": {str(BTC): {"candles": 8640, "start": "2025-06-01T00:00:00+00:00", "end": "2025-09-01T00:00:00+00:00"}},
    "left_out": {"binance:ETH-USDT:15m": "have 3 candles, need 2000"},
    "evaluation": {
        "train_end": "2025-08-01T00:00:00+00:00",
        "start": "2025-08-01T01:15:00+00:00",
        "end": "2025-09-01T00:00:00+00:00",
        "leak_checks": [CHECK],
    },
}
DECISION = {"promote": True, "reason": "it was better", "numbers": {}}
SCORES = [
    Score(BTC, 1, who, metric, value, 2880, NOW - timedelta(days=30), NOW)
    for who, metric, value in (
        ("challenger", "mae_ratio", 0.99512),
        ("challenger", "auc", None),
        ("naive", "mae_ratio", 1.0),
    )
]


def card(decision: dict[str, Any] | None = None, promoted_at: datetime | None = None) -> str:
    version = Version("xgb-1", "xgboost", "binance", Interval.M15, NOW, MANIFEST, decision, promoted_at)
    return model_card(version, SCORES)


def test_data_scores_and_checks_are_those_of_the_registry() -> None:
    found = card(DECISION)
    assert "| binance:BTC-USDT:15m | 8,640 | 2025-06-01T00:00 | 2025-09-01T00:00 |" in found
    assert "Left out: binance:ETH-USDT:15m, have 3 candles, need 2000." in found
    assert "judged from 2025-08-01 01:15 to 2025-09-01 00:00 UTC" in found
    assert "- Leak check, random walk: passed (no skill)" in found
    assert "| binance:BTC-USDT:15m | 1 | challenger | 2,880 | 0.9951 | - | - | - | - | - | - |" in found
    assert "| binance:BTC-USDT:15m | 1 | naive | 2,880 | 1 |" in found


@pytest.mark.parametrize(
    ("decision", "promoted_at", "said"),
    [
        (DECISION, NOW, "It answers since 2025-09-10 12:00 UTC."),
        (DECISION, None, "It earned its place and does not answer now."),
        (DECISION | {"promote": False, "reason": "too early"}, None, "It was not promoted and does not answer."),
        (None, NOW, "It answers since 2025-09-10 12:00 UTC."),
    ],
)
def test_the_card_says_whether_it_answers(
    decision: dict[str, Any] | None, promoted_at: datetime | None, said: str
) -> None:
    found = card(decision, promoted_at)
    assert said in found
    verdict = "Nothing is recorded." if decision is None else f": {decision['reason']}."
    assert verdict in found


def test_a_version_without_a_manifest_has_a_card() -> None:
    version = Version("bare", "xgboost", "binance", Interval.M15, NOW, {}, None, None)
    found = model_card(version, [])
    assert found.count("Nothing is recorded.") == 2
    assert "None are recorded." in found
