"""What must not matter with delays that change: the start, what is saved, noise of size 0."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import sdde

DT = 1.0 / 16.0  # times are exact in binary, so that shifted runs agree bit for bit


def lag_of_time(t, start, low, swing, noise):
    phase = 0.25 * (t - start)
    return low + swing * phase * phase / (1.0 + phase * phase)


def lag_of_state(t, x, start, low, swing, noise):
    return low + swing / (1.0 + x * x)


def drift(t, x, d, start, low, swing, noise):
    return -d[0] + 0.5 * d[1] - 0.3 * d[2] + 0.2 * d[3] - 0.1 * d[4] * x + 0.01 * (t - start)


def diffusion(t, x, d, start, low, swing, noise):
    return noise * (1.0 + 0.1 * d[1])


def rate(t, x, d, start, low, swing, noise):
    return 1.0 + d[1] * d[1] / (1.0 + d[1] * d[1])


def effect(t, x, d, mark, start, low, swing, noise):
    return noise * (0.1 * mark - 0.1 * d[0])


KINDS = (
    sdde.TimeDelay(lag_of_time, longest=3.0), sdde.StateDelay(lag_of_state, longest=3.0),
    sdde.RandomDelay(scipy.stats.uniform(0.1, 0.8)),
    sdde.DistributedDelay(scipy.stats.uniform(0.0, 1.0)),
    sdde.DistributedDelay(scipy.stats.gamma(2, scale=0.3)),
)  # fmt: skip
JUMPS = (
    sdde.Jump(rate, effect, longest_rate=2.0, mark=scipy.stats.norm()),
    sdde.Jump(2.0, effect, delays=KINDS[:1], mark=scipy.stats.norm(), leaping=True),
)
numbers = st.floats(0.0, 1.5, allow_subnormal=False)


def problem(start, low, swing, noise, *, history=1.0, kinds=KINDS, jumps=JUMPS):
    return sdde.Problem(
        drift, diffusion, delays=kinds, history=history, args=(float(start), low, swing, noise),
        jumps=jumps,
    )  # fmt: skip


def paths(p, start=0, **options):
    return sdde.solve(p, (start, start + 3.0), dt=DT, paths=3, rng=7, **options)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(low=numbers, swing=numbers, noise=numbers, start=st.integers(-40, 40))
def test_a_shift_in_time_shifts_the_path(low, swing, noise, start):
    """Random numbers are addressed by step, functions see the time since the start."""
    x = paths(problem(0, low, swing, noise, jumps=())).x
    shifted = paths(problem(start, low, swing, noise, jumps=()), start).x
    np.testing.assert_array_equal(shifted, x)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(low=numbers, swing=numbers, noise=numbers, start=st.integers(-40, 40))
def test_a_shift_in_time_shifts_arrivals_too(low, swing, noise, start):
    """Arrival times are sums, so these agree to rounding."""
    x = paths(problem(0, low, swing, noise)).x
    shifted = paths(problem(start, low, swing, noise), start).x
    np.testing.assert_allclose(shifted, x, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    low=numbers, swing=numbers, noise=numbers,
    times=st.lists(st.integers(0, 48), min_size=1, max_size=6, unique=True),
)  # fmt: skip
def test_saved_times_and_threads_change_no_bit(low, swing, noise, times):
    """What is kept has no way to influence what is computed."""
    p = problem(0, low, swing, noise)
    full = paths(p).x
    some = paths(p, save=DT * np.sort(times), threads=1).x
    np.testing.assert_array_equal(some, full[:, np.sort(times)])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(low=numbers, swing=numbers)
def test_noise_of_size_zero_is_the_deterministic_equation(low, swing):
    """Diffusion and effects vanish; what is drawn must not leave a trace."""
    kinds = (*KINDS[:2], 0.5, *KINDS[3:])
    silent = paths(problem(0, low, swing, 0.0, kinds=kinds)).x
    plain = problem(0, low, swing, 0.0, kinds=kinds, jumps=()).replace(diffusion=None)
    np.testing.assert_allclose(silent, paths(plain).x, rtol=1e-13, atol=1e-14)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(low=numbers, swing=numbers, size=st.floats(0.1, 10.0))
def test_a_linear_equation_is_linear_in_its_history(low, swing, size):
    """Averages, delays of time and drawn delays: twice the past, twice the path."""
    kinds = (KINDS[0], KINDS[0], *KINDS[2:])

    def solution(scale):
        p = problem(0, low, swing, 0.0, history=lambda t: scale * (1.0 + t), kinds=kinds, jumps=())
        # the last delay enters a product with x, and time a constant: leave both out
        linear = p.replace(
            drift=lambda t, x, d, start, low, swing, noise: -d[0] + 0.4 * d[2] + d[3] - 0.3 * d[4]
        )
        return paths(linear).x

    np.testing.assert_allclose(solution(size), size * solution(1.0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("paths_", [1, 9, 65])
def test_one_path_is_the_same_among_any_number(paths_):
    """Width 1, 8 and 64 have loops of their own."""
    p = problem(0, 0.5, 1.0, 0.3)
    whole = sdde.solve(p, (0, 3.0), dt=DT, paths=130, rng=7).x
    some = sdde.solve(p, (0, 3.0), dt=DT, paths=paths_, rng=7, threads=2).x
    np.testing.assert_array_equal(some, whole[:paths_])


@pytest.mark.parametrize("method", ["euler-maruyama", "heun"])
@pytest.mark.parametrize("middle", [1.0, 1.5])
def test_a_run_in_two_pieces_is_one_run(method, middle):
    """Draws, arrivals and chains go on where they stopped, bit for bit."""
    p = problem(0, 0.5, 1.0, 0.3, history=lambda t: 1.0 + 0.5 * t)
    options = {"dt": DT, "paths": 9, "rng": 7, "method": method}
    whole = sdde.solve(p, (0, 3.0), **options)
    pieces = sdde.solve(p, (0, middle), **options).extend(3.0)
    np.testing.assert_array_equal(pieces.x[:, -1], whole.x[:, -1])


def test_a_hit_sees_the_delayed_state_that_the_drift_sees():
    """The sign changes between the grid times around the hit, read from the path by hand."""
    low, swing = 0.5, 1.0
    p = problem(0, low, swing, 0.3, jumps=())
    hit = sdde.Hit(lambda t, x, d, start, low, swing, noise: d[1] - 0.8)
    stopped = sdde.solve(p, (0, 6.0), dt=DT, paths=9, rng=7, until=hit)
    assert (stopped.status == "hit").all()
    full = sdde.solve(p, (0, 6.0), dt=DT, paths=9, rng=7)
    for k in range(9):
        lag = low + swing / (1.0 + full.x[k] ** 2)
        seen = full(full.t - lag)[k] - 0.8
        crossed = np.flatnonzero(np.sign(seen) != np.sign(seen[0]))[0]
        assert full.t[crossed - 1] <= stopped.hit_time[k] <= full.t[crossed]
