from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from candlecast.retraining import (
    DRIFT,
    SKILL,
    LiveSkill,
    RetrainingDecision,
    RetrainingPolicy,
    RetrainingState,
    decide_retraining,
)

NOW = datetime(2025, 9, 10, 12, tzinfo=UTC)
POOR, FAIR, GOOD = (
    LiveSkill(-0.02, -0.03, -0.01, 500),
    LiveSkill(-0.005, -0.02, 0.01, 500),
    LiveSkill(0.01, 0.0, 0.02, 500),
)
CALM = RetrainingState(NOW, NOW - timedelta(hours=10), 1, GOOD, 0.1)


def _decide(**changed: object) -> RetrainingDecision:
    return decide_retraining(replace(CALM, **changed))  # type: ignore[arg-type]  # fields of several types


def test_nothing_to_answer_is_no_need() -> None:
    decision = _decide()
    assert not decision.train
    assert decision.reason == "no need"
    assert decision.numbers == {
        "trainings": 1,
        "age_hours": 10,
        "skill": 0.01,
        "skill_lower": 0.0,
        "skill_upper": 0.02,
        "skill_count": 500,
        "drift_share": 0.1,
    }


def test_first_training_waits_for_nothing() -> None:
    decision = _decide(trained_at=None, trainings=9)
    assert decision.train
    assert decision.reason == "there was no training yet"


@pytest.mark.parametrize(("hours", "train"), [(23.9, False), (24.0, True)])
def test_age_alone_trains_at_the_latest(hours: float, train: bool) -> None:
    decision = _decide(trained_at=NOW - timedelta(hours=hours))
    assert decision.train is train
    assert ("24 h is the longest" in decision.reason) is train


def test_skill_that_is_surely_poor_trains_and_one_that_may_be_chance_does_not() -> None:
    decision = _decide(skill=POOR)
    assert decision.train
    assert decision.reason == "live skill is -0.0200 (at most -0.0100) over 500 forecasts"
    assert decision.ringing == {SKILL}
    assert not _decide(skill=FAIR).train
    assert not _decide(skill=replace(POOR, count=99)).train
    assert not _decide(skill=None).train


@pytest.mark.parametrize(("share", "train"), [(0.29, False), (0.3, True)])
def test_drift_trains_from_its_threshold_on(share: float, train: bool) -> None:
    decision = _decide(drift_share=share)
    assert decision.train is train
    assert decision.ringing == ({DRIFT} if train else set())


def test_alarm_rings_once_until_it_is_over() -> None:
    first = _decide(drift_share=0.35)
    still = _decide(drift_share=0.35, ringing=first.ringing)
    assert not still.train
    assert still.reason == "no need: the alarm of drift was answered and is not over"
    lower = _decide(drift_share=0.25, ringing=still.ringing)
    assert (lower.train, lower.ringing) == (False, frozenset({DRIFT}))
    over = _decide(drift_share=0.19, ringing=lower.ringing)
    assert (over.train, over.ringing) == (False, frozenset())
    assert _decide(drift_share=0.35, ringing=over.ringing).train


def test_skill_alarm_is_over_only_when_skill_is_good_again() -> None:
    ringing = _decide(skill=POOR).ringing
    assert _decide(skill=FAIR, ringing=ringing).ringing == {SKILL}
    assert _decide(skill=None, ringing=ringing).ringing == {SKILL}
    assert _decide(skill=GOOD, ringing=ringing).ringing == frozenset()


def test_second_alarm_trains_while_the_first_is_not_over() -> None:
    decision = _decide(drift_share=0.4, skill=POOR, ringing=frozenset({DRIFT}))
    assert decision.train
    assert decision.reason.startswith("live skill")
    assert decision.ringing == {SKILL, DRIFT}


def test_alarm_within_the_minimum_hours_waits_and_is_not_lost() -> None:
    early = _decide(drift_share=0.4, trained_at=NOW - timedelta(hours=5.9))
    assert not early.train
    assert early.reason == "40 % of the columns have drifted, but the last training was 5.9 h ago, 6 h is the least"
    assert early.ringing == frozenset()
    assert _decide(drift_share=0.4, ringing=early.ringing, trained_at=NOW - timedelta(hours=6)).train


def test_daily_budget_holds_even_at_the_longest_age() -> None:
    policy = RetrainingPolicy(minimum_hours=1, maximum_hours=4)
    decision = decide_retraining(replace(CALM, trainings=3), policy)
    assert not decision.train
    assert "used up the budget of 3" in decision.reason
    assert decide_retraining(replace(CALM, trainings=2), policy).train


def test_policy_whose_thresholds_contradict_each_other_is_refused() -> None:
    with pytest.raises(ValueError, match="above maximum_hours"):
        RetrainingPolicy(minimum_hours=48)
    with pytest.raises(ValueError, match="has to end"):
        RetrainingPolicy(settled_share=0.5)
    with pytest.raises(ValueError, match="has to end"):
        RetrainingPolicy(good_skill=-0.1)


def test_a_market_that_swings_round_the_threshold_trains_no_more_than_the_budget() -> None:
    policy, trained, ringing = RetrainingPolicy(), NOW, frozenset[str]()
    times: list[datetime] = []
    for hour in range(1, 73):
        now = NOW + timedelta(hours=hour)
        recent = sum(now - one < timedelta(hours=24) for one in times)
        share = 0.31 if hour % 2 else 0.15
        decision = decide_retraining(RetrainingState(now, trained, recent, GOOD, share, ringing), policy)
        ringing = decision.ringing
        if decision.train:
            times.append(now)
            trained = now
    assert all(sum(one <= other < one + timedelta(hours=24) for other in times) <= 3 for one in times)
    assert len(times) == 9
