r"""A nonlinear problem near a point, as a linear delay system.

The problem's functions are read once as symbolic expressions and differentiated exactly; no finite
differences. Knows nothing about paths.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sdde import checks
from sdde.equation.delays import DistributedDelay, RandomDelay
from sdde.equation.problem import Problem, try_delay

from .delay_system import DelaySystem
from .numerics import Floats


def linearize(problem: Problem, x: ArrayLike, *, t: float = 0.0) -> DelaySystem:
    r"""Return the linear delay system that a problem is near a point.

    With y = x(t) minus the point, drift f and diffusion g,

    .. math:: dy=\Big(f+\partial_xf\,y+\sum_j\partial_jf\,y(t-\tau_j)\Big)dt
              +\Big(g+\partial_xg\,y+\sum_j\partial_jg\,y(t-\tau_j)\Big)dW

    where f, g and their derivatives are taken with the present and all delayed states at the point.

    Parameters
    ----------
    problem : sdde.Problem
        Without jumps. A delay that depends on time or state counts at `t` and the point; one drawn
        at each step as its law; one spread over the past as the law that its kernel is.
    x : float or array_like, shape (dim,)
        The point, usually an equilibrium. There the offset of the result is 0; elsewhere it is
        the drift.
    t : float
        Time at which coefficients that depend on it are taken.

    Returns
    -------
    DelaySystem
        In the deviation from the point.

    Raises
    ------
    sdde.ArgumentError
        If the problem has jumps or is meant in the sense of Stratonovich, its functions cannot be
        read as expressions, a derivative is not finite at the point, or a delay is spread over the
        past by a function or in the noise.

    Notes
    -----
    Has no formula of its own: the Jacobians are SymPy's, of the expressions that the functions
    were read into. Jumps that are linear in the state are added to the result by `with_jumps`. A
    state-dependent delay may count at the point, because its change meets the slope of a state that
    stays there: the effect is of second order. What delays drawn at each step add to the variance
    is proportional to the time step, and left out.

    Examples
    --------
    The Mackey-Glass equation at its equilibrium 1 loses stability at a delay of 4.708:

    >>> import sdde
    >>> from sdde.theory import linearize
    >>> def drift(t, x, delayed):
    ...     return 0.2 * delayed[0] / (1.0 + delayed[0] ** 10) - 0.1 * x
    >>> problem = sdde.Problem(drift, delays=4.0, history=0.5)
    >>> round(linearize(problem, 1.0).delay_margin(), 6)
    4.708196
    """
    checks.instance(
        "problem", problem, Problem, "a problem",
        remedy="For example problem = sdde.Problem(drift, delays=1.0, history=1.0).",
    )  # fmt: skip
    checks.number("t", t, example=0.0)
    if problem.jumps:
        raise checks.fail(
            "problem", problem.jumps, "has jumps",
            remedy="Linearise it without them, then add theory.with_jumps(system, rate, ...).",
        )  # fmt: skip
    if problem.calculus == "stratonovich" and callable(problem.diffusion):
        raise checks.fail(
            "problem", problem.calculus, "is not in the sense of Itô",
            why="The linear system is, and the drifts of the two differ.",
            remedy='Add half of (dg/dx) g to the drift, and pass calculus="ito".',
        )  # fmt: skip
    point = checks.array("x", x)
    if point.ndim > 1:
        raise checks.fail("x", x, "is neither a number nor a vector")
    drift, slopes = _expand(problem, problem.drift, "drift", point, t)
    noise, gains = _noise(problem, point, t)
    scalar = point.ndim == 0
    instant: Any = float(slopes[0][0, 0]) if scalar else slopes[0]
    return DelaySystem(
        instant, list(slopes[1:]), _delays(problem, point, t, gains), noise=noise,
        multiplicative=gains, offset=drift,
    )  # fmt: skip


def _delays(problem: Problem, point: Floats, t: float, gains: Any) -> list[Any]:
    """Return a number or a law for each delay."""
    result: list[Any] = []
    for j, delay in enumerate(problem.delays):
        name = f"delays[{j}]"
        if isinstance(delay, RandomDelay):
            result.append(delay.drawn)
        elif not isinstance(delay, DistributedDelay):
            at = float(point) if point.ndim == 0 else point
            result.append(try_delay(name, delay, t, at, problem.args))
        elif delay.law is None:
            raise checks.fail(
                name, delay, "is spread over the past by a function",
                why="A linear delay system takes numbers and laws.",
                remedy="Give DistributedDelay the law whose density the kernel is.",
            )  # fmt: skip
        elif gains is not None and np.any(gains[j + 1]):
            raise checks.fail(
                name, delay, "is spread over the past, and the noise depends on it",
                why="In the noise of a linear delay system a law means a delay that is drawn.",
                remedy="Add the stages of the average to the state, for gamma laws.",
            )  # fmt: skip
        else:
            result.append(delay.law)
    return result


def _noise(problem: Problem, point: Floats, t: float) -> tuple[Any, Any]:
    """Return noise and multiplicative for `DelaySystem`."""
    dim = max(point.size, 1)
    if problem.diffusion is None:
        return 0.0, None
    if problem.has_noise_matrix:
        return _matrix_noise(problem, point, t)
    if not callable(problem.diffusion):
        size = np.broadcast_to(problem.diffusion, (dim,))
        return np.diag(size) if problem.noise == "diagonal" else size[:, None], None
    value, slopes = _expand(problem, problem.diffusion, "diffusion", point, t)
    if not any(bool(np.any(slope)) for slope in slopes):
        return np.diag(value) if problem.noise == "diagonal" else value[:, None], None
    if problem.noise == "scalar" or dim == 1:
        return value[:, None], tuple(slope[None] for slope in slopes)
    # Component k has its own Wiener process: gain k holds row k of the derivative only.
    rows = np.eye(dim)[:, :, None]
    return np.diag(value), tuple(rows * slope[None, :, :] for slope in slopes)


def _matrix_noise(problem: Problem, point: Floats, t: float) -> tuple[Any, Any]:
    """Return the same for noise with a coefficient for each component and Wiener process."""
    dim = max(point.size, 1)
    if not callable(problem.diffusion):
        return np.reshape(problem.diffusion, (dim, -1)), None
    value, slopes = _expand(problem, problem.diffusion, "diffusion", point, t)
    if not any(bool(np.any(slope)) for slope in slopes):
        return value.reshape(dim, -1), None
    gains = (slope.reshape(dim, -1, dim).transpose(1, 0, 2) for slope in slopes)
    return value.reshape(dim, -1), tuple(gains)


def _expand(
    problem: Problem, function: Any, name: str, point: Floats, t: float
) -> tuple[Floats, list[Floats]]:
    """Return a function's value at the point, and its derivatives by x and each delayed state."""
    from sdde.engine.expressions import Untraceable, parameters, trace

    shapes: list[tuple[int | None, ...]] = [(), point.shape]
    if name == "diffusion" and problem.has_noise_matrix:
        shapes = [(*point.shape, None)]
    try:
        traced = trace(
            function, state_shape=point.shape, n_delays=len(problem.delays), args=problem.args,
            name=name, shapes=shapes,
        )  # fmt: skip
    except Untraceable as reason:
        raise checks.fail(
            name, function, "cannot be read as expressions", why=str(reason),
            remedy="Give the matrices to DelaySystem directly.",
        ) from None  # fmt: skip
    form = traced.to_sympy()
    flat = np.atleast_1d(point)
    known = {form.t: t}
    known |= dict(zip(form.parameters, parameters(problem.args), strict=True))
    for states in (form.x, *form.delayed):
        known |= dict(zip(states, flat, strict=True))

    def number(expression: Any, what: str) -> float:
        value = complex(expression.subs(known).evalf(20)) if hasattr(expression, "subs") else (
            complex(expression)
        )  # fmt: skip
        return checks.number(what, value.real if value.imag == 0.0 else np.nan)

    outputs = list(form.outputs) * (len(flat) if traced.shape == () else 1)
    value = np.array([number(out, f"{name} at x") for out in outputs])
    slopes = [
        np.array(
            [[number(out.diff(s), f"derivative of {name}") for s in states] for out in outputs]
        )
        for states in (form.x, *form.delayed)
    ]
    return value, slopes
