"""Histories: a state of its own at the start, jumps there, and what they do to a method's order."""

import warnings

import numpy as np
import pytest
import scipy.stats

import sdde


def solved(history, dt, method="heun", delays=1.0, diffusion=None):
    """The end of x' = -x(t - 1) + x / 2 at t = 3."""
    problem = sdde.Problem(
        lambda t, x, d: -d[0] + 0.5 * x, diffusion, delays=delays, history=history
    )
    return sdde.solve(problem, (0.0, 3.0), dt=dt, rng=1, method=method, save="final").x[0, 0]


def order(history, method):
    ends = [solved(history, dt, method) for dt in (1 / 32, 1 / 64, 1 / 128, 1 / 2048)]
    errors = np.abs(np.array(ends[:3]) - ends[3])
    return np.log2(errors[:-1] / errors[1:])


def test_a_pair_gives_the_past_and_the_state_at_the_start():
    """What the history says at the start itself is not asked for."""
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=1.0, history=(lambda t: 0.0, 2.0))
    solution = sdde.solve(problem, (0.0, 2.0), dt=0.125)
    np.testing.assert_array_equal(solution.x[0, :9], 2.0)
    assert solution.x[0, -1] == pytest.approx(0.0, abs=1e-12)
    assert solution(-0.5) == 0.0
    system = problem.replace(drift=lambda t, x, d: -d[0], history=(lambda t: [0.0, t], [1.0, 2.0]))
    np.testing.assert_array_equal(sdde.solve(system, (0.0, 1.0), dt=0.5).x[0, 0], [1.0, 2.0])


def test_a_step_function_is_the_same_history_as_a_pair():
    """Two ways to write one past."""
    pair = solved((lambda t: 0.5, 1.5), 0.1, "euler-maruyama")
    step = solved(lambda t: 0.5 if t < 0.0 else 1.5, 0.1, "euler-maruyama")
    assert pair == step


@pytest.mark.filterwarnings("ignore::sdde.SolutionWarning")
def test_a_jump_at_the_start_costs_heun_an_order_and_euler_nothing():
    """The warning says what happens: order 2 becomes 1, order 1 stays."""
    smooth, jump = lambda t: 1.0, (lambda t: 0.0, 1.0)
    np.testing.assert_allclose(order(smooth, "heun"), 2.0, atol=0.15)
    np.testing.assert_allclose(order(jump, "heun"), 1.0, atol=0.15)
    np.testing.assert_allclose(order(jump, "euler-maruyama"), 1.0, atol=0.15)


def test_a_method_that_loses_order_warns():
    """One line that names history, the size of the jump, and the order that is left."""
    with pytest.warns(
        sdde.SolutionWarning, match=r"history = .* jumps by 1 at the start t = 0, so h"
    ):
        solved((lambda t: 0.0, 1.0), 0.1)
    with pytest.warns(sdde.SolutionWarning, match="heun is of order 1 here, not 2"):
        solved(lambda t: 0.0 if t < 0.0 else 1.0, 0.1, diffusion=0.3)
    with pytest.warns(sdde.SolutionWarning, match="jumps by 1"):
        solved((lambda t: 0.0, 1.0), 0.1, delays=sdde.DistributedDelay(scipy.stats.expon()))


@pytest.mark.parametrize(
    ("history", "method", "options"),
    [
        (lambda t: np.sqrt(-t) if t < 0 else 0.0, "heun", {}),  # steep, but no jump
        ((lambda t: 1.0, 1.0), "heun", {}),
        ((lambda t: 0.0, 1.0), "euler-maruyama", {}),
        ((lambda t: 0.0, 1.0), "heun", {"delays": 0.0}),
        ((lambda t: 0.0, 1.0), "heun", {"diffusion": lambda t, x, d: 0.1 * x}),  # order 1 at best
        (([-1.5, 0.0], [0.0, 1.0]), "heun", {}),
    ],
)
def test_nothing_is_said_where_no_order_is_lost(history, method, options):
    """A warning that comes for nothing is not read when it matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solved(history, 0.1, method, **options)


@pytest.mark.parametrize(
    ("history", "match"),
    [
        ((lambda t: 0.0, "one"), r"history\[1\] = 'one' is not a state"),
        ((lambda t: 0.0, [1.0, 2.0]), r"history\[1\] = .* has shape \(2,\), expected \(\)"),
        ((lambda t: 0.0, np.nan), r"history\[1\] = nan is not a state"),
    ],
)
def test_misuse_of_a_pair_is_refused(history, match):
    """The state at the start has the shape of the past."""
    with pytest.raises(sdde.ArgumentError, match=match):
        solved(history, 0.1)
