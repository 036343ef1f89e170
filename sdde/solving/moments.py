"""Moments: mean, variance, covariances and quantiles over paths, streamed, so no path is stored.

What is asked for, at which of the times computed, and what comes back. How paths are reduced is the
business of `reducing`.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks
from sdde.errors import ArgumentError
from sdde.solving.saving import SavedTimes, plan_saves, steps_between

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = -1


@dataclass(frozen=True, eq=False, slots=True)
class Moments:
    r"""What to keep of a solve instead of paths: statistics over paths at some times.

    Pass it as ``save=`` to `sdde.solve`; memory then depends on neither paths nor steps. The
    solution answers `mean`, `var` and, as far as asked for here, `quantile`, `covariance` and
    `autocovariance`.

    Parameters
    ----------
    times : "all", "final", int or array of float
        Which times, as in ``save=`` of `sdde.solve`.
    quantiles : float or sequence of float, optional
        Probabilities whose quantiles are kept.
    covariance : bool, optional
        Whether to keep the covariances between the components of a system at each time.
    lags : float or sequence of float, optional
        Lags :math:`s > 0`, in the unit of `t_span`, at which to keep the autocovariance of each
        component, :math:`\operatorname{Cov}(x_i(t), x_i(t+s))` for each time *t* with
        :math:`t + s` in the span.

    Raises
    ------
    sdde.ArgumentError
        If a probability is not between 0 and 1, or a lag is not positive.

    Notes
    -----
    Variances and covariances are over the number of paths. Quantiles of fewer than 10240 paths are
    those of all paths. Of more paths a sketch is kept, of at most 0.4 MB for each time and
    component up to a million paths: the quantile returned for *q* then has a rank between
    :math:`q - \epsilon` and :math:`q + \epsilon`, give or take one path, with
    :math:`\epsilon` at most 0.0011 up to ten million paths;
    ``solution.moments.rank_error`` is its value. All this is deterministic: threads do not matter.

    Examples
    --------
    >>> import sdde
    >>> problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.5, delays=1.0, history=1.0)
    >>> kept = sdde.Moments([1.0, 2.0], quantiles=[0.05, 0.95], lags=1.0)
    >>> solution = sdde.solve(problem, (0.0, 2.0), dt=0.01, paths=1000, rng=1, save=kept)
    >>> solution.mean().shape, solution.x.shape
    ((2,), (0, 2))
    >>> solution.quantile([0.05, 0.95]).shape
    (2, 2)
    """

    times: Any = "final"
    quantiles: Any = ()
    _: KW_ONLY
    covariance: bool = False
    lags: Any = ()

    def __post_init__(self) -> None:
        if isinstance(self.times, Moments):
            raise checks.fail("times", self.times, "are moments", remedy="times = [1.0, 2.0].")
        checks.flag("covariance", self.covariance)
        shares = np.atleast_1d(checks.array("quantiles", self.quantiles))
        if shares.ndim > 1 or np.any((shares < 0.0) | (shares > 1.0)):
            raise checks.fail(
                "quantiles", self.quantiles, "are not probabilities between 0 and 1",
                remedy="For example quantiles = [0.05, 0.5, 0.95].",
            )  # fmt: skip
        lags = np.atleast_1d(checks.array("lags", self.lags))
        if lags.ndim > 1 or np.any(lags <= 0.0):
            raise checks.fail(
                "lags", self.lags, "are not positive", why="The variance is the lag of zero.",
                remedy="For example lags = [0.5, 1.0].",
            )  # fmt: skip
        object.__setattr__(self, "quantiles", shares)
        object.__setattr__(self, "lags", lags)


@dataclass(frozen=True, eq=False, slots=True)
class Statistics:
    """What `Moments` kept; arrays over times, then components.

    Attributes
    ----------
    request : Moments
        What was asked for.
    mean, var : array, shape (times, *state_shape)
    covariance : array or None, shape (times, *state_shape, *state_shape)
    quantiles : array, shape (probabilities, times, *state_shape)
    autocovariance : array, shape (lags, times, *state_shape)
        nan where a time and its lag leave the span.
    rank_error : float
        A bound on the error of the quantiles' ranks, as a share of the paths.
    """

    request: Moments
    mean: Floats
    var: Floats
    covariance: Floats | None
    quantiles: Floats
    autocovariance: Floats
    rank_error: float

    def after(self, earlier: "Statistics", known: int) -> "Statistics":
        """Return these with the first `known` times of earlier ones before them."""
        covariance = self.covariance
        if covariance is not None and earlier.covariance is not None:
            covariance = np.concatenate([earlier.covariance[:known], covariance])
        return Statistics(
            self.request,
            np.concatenate([earlier.mean[:known], self.mean]),
            np.concatenate([earlier.var[:known], self.var]),
            covariance,
            np.concatenate([earlier.quantiles[:, :known], self.quantiles], axis=1),
            np.concatenate([earlier.autocovariance[:, :known], self.autocovariance], axis=1),
            self.rank_error,
        )


@dataclass(frozen=True, eq=False, slots=True)
class Columns:
    """Which of the times that are computed the statistics are about.

    Attributes
    ----------
    all : SavedTimes
        The times computed.
    times : SavedTimes
        The times asked for.
    places : array of int
        Where those lie among the times computed.
    later : array of int, shape (lags, times)
        Where each of them lies a lag later, -1 if nowhere.
    """

    all: SavedTimes
    times: SavedTimes
    places: Ints
    later: Ints


def plan_columns(request: Moments, times: SavedTimes) -> Columns:
    """Find the times that must be computed for the lags, too."""
    lags = request.lags
    if not len(lags):
        return Columns(
            times, times, np.arange(len(times)), np.empty((0, len(times)), dtype=np.int64)
        )
    t0, t1, dt = times.t0, times.t1, times.dt
    end = t1 + 1e-9 * max(1.0, abs(t1))
    places: dict[tuple[int, float], float] = {}

    def note(t: float) -> tuple[int, float]:
        whole, share = steps_between(t0, t, dt)
        place = whole, round(share, 9)
        places.setdefault(place, min(t, t1))
        return place

    base = [note(float(t)) for t in times.t]
    later = [[note(float(t + s)) if t + s <= end else None for t in times.t] for s in lags]
    if all(place is None for row in later for place in row):
        raise checks.fail(
            "lags", lags.tolist(), f"lead from every time beyond the end at t = {t1:g}",
            remedy="Give earlier times, shorter lags, or a later end.",
        )  # fmt: skip
    order = {place: k for k, place in enumerate(sorted(places))}
    computed = plan_saves(np.array([places[place] for place in order]), t0, t1, dt)
    found = [[NEVER if place is None else order[place] for place in row] for row in later]
    return Columns(
        computed, times, np.array([order[place] for place in base], dtype=np.int64),
        np.array(found, dtype=np.int64),
    )  # fmt: skip


def continue_request(request: Moments, saves: SavedTimes) -> Moments:
    """Return a request for the same statistics at other times."""
    return Moments(
        saves.t if saves.rule is None else saves.rule, request.quantiles,
        covariance=request.covariance, lags=request.lags,
    )  # fmt: skip


def streamed_quantile(kept: Statistics, q: Floats) -> Floats:
    """Return the quantiles kept for probabilities `q`, shape (*q.shape, times, *state_shape)."""
    shares = kept.request.quantiles
    places = [np.flatnonzero(np.abs(shares - share) < 1e-12) for share in q.ravel()]
    if any(len(place) == 0 for place in places):
        raise ArgumentError(
            f"q = {checks.shown(q.tolist())} was not kept: moments were streamed with quantiles ="
            f" {shares.tolist()}.\n"
            "  Solve again with save=sdde.Moments(times, quantiles=[...])."
        )
    rows = kept.quantiles[[int(place[0]) for place in places]]
    return rows.reshape(*q.shape, *rows.shape[1:])
