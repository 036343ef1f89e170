"""Delayed SGD with a prescribed staleness: the recursion itself, and its exact variance."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster

RULES = {
    "bounded": (cluster.PrescribedStaleness("bounded", 3), lambda k: 3),
    "sublinear": (cluster.PrescribedStaleness("sublinear", 0.5), lambda k: math.floor(k**0.5)),
    "linear": (cluster.PrescribedStaleness("linear", 0.5), lambda k: k // 2),
    "polynomial": (
        cluster.PrescribedStaleness("polynomial", 2.0), lambda k: k - math.floor(k**0.5)
    ),
    "law": (cluster.PrescribedStaleness("law", np.array([2.0, 2.0])), lambda k: 2),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "schedule", [None, cluster.Schedule("log"), cluster.Schedule("power", power=0.5)]
)
def test_each_rule_is_the_recursion_it_states(name, schedule):
    """A noise-free quadratic of curvature 1, written out in a list."""
    rule, late = RULES[name]
    runs = cluster.simulate_staleness(
        cluster.Quadratic(1.0), rule, learning_rate=0.2, updates=60, records=61, schedule=schedule
    )
    x = [1.0]
    for k in range(60):
        factor = 1.0
        if schedule is not None and schedule.kind == "power":
            factor = (1 / (k + 1)) ** 0.5
        elif schedule is not None:
            factor = 2 * math.log(2) / ((k + 2) * math.log(k + 2))
        x.append(x[k] - 0.2 * factor * x[k - min(late(k), k)])
    np.testing.assert_allclose(runs.loss[0], 0.5 * np.square(x), rtol=1e-12, atol=1e-300)
    expected = np.bincount([min(late(k), k) for k in range(60)])
    np.testing.assert_array_equal(runs.staleness.counts, expected)


@pytest.mark.parametrize("lazy", [False, True])
def test_projection_is_that_of_dual_averaging_or_of_the_point_itself(lazy):
    """Linear delays in a box, noise-free, written out: lazily, what is left out comes back."""
    runs = cluster.simulate_staleness(
        cluster.Quadratic([1.0, 0.5]), cluster.PrescribedStaleness("linear", 0.5),
        learning_rate=0.7, updates=40, records=41,
        projection=cluster.Box(-0.1, [0.8, 2.0], lazy=lazy),
    )  # fmt: skip
    curvature, low, high = np.array([1.0, 0.5]), -0.1, np.array([0.8, 2.0])
    x, y = [np.ones(2)], np.ones(2)
    for k in range(40):
        y = y - 0.7 * curvature * x[k - k // 2]
        x.append(np.clip(y, low, high))
        y = y if lazy else x[-1]
    np.testing.assert_allclose(runs.loss[0], [0.5 * curvature @ v**2 for v in x], rtol=1e-12)


def test_variance_at_fixed_staleness_is_exact():
    """alpha = 0.1, staleness 5: 0.0894405085, from two independent derivations; alarms 1e-6."""
    runs = cluster.simulate_staleness(
        cluster.Quadratic(1.0, noise=1.0, start=0.0), cluster.PrescribedStaleness("bounded", 5),
        learning_rate=0.1, updates=300, runs=20_000, records=2, rng=1,
    )  # fmt: skip
    square = 2.0 * runs.loss[:, -1]
    error = square.std(ddof=1) / math.sqrt(len(square))
    assert abs(square.mean() - 0.0894405085092) < 4.9 * error


def test_independent_geometric_staleness_has_the_stated_law_and_stability_limit():
    """Workers 4: mean-square stable below 0.743; well below it stays, well above it grows."""
    law = cluster.PrescribedStaleness("law", scipy.stats.geom(0.25, loc=-1))
    quadratic = cluster.Quadratic(1.0)
    calm = cluster.simulate_staleness(
        quadratic, law, learning_rate=0.6, updates=400, runs=2000, rng=2
    )
    wild = cluster.simulate_staleness(
        quadratic, law, learning_rate=1.0, updates=400, runs=2000, rng=2
    )
    assert calm.loss[:, -1].mean() < 1e-3
    assert wild.loss[:, -1].mean() > 1e3
    # Update k cannot be staler than k: the sum over k of 3 * 0.75^k, 12, is missing.
    error = math.sqrt(12.0 / (400 * 2000))
    assert abs(calm.staleness.mean - (3.0 - 12.0 / 400)) < 4.9 * error


def test_staleness_beyond_the_stability_limit_diverges_as_data():
    """Fixed staleness 10 is stable below 0.149460; at 0.5 a run ends, and says so."""
    runs = cluster.simulate_staleness(
        cluster.Quadratic(1.0), cluster.PrescribedStaleness("bounded", 10), learning_rate=0.5,
        updates=5000,
    )  # fmt: skip
    assert runs.status[0] == "diverged"
    assert runs.updates[0] < 5000
    assert math.isinf(runs.loss[0, -1])


BAD = {
    "kind": lambda: cluster.PrescribedStaleness("late"),
    "amount": lambda: cluster.PrescribedStaleness("linear", 1.5),
    "staleness": lambda: cluster.simulate_staleness(
        cluster.Quadratic(1.0), 3, learning_rate=0.1, updates=5  # type: ignore[arg-type]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_rules_are_refused_by_name(name):
    """A rule is checked when it is written down."""
    with pytest.raises(ArgumentError, match=rf"^{name} = "):
        BAD[name]()


def test_a_law_with_fractions_is_refused():
    """Staleness counts updates."""
    with pytest.raises(ArgumentError, match=r"^amount = "):
        cluster.PrescribedStaleness("law", scipy.stats.expon())
