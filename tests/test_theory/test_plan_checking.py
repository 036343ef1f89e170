"""Checked plans: simulated times are those of plain runs, and the choice is never a worse one."""

import json
import math

import numpy as np
import pytest
import scipy.stats
from sdde.theory.simulated_bounds import Grown, Told
from sdde.theory.simulated_limits import Growth
from sdde.theory.simulated_times import Trial

from sdde import ArgumentError, cluster, theory
from sdde.theory import plan_checking, plan_page, simulated_times

NOISY = cluster.Quadratic([1.0, 0.3], noise=0.2)
GAMMA = cluster.System(scipy.stats.gamma(4, scale=0.25))


@pytest.mark.parametrize(
    ("system", "method"),
    [
        (GAMMA, cluster.AsyncSGD()),
        (cluster.System(1.0, communication=cluster.SharedLink(0.1)), cluster.AsyncSGD()),
        (cluster.System(1.0, update_time=0.05), cluster.AsyncSGD()),
        (GAMMA, cluster.KSync(3)),
        (GAMMA, cluster.AgeThreshold(1.5)),
    ],
)
def test_start_and_noise_side_by_side_have_the_loss_of_plain_runs(system, method):
    """Mean losses at three times of 400 runs each; z below 4.9, false-alarm rate 1.5e-5 in all."""
    trial = Trial(NOISY, system, method, 0.05, 5)
    doubled, copies = trial.simulated
    assert copies == 16
    settings = {"learning_rate": 0.05, "workers": 6, "time": 6.0, "runs": 400, "records": 4}
    start = simulated_times._start_of(system, method)
    split = cluster.simulate(doubled, method, system, rng=1, start=start, **settings)
    plain = cluster.simulate(NOISY, method, system, rng=2, start=start, **settings)
    a, b = split.loss[:, 1:] / copies, plain.loss[:, 1:]
    errors = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 400)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.9 * errors).all()
    assert (a.std(axis=0) < b.std(axis=0)).all()


def test_the_standard_error_of_a_time_is_that_of_independent_repetitions():
    """The spread of 24 repetitions against the stated error: a ratio in [0.6, 1.6] but for 1e-3."""
    found = [
        Trial(NOISY, GAMMA, cluster.AsyncSGD(), 0.05, seed).time_at(8, 0.05, level=2, horizon=12.0)[
            0
        ]
        for seed in range(24)
    ]
    spread = np.std([row.time_to_target for row in found], ddof=1)
    stated = np.mean([row.standard_error for row in found])
    assert 0.6 < spread / stated < 1.6


def test_settling_is_read_where_the_mean_comes_down_for_good():
    """A curve by hand: down, up again, down; and one that stays above."""
    times = np.linspace(0.0, 5.0, 6)
    losses = np.array([[4.0, 0.5, 2.0, 1.0, 0.25, 0.1]] * 3)
    time, error = simulated_times.settling(times, losses, 0.5)
    assert time == pytest.approx(3.5)
    assert error == 0.0
    time, _ = simulated_times.settling(times, losses, 0.05)
    assert time == math.inf


def test_a_checked_plan_keeps_both_answers_and_repeats_bit_for_bit():
    """The same seed gives the same plan; its choice is among those simulated."""

    def planned(rng):
        return theory.plan(
            NOISY, GAMMA, target_loss=0.05, learning_rate=0.05, max_workers=40,
            check="simulation", rng=rng, budget=0.5,
        )  # fmt: skip

    plan, again = planned(3), planned(3)
    alone = theory.plan(NOISY, GAMMA, target_loss=0.05, learning_rate=0.05, max_workers=40)
    checked = plan.checked
    assert checked.predicted == alone.time_to_target
    assert checked.theory.workers == alone.workers
    assert checked.time_to_target <= checked.theory.time_to_target
    assert (plan.workers, plan.learning_rate, plan.time_to_target) == (
        checked.workers, checked.learning_rate, checked.time_to_target,
    )  # fmt: skip
    assert checked.table == again.checked.table
    assert checked.time_to_target == again.time_to_target
    assert plan.workers in {row.workers for row in checked.table}
    assert checked.start == "stationary"
    said = json.dumps(plan.to_dict(), allow_nan=False)
    assert "simulation" in plan.explain()
    limits = checked.limits
    assert set(limits) == {"max_learning_rate", "max_workers"}
    assert limits == again.checked.limits
    for limit in limits.values():
        assert abs(limit.simulated / limit.theory - 1.0) < 0.05
        assert 0.0 < limit.standard_error < 0.02 * limit.simulated
        assert f"{limit.simulated:.4g} (standard error" in plan.explain()
    assert '"limits": {"max_learning_rate": {"theory":' in said
    assert "limit in simulation" in plan_page.page(plan)


def test_simulation_finds_what_a_wrong_prediction_missed():
    """Started at twice the best workers and half the best rate, the search comes back.

    The time at the end exceeds that of the best plan by less than 3 %, stated errors of 0.5 %.
    """
    trial = Trial(NOISY, GAMMA, cluster.AsyncSGD(), 0.02, 1)
    start = plan_checking.Start(cluster.AsyncSGD(), 4, 0.02, 20.0, Told(1, 8, lambda workers: 0.2))
    found = plan_checking.check_starts(NOISY, GAMMA, 0.02, [start], rng=1, budget=2.0)
    assert found.time_to_target < 0.6 * found.theory.time_to_target
    grid = [
        trial.time_at(8, rate, level=4, horizon=10.0)[0].time_to_target
        for rate in np.geomspace(0.03, 0.12, 8)
    ]
    assert found.time_to_target < 1.03 * min(grid)


def test_a_wrong_limit_of_theory_is_not_believed():
    """A start beyond the simulated limit comes down to its margin; one far too low goes up.

    Four memoryless workers, whose limit is known exactly; no noise, so that the best learning rate
    is far above the first start. Bounds are those of rough limits, right to 2 %.
    """
    objective = cluster.Quadratic([0.05, 1.0])
    system = cluster.System(scipy.stats.expon())
    limit = theory.AsyncSGD(
        1.0, learning_rate=0.1, workers=4, compute_time=scipy.stats.expon(), arrivals="exact"
    ).max_learning_rate()
    for rate in (0.2 * limit, 1.1 * limit):
        growth = Growth(system, 1.0, np.random.SeedSequence(4), gradients=200_000)
        bounds = Grown(4, Told(4, 4, lambda workers: 1.1 * limit), 0.1, growth)
        start = plan_checking.Start(cluster.AsyncSGD(), 4, rate, 40.0, bounds)
        found = plan_checking.check_starts(objective, system, 1e-3, [start], rng=1, budget=1.0)
        assert found.learning_rate <= 0.9 * limit * 1.02
        assert found.learning_rate > 0.5 * limit
        assert math.isfinite(found.time_to_target)


def test_a_given_rate_that_diverges_with_the_workers_of_theory_gets_fewer():
    """Memoryless workers at a given learning rate, started at twice the most that are stable."""
    system = cluster.System(scipy.stats.expon())
    most = theory.AsyncSGD(
        1.0, learning_rate=0.2 / 0.9, workers=4, compute_time=scipy.stats.expon(), arrivals="exact"
    ).max_workers()
    growth = Growth(system, 1.0, np.random.SeedSequence(4), gradients=200_000)
    bounds = Grown(100, Told(1, 100, None), 0.1, growth)
    start = plan_checking.Start(cluster.AsyncSGD(), 2 * most, 0.2, 5.0, bounds)
    objective = cluster.Quadratic([0.3, 1.0])
    found = plan_checking.check_starts(objective, system, 1e-2, [start], rng=1, budget=1.0)
    assert found.workers <= most + 1
    assert math.isfinite(found.time_to_target)


def test_a_check_keeps_what_the_user_allows():
    """A limit of the cost and one of the transfers, both of which theory's choice just meets."""

    def planned(**limits):
        return theory.plan(
            NOISY, GAMMA, target_loss=0.05, learning_rate=0.05, max_workers=40,
            methods=[cluster.AsyncSGD()], check="simulation", rng=3, budget=0.5, **limits,
        )  # fmt: skip

    free = planned()
    assert free.workers > 6
    assert planned(max_transfer_rate=6.0).workers <= 6
    cheap = planned(max_cost=0.9 * free.cost, cost_per_worker_time=1.0)
    assert cheap.cost <= 0.9 * free.cost * 1.02
    assert free.cost == pytest.approx(free.workers * free.time_to_target)


def test_methods_whose_updates_depend_on_the_parameters_are_simulated_as_they_are():
    """Clipping, compensation and triggers are not linear."""
    assert simulated_times.is_linear(cluster.KBatchAsync(4))
    assert simulated_times.is_linear(cluster.AgeThreshold(1.0))
    assert not simulated_times.is_linear(cluster.DelayCompensated(0.5))
    assert not simulated_times.is_linear(cluster.EventTriggered(0.1))
    assert not simulated_times.is_linear(cluster.Composed(clip=1.0))
    trial = Trial(NOISY, GAMMA, cluster.EventTriggered(0.1), 0.05, 1)
    assert trial.simulated == (NOISY, 1)


def test_unequal_workers_are_taken_fastest_first():
    """As the theory counts them."""
    system = cluster.System([4.0, 1.0, 2.0], communication=[0.0, 0.5, 3.0])
    two = simulated_times.fastest(system, 2)
    assert two.compute_time == [4.0, 1.0]
    assert two.communication == [0.0, 0.5]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"check": "dice"}, "Known: 'simulation'"), ({"budget": 0.0}, "budget = 4.0")],
)
def test_bad_arguments_are_refused(change, said):
    """Before anything is computed."""
    with pytest.raises(ArgumentError, match=said):
        theory.plan(NOISY, GAMMA, target_loss=0.05, **change)


def test_a_target_that_is_met_at_the_start_needs_no_runs():
    """The loss begins at 0.65."""
    plan = theory.plan(
        NOISY, GAMMA, target_loss=0.9, learning_rate=0.05, max_workers=4, check="simulation",
        methods=[cluster.AsyncSGD()],
    )  # fmt: skip
    assert plan.time_to_target == 0.0
    assert plan.checked is None


def test_errors_that_are_not_known_ask_for_more_runs():
    """A mean that does not fall where it crosses has an error without bound."""
    start = plan_checking.Start(cluster.AsyncSGD(), 4, 0.02, 20.0, Told(1, 8, None))
    search = plan_checking._Search(start, Trial(NOISY, GAMMA, start.method, 0.02, 1), 1.0)
    search.found[search.at] = simulated_times.SimulatedTime(
        start.method, 4, 0.02, 20.0, math.inf, 32
    )
    search.prices[search.at] = 1e-4
    assert search.affordable(0.01, looks=2) > 3
