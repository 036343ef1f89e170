"""Gradient, loss and accuracy of a PyTorch module as functions of one flat float64 vector.

Each thread has a copy of the module, which is called with parameters put in from outside (torch
puts them into the module for the time of the call). Torch is imported where it is used.
"""

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde import checks

Floats = NDArray[np.float64]

_ROWS_AT_ONCE = 4096  # of a loss over all samples, which bounds its memory


class TorchFunctions:
    """The functions; arguments as in `Objective.from_torch`.

    Attributes
    ----------
    start : array (dim,)
        The module's present parameters, in its own order.
    dim, samples : int
        Number of parameters that are trained, and of samples.
    """

    def __init__(
        self, module: Any, loss: Callable[[Any, Any], Any], inputs: Any, targets: Any, test: Any
    ) -> None:
        torch = _torch()
        if not isinstance(module, torch.nn.Module):
            raise checks.fail(
                "module", module, "is not a torch.nn.Module", remedy="torch.nn.Linear(64, 10)"
            )
        trained = {k: p for k, p in module.named_parameters() if p.requires_grad}
        if not trained:
            raise checks.fail("module", module, "has no parameters to train")
        checks.function("loss", loss, signature="(outputs, targets)")
        self._module, self._loss = copy.deepcopy(module), loss
        self._copies = threading.local()
        self._shapes = {name: (p.shape, p.numel()) for name, p in trained.items()}
        self._kind = next(iter(trained.values())).dtype
        flat = torch.cat([p.detach().reshape(-1) for p in trained.values()])
        self.start: Floats = flat.double().cpu().numpy().copy()
        self.dim = self.start.size
        self._train = self._pair("inputs", inputs, targets)
        self._test = None
        if test is not None:
            if not isinstance(test, tuple) or len(test) != 2:
                raise checks.fail("test", test, "is not a pair", remedy="test = (inputs, targets)")
            self._test = self._pair("test", *test)
        self.samples = len(self._train[0])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_copies"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _copies=threading.local())

    def _pair(self, name: str, inputs: Any, targets: Any) -> tuple[Any, Any]:
        torch = _torch()
        a, b = torch.as_tensor(inputs), torch.as_tensor(targets)
        if a.dtype.is_floating_point:
            a = a.to(self._kind)
        if b.dtype.is_floating_point:
            b = b.to(self._kind)
        if not a.ndim or not b.ndim or len(a) != len(b) or not len(a):
            raise checks.fail(
                name, tuple(a.shape), f"do not match targets of shape {tuple(b.shape)}"
                if a.ndim and b.ndim and len(a) != len(b) else "hold no samples",
            )  # fmt: skip
        return a, b

    def _value(self, flat: Any, pair: tuple[Any, Any], *, outputs: bool = False) -> Any:
        parts, at = {}, 0
        for name, (shape, size) in self._shapes.items():
            parts[name] = flat[at : at + size].view(shape)
            at += size
        if not hasattr(self._copies, "module"):
            self._copies.module = copy.deepcopy(self._module)
        result = _torch().func.functional_call(self._copies.module, parts, (pair[0],))
        return result if outputs else self._loss(result, pair[1])

    def gradient(self, x: Floats, rows: NDArray[np.int64]) -> Floats:
        """Return the gradient of the mean loss of some samples."""
        torch = _torch()
        flat = torch.from_numpy(np.array(x)).to(self._kind).requires_grad_()
        chosen = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        value = self._value(flat, (self._train[0][chosen], self._train[1][chosen]))
        return torch.autograd.grad(value, flat)[0].double().numpy()

    def hessian_product(self, x: Floats, v: Floats) -> Floats:
        """Return the second derivatives of the loss over all samples times a vector.

        The gradient is differentiated once more; a module whose operations torch cannot
        differentiate twice raises its error.
        """
        torch = _torch()
        flat = torch.from_numpy(np.array(x)).to(self._kind).requires_grad_()
        way = torch.from_numpy(np.array(v)).to(self._kind)
        total = np.zeros(self.dim)
        for first in range(0, self.samples, _ROWS_AT_ONCE):
            part = tuple(tensor[first : first + _ROWS_AT_ONCE] for tensor in self._train)
            slope = torch.autograd.grad(self._value(flat, part), flat, create_graph=True)[0]
            if slope.requires_grad:  # otherwise the loss is linear here
                change = torch.autograd.grad(slope @ way, flat)[0]
                total += len(part[0]) * change.double().numpy()
        return total / self.samples

    def loss(self, x: Floats) -> float:
        """Return the mean loss of all samples."""
        return self._mean(x, self._train)

    def test_loss(self, x: Floats) -> float:
        """Return the mean loss of the test samples."""
        return self._mean(x, self._test)

    def accuracy(self, x: Floats) -> float:
        """Return the share of the samples whose largest score is their class."""
        return self._right(x, self._train)

    def test_accuracy(self, x: Floats) -> float:
        """Return the share of the test samples whose largest score is their class."""
        return self._right(x, self._test)

    def measures(self) -> dict[str, Callable[[Floats], float]]:
        """Return what can be recorded beside the loss."""
        torch = _torch()
        with torch.no_grad():
            first = self._value(
                torch.from_numpy(self.start).to(self._kind),
                tuple(part[:1] for part in self._train), outputs=True,
            )  # fmt: skip
        targets = self._train[1]
        classes = first.ndim == 2 and targets.ndim == 1 and not targets.dtype.is_floating_point
        known: dict[str, Callable[[Floats], float]] = {"accuracy": self.accuracy} if classes else {}
        if self._test is not None:
            known["test_loss"] = self.test_loss
            if classes:
                known["test_accuracy"] = self.test_accuracy
        return known

    def _chunks(self, x: Floats, pair: Any, outputs: bool) -> Any:
        torch = _torch()
        flat = torch.from_numpy(np.array(x)).to(self._kind)
        with torch.no_grad():
            for first in range(0, len(pair[0]), _ROWS_AT_ONCE):
                part = tuple(tensor[first : first + _ROWS_AT_ONCE] for tensor in pair)
                yield self._value(flat, part, outputs=outputs), part[1]

    def _mean(self, x: Floats, pair: Any) -> float:
        total = sum(float(value) * len(part) for value, part in self._chunks(x, pair, False))
        return total / len(pair[0])

    def _right(self, x: Floats, pair: Any) -> float:
        right = sum(
            int((value.argmax(dim=1) == part).sum()) for value, part in self._chunks(x, pair, True)
        )
        return right / len(pair[0])


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise checks.fail(
            "from_torch", "torch", "is not installed", remedy="pip install 'sdde[torch]'"
        ) from None
    return torch
