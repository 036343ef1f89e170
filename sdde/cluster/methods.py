"""Ways to run distributed SGD, as plain values that the simulator runs and the theory reads."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AsyncSGD:
    """Every gradient is applied as soon as it arrives; its worker at once fetches the parameters.

    The update is ``x <- x - learning_rate * gradient(x_read)``, where ``x_read`` is what the worker
    fetched when it began. Nobody waits, nothing is dropped.

    Examples
    --------
    >>> AsyncSGD()
    AsyncSGD()
    """
