"""Divergence of unequal workers with constant cycles: periods, long products, simulation."""

import math

import numpy as np
import pytest

from sdde import cluster, theory
from tests.reference_fixed_cycles import growth, spectral_radius


def limit(cycles):
    model = theory.AsyncSGD(
        [1.0], learning_rate=0.1, workers=len(cycles), compute_time=list(cycles),
        arrivals="renewal",
    )  # fmt: skip
    return model.max_learning_rate()


@pytest.mark.parametrize("cycles", [(1.0, 2.0), (1.0, 1.0, 2.0, 2.0), (1.0, 1.5, 2.5)])
def test_cycles_with_a_common_period_diverge_with_their_worst_start(cycles):
    found = limit(cycles)
    period = {(1.0, 2.0): 2.0, (1.0, 1.0, 2.0, 2.0): 2.0, (1.0, 1.5, 2.5): 15.0}[cycles]
    rng = np.random.default_rng(8)
    starts = rng.random((300, len(cycles))) * cycles
    below, above = (
        max(spectral_radius(cycles, start, period, found * factor) for start in starts)
        for factor in (0.995, 1.005)
    )
    assert below < 1.0 < above


@pytest.mark.parametrize(
    "cycles", [(1.0, math.sqrt(2.0)), (1.0, 1.31, 2.17, 3.93), tuple(1.07**k for k in range(9))]
)
def test_other_cycles_diverge_with_a_long_product_from_one_start(cycles):
    found, start = limit(cycles), 0.3 * np.array(cycles)
    assert growth(cycles, start, 40_000, 0.99 * found) < 0.0
    assert growth(cycles, start, 40_000, 1.01 * found) > 0.0


def test_workers_that_are_nearly_equal_are_nearly_in_step():
    cycles = tuple(1.0 + 1e-7 * math.sqrt(k) for k in range(5))
    assert limit(cycles) == pytest.approx(2.0 * math.sin(math.pi / 18.0), rel=2e-3)


def test_runs_fall_below_the_limit_and_grow_above_it():
    """Only phases are random; the seed is fixed. Growth of a sure sign, no false alarms."""
    cycles = [1.0, 1.31, 2.17, 3.93]
    for factor, grows in ((0.96, False), (1.04, True)):
        runs = cluster.simulate(
            cluster.Quadratic([1.0], start=1.0), cluster.AsyncSGD(), cluster.System(cycles),
            learning_rate=factor * limit(cycles), time=600.0, runs=64, rng=3, records=61,
            start="stationary", threads=1,
        )  # fmt: skip
        loss = np.log(runs.loss + 1e-300).mean(axis=0)
        assert (loss[-10:].mean() > loss[20:30].mean() + 1.0) == grows
        assert (loss[-10:].mean() < loss[20:30].mean() - 1.0) == (not grows)


def test_stability_is_judged_by_the_same_limit():
    cycles = [1.0, 1.31, 2.17, 3.93]
    edge = limit(cycles)
    for factor, kept in ((0.3, True), (0.99, True), (1.01, False)):
        model = theory.AsyncSGD(
            [0.2, 1.0], learning_rate=factor * edge, workers=4, compute_time=cycles,
            arrivals="renewal",
        )  # fmt: skip
        assert model.is_mean_square_stable() == kept
        assert (model.mean_square_index() < 1.0) == kept


def test_hundreds_of_unequal_workers_have_a_limit():
    cycles = np.linspace(1.0, 2.0, 150) + 1e-3 * np.sqrt(np.arange(150.0))
    assert 1.5 < 150 * limit(cycles.tolist()) < 6.0
