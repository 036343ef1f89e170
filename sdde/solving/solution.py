"""Solution: the paths of one problem at the saved times, and how they were made.

It owns plain arrays and answers questions about them: moments over paths, values between saved
times, the history before the start, a figure, labelled arrays. It carries the problem, the seed and
the time step, so that it can be made again. Nothing here steps or compiles.
"""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError
from sdde.solving.brownian import Brownian
from sdde.solving.saving import SavedTimes

if TYPE_CHECKING:
    from pathlib import Path

    import xarray
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
LIMIT = 1e12  # a state beyond this has diverged


@dataclass(frozen=True, eq=False, slots=True, kw_only=True, repr=False)
class Solution:
    """Paths of a stochastic delay differential equation at the saved times.

    Made by `sdde.solve`.

    Attributes
    ----------
    t : array, shape (times,)
        The saved times.
    times : SavedTimes
        The same as places on the grid.
    x : array, shape ``(paths, times, *state_shape)``
        The states; nan where a path had diverged or was not computed.
    status : array of str, shape (paths,)
        ``"done"``, ``"diverged"`` or ``"interrupted"``.
    end_time : array, shape (paths,)
        When each path ended: the end of `t_span`, or the grid time at which it diverged or was
        stopped.
    problem : Problem or None
        The equation; None in a solution loaded from a file.
    t_span : (float, float)
        Start and end.
    dt : float
        The time step.
    method : str
        The time-stepping scheme.
    seed : int
        Repeats the paths when passed to `sdde.solve` as `rng`.
    moments : (array, array) or None
        Mean and variance over paths if `sdde.Moments` were kept; then `x` holds no paths.
    noise : Brownian or None
        The Brownian paths that were passed to `sdde.solve`, if any.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], delays=[1.0], history=1.0)
    >>> solution = sdde.solve(problem, (0, 2), dt=0.25)
    >>> solution.x.shape, solution.status
    ((1, 9), array(['done'], dtype='<U11'))
    >>> solution(1.0)
    array([0.])
    """

    times: SavedTimes
    x: Floats
    status: NDArray[np.str_]
    end_time: Floats
    problem: Problem | None
    t_span: tuple[float, float]
    dt: float
    method: str
    seed: int
    moments: tuple[Floats, Floats] | None = None
    noise: Brownian | None = None

    @property
    def t(self) -> Floats:
        """The saved times, shape ``(times,)``."""
        return self.times.t

    @property
    def paths(self) -> int:
        """The number of paths."""
        return len(self.status)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """``()`` for a scalar equation, ``(dim,)`` for a system."""
        return self.x.shape[2:]

    @property
    def message(self) -> str:
        """What became of the paths, in words."""
        counts = Counter(self.status.tolist())
        if counts["done"] == self.paths:
            who = "The path" if self.paths == 1 else f"All {self.paths} paths"
            return f"{who} reached t = {self.t_span[1]:g}."
        parts = []
        if counts["diverged"]:
            index = np.flatnonzero(self.status == "diverged")
            first = index[np.argmin(self.end_time[index])]
            parts.append(
                f"{counts['diverged']} of {self.paths} paths diverged (first at t ="
                f" {self.end_time[first]:.6g}, path {first}; |x| passed {LIMIT:.0e})."
            )
        if counts["interrupted"]:
            parts.append(
                f"{counts['interrupted']} of {self.paths} paths were interrupted before t ="
                f" {self.t_span[1]:g}."
            )
        parts.append("  solution.status says which; solution.x holds nan after that time.")
        return "\n".join(parts)

    def mean(self) -> Floats:
        """Return the mean over paths, ``(times, *state_shape)``; nan where a path diverged."""
        return self.x.mean(axis=0) if self.moments is None else self.moments[0]

    def var(self) -> Floats:
        """Return the variance over paths (over their number), ``(times, *state_shape)``."""
        return self.x.var(axis=0) if self.moments is None else self.moments[1]

    def quantile(self, q: ArrayLike) -> Floats:
        """Return quantiles over paths.

        Parameters
        ----------
        q : float or sequence of float
            Probabilities from 0 to 1.

        Returns
        -------
        array, shape (*q.shape, times, *state_shape)
        """
        share = checks.array("q", q)
        if np.any((share < 0.0) | (share > 1.0)):
            raise checks.fail("q", q, "is not between 0 and 1", remedy="For example q = 0.5.")
        return np.asarray(np.quantile(self._stored("quantile"), share, axis=0))

    def path(self, i: int) -> Floats:
        """Return path `i`, shape ``(times, *state_shape)``; negative numbers count from the end."""
        index = checks.integer("i", i, lowest=-self.paths, highest=self.paths - 1)
        return self._stored("path")[index]

    def _stored(self, what: str) -> Floats:
        """Return the paths, or refuse if moments were kept instead of them."""
        if self.moments is not None:
            raise ArgumentError(
                f"solution.{what} needs paths, and only moments were kept.\n"
                "  Solve again with save= a number of steps or times, and fewer paths."
            )
        return self.x

    def __call__(self, t: ArrayLike) -> Floats:
        """Return the states at any times: straight lines between saved times, the history before
        t0.

        Parameters
        ----------
        t : float or array
            Times up to the last saved one, in the unit of `t_span`.

        Returns
        -------
        array, shape (paths, *t.shape, *state_shape)

        Raises
        ------
        sdde.ArgumentError
            If a time is after the last saved time, or between the start and the first saved time.
        """
        self._stored("__call__")
        times = checks.array("t", t)
        flat = times.ravel()
        self._require_known(flat)
        result = np.empty((self.paths, len(flat), *self.state_shape))
        early = flat < self.t_span[0]
        if self.problem is not None and early.any():
            result[:, early] = self.problem.past.at(flat[early])
        if not early.all():
            result[:, ~early] = self._between(np.minimum(flat[~early], self.t[-1]))
        return result.reshape(self.paths, *times.shape, *self.state_shape)

    def _require_known(self, times: Floats) -> None:
        slack = 1e-9 * max(1.0, abs(self.t[-1]))
        unknown = (times > self.t[-1] + slack) | (times >= self.t_span[0]) & (times < self.t[0])
        earliest = self.t_span[0] if self.problem is None else self.problem.past.earliest
        unknown |= times < earliest
        if unknown.any():
            raise ArgumentError(
                f"t = {times[unknown][0]:g} is not covered by the solution.\n"
                f"  States are saved from t = {self.t[0]:g} to {self.t[-1]:g}; before"
                f" {self.t_span[0]:g} the history holds.\n"
                '  Solve with save="all" or with more times.'
            )

    def _between(self, times: Floats) -> Floats:
        below = np.clip(np.searchsorted(self.t, times, side="right") - 1, 0, len(self.t) - 1)
        above = np.minimum(below + 1, len(self.t) - 1)
        width = np.where(above > below, self.t[above] - self.t[below], 1.0)
        share = ((times - self.t[below]) / width).reshape(-1, *(1,) * len(self.state_shape))
        start, end = self.x[:, below], self.x[:, above]
        return np.where(share > 0.0, start + share * (end - start), start)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw some paths, their mean and a 90 % band for each component.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from sdde.plots import plot_solution

        return plot_solution(self, ax)

    def to_xarray(self) -> "xarray.Dataset":
        """Return the states as a labelled dataset (needs the package xarray).

        Returns
        -------
        xarray.Dataset
            ``x`` over ``path``, ``time`` and, for a system, ``component``; ``status`` and
            ``end_time`` over ``path``; how it was made as attributes.
        """
        try:
            import xarray
        except ImportError:
            raise ArgumentError(
                "solution.to_xarray() needs the package xarray, which is not installed.\n"
                "  Run: python -m pip install xarray."
            ) from None
        dims = ("path", "time", "component")[: self.x.ndim]
        if self.moments is None:
            states = {"x": (dims, self.x)}
        else:
            states = {"mean": (dims[1:], self.moments[0]), "var": (dims[1:], self.moments[1])}
        coords = {"path": np.arange(self.paths), "time": self.t}
        if self.state_shape:
            coords["component"] = np.arange(self.state_shape[0])
        return xarray.Dataset(
            states | {"status": ("path", self.status), "end_time": ("path", self.end_time)},
            coords=coords,
            attrs={
                "t0": self.t_span[0],
                "t1": self.t_span[1],
                "dt": self.dt,
                "method": self.method,
                "seed": str(self.seed),
            },
        )

    def save(self, path: "str | Path") -> None:
        """Write the paths and how they were made to a file; functions are not kept.

        Parameters
        ----------
        path : str or Path
            Ending in ``.npz`` (read it with `load`) or ``.nc`` (netCDF, needs xarray and netCDF4).

        Raises
        ------
        sdde.ArgumentError
            If the suffix is unknown or the file cannot be written.
        """
        from sdde.solving.files import save

        save(self, path)

    @classmethod
    def load(cls, path: "str | Path") -> "Solution":
        """Read a solution from an ``.npz`` file; its `problem` is None.

        Parameters
        ----------
        path : str or Path
            A file written by `save`. It holds data only: nothing in it is executed.

        Raises
        ------
        sdde.ArgumentError
            If the file is missing or is not one of these.
        """
        from sdde.solving.files import load

        fields = load(path)
        t0, t1 = fields["t_span"]
        times = SavedTimes.of(fields.pop("t"), t0, t1, fields["dt"])
        return cls(problem=None, times=times, **fields)

    def __repr__(self) -> str:
        counts = Counter(self.status.tolist())
        states = ", ".join(f"{count} {word}" for word, count in counts.most_common())
        kind = f"a {self.state_shape[0]}-component" if self.state_shape else "a scalar"
        first, last = self.t[0], self.t[-1]
        lines = (
            f"Solution: {self.paths} path{'s' * (self.paths != 1)} of {kind} equation",
            f"  t       {len(self.times)} times from {first:g} to {last:g}, dt = {self.dt:g}",
            f"  x       shape {self.x.shape}, {self.x.nbytes / 1e6:.3g} MB"
            + (", mean and variance streamed" if self.moments is not None else ""),
            f"  status  {states}",
            f"  method  {self.method}, seed {self.seed}",
        )
        return "\n".join(lines)
