"""Linear recursions along arrivals: the runs of the simulator, their twins, and what is known."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import scipy.stats

from sdde import cluster
from sdde.cluster.linear_runs import GROUPS, LinearRuns, serves
from sdde.engine.seeds import key_of
from tests import reference_linear

GAMMA = scipy.stats.gamma(3, scale=1 / 3)
LINK = cluster.SharedLink(scipy.stats.expon(scale=0.2))
TABLED = np.array([0.5, 0.8, 1.0, 2.5])
SYSTEMS = {
    "equal": cluster.System(GAMMA),
    "own links": cluster.System(GAMMA, communication=0.3),
    "unequal": cluster.System([0.7, 1.0, scipy.stats.expon(), 2.0, 1.3]),
    "phases": cluster.System([0.7, 1.0, 1.6, 2.0, 1.3], communication=0.1),
    "link": cluster.System(GAMMA, communication=LINK),
    "wide link": cluster.System(TABLED, communication=cluster.SharedLink(0.4, capacity=2)),
    "server": cluster.System(scipy.stats.expon(), update_time=0.1),
}


@pytest.mark.parametrize("kicked", [False, True])
@pytest.mark.parametrize("name", SYSTEMS)
def test_compiled_squares_follow_their_words(name, kicked):
    """Group by group the same as plain Python, to rounding."""
    runs = LinearRuns(SYSTEMS[name], 5, 3)
    alpha, grid = np.array([0.05, 0.2, 0.4]), np.linspace(0.0, 5.0, 7)
    found = runs.squares(alpha, grid, GROUPS, kicked=kicked).values
    shares = np.cumsum(1.0 / runs.cycles) / np.sum(1.0 / runs.cycles)
    slow = reference_linear.mean_squares(
        runs.machines, alpha, grid, shares, kicked, runs.warm, key_of(3), GROUPS
    )
    np.testing.assert_allclose(found, slow, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", SYSTEMS)
def test_compiled_cloning_follows_its_words(name):
    """Growth in each of 12 periods of 10 particles, to rounding."""
    runs = LinearRuns(SYSTEMS[name], 5, 4)
    found, _ = runs.growth(0.3, particles=10, burn=3, periods=9)
    slow = reference_linear.clone_growth(
        runs.machines, 0.3, runs.cycle, runs.warm, key_of(4), 10, 12, name != "phases"
    )
    np.testing.assert_allclose(found, slow[3:], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["equal", "own links", "unequal"])
def test_squares_are_those_of_the_event_loop_to_the_bit(name):
    """The same machines, addresses of random numbers and order of sums; one run in a group."""
    grid = np.linspace(0.0, 9.0, 10)
    found = LinearRuns(SYSTEMS[name], 5, 7).squares(np.array([0.07]), grid, GROUPS, kicked=False)
    runs = cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), SYSTEMS[name], learning_rate=0.07, workers=5,
        time=9.0, runs=GROUPS, records=10, start="stationary", rng=7,
    )  # fmt: skip
    np.testing.assert_array_equal(found.values[:, :, 0], 2.0 * runs.loss)
    assert found.gradients == runs.worker_counts.sum()


@pytest.mark.parametrize("name", ["link", "wide link", "server"])
def test_queues_settle_where_the_event_loop_does(name):
    """Mean squares of 1600 runs each at three times, from two starts long after the first events.

    Workers that began together long ago are in their long-run state; alpha is so small before that
    nothing has been learned. z below 4.5 at 9 values: false-alarm rate 6e-5.
    """
    system, grid = SYSTEMS[name], np.linspace(0.0, 6.0, 4)
    found = LinearRuns(system, 5, 5).squares(np.array([0.08]), grid, 1600, kicked=False)
    made = cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), system, learning_rate=0.08, workers=5,
        time=26.0, runs=1600, records=14, start="together", rng=6, trace=True,
    )  # fmt: skip
    squares = np.zeros((1600, 3))
    run, worker, _, end = made.log[:, [0, 1, 2, 3]].T
    order = np.lexsort((worker, end, run))
    x, reads, cursor = np.ones(1600), np.ones((1600, 5)), np.zeros(1600, int)
    for r, w, t in zip(run[order].astype(int), worker[order].astype(int), end[order], strict=True):
        t -= 20.0
        while cursor[r] < 3 and grid[cursor[r] + 1] < t:
            squares[r, cursor[r]] = x[r] ** 2
            cursor[r] += 1
        if t > 0.0:
            x[r] -= 0.08 * reads[r, w]
            reads[r, w] = x[r]
    for r in range(1600):
        squares[r, cursor[r] :] = x[r] ** 2
    error = np.hypot(
        squares.std(axis=0, ddof=1) / 40.0, found.values[:, 1:, 0].std(axis=0, ddof=1) / 4.0
    )
    assert (np.abs(squares.mean(axis=0) - found.values[:, 1:, 0].mean(axis=0)) < 4.5 * error).all()


def test_results_do_not_depend_on_where_runs_are_simulated():
    """Threads and other processes give the same bits."""
    runs = LinearRuns(SYSTEMS["link"], 4, 1)
    here = runs.squares(np.array([0.1]), np.linspace(0.0, 3.0, 4), 64, kicked=True)
    with ProcessPoolExecutor(2) as pool:
        there = runs.squares(
            np.array([0.1]), np.linspace(0.0, 3.0, 4), 64, kicked=True, executor=pool
        )
    np.testing.assert_array_equal(here.values, there.values)
    assert here.gradients == there.gradients


def test_what_waits_changes_or_fails_is_no_such_recursion():
    """Methods in which somebody waits, drifting speeds, outages, buffers, two queues in a row."""
    plain = cluster.AsyncSGD()
    assert all(serves(plain, system) for system in SYSTEMS.values())
    assert not serves(cluster.KAsync(2), SYSTEMS["equal"])
    assert not serves(cluster.DelayCompensated(0.1), SYSTEMS["equal"])
    drifting = cluster.Drifting(1.0, times=[0.0, 5.0], factors=[1.0, 2.0])
    for system in (
        cluster.System([1.0, drifting]),
        cluster.System(1.0, outages=cluster.Outages(up=100.0, down=1.0)),
        cluster.System(1.0, update_time=0.1, buffer=2),
        cluster.System(1.0, communication=LINK, update_time=0.1),
    ):
        assert not serves(plain, system)
