"""Reads the coefficients of a linear delay equation into matrices, laws and noise channels.

Numbers mean a scalar equation, matrices a system. Delays become laws; terms without delay join the
instantaneous one; terms with the same fixed delay join each other. Nothing here computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdde import checks
from sdde.equation.laws import Law, as_law

from .numerics import Floats
from .piecewise import History

_NO_DELAY = 1e-150  # and below: its square is no number, and nothing feels it


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Coefficients as arrays.

    Attributes
    ----------
    scalar : bool
        Whether the user gave numbers.
    instant : ndarray, shape (dim, dim)
        A0.
    delayed : tuple of ndarray, shape (dim, dim)
        Aj, one for each law.
    laws : tuple of Law
        Laws of the delays.
    noise : ndarray, shape (dim, channels)
        B; column k multiplies the Wiener process k.
    gains : tuple of ndarray, shape (channels, dim, dim)
        C0 and Cj: how much of the state, and of the state at each delay, multiplies each process.
    offset : ndarray, shape (dim, 1)
        Constant part of the drift.
    """

    scalar: bool
    instant: Floats
    delayed: tuple[Floats, ...]
    laws: tuple[Law, ...]
    noise: Floats
    gains: tuple[Floats, ...]
    offset: Floats

    @property
    def multiplicative(self) -> bool:
        """Whether the noise depends on the state."""
        return any(bool(np.any(gain)) for gain in self.gains)


def read(
    instant: Any, delayed: Any, delays: Any, noise: Any, multiplicative: Any, offset: Any
) -> Coefficients:
    """Check the arguments of a `DelaySystem` and return its coefficients."""
    scalar = checks.is_single(instant)
    a0 = _matrix("instant", instant, None)
    dim = len(a0)
    several = isinstance(delays, list | tuple)
    single = several and len(delays) == 1 and not isinstance(delayed, list | tuple)
    if several and not single and not isinstance(delayed, list | tuple):
        delayed = [delayed]
    terms = list(delayed) if several and not single else [delayed]
    given = list(delays) if several else [delays]
    if len(terms) != len(given):
        raise checks.fail(
            "delayed", delayed, f"does not hold one coefficient for each of {len(given)} delays",
            why="With a list of delays give a list of as many numbers or matrices.",
            remedy="For example delayed=[-1.0, -0.5], delays=[1.0, 2.0].",
        )  # fmt: skip
    matrices = [
        _matrix(f"delayed[{i}]" if several else "delayed", term, dim)
        for i, term in enumerate(terms)
    ]
    laws = [as_law(d, f"delays[{i}]" if several else "delays") for i, d in enumerate(given)]
    b, gains = _noise(noise, multiplicative, dim, len(given))
    shift = _offset(offset, dim)
    instant_gain, kept = gains[0], []
    for matrix, law, gain in zip(matrices, laws, gains[1:], strict=True):
        if law.highest <= _NO_DELAY:
            a0, instant_gain = a0 + matrix, instant_gain + gain
            continue
        twin = next((i for i, k in enumerate(kept) if _same_constant(k[1], law)), None)
        if twin is None:
            kept.append((matrix, law, gain))
        else:
            kept[twin] = (kept[twin][0] + matrix, law, kept[twin][2] + gain)
    return Coefficients(
        scalar, a0, tuple(k[0] for k in kept), tuple(k[1] for k in kept), b,
        (instant_gain, *(k[2] for k in kept)), shift,
    )  # fmt: skip


def _same_constant(one: Law, other: Law) -> bool:
    return one.kind == other.kind == "constant" and one.mean == other.mean


def _matrix(name: str, value: Any, dim: int | None) -> Floats:
    array = checks.array(name, value)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise checks.fail(
            name, value, "is neither a number nor a square matrix",
            remedy=f"For example {name}=-1.0 or {name}=[[0.0, 1.0], [-1.0, -0.2]].",
        )  # fmt: skip
    if dim is not None and len(array) != dim:
        raise checks.fail(name, value, f"has {len(array)} rows, but instant has {dim}")
    return array


def _offset(value: Any, dim: int) -> Floats:
    array = checks.array("offset", value)
    if array.shape not in ((), (1,), (dim,)):
        raise checks.fail(
            "offset", value, f"has shape {array.shape}, and the system {dim} components",
            remedy="Give a number, or one for each component.",
        )  # fmt: skip
    return np.broadcast_to(array, (dim,)).reshape(dim, 1)


def _noise(
    noise: Any, multiplicative: Any, dim: int, delays: int
) -> tuple[Floats, tuple[Floats, ...]]:
    b = checks.array("noise", noise)
    if multiplicative is None:
        b = np.eye(dim) * b if b.ndim < 2 else b
        if b.ndim != 2 or b.shape[0] != dim:
            raise checks.fail("noise", noise, f"has shape {b.shape}, expected ({dim}, channels)")
        return b, tuple(np.zeros((b.shape[1], dim, dim)) for _ in range(delays + 1))
    if not isinstance(multiplicative, list | tuple) or len(multiplicative) != delays + 1:
        raise checks.fail(
            "multiplicative", multiplicative, f"does not hold {delays + 1} entries",
            why="It holds the coefficient of x(t), then one for each delay, of the noise.",
            remedy="For example multiplicative=(0.3, 0.1) with one delay.",
        )  # fmt: skip
    gains = []
    for i, entry in enumerate(multiplicative):
        gain = checks.array(f"multiplicative[{i}]", entry)
        if dim == 1 and gain.ndim < 2:
            gain = gain.reshape(-1, 1, 1)
        elif gain.ndim == 2:
            gain = gain[None]
        if gain.ndim != 3 or gain.shape[1:] != (dim, dim):
            raise checks.fail(
                f"multiplicative[{i}]", entry, f"has shape {np.shape(entry)}",
                why=f"One matrix of shape ({dim}, {dim}), or one for each Wiener process.",
            )  # fmt: skip
        gains.append(gain)
    channels = max(len(gain) for gain in gains)
    gains = [np.broadcast_to(g, (channels, dim, dim)) if np.any(g) or len(g) == channels
             else np.zeros((channels, dim, dim)) for g in gains]  # fmt: skip
    if b.ndim == 0 and (b == 0.0 or dim == 1):
        b = np.full((dim, channels), float(b) if channels == 1 or b == 0.0 else np.nan)
    elif b.ndim == 1 and dim == 1:
        b = b[None]
    elif b.ndim == 1 and channels == 1:
        b = b[:, None]
    if b.shape != (dim, channels) or np.isnan(b).any():
        raise checks.fail(
            "noise", noise, f"has shape {np.shape(noise)}, expected ({dim}, {channels})",
            why="It shares its Wiener processes with multiplicative: column k goes with process k.",
        )  # fmt: skip
    return b, tuple(np.array(g) for g in gains)


def read_history(history: Any, dim: int) -> tuple[Floats, History]:
    """Return the state at time 0, shape (dim, 1), and a function for negative times."""
    if callable(history):
        function: Callable[[float], Any] = history

        def at(t: float) -> Floats:
            try:
                found = function(t)
            except Exception as error:
                raise checks.fail(
                    "history", history, f"failed at t = {t:g} ({error})",
                    why="A history function takes the time alone.",
                    remedy="For example history = lambda t: 1.0.",
                ) from error  # fmt: skip
            value = checks.array("history(t)", found).reshape(-1, 1)
            if len(value) != dim:
                raise checks.fail("history", history, f"returned {len(value)} values, not {dim}")
            return value

        return at(0.0), lambda t: np.stack([at(float(s)) for s in np.minimum(t, 0.0)])
    constant = checks.array("history", history)
    if constant.ndim > 1 or constant.size not in (1, dim):
        raise checks.fail(
            "history", history, f"is not a state of {dim} components",
            why="It is the state before time 0: a number, a vector, or a function of time.",
        )  # fmt: skip
    start = np.broadcast_to(constant, (dim,)).reshape(dim, 1).copy()
    return start, lambda t: np.repeat(start[None], len(t), axis=0)
