"""Variances of a worker's random cycle: batched transforms against sums over every cycle."""

import numpy as np
import pytest
import scipy.stats
from sdde.theory.cycle_variances import FIRST, SECOND, CycleVariances
from sdde.theory.lattice import restored
from sdde.theory.worker_renewals import worker_renewals

from sdde import theory
from tests import reference_cycle_variances as twin

LAWS = {
    "gamma": scipy.stats.gamma(4, scale=0.25),
    "uniform": scipy.stats.uniform(0.5, 1.0),
    "shifted": scipy.stats.expon(loc=0.5, scale=0.5),
}


def cycles_of(law, workers, alpha, group=0):
    model = theory.AsyncSGD(
        [1.0], learning_rate=0.1, workers=workers, compute_time=law, arrivals="renewal"
    )
    return CycleVariances(worker_renewals(model.stream, np.array(alpha)), group)


LATE = 1e-8  # rounding at late times of the grid, where transforms weigh it with 1e6
CASES = [("gamma", 12, (0.001, 0.02, 0.07)), ("uniform", 4, (0.05, 0.3)), ("shifted", 2, (0.4,))]


@pytest.mark.parametrize(("law", "workers", "alpha"), CASES)
def test_covariances_and_first_cycles_are_sums_over_cycles(law, workers, alpha):
    cycles = cycles_of(LAWS[law], workers, alpha)
    means = cycles.means
    under_way = restored(cycles.rate * (1.0 - means.phi[0]) / means.slope)
    assert sum(shapes.modes.size for shapes in cycles.shapes) > 0
    for shapes in cycles.shapes:
        for k, i in enumerate(shapes.modes):
            exact = twin.covariances(cycles, shapes, k, means.mass[0][i])
            np.testing.assert_allclose(
                cycles.cross[i], exact[FIRST, SECOND], rtol=0.0, atol=LATE * np.abs(exact).max()
            )
            change = np.array([twin.change_of_mean(cycles, i, 0, age) for age in shapes.ages])
            parts = np.append(1.0, shapes.project[k] @ change)
            exact = twin.covariances(cycles, shapes, k, under_way[i])
            exact = np.einsum("a,b,abt->t", parts, parts, exact)
            np.testing.assert_allclose(
                cycles.first[i], exact, rtol=0.0, atol=LATE * np.abs(exact).max()
            )


@pytest.mark.parametrize(("law", "workers", "alpha"), CASES)
def test_changes_and_fluctuations_are_sums_over_ages(law, workers, alpha):
    cycles = cycles_of(LAWS[law], workers, alpha)
    exponent = np.minimum(1.5 * cycles.means.roots.real, 0.0)
    still, moving = cycles.fluctuating(0.0 * exponent), cycles.fluctuating(exponent)
    for shapes in cycles.shapes:
        for k, i in enumerate(shapes.modes):
            for at in (0, 3, 40):
                change = [twin.change_of_mean(cycles, i, at, age) for age in shapes.ages]
                np.testing.assert_allclose(
                    cycles._changes[i, :, at], shapes.project[k] @ np.array(change),
                    rtol=1e-9, atol=1e-10,
                )  # fmt: skip
        k = shapes.modes.size - 1  # the slow twin looks at one mode
        i = shapes.modes[k]
        cross = np.empty((5, 5, still.shape[1]))
        cross[FIRST, SECOND] = cross[SECOND, FIRST] = cycles.cross[i]
        for found, z in ((still, 0.0), (moving, exponent[i])):
            exact = twin.fluctuating(cycles, shapes, k, z, cross)
            np.testing.assert_allclose(found[i], exact, rtol=0.0, atol=LATE * np.abs(exact).max())


def test_modes_solved_together_are_modes_solved_alone():
    alpha = (0.002, 0.03, 0.05, 0.08)
    together = cycles_of(LAWS["gamma"], 20, alpha)
    for i, each in enumerate(alpha):
        alone = cycles_of(LAWS["gamma"], 20, (each,))
        for name in ("cross", "driven", "first"):
            np.testing.assert_allclose(
                getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-9, atol=1e-10
            )


def test_unlike_workers_have_variances_of_their_own():
    laws = [LAWS["gamma"]] * 3 + [scipy.stats.gamma(9, scale=0.3)] * 3
    for group in (0, 1):
        cycles = cycles_of(laws, 6, (0.2,), group)
        (shapes,) = cycles.shapes
        exact = twin.covariances(cycles, shapes, 0, cycles.means.mass[group][0])
        np.testing.assert_allclose(
            cycles.cross[0], exact[FIRST, SECOND], rtol=0.0, atol=LATE * np.abs(exact).max()
        )
