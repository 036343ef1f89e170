r"""How stale gradients are when workers are alike and independent: the law itself.

Seen from a worker that has just read, the others are stationary renewal processes, independent of
it and of each other. In its own cycle of length *s* each of them contributes a count with

.. math:: P(N_s \ge k) = (G_e * G^{*(k-1)})(s), \qquad G_e(t) = \frac1T \int_0^t (1-G),

so the staleness is a sum of *n* - 1 such counts, averaged over *s*. Laws become lattices, sums of
counts powers of their generating functions. Derived in this project.
"""

from typing import Any

import numpy as np
from scipy.signal import fftconvolve

from sdde.equation.laws import Law

from .arrivals import Arrivals
from .async_sgd import AsyncSGD
from .staleness import Staleness, equilibrium_cdf, staleness_law

CELLS = 128  # of the lattice in one mean cycle
LONGEST = 60.0  # cycle, in means
MOST = 200  # workers from which on the Poisson approximation is used
TAIL = 1e-9
_CHUNK = 256  # cells of the lattice that are powered at a time


def staleness_of(model: AsyncSGD) -> tuple[Staleness, bool]:
    """Return the law of the staleness of a model, and whether it rests on independence alone.

    Renewal counts are used for plain asynchronous SGD on equal workers with links of their own;
    everything else has what the model says.
    """
    stream = model.stream
    if type(stream) is Arrivals and len(stream.cycles) == 1 and model.is_plain:
        law = renewal_staleness(stream.cycles[0], model.workers)
        return law, law.exact or is_renewal(stream.cycles[0], model.workers)
    return model.staleness, model.staleness.exact


def is_renewal(law: Law, workers: int) -> bool:
    """Return whether `renewal_staleness` counts renewals for these workers."""
    longest = float(law.quantile(1.0 - 1e-7))
    return law.squared_variation < 1.0 and 1 < workers <= MOST and longest <= LONGEST * law.mean


def renewal_staleness(law: Law, workers: int) -> Staleness:
    """Return the law of the staleness of equal independent workers.

    Parameters
    ----------
    law : Law
        Cycle time of each.
    workers : int

    Returns
    -------
    Staleness
        Right to about 1e-3 for laws with a density; that of `staleness_law` where it is exact, and
        for more than 200 workers or cycles more variable than exponential ones, where Poisson
        counts are near.
    """
    usual = staleness_law(law, workers)
    end = float(law.quantile(1.0 - 1e-7))
    if usual.exact or not is_renewal(law, workers):
        return usual
    step = law.mean / CELLS
    grid = step * np.arange(int(np.ceil(end / step)) + 2, dtype=np.float64)
    edges = np.concatenate([[-1.0], grid + 0.5 * step])
    mass = np.diff(law.cdf(edges))
    counts = _counts(np.asarray(equilibrium_cdf(law, grid)), mass)
    own = np.flatnonzero(mass > 1e-13)
    size = 1 << int(np.ceil(np.log2((workers - 1) * (len(counts) - 1) + 2)))
    total = np.zeros(size // 2 + 1, dtype=complex)
    for first in range(0, len(own), _CHUNK):
        part = own[first : first + _CHUNK]
        total += np.fft.rfft(counts[:, part], n=size, axis=0) ** (workers - 1) @ mass[part]
    pmf = np.clip(np.fft.irfft(total, n=size), 0.0, None)
    pmf /= pmf.sum()
    pmf = pmf[: int(np.searchsorted(np.cumsum(pmf), 1.0 - TAIL)) + 1]
    k = np.arange(len(pmf))
    mean = workers - 1.0
    return Staleness(pmf, mean, float(pmf @ (k - mean) ** 2), exact=False)


def _counts(first: Any, mass: Any) -> Any:
    """Return the chance of k renewals up to each time of a lattice, (k, times)."""
    reached = [np.ones_like(first), first]
    while reached[-1][-1] > TAIL:
        after = fftconvolve(reached[-1], mass)[: len(first)]
        reached.append(np.clip(after, 0.0, reached[-1]))
    table = np.array([*reached, np.zeros_like(first)])
    return -np.diff(table, axis=0)
