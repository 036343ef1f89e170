"""Brownian: the same Brownian path at any time step, for any model, parameters and method.

The path is known on a grid of finest steps, drawn by address or recorded; a coarser step takes the
sum of the increments in it. Nothing here knows about equations.
"""

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.engine import seeds

Floats = NDArray[np.float64]
_WIDTH = 8  # paths computed together
_WHOLE = 1e-9  # a ratio this close (relatively) to a whole number is that number
NOTHING: Floats = np.empty((0, 0, 0))


@dataclass(frozen=True, eq=False, slots=True)
class Brownian:
    r"""Brownian paths that stay the same when the time step changes.

    Pass it as ``noise=`` to `sdde.solve`. Runs with the same `rng` and `finest` then see the same
    Brownian paths at every ``dt`` that is a whole multiple of `finest`, whatever the model, its
    parameters and the method: differences between runs are differences between what was changed.
    At ``dt = finest`` the paths are those of ``rng`` alone, bit for bit.

    Parameters
    ----------
    rng : None, int, SeedSequence or Generator
        Where the randomness comes from, as in `sdde.solve`. It is read once: one `Brownian` is one
        set of paths.
    finest : float
        The finest time step, > 0, in the unit of ``t_span``.
    antithetic : bool, optional
        Paths in pairs: path 2i + 1 has the increments of path 2i with the opposite sign. The two
        are not independent; averages over a pair often vary less than two independent paths do.

    Attributes
    ----------
    seed : int
        Repeats the paths when passed as `rng`.
    recorded : array or None
        The increments given to `from_increments`.

    Raises
    ------
    sdde.ArgumentError
        If an argument cannot be used.

    Notes
    -----
    The path starts where the run starts: ``t_span[0]`` is time 0 of `path`. Arrivals of jumps are
    not part of it; they follow the seed of the run.

    Examples
    --------
    >>> import numpy as np
    >>> import sdde
    >>> noise = sdde.Brownian(1, finest=0.01)
    >>> coarse, fine = noise.increments(0.02, 50), noise.increments(0.01, 100)
    >>> bool(np.allclose(coarse, fine[:, ::2] + fine[:, 1::2]))
    True
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> runs = [sdde.solve(problem, (0, 2), dt=dt, noise=noise) for dt in (0.02, 0.01)]
    >>> bool(abs(runs[0].x[0, -1] - runs[1].x[0, -1]) < 0.02)
    True
    """

    rng: Any
    finest: float
    _: KW_ONLY
    antithetic: bool = False
    seed: int = field(init=False)
    recorded: Floats | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        store = object.__setattr__
        store(self, "finest", checks.positive("finest", self.finest, example=0.01))
        store(self, "antithetic", checks.flag("antithetic", self.antithetic))
        store(self, "seed", seeds.seed_of(self.rng))

    @classmethod
    def from_increments(cls, increments: ArrayLike, dt: float) -> "Brownian":
        r"""Return paths with recorded increments.

        Parameters
        ----------
        increments : array, shape (paths, steps, channels)
            What each Wiener process did in each step: of standard deviation :math:`\sqrt{dt}` if it
            was one.
        dt : float
            The step of the record, the finest at which it can be used.

        Returns
        -------
        Brownian

        Raises
        ------
        sdde.ArgumentError
            If the array has another shape or holds values that are not finite.

        Examples
        --------
        >>> import numpy as np
        >>> import sdde
        >>> noise = sdde.Brownian.from_increments(np.full((1, 4, 1), 0.1), 0.25)
        >>> problem = sdde.Problem(lambda t, x, delayed: 0.0, 2.0, history=0.0)
        >>> solution = sdde.solve(problem, (0, 1), dt=0.5, noise=noise)
        >>> bool(np.allclose(solution.x[0], [0.0, 0.4, 0.8]))
        True
        """
        step = checks.positive("dt", dt, example=0.01)
        values = checks.array("increments", increments)
        if values.ndim != 3 or 0 in values.shape:
            raise checks.fail(
                "increments", increments,
                f"has shape {values.shape}, expected (paths, steps, channels)",
                remedy="For one path of one Wiener process: increments.reshape(1, -1, 1).",
            )  # fmt: skip
        result = cls(None, step)
        object.__setattr__(result, "recorded", values / math.sqrt(step))
        values.flags.writeable = False
        return result

    @property
    def kind(self) -> str:
        """Which compiled function fills rows of noise."""
        return "summed" if self.recorded is None else "recorded"

    def fine_steps(self, dt: float) -> int:
        """Return how many of the finest steps make one step of `dt`, or refuse.

        Parameters
        ----------
        dt : float
            A time step.
        """
        step = checks.positive("dt", dt, example=0.01)
        ratio = step / self.finest
        seeds.require_room(steps=int(min(ratio, 2.0**63)))
        nearest = round(ratio)
        if nearest >= 1 and abs(ratio - nearest) <= _WHOLE * ratio:
            return nearest
        below, above = math.floor(ratio), math.floor(ratio) + 1
        near = [k * self.finest for k in (below, above) if k >= 1]
        raise checks.fail(
            "dt", dt, f"is not a whole multiple of finest = {self.finest!r} (it holds {ratio:.6g})",
            why="A step takes the sum of the Brownian increments in it.",
            remedy=f"Nearby values that work: dt = {' or dt = '.join(map(repr, near))}.",
        )  # fmt: skip

    def require_room(self, paths: int, steps: int, channels: int) -> None:
        """Refuse runs that need more paths, finest steps or Wiener processes than there are.

        Parameters
        ----------
        paths, steps, channels : int
            What a run needs; `steps` are finest ones.
        """
        seeds.require_room(paths=paths, steps=steps, channels=channels)
        if self.recorded is None:
            return
        needs = (paths, steps, channels)
        names = ("paths", "steps", "Wiener processes")
        for need, there, name in zip(needs, self.recorded.shape, names, strict=True):
            if need > there:
                raise checks.fail(
                    "noise", self, f"holds {there} {name}, and the run needs {need}",
                    why="These are recorded increments, of shape (paths, steps, channels) ="
                    f" {self.recorded.shape}.",
                    remedy="Record more, or solve fewer paths over a shorter time.",
                )  # fmt: skip

    def increments(self, dt: float, steps: int, paths: int = 1, channels: int = 1) -> Floats:
        """Return the increments over steps of `dt`, as a run receives them.

        Parameters
        ----------
        dt : float
            A whole multiple of `finest`.
        steps : int
            How many, from the start.
        paths : int, optional
            How many paths.
        channels : int, optional
            How many independent Wiener processes.

        Returns
        -------
        array, shape (paths, steps, channels)

        Raises
        ------
        sdde.ArgumentError
            If `dt` is not a whole multiple of `finest`, or recorded increments do not suffice.
        """
        from sdde.engine.compile import noise_filler

        fine = self.fine_steps(dt)
        count = checks.integer("steps", steps)
        lanes = checks.integer("paths", paths, lowest=1)
        processes = checks.integer("channels", channels, lowest=1)
        self.require_room(lanes, count * fine, processes)
        fill = noise_filler(_WIDTH, self.kind)
        k0, k1 = seeds.key_of(self.seed)
        result = np.empty((lanes, count, processes))
        z = np.empty((count, processes * _WIDTH))
        recorded = NOTHING if self.recorded is None else self.recorded
        for first in range(0, lanes if count else 0, _WIDTH):
            fill(
                z=z, n=0, steps=count, first=first, channels=processes, k0=k0, k1=k1, fine=fine,
                mirrored=self.antithetic, recorded=recorded,
            )  # fmt: skip
            rows = z.reshape(count, processes, _WIDTH).transpose(2, 0, 1)
            result[first : first + _WIDTH] = rows[: lanes - first]
        return result * math.sqrt(dt)

    def path(self, t: ArrayLike, paths: int = 1, channels: int = 1) -> Floats:
        """Return the Brownian paths themselves, straight lines between finest steps.

        Parameters
        ----------
        t : float or array
            Times since the start of the run, >= 0.
        paths : int, optional
            How many paths.
        channels : int, optional
            How many independent Wiener processes.

        Returns
        -------
        array, shape (paths, *t.shape, channels)
            Zero at time 0.

        Raises
        ------
        sdde.ArgumentError
            If a time is negative, or beyond recorded increments.

        Examples
        --------
        >>> import sdde
        >>> sdde.Brownian(1, finest=0.1).path([0.0, 0.5, 1.0], paths=4).shape
        (4, 3, 1)
        """
        times = checks.array("t", t)
        if np.any(times < 0.0):
            raise checks.fail("t", t, "is negative", why="Paths begin at time 0, the run's start.")
        last = float(times.max(initial=0.0)) / self.finest
        seeds.require_room(steps=int(min(last, 2.0**63)))
        steps = math.ceil(last - _WHOLE * max(1.0, last))
        moves = self.increments(self.finest, steps, paths, channels)
        grid = np.concatenate([np.zeros((len(moves), 1, channels)), moves.cumsum(axis=1)], axis=1)
        position = np.minimum(times.ravel() / self.finest, steps)
        below = np.minimum(position.astype(int), max(steps - 1, 0))
        above = np.minimum(below + 1, steps)
        share = (position - below)[:, None]
        values = grid[:, below] + share * (grid[:, above] - grid[:, below])
        return values.reshape(len(moves), *times.shape, channels)
