"""Expressions: a traced function as scalar operations in order, and what can be made of them.

They can be written as lines of Python for a generated loop, evaluated by NumPy in plain floats (the
slow twin of those lines), or turned into SymPy. Nothing here knows how a function is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sdde.engine.tracing.operations import OPERATIONS
from sdde.engine.tracing.symbolic import Symbolic, symbols_for, to_sympy
from sdde.engine.tracing.tape import Label, Node, constant_of

Shape = tuple[int, ...]


class Source(NamedTuple):
    """Lines of Python text by how often they must run; each may use those before it."""

    once: list[str]  # read parameters only
    per_step: list[str]  # read the time as well
    per_lane: list[str]  # read the state; the last lines assign the outputs

    @property
    def lines(self) -> list[str]:
        """All lines in order, for use in one place."""
        return [*self.once, *self.per_step, *self.per_lane]


@dataclass(frozen=True, slots=True)
class Expressions:
    """A traced function: scalar operations in order, without dead code.

    Parameters
    ----------
    nodes : tuple of Node
        Operations, each on earlier ones.
    outputs : tuple of int
        The nodes returned, in C order.
    shape : tuple of int
        Shape of the returned array; ``()`` for a number.
    state_shape : tuple of int
        ``()`` or ``(dim,)``.
    n_delays, n_parameters : int
        Number of delays, and length of the parameter vector `p`.
    extra : tuple of (str, tuple of int)
        Names and shapes of further inputs, such as a mark.
    fixed : tuple of int
        Positions in `args` of whole numbers that the function needs as such (a count, an index).
        Their values are part of the expressions; with other values the function must be traced
        again.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    shape: Shape
    state_shape: Shape
    n_delays: int
    n_parameters: int
    extra: tuple[tuple[str, Shape], ...] = ()
    fixed: tuple[int, ...] = ()

    @property
    def inputs(self) -> frozenset[Label]:
        """Labels of the inputs read: ("t",), ("x", i), ("delayed", j, i), ("p", k), (name, k)."""
        return frozenset(node.label for node in self.nodes if node.operation == "input")

    def _uses(self, name: str) -> bool:
        return any(label[0] == name for label in self.inputs)

    @property
    def uses_t(self) -> bool:
        """Whether the outputs depend on the time."""
        return self._uses("t")

    @property
    def uses_x(self) -> bool:
        """Whether the outputs depend on the present state."""
        return self._uses("x")

    @property
    def uses_delayed(self) -> bool:
        """Whether the outputs depend on a delayed state."""
        return self._uses("delayed")

    @property
    def delays_used(self) -> frozenset[int]:
        """Indices of the delays whose state is read."""
        return frozenset(int(label[1]) for label in self.inputs if label[0] == "delayed")

    @property
    def functions(self) -> frozenset[str]:
        """Names called in the source: NumPy ufuncs, to be bound to them or to faster routines."""
        return frozenset(
            node.operation
            for node in self.nodes
            if node.operation in OPERATIONS and not OPERATIONS[node.operation].text
        )

    def evaluate(
        self, t: Any, x: Any, delayed: Any, p: Any = (), **extra: Any
    ) -> NDArray[np.float64]:
        """Return the outputs for given numbers, computed by NumPy.

        Parameters
        ----------
        t : float
            Time.
        x : array_like
            State of shape ``state_shape``, or ``(*state_shape, *lanes)`` for many at once.
        delayed : array_like
            Delayed states of shape ``(n_delays, *x.shape)``.
        p : array_like
            Parameter vector from `parameters`.
        **extra : float
            Values of the further inputs.

        Returns
        -------
        numpy.ndarray
            Array of shape ``(*shape, *lanes)``.
        """

        def rows(value: Any, shape: Shape) -> NDArray[np.float64]:
            array = np.asarray(value, dtype=float)
            return array.reshape((int(np.prod(shape)), *array.shape[len(shape) :]))

        inputs: dict[str, Any] = {"t": np.asarray(t, dtype=float), "p": np.asarray(p, dtype=float)}
        inputs["x"] = rows(x, self.state_shape)
        for j in self.delays_used:
            inputs[f"delayed {j}"] = rows(delayed[j], self.state_shape)
        for name, shape in self.extra:
            inputs[name] = rows(extra[name], shape)
        values: list[Any] = []
        with np.errstate(all="ignore"):
            for node in self.nodes:
                constant = constant_of(node)
                if constant is not None:
                    values.append(constant if isinstance(constant, bool) else np.float64(constant))
                elif node.operation == "input":
                    kind, *index = node.label
                    name = f"delayed {index[0]}" if kind == "delayed" else str(kind)
                    values.append(inputs[name][()] if kind == "t" else inputs[name][index[-1]])
                else:
                    operation = OPERATIONS[node.operation]
                    values.append(operation.compute(*(values[k] for k in node.operands)))
        columns = np.broadcast_arrays(*(np.asarray(values[k], float) for k in self.outputs))
        lanes = columns[0].shape if columns else ()
        return np.array(columns, dtype=float).reshape(self.shape + lanes)

    def emit_source(
        self,
        *,
        t: str,
        x: Sequence[str],
        delayed: Sequence[Sequence[str]],
        p: str,
        outputs: Sequence[str],
        extra: Mapping[str, Sequence[str]] | None = None,
        prefix: str = "v",
    ) -> Source:
        """Write the expressions as straight-line Python.

        Parameters
        ----------
        t : str
            Text that reads the time.
        x : sequence of str
            Texts that read the components of the state (one for a scalar equation).
        delayed : sequence of sequences of str
            ``delayed[j][i]`` reads component *i* at delay *j*.
        p : str
            Name of the parameter vector, read as ``p[k]``.
        outputs : sequence of str
            Names assigned to, one for each output in C order.
        extra : mapping of str to sequence of str
            Texts that read the components of the further inputs.
        prefix : str
            Beginning of the names of intermediate values; must be free.

        Returns
        -------
        Source
            Lines grouped by how often they must run. Called names are those in `functions`.
        """
        texts: list[str] = []
        levels: list[int] = []
        source = Source([], [], [])
        for place, node in enumerate(self.nodes):
            constant = constant_of(node)
            if constant is not None:
                texts.append(_literal(constant))
                levels.append(0)
                continue
            if node.operation == "input":
                text, level = self._input_text(node.label, t, x, delayed, p, extra or {})
                if level > 0:
                    texts.append(text)
                    levels.append(level)
                    continue
            else:
                level = max(levels[k] for k in node.operands)
                form = OPERATIONS[node.operation].text or _call_form(node)
                text = form.format(*(texts[k] for k in node.operands))
            name = f"{prefix}{place}"
            source[level].append(f"{name} = {text}")
            texts.append(name)
            levels.append(level)
        for name, place in zip(outputs, self.outputs, strict=True):
            source.per_lane.append(f"{name} = {texts[place]}")
        return source

    def _input_text(
        self,
        label: Label,
        t: str,
        x: Sequence[str],
        delayed: Sequence[Sequence[str]],
        p: str,
        extra: Mapping[str, Sequence[str]],
    ) -> tuple[str, int]:
        kind, index = str(label[0]), [int(k) for k in label[1:]]
        if kind == "p":
            return f"{p}[{index[0]}]", 0
        if kind == "t":
            return t, 1
        if kind == "x":
            return x[index[0]], 2
        if kind == "delayed":
            return delayed[index[0]][index[1]], 2
        return extra[kind][index[0]], 2

    def to_sympy(self) -> Symbolic:
        """Return the outputs as SymPy expressions, with the symbols that occur in them.

        Returns
        -------
        Symbolic
            ``outputs`` in C order; symbols ``t``, ``x`` (x_0, x_1, ...), ``delayed[j]``
            (x_0(t - tau_j), ...), ``parameters`` (p_0, ...) and ``extra``.
        """
        dim = self.state_shape[0] if self.state_shape else None
        symbols = symbols_for(dim, self.n_delays, self.n_parameters, self.extra)
        known: dict[tuple, Any] = {("t",): symbols.t}
        known |= {("x", i): symbol for i, symbol in enumerate(symbols.x)}
        known |= {
            ("delayed", j, i): symbol
            for j, row in enumerate(symbols.delayed)
            for i, symbol in enumerate(row)
        }
        known |= {("p", k): symbol for k, symbol in enumerate(symbols.parameters)}
        for (name, _), row in zip(self.extra, symbols.extra, strict=True):
            known |= {(name, k): symbol for k, symbol in enumerate(row)}
        return symbols._replace(outputs=tuple(to_sympy(self.nodes, self.outputs, known)))


def _literal(value: float | bool) -> str:
    if isinstance(value, bool):
        return repr(value)
    if value != value:
        return "(1e999 - 1e999)"
    text = repr(value).replace("inf", "1e999")
    return f"({text})" if text.startswith("-") else text


def _call_form(node: Node) -> str:
    return f"{node.operation}({', '.join(f'{{{k}}}' for k in range(len(node.operands)))})"
