"""Times to a target for many learning rates at once.

A learning rate and an eigenvalue enter the equations as their product alone, so the loss curves of
a whole grid of learning rates are solved side by side for little more than the price of one, and
what was solved for one grid serves every learning rate within it. Nothing here chooses among them.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.cluster.quadratic import per_axis

from . import clock
from .async_sgd import AsyncSGD
from .exact import SquareCurves
from .loss_curve import Dips, LossCurve
from .loss_mixing import mixed
from .squares import gather, nodes_between, shares_in, square_curves

Floats = NDArray[np.float64]

_AHEAD = 1.4  # times the largest learning rate of a grid
_TOGETHER = 400  # products of learning rate and eigenvalue solved side by side, unless on nodes


class Reached(NamedTuple):
    """How a learning rate does.

    Attributes
    ----------
    time : float
        Time after which the expected loss stays at or below the target.
    floor : float
        Expected excess loss that remains.
    dips : Dips
        Minima of the expected loss until then; none for models that do not tell.
    """

    time: float
    floor: float
    dips: Dips = Dips()


class _Solved(NamedTuple):
    nodes: Floats
    curves: SquareCurves


class RateCurves:
    """Losses of one choice of workers and method, for any learning rate with bounded loss.

    Parameters
    ----------
    model : AsyncSGD, SynchronousSGD or CompensatedSGD
        Its own learning rate does not count.
    start : float or array
        Distance from the minimum along each eigenvector.
    highest : float, optional
        The largest learning rate that may be asked for. A grid is then solved for somewhat larger
        ones too, up to it, since these are asked for next.
    """

    def __init__(self, model: Any, start: Any, *, highest: float | None = None) -> None:
        self.model, self.start, self.highest = model, start, highest
        self._kept: list[_Solved] = []

    def reached(self, rates: Floats, target: float) -> list[Reached]:
        """Return time and floor for each learning rate.

        Parameters
        ----------
        rates : array
            Learning rates below the largest one with bounded loss.
        target : float
            Expected excess loss.
        """
        model = self.model
        if not isinstance(model, AsyncSGD) or model.unweighted is not None:
            one_by_one = [model.replace(learning_rate=float(eta)) for eta in rates]
            return [
                Reached(one.time_to(target, self.start), one.loss_floor()) for one in one_by_one
            ]
        lag, jitter = model.stream.lag, model.stream.jitter
        found = []
        for curve in self._curves(np.asarray(rates, dtype=float)):
            time, dips = curve.settles(target)
            time = clock.time_of(curve, time, target, lag=lag, jitter=jitter)
            found.append(Reached(time, curve.floor, dips))
        return found

    def _curves(self, rates: Floats) -> list[LossCurve]:
        """Return the expected excess loss over time for each learning rate."""
        model = self.model
        values = model.eigenvalues
        point = per_axis("start", self.start, values.size)
        found = []
        for part in self._parts(rates):
            solved, shares = self._solved(part)
            blocks = shares.reshape(part.size, values.size, -1)
            found += [
                mixed(
                    solved.curves, solved.nodes, block, eigenvalues=values,
                    noise=model.gradient_noise, learning_rate=float(eta), start=point,
                )
                for eta, block in zip(part, blocks, strict=True)
            ]  # fmt: skip
        return found

    def _parts(self, rates: Floats) -> list[Floats]:
        if self.model.stream.kind == "renewal":  # few nodes serve any number
            return [rates]
        each = max(1, _TOGETHER // self.model.eigenvalues.size)
        return [rates[first : first + each] for first in range(0, rates.size, each)]

    def _solved(self, rates: Floats) -> tuple[_Solved, Floats]:
        """Return mean squares at nodes, and what share each product has in each of them."""
        values, stream = self.model.eigenvalues, self.model.stream
        alpha = np.multiply.outer(rates, values).ravel()
        for kept in self._kept:
            if kept.nodes[0] <= alpha.min() and alpha.max() <= kept.nodes[-1]:
                return kept, shares_in(kept.nodes, alpha)
        nodes, shares = gather(alpha, stream.kind)
        if self.highest is not None and rates.size > 1:
            largest = max(min(self.highest, _AHEAD * rates.max()), rates.max())
            largest = float(largest * values.max())
            nodes = nodes_between(float(alpha.min()), largest, stream.kind)
            shares = shares_in(nodes, alpha)
        elif np.unique(alpha).size == nodes.size:
            return _Solved(nodes, square_curves(stream, nodes)), shares
        solved = _Solved(nodes, square_curves(stream, nodes))
        self._kept.append(solved)
        return solved, shares


def times_to(model: Any, rates: Floats, target: float, start: Any) -> Floats:
    """Return the time after which the expected loss stays at or below `target`, for each rate.

    Parameters are those of `RateCurves` and its method.
    """
    return np.array([each.time for each in RateCurves(model, start).reached(rates, target)])
