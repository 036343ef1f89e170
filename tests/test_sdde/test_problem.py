"""Problem: what is accepted, what is refused, and that it is a value."""

import functools

import numpy as np
import pytest

import sdde


def _drift(t, x, delayed, *args):
    return -x


def test_replacing_leaves_the_original_alone():
    """Sweeps are built by replacing; the original must stay what it was."""
    problem = sdde.Problem(_drift, 0.1, delays=(1.0, 2), history=1.0, args=[2, np.ones(2)])
    other = problem.replace(delays=3.0, args=(1.5,))
    assert problem.delays == (1.0, 2.0)
    assert other.delays == (3.0,)
    assert problem.args[0] == 2
    assert other.args == (1.5,)
    assert other.drift is _drift


def test_arrays_in_args_are_copies_that_nobody_can_change():
    """A problem changed from outside would not be reproducible."""
    weights = np.ones(3)
    problem = sdde.Problem(_drift, history=1.0, args=(weights,))
    weights[0] = 5.0
    assert problem.args[0][0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        problem.args[0][0] = 2.0


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"drift": 1.0}, "drift = 1.0 cannot be called"),
        ({"delays": -1.0}, "delays = -1.0 is negative"),
        ({"delays": (1.0, -2.0)}, r"delays\[1\] = -2.0 is negative"),
        ({"delays": (1.0, np.nan)}, r"delays\[1\] = nan is not finite"),
        ({"delays": "long"}, "delays = 'long' is not a number"),
        ({"history": None}, "history = None is not a state"),
        ({"history": [[1.0, 2.0]]}, "is not a state"),
        ({"history": np.inf}, "history = inf is not a state"),
        ({"history": ([0.0, -1.0], [1.0, 2.0])}, "does not increase"),
        ({"history": ([-1.0, 0.0], [1.0])}, r"has shape \(1,\), expected \(2,\)"),
        ({"args": 2.0}, r"args = 2.0 is not a tuple.\n  Write args = \(2.0,\)"),
        ({"args": ("text",)}, r"args\[0\] = 'text' is neither a number"),
        ({"noise": "full"}, "noise = 'full' is not known"),
        ({"diffusion": [[1.0]]}, r"has shape \(1, 1\)"),
        ({"jumps": 3.0}, "does not hold sdde.Jump values"),
    ],
)
def test_misuse_is_refused_where_it_is_made(changes, match):
    """A wrong argument is easiest to mend where it stands."""
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.Problem(**({"drift": _drift, "history": 1.0} | changes))


def test_replacing_an_unknown_argument_is_refused():
    """A misspelt name must not be swallowed."""
    problem = sdde.Problem(_drift, history=1.0)
    with pytest.raises(sdde.ArgumentError, match="'delay' is not known"):
        problem.replace(delay=1.0)


def test_a_function_that_changes_its_arguments_is_refused():
    """Writing into the state would change what the other functions see."""

    def drift(t, x, delayed):
        x[0] = 0.0
        return -x

    problem = sdde.Problem(drift, history=[1.0, 2.0])
    with pytest.raises(sdde.ArgumentError, match="read-only"):
        sdde.solve(problem, (0.0, 1.0), dt=0.1)


@pytest.mark.parametrize("returned", [tuple, list, np.array])
def test_tuples_lists_and_arrays_mean_the_same(returned):
    """People write systems in all three ways."""
    problem = sdde.Problem(
        lambda t, x, d: returned([-x[0] + d[0, 1], -x[1]]),
        (0.1, 0.2),
        delays=0.3,
        history=[1.0, 2.0],
    )
    plain = sdde.Problem(
        lambda t, x, d: np.array([-x[0] + d[0, 1], -x[1]]),
        (0.1, 0.2),
        delays=0.3,
        history=[1.0, 2.0],
    )
    one, other = (sdde.solve(p, (0.0, 1.0), dt=0.1, paths=3, rng=1).x for p in (problem, plain))
    np.testing.assert_array_equal(one, other)


class _Feedback:
    def __init__(self, gain):
        self.gain = gain

    def __call__(self, t, x, delayed):
        return -self.gain * delayed[0]

    def method(self, t, x, delayed):
        return -self.gain * delayed[0]


def _with_gain(gain, t, x, delayed):
    return -gain * delayed[0]


@pytest.mark.parametrize(
    "drift", [_Feedback(0.7), _Feedback(0.7).method, functools.partial(_with_gain, 0.7)]
)
def test_any_callable_will_do(drift):
    """Callable objects, methods and partial functions are read like functions."""
    plain = sdde.Problem(lambda t, x, d: -0.7 * d[0], 0.1, delays=1.0, history=1.0)
    one, other = (
        sdde.solve(p, (0.0, 3.0), dt=0.1, paths=3, rng=1).x
        for p in (plain, plain.replace(drift=drift))
    )
    np.testing.assert_array_equal(one, other)


def test_whole_numbers_and_truth_values_keep_their_type():
    """An argument may be an index, an exponent or a switch."""

    def drift(t, x, delayed, which, power, on):
        return -(delayed[which] ** power) if on else 0.0

    problem = sdde.Problem(drift, 0.1, delays=(0.5, 1.0), history=1.0, args=(1, 3, True))
    plain = sdde.Problem(lambda t, x, d: -(d[1] ** 3), 0.1, delays=(0.5, 1.0), history=1.0)
    one, other = (sdde.solve(p, (0.0, 3.0), dt=0.1, paths=3, rng=1).x for p in (problem, plain))
    np.testing.assert_array_equal(one, other)
    still = sdde.solve(problem.replace(args=(0, 2, False), diffusion=None), (0.0, 1.0), dt=0.1)
    assert (still.x == 1.0).all()
