"""Searching the workers at a given learning rate: no number that is left out is better."""

import math

import numpy as np
import pytest
import scipy.stats
from sdde.theory.loss_curve import Dips, LossCurve
from sdde.theory.plan_search import converted, model_of
from sdde.theory.valleys import Valleys

from sdde import cluster, theory


@pytest.mark.parametrize(
    ("law", "eigenvalues", "rate", "noise", "target", "most"),
    [
        (scipy.stats.expon(), [1.0, 0.917, 0.832], 0.008613, 0.1, 4.09e-3, 400),
        (scipy.stats.expon(), [1.0], 0.00263, 0.0, 2.69e-4, 400),
        (scipy.stats.expon(), [1.0], 0.0206, 0.1, 1.02e-3, 400),
        (scipy.stats.expon(), [1.0, 0.796], 0.0034, 0.03, 0.0918, 400),
        (scipy.stats.uniform(0.5, 1.0), [1.0, 0.951], 0.0368, 0.03, 1.14e-4, 80),
        (1.0, [1.0, 0.25], 0.01, 0.0, 1e-3, 200),
    ],
)
def test_the_best_number_is_found_in_a_narrow_valley(law, eigenvalues, rate, noise, target, most):
    """Against every number; a search that knew no dips was 23 to 36 % off in four of these."""
    objective = cluster.Quadratic(eigenvalues, noise=noise, start=1.0)
    system = cluster.System(law)
    plan = theory.plan(
        objective, system, target_loss=target, learning_rate=rate, max_workers=most,
        methods="async",
    )  # fmt: skip
    times = [
        model_of(objective, converted(system), workers=n, learning_rate=rate).time_to(target)
        for n in range(1, int(plan.limits["safe_workers"]) + 1)
    ]
    assert plan.time_to_target <= min(times) * (1.0 + 5e-4)
    assert len(plan.table) < 50


def sawtooth(jumps):
    """A time that falls with the workers and jumps up behind each number in `jumps`, and its dips,
    which foretell a jump as those of a loss do.
    """

    def time(n):
        passed = sum(n > jump for jump in jumps)
        return (1.0 + 0.6 * passed) * 100.0 / n**0.8

    def dips(n):
        passed = [jump for jump in jumps if n > jump]
        if not passed:
            return Dips()
        before = (1.0 + 0.6 * (len(passed) - 1)) * 100.0 / n**0.8
        return Dips(len(passed), before, (n / passed[-1]) ** 4)

    return time, dips


@pytest.mark.parametrize("jumps", [[], [57], [40, 61, 90], [7, 8, 300], [399]])
def test_valleys_are_followed_to_their_bottom(jumps):
    time, dips = sawtooth(jumps)
    asked = []

    def counted(n):
        asked.append(n)
        return time(n)

    search = Valleys(np.unique(np.geomspace(1, 400, 14).astype(int)).tolist(), 400, counted, dips)
    search.search()
    best = min(range(1, 401), key=time)
    assert search.times[search.best] == pytest.approx(time(best), rel=1e-12)
    assert search.best == best
    assert len(asked) == len(set(asked)) < 60


def test_a_smooth_bottom_takes_few_tries():
    """A bottom between numbers that are tried, flat to a part in ten thousand."""
    asked = []

    def time(n):
        asked.append(n)
        return 10.0 + math.log(n / 617.0) ** 2

    search = Valleys(np.geomspace(1, 1000, 14).astype(int).tolist(), 1000, time, lambda n: Dips())
    search.search()
    assert search.times[search.best] < 10.0 * (1.0 + 1e-4)
    assert len(asked) < 14 + 16


def test_workers_that_are_not_allowed_are_not_the_best():
    search = Valleys(
        [1, 2, 4, 8, 16], 5, lambda n: 1.0 / n if n <= 5 else math.inf, lambda n: Dips()
    )
    search.search()
    assert search.best == 5


def test_dips_before_a_curve_settles_are_those_of_its_waves():
    """A wave with known minima: e^(-t/4) (1 + 0.8 cos 3t), and its crossing by bisection."""
    empty = np.empty((0, 12))
    curve = LossCurve(
        1.0, empty, 0.0, np.array([-0.25 + 0j, -0.25 + 3j, -0.25 - 3j]),
        np.array([1.0 + 0j, 0.4 + 0j, 0.4 + 0j]),
    )  # fmt: skip
    time = np.linspace(0.0, 40.0, 400_001)
    value = np.exp(-0.25 * time) * (1.0 + 0.8 * np.cos(3.0 * time))
    bottoms = time[1:-1][(value[1:-1] < value[:-2]) & (value[1:-1] <= value[2:])]
    for target in (0.7, 0.2, 0.05):
        settled, dips = curve.settles(target)
        last = time[np.flatnonzero(value > target)[-1]]
        assert settled == pytest.approx(last, abs=2e-4)
        assert settled == curve.time_below(target, settle=True)
        before = bottoms[bottoms < last]
        assert dips.number == before.size > 0
        at = before[-1]
        lowest = np.interp(at, time, value)
        peak = value[(time > at) & (time < last)].max()
        assert dips.missing == pytest.approx((lowest if lowest > target else peak) / target, 1e-3)
        if lowest <= target:  # it has been below the target since then
            at = time[(time < at) & (value > target)][-1]
        assert dips.falls == pytest.approx(at, abs=0.05)
    assert curve.settles(2.0) == (0.0, Dips())
    begun = LossCurve(  # below the target at first, then above it for once
        1.0, empty, 0.0, np.array([-0.1 + 0j, -0.1 + 3j, -0.1 - 3j]),
        np.array([1.0 + 0j, -0.4 + 0j, -0.4 + 0j]),
    )  # fmt: skip
    time = np.linspace(0.0, 5.0, 500_001)
    value = np.exp(-0.1 * time) * (1.0 - 0.8 * np.cos(3.0 * time))
    for target in (value.max() * 0.999, value.max() * (1.0 - 1e-7)):
        settled, dips = begun.settles(target)
        assert settled == pytest.approx(time[np.flatnonzero(value > target)[-1]], abs=1e-3)
        assert dips == Dips()
    assert LossCurve(1.0, empty, 0.1, np.empty(0, complex), np.empty(0, complex)).settles(0.1) == (
        math.inf, Dips()
    )  # fmt: skip
