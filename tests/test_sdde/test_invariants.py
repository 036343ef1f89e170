"""What must hold for any problem: shifts in time, linearity in the history, noise of size zero."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import sdde
from sdde import models

METHODS = ["euler-maruyama", "heun", "tamed-euler"]
LINEAR = ["euler-maruyama", "heun"]  # tamed drifts are not linear

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32)
# Binary fractions, of which sums and differences are exact.
dts = st.sampled_from([1 / 4, 1 / 8, 3 / 64])
starts = st.integers(-64, 64).map(lambda k: k / 8)
delays = st.floats(0.0, 2.0, allow_subnormal=False)
numbers = st.floats(-2.0, 2.0, allow_subnormal=False)
histories = st.tuples(numbers, numbers, numbers)  # of a parabola


def parabola(c, shift=0.0):
    """Return a history with coefficients c, moved to the right by shift."""
    return lambda t: c[0] + c[1] * (t - shift) + c[2] * (t - shift) ** 2


def drift(t, x, late, a, b, c):
    return a * x + b * late[0] + np.sin(c * late[1])


def diffusion(t, x, late, a, b, c):
    return 0.3 * np.cos(x) + c * late[1]


def system(t, x, late, a, b, c):
    return (a * x[1] - late[0][0], b * x[0] + np.tanh(c * late[1][1]))


def system_noise(t, x, late, a, b, c):
    return (0.2 * x[0], c + 0.1 * late[1][0])


@pytest.mark.parametrize("method", METHODS)
@quick
@given(
    start=starts, dt=dts, first=delays, second=delays, c=histories, args=histories, seed=seeds,
    in_two=st.booleans(),
)  # fmt: skip
def test_a_shift_in_time_changes_no_bit(method, start, dt, first, second, c, args, seed, in_two):
    """Coefficients that do not know the time cannot tell when a run begins."""

    def run(t0):
        past = parabola(c, t0)
        if in_two:
            functions, history = (system, system_noise), lambda t: [past(t), 1.0 - past(t)]
        else:
            functions, history = (drift, diffusion), past
        problem = sdde.Problem(*functions, delays=(first, second), history=history, args=args)
        return sdde.solve(problem, (t0, t0 + 2.0), dt=dt, paths=3, rng=seed, method=method).x

    np.testing.assert_array_equal(run(start), run(0.0))


@quick
@given(start=starts, dt=dts, delay=delays, c=histories, seed=seeds)
def test_a_shift_in_time_moves_arrivals_along(start, dt, delay, c, seed):
    """Arrivals come at exact times, which a shift rounds in the last place."""

    def run(t0):
        problem = models.async_sgd(
            delay=scipy.stats.uniform(0.0, 0.1 + delay), history=parabola(c, t0)
        )
        return sdde.solve(problem, (t0, t0 + 2.0), dt=dt, paths=3, rng=seed).x

    np.testing.assert_allclose(run(start), run(0.0), rtol=1e-9, atol=1e-9)


def linear(t, x, late, a, b, c):
    return a * x + b * late[0] - c * late[1]


def linear_noise(t, x, late, a, b, c):
    return c * x + a * late[1]


@pytest.mark.parametrize("method", LINEAR)
@quick
@given(
    dt=dts, first=delays, second=delays, one=histories, other=histories, weight=numbers,
    args=histories, seed=seeds,
)  # fmt: skip
def test_linear_equations_are_linear_in_the_history(
    method, dt, first, second, one, other, weight, args, seed
):
    """Along one Brownian path, sums of histories give sums of paths."""

    def run(*coefficients):
        problem = sdde.Problem(
            linear, linear_noise, delays=(first, second), history=parabola(coefficients), args=args
        )
        return sdde.solve(problem, (0.0, 2.0), dt=dt, paths=3, rng=seed, method=method).x

    both = run(*(a + weight * b for a, b in zip(one, other, strict=True)))
    sides = run(*one), weight * run(*other)
    scale = 1.0 + max(np.abs(side).max() for side in (both, *sides))
    np.testing.assert_allclose(both, sum(sides), rtol=0.0, atol=1e-11 * scale)


@pytest.mark.parametrize("method", LINEAR)
@quick
@given(dt=dts, first=delays, c=histories, args=histories, sigma=numbers, seed=seeds)
def test_additive_noise_is_added_to_the_path_without_noise(method, dt, first, c, args, sigma, seed):
    """The path of a linear equation is that of its history plus that of its noise."""

    def run(history, noise):
        problem = sdde.Problem(linear, noise, delays=(first, 0.7), history=history, args=args)
        return sdde.solve(problem, (0.0, 2.0), dt=dt, paths=3, rng=seed, method=method).x

    both, plain, noise = run(parabola(c), sigma), run(parabola(c), None), run(0.0, sigma)
    scale = 1.0 + max(np.abs(x).max() for x in (both, plain, noise))
    np.testing.assert_allclose(both, plain + noise, rtol=0.0, atol=1e-11 * scale)


def no_noise(t, x, late, a, b, c):
    return 0.0 * x


def no_system_noise(t, x, late, a, b, c):
    return (0.0, 0.0 * late[0][1])


@pytest.mark.parametrize("method", METHODS)
@quick
@given(
    dt=dts, first=delays, second=delays, c=histories, args=histories, seed=seeds,
    in_two=st.booleans(),
)  # fmt: skip
def test_noise_of_size_zero_is_no_noise(method, dt, first, second, c, args, seed, in_two):
    """Every path is the deterministic solution, bit for bit."""
    past = parabola(c)
    history = (lambda t: [past(t), 1.0 - past(t)]) if in_two else past
    function = system if in_two else drift

    def run(noise):
        problem = sdde.Problem(function, noise, delays=(first, second), history=history, args=args)
        return sdde.solve(problem, (0.0, 2.0), dt=dt, paths=3, rng=seed, method=method).x

    plain = run(None)
    np.testing.assert_array_equal(plain[0], plain[2])
    np.testing.assert_array_equal(run(0.0), plain)
    np.testing.assert_array_equal(run(no_system_noise if in_two else no_noise), plain)


@quick
@given(exponent=st.integers(0, 5), seed=seeds, sigma=numbers, paths=st.integers(1, 70))
def test_an_equation_without_drift_is_its_brownian_path_at_any_time_step(
    exponent, seed, sigma, paths
):
    """Sums of increments are the increments of sums."""
    problem = sdde.Problem(lambda t, x, late: 0.0, sigma, history=0.0)
    noise = sdde.Brownian(seed, finest=1 / 64)
    dt = 2.0**exponent / 64
    end = sdde.solve(problem, (0.0, 2.0), dt=dt, paths=paths, noise=noise, save="final").x[:, 0]
    np.testing.assert_allclose(end, sigma * noise.path(2.0, paths)[:, 0], rtol=1e-12, atol=1e-12)
