r"""`DelaySystem`: a linear delay equation with noise, and every exact answer about it.

The equation is described once, by numbers or matrices; characteristic roots, transient and
stationary laws and spectra are computed when asked, each by the module that knows how. Nothing here
steps a path.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks

from . import hitting, mean_square, schemes
from .coefficients import Coefficients, read, read_history
from .delay_margin import critical_stretch
from .method_of_steps import Stepper
from .numerics import Complexes, Floats, lambert_w
from .piecewise import Piecewise
from .spectrum import Spectrum
from .stationary import Stationary
from .transient import additive_variance, renewal_variance


class DelaySystem:
    r"""A linear equation with delays and noise.

    .. math:: dx = \Big(A_0x+\sum_jA_j\,x(t-\tau_j)+b\Big)dt
              +\Big(B+C_0x+\sum_jC_j\,x(t-\tau_j)\Big)dW

    Parameters
    ----------
    instant : float or array_like, shape (dim, dim)
        A0, in 1/time: a number for a scalar equation, a matrix for a system.
    delayed : float, matrix, or list of them
        A1, or a list with one coefficient for each delay.
    delays : float, law, or list of them
        One delay, or a list. A number is a fixed delay; a `scipy.stats` law or an array of
        measurements is a delay drawn afresh for each arrival, which enters the mean through its
        Laplace transform.
    noise : float or array_like
        B, in state units per square root of time: a number (for a system: independent noise of that
        size on every component), a vector (one size per component), or shape (dim, channels).
    multiplicative : tuple, optional
        ``(C0, C1, ...)``, one more entry than delays, each a number or a matrix, or a stack of
        them with one for each Wiener process. It shares its processes with `noise`.
    offset : float or array_like, shape (dim,)
        Constant drift b, in state units per time.

    Raises
    ------
    sdde.ArgumentError
        If shapes do not match, or a delay is negative or has no mean.

    See Also
    --------
    sdde.theory.linearize : the same object from a nonlinear `Problem` near a point.

    Notes
    -----
    Scalars come back as numbers, systems as arrays with the matrix axes last. With random delays
    the additive part of the noise is what it is; see each method for what a random delay means
    there.

    Examples
    --------
    >>> from sdde.theory import DelaySystem
    >>> system = DelaySystem(0.0, -1.0, 1.0, noise=1.0)
    >>> system.is_stable(), round(system.delay_margin(), 6)
    (True, 1.570796)
    >>> round(system.covariance(), 6)
    1.704112
    """

    def __init__(
        self,
        instant: ArrayLike,
        delayed: Any,
        delays: Any,
        *,
        noise: ArrayLike = 0.0,
        multiplicative: Any = None,
        offset: ArrayLike = 0.0,
    ) -> None:
        self.coefficients = read(instant, delayed, delays, noise, multiplicative, offset)
        self._fundamental: Piecewise | None = None

    @classmethod
    def from_coefficients(cls, coefficients: Coefficients) -> "DelaySystem":
        """Return the system with these coefficients, which are not checked again."""
        system = cls.__new__(cls)
        system.coefficients = coefficients
        system._fundamental = None
        return system

    def __repr__(self) -> str:
        c = self.coefficients
        delays = ", ".join(f"{law.mean:g}" for law in c.laws)
        return f"DelaySystem(dim={self.dim}, delays=({delays}), channels={c.noise.shape[1]})"

    @property
    def dim(self) -> int:
        """Number of components of the state."""
        return len(self.coefficients.instant)

    @cached_property
    def spectrum(self) -> Spectrum:
        """The characteristic matrix, to be evaluated at complex numbers."""
        c = self.coefficients
        return Spectrum(c.instant, c.delayed, c.laws)

    @cached_property
    def _stepper(self) -> Stepper:
        c = self.coefficients
        return Stepper(c.instant, c.delayed, c.laws)

    @cached_property
    def _stationary(self) -> Stationary:
        return Stationary(self.spectrum, self.abscissa())

    def roots(self, count: int = 1) -> Complexes:
        r"""Return the rightmost characteristic roots.

        They solve :math:`\det(sI-A_0-\sum_jA_j\phi_j(s))=0` with phi_j the Laplace transform of
        delay j (:math:`e^{-s\tau_j}` for a fixed one).

        Parameters
        ----------
        count : int
            How many; a pair of complex conjugates counts as two.

        Returns
        -------
        ndarray of complex, shape (count,)
            By falling real part; the member of a pair with positive imaginary part comes first;
            multiple roots are repeated. Fewer come back if fewer exist: without delay, or, for
            random delays, right of the line where their transforms grow without bound.

        Raises
        ------
        sdde.ArgumentError
            If `count` is not a positive whole number.

        Notes
        -----
        One fixed delay and scalar coefficients: :math:`s_k=a+W_k(b\tau e^{-a\tau})/\tau`
        (compare Corless et al. 1996), with the double root :math:`a-1/\tau` at the branch point.
        Otherwise a collocation of the generator (compare Breda, Maset and Vermiglio 2005)
        polished by Newton's iteration; the argument principle makes sure that none is missed.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.0).roots(3).round(4)
        array([-0.3181+1.3372j, -0.3181-1.3372j, -2.0623+7.5886j])
        """
        count = checks.integer("count", count, lowest=1, highest=10_000)
        c = self.coefficients
        if self.dim == 1 and len(c.laws) == 1 and c.laws[0].kind == "constant":
            found = _lambert_roots(c.instant[0, 0], c.delayed[0][0, 0], c.laws[0].mean, count)
            if found is not None:
                return found
        return self.spectrum.rightmost(count)

    def abscissa(self) -> float:
        """Return the real part of the rightmost root: the long-run growth rate of the mean, in
        1/time.

        Where no root lies right of the line at which a random delay's transform stops to exist,
        that line is returned: 0 for tails heavier than exponential, which have no exponential rate.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> round(DelaySystem(0.0, -0.2, 1.0).abscissa(), 6)
        -0.259171
        """
        return self._abscissa

    @cached_property
    def _abscissa(self) -> float:
        found = self.roots(1)
        return float(found[0].real) if len(found) else self.spectrum.edge

    def is_stable(self) -> bool:
        """Return whether the mean forgets its history: all characteristic roots left of the axis.

        For tails heavier than exponential the roots with real part above 0 are counted, as there is
        no rate to look at.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.5).is_stable(), DelaySystem(0.0, -1.0, 1.6).is_stable()
        (True, False)
        """
        return self._is_stable

    @cached_property
    def _is_stable(self) -> bool:
        at_rest = np.linalg.svd(self.spectrum.matrix(0.0), compute_uv=False)
        if at_rest[-1] <= 1e-14 * self.spectrum.radius(0.0):  # a root at 0, however it was polished
            return False
        if self.spectrum.edge == 0.0:
            return self.spectrum.count_right_of(0.0) == 0
        return self.abscissa() < 0.0

    def delay_margin(self) -> float:
        r"""Return the largest delay up to which the system is stable.

        All delays are stretched together; the result is the longest mean delay at which stability
        is first lost. For one delay it is that delay itself.

        Returns
        -------
        float
            In units of time; 0 if the system is unstable without delay, ``inf`` if it is stable for
            every delay.

        Notes
        -----
        Scalars: :math:`\arccos(-a/b)/\sqrt{b^2-a^2}` for :math:`b<-|a|`, derived again in
        `theory.symbolic`. Otherwise an eigenvalue sweep along the imaginary axis, derived in this
        project.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> round(DelaySystem(-1.0, -2.0, 1.0).delay_margin(), 6)
        1.2092
        """
        longest = max((law.mean for law in self.coefficients.laws), default=0.0)
        stretch = critical_stretch(self.spectrum)
        return stretch * longest if longest else stretch

    def fundamental(self, t: ArrayLike) -> Any:
        r"""Return the fundamental solution: the answer to a unit push at time 0.

        It solves the noise-free equation without offset from K(0) = I and K(t) = 0 before.

        Parameters
        ----------
        t : array_like
            Times; any shape.

        Returns
        -------
        float or ndarray
            K(t), with matrix axes last for a system.

        Notes
        -----
        Method of steps on polynomial panels: no alternating sums, so long times are as accurate
        as short ones (relative error about 1e-13).

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.0).fundamental([0.5, 2.0]).round(12)
        array([1., 0.])
        """
        at = checks.array("t", t)
        return self._shaped(self._fundamental_until(float(at.max(initial=0.0)))(at))

    def _fundamental_until(self, end: float) -> Piecewise:
        if self._fundamental is None or self._fundamental.breaks[-1] < end:
            dim = self.dim
            grown = 1.0 if self._fundamental is None else 2.0 * float(self._fundamental.breaks[-1])
            self._fundamental = self._stepper.solve(
                max(end, min(grown, 2.0 * end)) or 1.0, np.eye(dim),
                lambda s: np.zeros((len(s), dim, dim)),
            )  # fmt: skip
        return self._fundamental

    def mean(self, t: ArrayLike, history: Any) -> Any:
        """Return the expected state at given times.

        Parameters
        ----------
        t : array_like
            Times; any shape. Negative ones return the history.
        history : float, vector, or function of time
            State up to time 0.

        Returns
        -------
        float or ndarray
            E x(t), with the component axis last for a system.

        Notes
        -----
        Exact for any noise without drift, by the method of steps; for random delays the mean of the
        equation in which each arrival draws its own delay.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.0).mean([1.0, 2.0], history=1.0).round(12) + 0.0
        array([ 0. , -0.5])
        """
        at = checks.array("t", t)
        value = self._mean_until(float(at.max(initial=0.0)), history)(at)[..., 0]
        return self._shaped(value[..., None] if self.coefficients.scalar else value)

    def _mean_until(self, end: float, history: Any) -> Piecewise:
        start, before = read_history(history, self.dim)
        return self._stepper.solve(end or 1.0, start, before, offset=self.coefficients.offset)

    def stationary_mean(self) -> Any:
        """Return the state at which the mean settles; ``inf`` if it does not.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(-4.0, -2.0, 1.0, offset=12.0).stationary_mean()
        2.0
        """
        c = self.coefficients
        if not self.is_stable():
            return self._shaped(np.full((self.dim, 1) if c.scalar else self.dim, math.inf))
        total = c.instant + sum(c.delayed, np.zeros_like(c.instant))
        value = -np.linalg.solve(total, c.offset)
        return self._shaped(value if c.scalar else value[:, 0])

    def variance(self, t: ArrayLike, history: Any = 0.0) -> Any:
        r"""Return the covariance of the state at given times, started from a known history.

        Parameters
        ----------
        t : array_like
            Times; any shape.
        history : float, vector, or function of time
            State up to time 0. It matters for multiplicative noise only.

        Returns
        -------
        float or ndarray
            Variance, or covariance matrix with matrix axes last.

        Notes
        -----
        Additive noise: :math:`\int_0^tK(u)BB^TK(u)^Tdu` with K the fundamental solution; Gaussian.
        Multiplicative noise: a renewal equation for the noise power, derived in this project
        (relative error about 1e-10).

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.0, noise=1.0).variance([0.5, 1.0]).round(12)
        array([0.5, 1. ])
        """
        at = checks.array("t", t)
        c = self.coefficients
        end = float(at.max(initial=0.0))
        solution = self._fundamental_until(end)
        if not c.multiplicative:
            return self._shaped(additive_variance(solution, c.noise, at))
        if any(law.kind != "constant" for law in c.laws):
            raise checks.fail(
                "delays", c.laws, "holds a random delay",
                why="In time, second moments with multiplicative noise need fixed delays.",
                remedy="Ask for covariance(), the stationary value, or simulate.",
            )  # fmt: skip
        mean = self._mean_until(end, history)
        return self._shaped(renewal_variance(c, solution, mean, end or 1.0, at))

    def covariance(self, lag: ArrayLike = 0.0) -> Any:
        r"""Return the stationary covariance of the state with itself a lag earlier.

        Parameters
        ----------
        lag : array_like
            Lags in units of time; any shape.

        Returns
        -------
        float or ndarray
            :math:`R(\ell)=E\,x(t+\ell)x(t)^T` around the stationary mean, in state units squared,
            with matrix axes last for a system; ``inf`` where no stationary law with a finite
            variance exists.

        Notes
        -----
        Scalars with one fixed delay: closed form, derived again in `theory.symbolic`; compare
        [1]_. Several fixed delays or systems: delay Lyapunov matrix. Random delays: product
        integrals of the fundamental solution, or an integral over frequencies for tails heavier
        than exponential (relative error about 1e-6 there, else 1e-12).

        References
        ----------
        .. [1] U. Küchler, B. Mensch, "Langevin's stochastic differential equation extended by a
               time-delayed term", Stochastics and Stochastics Reports 40 (1992), 23-42.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(0.0, -1.0, 1.0, noise=1.0).covariance([0.0, 0.5, 1.0]).round(6)
        array([1.704112, 1.255786, 0.5     ])
        >>> DelaySystem(0.0, -1.6, 1.0, noise=1.0).covariance()
        inf
        """
        at = checks.array("lag", lag)
        if self._power is None:
            return self._shaped(np.full((*at.shape, self.dim, self.dim), math.inf))
        value = self._stationary.covariance(self._power, at.ravel())
        return self._shaped(value.reshape(*at.shape, self.dim, self.dim))

    def spectral_density(self, frequency: ArrayLike) -> Any:
        r"""Return the power of the stationary fluctuations at given frequencies.

        .. math:: S(\omega)=\Delta(i\omega)^{-1}\,Q\,\Delta(i\omega)^{-*},\qquad
                  R(\ell)=\frac1{2\pi}\int S(\omega)e^{i\omega\ell}\,d\omega

        with Q the stationary noise power, :math:`BB^T` for additive noise.

        Parameters
        ----------
        frequency : array_like
            Angular frequencies, in 1/time; any shape.

        Returns
        -------
        float or ndarray
            Real for a scalar equation, a Hermitian matrix for a system; ``inf`` if unstable.

        Examples
        --------
        >>> from sdde.theory import DelaySystem
        >>> DelaySystem(-1.0, 0.0, 1.0, noise=2.0).spectral_density(1.0)
        2.0
        """
        at = checks.array("frequency", frequency)
        c = self.coefficients
        if self._power is None:
            return self._shaped(np.full((*at.shape, self.dim, self.dim), math.inf))
        response = np.linalg.inv(self.spectrum.matrix(1j * at))
        value = response @ self._power @ np.conj(np.swapaxes(response, -1, -2))
        return self._shaped(value.real if c.scalar else value)

    @cached_property
    def _power(self) -> Floats | None:
        """The stationary noise covariance per unit time; None if second moments do not settle."""
        if not self.is_stable():
            return None
        mean = np.reshape(self.stationary_mean(), (self.dim, 1))
        return mean_square.balanced_noise(self.coefficients, self.abscissa(), mean)

    # Answers that need a page of their own live in their modules, as functions of a system.
    mean_square_index = mean_square.mean_square_index
    mean_square_exponent = mean_square.mean_square_exponent
    is_mean_square_stable = mean_square.is_mean_square_stable
    euler_maruyama = schemes.euler_maruyama
    heun = schemes.heun
    largest_dt = schemes.largest_dt
    hitting_time = hitting.hitting_time
    settling_time = hitting.settling_time

    def _shaped(self, value: NDArray[Any]) -> Any:
        if not self.coefficients.scalar:
            return value
        flat = value[..., 0, 0] if value.ndim > 1 else value
        return float(flat) if flat.ndim == 0 else flat


def _lambert_roots(a: float, b: float, delay: float, count: int) -> Complexes | None:
    """Return roots of s = a + b exp(-s delay); None where the exponential overflows."""
    if abs(a * delay) > 600.0 or b == 0.0:
        return None
    branches = np.arange(-count - 1, count + 2)
    roots: Complexes = a + lambert_w(b * delay * math.exp(-a * delay), branches) / delay
    real = np.abs(roots.imag) < 1e-14 * (1.0 + np.abs(roots))
    roots[real] = roots[real].real
    order = np.lexsort((-roots.imag, np.abs(roots.imag), -np.round(roots.real, 10)))
    return roots[order][:count]
