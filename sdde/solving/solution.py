"""Solution: the paths of one problem at the saved times, and how they were made.

It owns plain arrays and answers questions about them: moments over paths, values between saved
times, the history before the start, a figure, labelled arrays. It carries the problem, the seed and
the time step, so that it can be made again. Nothing here steps or compiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.equation.problem import Problem
from sdde.errors import ArgumentError
from sdde.solving.brownian import Brownian
from sdde.solving.checkpoint import Checkpoint
from sdde.solving.execute import Progress
from sdde.solving.moments import Statistics, streamed_quantile
from sdde.solving.saving import SavedTimes
from sdde.solving.watching import Functional, Hit, Watched, watch
from sdde.solving.wording import message_of, summary_of

if TYPE_CHECKING:
    from pathlib import Path

    import pandas
    import xarray
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


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
        The states; nan where a path had diverged or was not computed. A path that was stopped by
        `sdde.Hit` stays where it was.
        Of a run with `store` that memory could hardly hold they stay in the store: then `x` reads
        what is indexed.
    status : array of str, shape (paths,)
        ``"done"``, ``"hit"``, ``"diverged"`` or ``"interrupted"``.
    end_time : array, shape (paths,)
        When each path ended: the end of `t_span`, its hit, or the grid time at which it diverged or
        was interrupted.
    hit_time : array, shape (paths,)
        When each path was stopped by `sdde.Hit`, nan where it was not; empty if nothing could stop
        it.
    functionals : dict of str to array
        For each name that was passed to `sdde.solve`, an array of shape (paths,) or (paths,
        length).
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
    moments : Statistics or None
        Statistics over paths if `sdde.Moments` were kept; then `x` holds no paths.
    noise : Brownian or None
        The Brownian paths that were passed to `sdde.solve`, if any.
    watched : Watched
        The functions that were watched: `until` and `functionals` of `sdde.solve`.
    evaluations : array, shape (paths,)
        How often each path evaluated the scheme, rejected steps included, in a solution of
        `sdde.solve_adaptively`; empty otherwise.
    checkpoint : Checkpoint or None
        What `extend` begins with; None where it would be larger than 32 MB and than the states
        saved, and `extend` computes the paths from their start again.

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
    moments: Statistics | None = None
    noise: Brownian | None = None
    hit_time: Floats = field(default_factory=lambda: np.empty(0))
    functionals: dict[str, Floats] = field(default_factory=dict)
    watched: Watched = field(default_factory=Watched)
    evaluations: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    checkpoint: Checkpoint | None = None

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
        return message_of(self)

    def mean(self) -> Floats:
        """Return the mean over paths, ``(times, *state_shape)``; nan where a path diverged."""
        return self.x.mean(axis=0) if self.moments is None else self.moments.mean

    def var(self) -> Floats:
        """Return the variance over paths (over their number), ``(times, *state_shape)``."""
        return self.x.var(axis=0) if self.moments is None else self.moments.var

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
        if share.size == 0:
            raise checks.fail("q", q, "is empty", remedy="For example q = 0.5.")
        if np.any((share < 0.0) | (share > 1.0)):
            raise checks.fail("q", q, "is not between 0 and 1", remedy="For example q = 0.5.")
        if self.moments is not None and len(self.moments.request.quantiles):
            return streamed_quantile(self.moments, share)
        found = np.quantile(self._stored("quantile"), share.ravel(), axis=0)
        return np.asarray(found).reshape(*share.shape, *found.shape[1:])

    def covariance(self) -> Floats:
        """Return the covariances between components over paths, at each time.

        Returns
        -------
        array, shape (times, *state_shape, *state_shape)
            For a scalar equation the variance. nan where a path diverged.

        Raises
        ------
        sdde.ArgumentError
            If moments were kept without covariances.
        """
        if not self.state_shape:
            return self.var()
        if self.moments is not None and self.moments.covariance is not None:
            return self.moments.covariance
        x = self._stored("covariance")
        off = x - x.mean(axis=0)
        return np.einsum("pti,ptj->tij", off, off) / len(x)

    def autocovariance(self, lag: float) -> Floats:
        r"""Return the covariance over paths between each component and itself a lag later.

        Parameters
        ----------
        lag : float
            The lag >= 0, in the unit of `t_span`.

        Returns
        -------
        array, shape (times, *state_shape)
            :math:`\operatorname{Cov}(x_i(t), x_i(t+\mathrm{lag}))` for each saved time *t*; nan
            where *t* + lag is after the last saved time.

        Raises
        ------
        sdde.ArgumentError
            If `lag` is negative, or moments were kept without it.

        Examples
        --------
        >>> import sdde
        >>> problem = sdde.models.delayed_ornstein_uhlenbeck(rate=1.0, delay=0.5, noise=1.0)
        >>> solution = sdde.solve(problem, (0.0, 5.0), dt=0.1, paths=50, rng=1)
        >>> solution.autocovariance(1.0).shape
        (51,)
        """
        shift = checks.nonnegative("lag", lag, example=1.0)
        if shift == 0.0:
            return self.var()
        if self.moments is not None and len(self.moments.request.lags):
            kept = np.flatnonzero(np.abs(self.moments.request.lags - shift) <= 1e-12 * shift)
            if len(kept):
                return self.moments.autocovariance[int(kept[0])]
            raise ArgumentError(
                f"lag = {lag} was not kept: moments were streamed with lags ="
                f" {self.moments.request.lags.tolist()}.\n"
                "  Solve again with save=sdde.Moments(times, lags=[...])."
            )
        x = self._stored("autocovariance")
        result = np.full(x.shape[1:], np.nan)
        slack = 1e-9 * max(1.0, abs(self.t[-1]))
        inside = self.t + shift <= self.t[-1] + slack
        later = self(np.minimum(self.t[inside] + shift, self.t[-1]))
        off = x[:, inside] - x[:, inside].mean(axis=0)
        result[inside] = (off * (later - later.mean(axis=0))).mean(axis=0)
        return result

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

    def extend(
        self, t1: float, *, save: Any = None, threads: int | None = None, progress: Progress = False
    ) -> "Solution":
        """Continue each path to a later end.

        The result is the one that `sdde.solve` gives for the longer span, bit for bit: noise is
        addressed by step. The times saved follow the same rule; where they were listed, `save`
        lists later ones. Paths that were stopped or diverged stay so.

        Parameters
        ----------
        t1 : float
            The new end, later than that of `t_span`.
        save : array of float, optional
            Times after the old end to keep, if times were listed; by default the new end.
        threads, progress
            As in `sdde.solve`.

        Returns
        -------
        Solution
            Of the whole span.

        Raises
        ------
        sdde.ArgumentError
            If the problem is not known (a solution from a file), or an argument cannot be used.

        Notes
        -----
        It begins at the `checkpoint`, or, if there is none, at the start of the span.

        Examples
        --------
        >>> import numpy as np, sdde
        >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
        >>> first = sdde.solve(problem, (0.0, 3.0), dt=0.1, paths=4, rng=1)
        >>> longer = first.extend(5.0)
        >>> once = sdde.solve(problem, (0.0, 5.0), dt=0.1, paths=4, rng=1)
        >>> np.array_equal(longer.x, once.x)
        True
        """
        from sdde.solving.solve import extend

        return extend(self, t1, save, threads, progress)

    def plot(
        self, ax: "Axes | None" = None, *, kind: str = "paths", t: float | None = None,
        delay: float | None = None, components: tuple[int, int] = (0, 1),
    ) -> "Axes":  # fmt: skip
        """Draw the solution.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        kind : {"paths", "histogram", "phase", "delay"}, optional
            Up to 30 paths, their mean and the band of the middle 90 % for each component; the
            states of all paths at one time; one component against another; or a component against
            itself a delay earlier.
        t : float, optional
            The time of a histogram; by default the last saved one.
        delay : float, optional
            The delay of ``kind="delay"``; by default the problem's first.
        components : (int, int), optional
            The components of ``kind="phase"``; the first is that of ``kind="delay"``.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        sdde.ArgumentError
            If the solution does not hold what such a figure needs.
        """
        from sdde.solution_figures import draw_solution

        return draw_solution(self, ax, kind, t, delay, components)

    def to_xarray(self) -> "xarray.Dataset":
        """Return the states as a labelled dataset (needs the package xarray).

        Returns
        -------
        xarray.Dataset
            ``x`` over ``path``, ``time`` and, for a system, ``component``; or the statistics that
            were streamed; ``status``, ``end_time``, ``hit_time`` and functionals (with
            ``functional_`` before their names) over ``path``; how it was made as attributes.
        """
        from sdde.solving.labels import to_xarray

        return to_xarray(self)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return the states, or the statistics, as a table (needs the package pandas).

        Returns
        -------
        pandas.DataFrame
            One row for each path and time, with the columns ``path``, ``t`` and ``x``, or ``x[0]``,
            ``x[1]``, ... for a system. Of moments one row for each time.

        Examples
        --------
        >>> import sdde
        >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], delays=1.0, history=1.0)
        >>> table = sdde.solve(problem, (0.0, 2.0), dt=0.1, save=10).to_dataframe()
        >>> list(table.columns), len(table)
        (['path', 't', 'x'], 3)
        """
        from sdde.solving.labels import to_dataframe

        return to_dataframe(self)

    def save(self, path: "str | Path") -> None:
        """Write the results and how they were made to a file; functions are not kept.

        Parameters
        ----------
        path : str or Path
            Ending in ``.npz``, or in ``.nc`` (netCDF, needs xarray and netCDF4).

        Raises
        ------
        sdde.ArgumentError
            If the suffix is unknown or the file cannot be written.
        """
        from sdde.solving.files import save

        save(self, path)

    @classmethod
    def load(
        cls, path: "str | Path", *, problem: Problem | None = None, until: Hit | None = None,
        functionals: Mapping[str, Functional] | None = None,
    ) -> "Solution":  # fmt: skip
        """Read a solution from a file.

        Parameters
        ----------
        path : str or Path
            A file written by `save`. It holds data only: nothing in it is executed.
        problem : Problem, optional
            The equation of which it is a solution, for evaluation before the start and `extend`.
        until, functionals : optional
            What was passed to `sdde.solve`, needed by `extend` if anything was.

        Raises
        ------
        sdde.ArgumentError
            If the file is missing or is not one of these, or `problem` has another state.
        """
        from sdde.solving.files import load

        fields = load(path)
        t0, t1 = fields["t_span"]
        times = SavedTimes.of(fields.pop("t"), t0, t1, fields["dt"], fields.pop("rule"))
        if problem is not None:
            fields["watched"] = watch(problem, t0, until, functionals)
            expected, given = fields["x"].shape[2:], problem.past.state_shape(t0)
            if expected != given:
                raise checks.fail(
                    "problem", problem, f"has a state of shape {given}, the solution {expected}"
                )
        return cls(problem=problem, times=times, **fields)

    def __repr__(self) -> str:
        return summary_of(self)
