"""Objectives of the user's own: a gradient and a loss as ordinary Python functions.

The functions are compiled by numba when a simulation first needs them and kept on disk by their
content, or stay plain Python and are called back, or are those of a PyTorch module. Randomness is
added here, so that it has addresses like all other randomness: normal noise on each component, or
mini-batches of numbered samples. Nothing here knows about workers or time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sdde import checks
from sdde.cluster.quadratic import per_axis

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Objective:
    """A function to be minimised, given by its gradient and its loss.

    Build it with `from_callables` or `from_torch`.

    Attributes
    ----------
    gradient_function, loss_function : callable
        What the user gave.
    dim : int
        Number of parameters.
    start : array (dim,)
        Parameters before the first update.
    noise : array (dim,)
        Standard deviation of the normal noise on each component of a gradient.
    samples, batch : int
        Number of samples, 0 if the gradient is not a mean over samples, and samples in one
        gradient.
    lowest : float
        Loss at the minimum.
    whole_batches : bool
        Whether the gradient takes all samples of a batch in one call.
    compiled : bool
        Whether numba compiles the functions.
    measures : dict of str to callable
        What is recorded beside the loss, each a function of the parameters.
    hessian_product : callable or None
        The second derivatives over all data times a vector, if they are known.

    Examples
    --------
    >>> bowl = Objective.from_callables(lambda x: 2.0 * x, lambda x: (x * x).sum(), 3)
    >>> bowl
    Objective(3 parameters)
    """

    gradient_function: Callable[..., Any]
    loss_function: Callable[..., Any]
    dim: int
    start: Floats
    noise: Floats
    samples: int
    batch: int
    lowest: float
    whole_batches: bool = False
    compiled: bool = True
    measures: dict[str, Callable[[Floats], Any]] = field(default_factory=dict)
    hessian_product: Callable[[Floats, Floats], Any] | None = None

    def __repr__(self) -> str:
        drawn = f", batches of {self.batch} from {self.samples} samples" if self.samples else ""
        return f"Objective({self.dim} parameters{drawn})"

    @staticmethod
    def from_callables(
        gradient: Callable[..., Any],
        loss: Callable[..., Any],
        dim: int,
        *,
        start: float | ArrayLike = 1.0,
        noise: float | ArrayLike = 0.0,
        samples: int | None = None,
        batch: int = 1,
        lowest: float = 0.0,
        whole_batches: bool = False,
        compile: bool = True,
        measures: dict[str, Callable[[Floats], Any]] | None = None,
        hessian_product: Callable[[Floats, Floats], Any] | None = None,
    ) -> "Objective":
        """Return an objective from Python functions.

        Parameters
        ----------
        gradient : callable
            ``gradient(x)`` returns an array ``(dim,)``; with `samples` given, ``gradient(x,
            sample)`` returns the gradient of one sample's loss, the samples counted from 0, or
            with `whole_batches` ``gradient(x, rows)`` the mean gradient of a batch.
        loss : callable
            ``loss(x)`` returns the loss that is recorded, over all data.
        dim : int
            Number of parameters.
        start : float or array (dim,)
            Parameters before the first update.
        noise : float or array (dim,)
            Standard deviation >= 0 of normal noise on each component of a gradient.
        samples : int, optional
            Number of samples; a stochastic gradient averages `batch` of them, drawn with
            replacement.
        batch : int
            Samples in one gradient.
        lowest : float
            Loss at the minimum; `Runs` record the loss above it.
        whole_batches : bool
            Give the gradient an array of the numbers of all samples in the batch at once.
        compile : bool
            True: numba compiles the functions. False: they are called as plain Python. Events,
            samples and noise are the same; a call takes some microseconds more, and threads do not
            help, as one call runs at a time.
        measures : dict of str to callable, optional
            Functions of the parameters that are recorded beside the loss, as ``{"accuracy": f}``;
            only with ``compile=False``.
        hessian_product : callable, optional
            ``hessian_product(x, v)`` returns the matrix of second derivatives of the loss at `x`,
            over all data, times a vector; `sdde.cluster.measure` uses it. It takes differences of
            the gradient if not given.

        Returns
        -------
        Objective

        Raises
        ------
        sdde.ArgumentError
            If a function cannot be called or returns the wrong shape at the start, or a number is
            out of its range.

        Examples
        --------
        >>> well = Objective.from_callables(
        ...     lambda x: 4.0 * x * (x * x - 1.0), lambda x: ((x * x - 1.0) ** 2).sum(), 1,
        ...     start=0.1, noise=0.01,
        ... )
        >>> well.dim, well.loss([1.0])
        (1, 0.0)

        The mean of a table, one row at a time, by functions that numba never sees:

        >>> table = {"rows": np.array([[1.0, 2.0], [3.0, 6.0]])}
        >>> mean = Objective.from_callables(
        ...     lambda x, rows: x - table["rows"][rows].mean(axis=0),
        ...     lambda x: 0.5 * ((x - table["rows"].mean(axis=0)) ** 2).sum(), 2,
        ...     start=0.0, samples=2, whole_batches=True, compile=False,
        ... )
        >>> mean
        Objective(2 parameters, batches of 1 from 2 samples)
        """
        count = checks.integer("dim", dim, lowest=1, highest=2**32)
        checks.function("gradient", gradient, signature="(x)")
        checks.function("loss", loss, signature="(x)")
        first = per_axis("start", start, count)
        spread = per_axis("noise", noise, count)
        if spread.min() < 0:
            raise checks.fail("noise", noise, "holds a negative value", remedy="noise = 0.1")
        number = 0 if samples is None else checks.integer("samples", samples, lowest=1)
        size = checks.integer("batch", batch, lowest=1, highest=2**32)
        whole, native = (
            checks.flag("whole_batches", whole_batches), checks.flag("compile", compile),
        )  # fmt: skip
        if whole and not number:
            raise checks.fail(
                "whole_batches", whole_batches, "needs samples", remedy="For example samples = 100."
            )
        if measures is not None:
            checks.instance(
                "measures", measures, Mapping, "a mapping of names to functions",
                remedy='For example measures = {"size": lambda x: abs(x).sum()}.',
            )  # fmt: skip
        beside = dict(measures or {})
        if beside and native:
            raise checks.fail(
                "measures", sorted(beside), "needs plain Python functions",
                remedy="compile = False, or no measures.",
            )  # fmt: skip
        for name, function in beside.items():
            checks.function(f"measures[{name!r}]", function, signature="(x)")
        drawn = [np.zeros(size, np.int64) if whole else 0] if number else []
        slope = np.asarray(
            checks.answer(
                "gradient", gradient, first.copy(), *drawn,
                signature="(x, samples)" if whole else "(x, sample)" if number else "(x)",
            )
        )  # fmt: skip
        if slope.shape != (count,):
            raise checks.fail(
                "gradient", gradient, f"returned shape {slope.shape}, expected ({count},)"
            )
        if np.ndim(checks.answer("loss", loss, first.copy(), signature="(x)")) != 0:
            raise checks.fail("loss", loss, "did not return a number")
        if hessian_product is not None:
            checks.function("hessian_product", hessian_product, signature="(x, v)")
        for array in (first, spread):
            array.setflags(write=False)
        return Objective(
            gradient, loss, count, first, spread, number, size, checks.number("lowest", lowest),
            whole, native, beside, hessian_product,
        )  # fmt: skip

    @staticmethod
    def from_torch(
        module: Any,
        loss: Callable[[Any, Any], Any],
        inputs: Any,
        targets: Any,
        *,
        batch: int = 16,
        lowest: float = 0.0,
        test: tuple[Any, Any] | None = None,
    ) -> "Objective":
        """Return the training of a PyTorch module as an objective.

        Parameters
        ----------
        module : torch.nn.Module
            The model; its present parameters are the start. It is not changed.
        loss : callable
            ``loss(module(inputs), targets)`` returns the mean loss of a batch, as
            ``torch.nn.functional.cross_entropy`` does.
        inputs, targets : torch.Tensor or array
            All samples, along the first axis.
        batch : int
            Samples in one gradient, drawn with replacement.
        lowest : float
            Loss at the minimum; `Runs` record the loss above it.
        test : tuple (inputs, targets), optional
            Samples for the test loss and, where targets are classes, the test error.

        Returns
        -------
        Objective
            Where targets are whole numbers and the module returns one score for each class, the
            runs record accuracy.

        Raises
        ------
        sdde.ArgumentError
            If torch is not installed, `module` is not a module or has no parameters to train, or
            inputs and targets differ in length.

        Notes
        -----
        Everything but the module's own arithmetic is the simulator's: events, samples and their
        order are those of any other objective, and the parameters are float64 there whatever the
        module computes in. The speed is torch's. The module should be a function of its parameters
        and inputs: dropout would draw numbers of its own, and running averages are not kept.

        Examples
        --------
        >>> import torch  # doctest: +SKIP
        >>> model = torch.nn.Linear(64, 10)  # doctest: +SKIP
        >>> objective = Objective.from_torch(  # doctest: +SKIP
        ...     model, torch.nn.functional.cross_entropy, images, labels, batch=32
        ... )
        """
        from sdde.cluster.torch_functions import TorchFunctions

        size = checks.integer("batch", batch, lowest=1, highest=2**32)
        functions = TorchFunctions(module, loss, inputs, targets, test)
        return Objective.from_callables(
            functions.gradient, functions.loss, functions.dim, start=functions.start,
            samples=functions.samples, batch=size, lowest=lowest, whole_batches=True,
            compile=False, measures=functions.measures(),
            hessian_product=functions.hessian_product,
        )  # fmt: skip

    def loss(self, x: ArrayLike) -> float:
        """Return the loss at `x` (not the excess above the minimum)."""
        return float(self.loss_function(checks.vector("x", x)))
