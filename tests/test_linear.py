import numpy as np
import pytest

from candlecast.linear import Ridge
from tests.making import saved


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(8)


def test_weights_are_those_of_the_closed_form(random: np.random.Generator) -> None:
    rows, penalty = random.normal(3, 2, (500, 4)), 25.0
    target = rows @ [0.5, -1.0, 0.0, 2.0] + random.normal(0, 1, 500)
    ridge = Ridge.fit(rows, target, penalty)
    scores = np.clip((rows - rows.mean(axis=0)) / rows.std(axis=0), -3, 3)
    expected = np.linalg.solve(scores.T @ scores + penalty * np.eye(4), scores.T @ (target - target.mean()))
    np.testing.assert_allclose(ridge.weights, [expected])
    np.testing.assert_allclose(ridge.predict(rows), scores @ expected + target.mean())


def test_slots_get_weights_of_their_own(random: np.random.Generator) -> None:
    rows, slot = random.normal(0, 1, (4000, 2)), random.integers(0, 4, 4000).astype(np.float64)
    target = np.where(slot == 2, -1.0, 1.0) * rows[:, 0] + rows[:, 1]
    ridge = Ridge.fit(rows, target, 1.0, slot)
    design = np.hstack([rows, *(np.where(slot[:, None] == number, rows, 0) for number in range(4))])
    scores = np.hstack([np.clip((rows - rows.mean(axis=0)) / rows.std(axis=0), -3, 3)] * 5)
    scores *= design != 0
    expected = np.linalg.solve(scores.T @ scores + np.eye(10), scores.T @ (target - target.mean()))
    np.testing.assert_allclose(ridge.weights.ravel(), expected, rtol=1e-6, atol=1e-9)
    one, two, unseen = ridge.predict(np.array([[1.0, 0.0]] * 3), np.array([1.0, 2.0, 9.0]))
    assert one == pytest.approx(1, abs=0.1)
    assert two == pytest.approx(-1, abs=0.1)
    assert two < unseen < one


def test_missing_values_count_as_the_mean_and_wild_ones_as_three_deviations(random: np.random.Generator) -> None:
    rows = random.normal(1, 1, (300, 2))
    rows[::7, 1] = np.nan
    ridge = Ridge.fit(rows, rows[:, 0], 1.0)
    said = ridge.predict(np.array([[np.nan, np.nan], [1e9, 1.0]]))
    assert said[0] == pytest.approx(ridge.intercept)
    edge, beyond = ridge.centre + np.outer([3, 1e6], ridge.spread)
    assert ridge.predict(edge[None])[0] == pytest.approx(ridge.predict(beyond[None])[0])
    assert np.isfinite(said).all()


def test_column_that_never_changes_or_is_never_known_has_no_weight(random: np.random.Generator) -> None:
    rows = np.column_stack([random.normal(0, 1, 100), np.full(100, 7.0), np.full(100, np.nan)])
    ridge = Ridge.fit(rows, rows[:, 0], 1.0)
    assert ridge.weights[0, 1:].tolist() == [0, 0]
    assert ridge.predict(np.array([[0.0, 1e6, 5.0]]))[0] == pytest.approx(ridge.predict(np.zeros((1, 3)))[0])


def test_each_row_is_summed_by_itself(random: np.random.Generator) -> None:
    rows = random.normal(0, 1, (257, 61)).astype(np.float32)
    slot = random.integers(0, 4, 257).astype(np.float64)
    ridge = Ridge.fit(rows, random.normal(0, 1, 257), 1.0, slot)
    together = ridge.predict(rows, slot)
    assert [ridge.predict(rows[at : at + 1], slot[at : at + 1])[0] for at in range(257)] == together.tolist()


def test_round_trip_through_bytes(random: np.random.Generator) -> None:
    rows = random.normal(0, 1, (100, 3))
    ridge = Ridge.fit(rows, rows[:, 0], 1.0, np.arange(100.0) % 3)
    loaded = Ridge.from_bytes(ridge.to_bytes())
    assert loaded.predict(rows, np.arange(100.0) % 3).tolist() == ridge.predict(rows, np.arange(100.0) % 3).tolist()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"something else",
        saved(np.zeros(5)),
        saved(np.zeros((3, 2))),
        saved(np.full((4, 2), np.nan)),
        saved(np.array([{}])),
    ],
)
def test_bytes_that_are_no_coefficients_are_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, EOFError)):
        Ridge.from_bytes(raw)
