"""Convergence studies: slopes against theory, intervals against repetition, what is drawn."""

import math

import numpy as np
import pytest
import scipy.stats as st
from matplotlib import pyplot

import sdde
from sdde import models

STEPS = [2.0**-k for k in range(3, 8)]


def study(problem, dts=STEPS, **options):
    return sdde.convergence(problem, "euler-maruyama", dts, **options)


def test_errors_are_those_of_runs_on_the_same_paths():
    """The definition, written out."""
    problem = models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6)
    found = study(problem, [0.25, 0.125], t_span=(0, 2), paths=100, rng=4, finest=0.0625)
    noise = sdde.Brownian(4, finest=0.0625)
    coarse, fine, truth = (
        sdde.solve(problem, (0, 2), dt=dt, paths=100, noise=noise, save="final").x[:, 0]
        for dt in (0.25, 0.125, 0.0625)
    )
    for k, ends in enumerate((coarse, fine)):
        strong = math.sqrt(np.mean((ends - truth) ** 2))
        weak = np.mean(ends**2 - truth**2)
        assert found.strong_errors[0, k] == pytest.approx(strong, rel=1e-12)
        assert found.weak_errors[0, k] == pytest.approx(weak, rel=1e-9)
    slope = math.log2(found.strong_errors[0, 0] / found.strong_errors[0, 1])
    assert found.orders[0].strong == pytest.approx(slope, rel=1e-12)
    assert found.seed == 4
    assert list(found.dts) == [0.25, 0.125]


@pytest.mark.parametrize("half", [True, False])
def test_orders_against_the_exact_solution(half):
    """Euler-Maruyama has strong order 1/2 for noise that multiplies the state, 1 for additive."""
    if half:
        problem = models.geometric(-0.5, 0.8, 1.0, noise_instant=0.4)

        def exact(noise, paths):
            s = np.arange(0.0, 1.0, noise.finest)
            w = noise.path(np.append(s, 1.0), paths)[:, :, 0]
            phi = np.exp((-0.5 - 0.08) * s + 0.4 * w[:, :-1])
            inside = 1.0 + 0.8 * noise.finest * np.sum(1.0 / phi, axis=1)
            return np.exp(-0.58 + 0.4 * w[:, -1]) * inside

        found = study(problem, t_span=(0, 1), paths=2000, rng=2, finest=2.0**-10, exact=exact)
        assert abs(found.orders[0].strong - 0.5) < 0.12
    else:
        problem = models.hayes(-1.0, -1.0, 1.0, noise=0.5)
        found = study(problem, t_span=(0, 3), paths=2000, rng=3)
        assert abs(found.orders[0].strong - 1.0) < 0.12
        assert abs(found.orders[0].weak - 1.0) < 0.12
    low, high = found.orders[0].strong_interval
    assert low < found.orders[0].strong < high
    assert high - low < 0.12


def test_intervals_cover_as_often_as_they_say():
    """Of 40 studies with intervals of 90 %, at most 14 miss: false alarm 4e-6."""
    problem = models.geometric(-1.0, 0.5, 1.0, noise_instant=0.6)
    span = {"t_span": (0, 2), "finest": 1 / 64, "level": 0.9}
    many = study(problem, [1 / 4, 1 / 8, 1 / 16], paths=40_000, rng=1000, **span)
    misses = 0
    for seed in range(40):
        one = study(problem, [1 / 4, 1 / 8, 1 / 16], paths=640, rng=seed, **span)
        low, high = one.orders[0].strong_interval
        misses += not low < many.orders[0].strong < high
    assert misses <= st.binom.isf(4e-6, 40, 0.1)
    assert one.strong_deviations[0, 0] == pytest.approx(8 * many.strong_deviations[0, 0], rel=0.6)


def test_a_weak_error_hidden_by_noise_has_no_order():
    """A slope of noise would be taken for an order."""
    problem = models.geometric(-1.0, 0.5, 1.0, noise_instant=0.3, noise_delayed=0.6)
    found = study(problem, t_span=(0, 3), paths=100, rng=1)
    assert math.isnan(found.orders[0].weak)
    assert "not seen above the noise" in found.table
    seen = study(problem, t_span=(0, 3), paths=100, rng=1, functional=lambda x: 0.0 * x)
    assert math.isnan(seen.orders[0].weak)


def test_the_text_and_the_figure_show_every_number():
    """A study is read, not computed with."""
    problem = models.neural_loop([1.0, -1.0], noise=0.3)
    found = study(problem, [0.1, 0.05], t_span=(0, 1), paths=64, rng=1)
    text = repr(found)
    assert "64 paths from t = 0 to 1, against each method itself at dt = 0.003125" in text
    assert f"{found.strong_errors[0, 1]:.4g}" in text
    assert found.orders[0].declared == (1.0, 1.0)
    assert text.count(", declared 1") == 2
    axes = found.plot()
    label = axes.get_legend().get_texts()[0].get_text()
    assert label == f"euler-maruyama, strong: {found.orders[0].strong:.2f}"
    assert axes.get_xscale() == axes.get_yscale() == "log"
    pyplot.close(axes.figure)


def test_a_study_without_noise_measures_the_order_of_the_drift():
    """Without noise both errors are those of Euler's method."""
    problem = models.mackey_glass(delay=2.0)
    found = study(problem, [0.2, 0.1, 0.05], t_span=(0, 10), paths=64, rng=1, finest=0.05 / 64)
    assert abs(found.orders[0].strong - 1.0) < 0.05
    assert abs(found.orders[0].weak - 1.0) < 0.05
