import json

import numpy as np
import pytest

from candlecast.calibration import RECENT, Calibration, recent_widening
from candlecast.forecast import LEVELS
from candlecast.table import Target


def _target(y: np.ndarray) -> Target:
    times = np.zeros(len(y), dtype="datetime64[ms]")
    return Target(1, y, np.abs(y) + 0.5, -np.abs(y) - 0.25, 2 * np.abs(y) + 1, times)


def test_calibration_measures_held_out_rows_in_units_of_the_scale() -> None:
    y = np.random.default_rng(1).normal(0, 3, 4001)
    scale = np.full(4001, 3.0)
    one = Calibration.of(_target(y), scale)
    assert one.rows == 4001
    assert one.median == pytest.approx(np.median(np.abs(y)) / 3)
    assert one.rise == pytest.approx(one.median + 0.5 / 3)
    assert one.fall == pytest.approx(-one.median - 0.25 / 3)
    assert one.range == pytest.approx(2 * one.median + 1 / 3)
    assert one.quantiles[6] == 0
    assert one.quantiles[10] == -one.quantiles[2] == pytest.approx(1.2816, abs=0.06)
    assert one.quantiles[-1] == pytest.approx(1.96, abs=0.1)


def test_round_trip_through_a_dictionary() -> None:
    one = Calibration.of(_target(np.linspace(-1, 1, 60)), np.ones(60))
    stored = json.loads(json.dumps(one.to_dict()))
    assert Calibration.from_dict(stored) == one
    with pytest.raises(ValueError, match="quantiles"):
        Calibration.from_dict(stored | {"quantiles": stored["quantiles"][1:]})
    with pytest.raises(KeyError):
        Calibration.from_dict({name: value for name, value in stored.items() if name != "fall"})


def _slowly(errors: np.ndarray, reach: np.ndarray, row: int, horizon: int) -> list[float]:
    factors = []
    for column, level in enumerate(LEVELS):
        promised = 2 * min(level, 1 - level)
        past = range(row - RECENT, row - horizon + 1)
        share = sum(abs(errors[at]) > abs(reach[at, column]) for at in past) / len(past)
        factors.append(np.exp(0.8 * (share - promised) / np.sqrt(max(promised, 0.1))))
    return factors


@pytest.mark.parametrize("horizon", [1, 5])
def test_widening_follows_the_share_that_fell_outside_lately(horizon: int) -> None:
    random = np.random.default_rng(2)
    errors = random.normal(0, 1, RECENT + 30)
    reach = np.abs(random.normal(1, 0.2, (RECENT + 30, 1))) * (2 * np.array(LEVELS) - 1) * 2
    found = recent_widening(errors, reach, 30, horizon)
    assert found.shape == (30, len(LEVELS))
    for at in range(30):
        np.testing.assert_allclose(found[at], _slowly(errors, reach, RECENT + at, horizon))


@pytest.mark.parametrize("horizon", [1, 5])
def test_widening_does_not_read_what_was_not_known_at_the_cutoff(horizon: int) -> None:
    errors, reach = np.random.default_rng(3).normal(0, 1, RECENT + 1), np.ones((RECENT + 1, len(LEVELS)))
    told = errors.copy()
    told[-horizon:] = 99
    assert np.array_equal(recent_widening(told, reach, 1, horizon), recent_widening(errors, reach, 1, horizon))
    told[-horizon - 1] = 99 if abs(errors[-horizon - 1]) < 1 else 0
    assert not np.array_equal(recent_widening(told, reach, 1, horizon), recent_widening(errors, reach, 1, horizon))


def test_intervals_that_covered_too_little_grow_and_too_much_shrink() -> None:
    reach = np.ones((RECENT + 1, len(LEVELS)))
    outside, inside = np.full(RECENT + 1, 2.0), np.zeros(RECENT + 1)
    assert (recent_widening(outside, reach, 1, 1)[0, [0, 2, 10, 12]] > 1).all()
    assert (recent_widening(inside, reach, 1, 1) < 1).all()
