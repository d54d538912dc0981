import math

import numpy as np
import pytest

from candlecast.resampling import auc_of, block_length, bootstrap_intervals, mean_of, resampled_weights, top_share_of


def test_every_resample_draws_whole_blocks_round_the_end() -> None:
    for weights in resampled_weights(103, 10, resamples=50):
        assert weights.sum() == 110
        runs = np.diff(np.concatenate([weights, weights[:1]])) != 0
        assert runs.sum() <= 22  # eleven blocks begin and end


def test_every_row_is_drawn_equally_often() -> None:
    total = np.sum(list(resampled_weights(60, 7, resamples=4000)), axis=0)
    assert total.std() / total.mean() < 0.05


def test_same_seed_draws_the_same() -> None:
    first, again, other = (np.stack(list(resampled_weights(50, 5, seed=s, resamples=3))) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_interval_covers_the_mean_of_dependent_values_nineteen_times_in_twenty() -> None:
    random, hits = np.random.default_rng(5), 0
    for _ in range(300):
        values = np.convolve(random.normal(0, 1, 4009), np.full(10, 0.1), "valid")
        ((low, high),) = bootstrap_intervals({"mean": mean_of(values)}, 4000, 80, resamples=200).values()
        hits += low <= 0 <= high
    assert 0.91 <= hits / 300 <= 0.98


def test_single_rows_would_be_too_sure_of_dependent_values() -> None:
    values = np.convolve(np.random.default_rng(5).normal(0, 1, 1009), np.full(10, 0.1), "valid")
    width = {}
    for block in (1, 50):
        ((low, high),) = bootstrap_intervals({"mean": mean_of(values)}, 1000, block).values()
        width[block] = high - low
    assert width[50] > 2 * width[1]


def test_blocks_are_a_day_or_the_cube_root_and_never_most_of_the_rows() -> None:
    assert block_length(21_888, 288) == 288
    assert block_length(1000, 1) == 10
    assert block_length(60, 96) == 20
    assert block_length(2, 24) == 1


def test_no_rows_have_no_interval() -> None:
    bounds = bootstrap_intervals({"mean": mean_of(np.ones(0))}, 0, 1)["mean"]
    assert all(math.isnan(bound) for bound in bounds)


def test_surest_tenth_takes_the_edge_by_its_share() -> None:
    hits, sure = np.array([True, False, True, True, False]), np.array([0.1, 0.4, 0.3, 0.2, 0.0])
    assert top_share_of(hits, sure, 0.3)(np.ones(5)) == pytest.approx((1 * 0 + 0.5 * 1) / 1.5)


def test_area_under_the_curve_of_one_direction_is_open() -> None:
    assert math.isnan(auc_of(np.array([0.1, 0.9]), np.array([True, True]))(np.ones(2)))
    assert auc_of(np.array([0.1, 0.9, 0.9]), np.array([False, True, False]))(np.ones(3)) == 0.75
