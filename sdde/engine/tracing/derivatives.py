"""Derivatives of a traced function, as further scalar operations on the same tape.

Forward differentiation, node by node: a derivative that is zero for structural reasons is None, so
sparse Jacobians stay sparse. Steps and comparisons have derivative zero, choices that of the branch
taken. Nothing here knows what the derivatives are for.
"""

import math
from collections.abc import Callable, Sequence

from sdde.engine.tracing.tape import Label, Node, Tape, constant_of


class Calculus:
    """Nodes of a traced function on a tape of their own, and their derivatives.

    Parameters
    ----------
    nodes : sequence of Node
        The operations of a traced function, each on earlier ones.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.tape = Tape()
        self.places: list[int] = []  # where each of the given nodes is on the tape
        self._slopes: dict[tuple[int, Label], int | None] = {}
        for node in nodes:
            operands = [self.places[k] for k in node.operands]
            value = constant_of(node)
            if value is not None:
                place = self.tape.constant(value)
            elif node.operation == "input":
                place = self.tape.input(*node.label)
            else:
                place = self.tape.apply(node.operation, *operands)
            self.places.append(place)

    def add(self, *terms: int | None) -> int | None:
        """Return the sum of the terms that are not zero."""
        total = None
        for term in terms:
            if term is not None:
                total = term if total is None else self.tape.apply("add", total, term)
        return total

    def multiply(self, *factors: int | None) -> int | None:
        """Return a product, zero if a factor is."""
        product: int | None = None
        for factor in factors:
            if factor is None or self.tape.value(factor) == 0.0:
                return None
            product = factor if product is None else self.tape.apply("multiply", product, factor)
        return product

    def slope(self, place: int, label: Label) -> int | None:
        """Return the derivative of a place on the tape by an input."""
        key = (place, label)
        if key not in self._slopes:
            self._slopes[key] = self._derive(place, label)
        return self._slopes[key]

    def _derive(self, place: int, label: Label) -> int | None:
        node = self.tape.nodes[place]
        if node.operation == "input":
            return self.tape.constant(1.0) if node.label == label else None
        slopes = [self.slope(k, label) for k in node.operands]
        if all(slope is None for slope in slopes):
            return None
        if node.operation == "where":
            condition, *_ = node.operands
            zero = self.tape.constant(0.0)
            yes, no = (zero if slope is None else slope for slope in slopes[1:])
            return None if yes == no == zero else self.tape.apply("where", condition, yes, no)
        if node.operation in _CHOSEN:
            zero = self.tape.constant(0.0)
            first, second = (zero if slope is None else slope for slope in slopes)
            chosen = self.tape.apply(_CHOSEN[node.operation], *node.operands)
            return self.tape.apply("where", chosen, first, second)
        partials = _PARTIALS.get(node.operation)
        if partials is None:  # steps, comparisons
            return None
        write = _Writer(self.tape)
        return self.add(
            *(
                None
                if slope is None
                else self.multiply(partial(write, place, *node.operands), slope)
                for partial, slope in zip(partials, slopes, strict=True)
            )
        )


class _Writer:
    """Short names for operations on a tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __call__(self, name: str, *operands: int | float) -> int:
        places = [self.tape.constant(k) if isinstance(k, float) else k for k in operands]
        return self.tape.apply(name, *places)

    def number(self, value: float) -> int:
        return self.tape.constant(value)

    def one_minus_square(self, a: int, sign: str = "subtract") -> int:
        return self(sign, 1.0, self("multiply", a, a))


# The partial derivatives of an operation: functions of a writer, the result r, and the operands.
_PARTIALS: dict[str, tuple[Callable[..., int], ...]] = {
    "add": (lambda w, r, a, b: w.number(1.0),) * 2,
    "subtract": (lambda w, r, a, b: w.number(1.0), lambda w, r, a, b: w.number(-1.0)),
    "multiply": (lambda w, r, a, b: b, lambda w, r, a, b: a),
    "divide": (
        lambda w, r, a, b: w("divide", 1.0, b),
        lambda w, r, a, b: w("negative", w("divide", r, b)),
    ),
    "remainder": (
        lambda w, r, a, b: w.number(1.0),
        lambda w, r, a, b: w("negative", w("floor_divide", a, b)),
    ),
    "fmod": (
        lambda w, r, a, b: w.number(1.0),
        lambda w, r, a, b: w("negative", w("trunc", w("divide", a, b))),
    ),
    "negative": (lambda w, r, a: w.number(-1.0),),
    "absolute": (lambda w, r, a: w("sign", a),),
    "copysign": (
        lambda w, r, a, b: w("multiply", w("sign", a), w("copysign", 1.0, b)),
        lambda w, r, a, b: w.number(0.0),
    ),
    "sqrt": (lambda w, r, a: w("divide", 0.5, r),),
    "cbrt": (lambda w, r, a: w("divide", 1.0, w("multiply", 3.0, w("multiply", r, r))),),
    "power": (
        lambda w, r, a, b: w("multiply", b, w("power", a, w("subtract", b, 1.0))),
        lambda w, r, a, b: w("multiply", r, w("log", a)),
    ),
    "exp": (lambda w, r, a: r,),
    "exp2": (lambda w, r, a: w("multiply", math.log(2.0), r),),
    "expm1": (lambda w, r, a: w("exp", a),),
    "log": (lambda w, r, a: w("divide", 1.0, a),),
    "log2": (lambda w, r, a: w("divide", 1.0 / math.log(2.0), a),),
    "log10": (lambda w, r, a: w("divide", 1.0 / math.log(10.0), a),),
    "log1p": (lambda w, r, a: w("divide", 1.0, w("add", 1.0, a)),),
    "logaddexp": (
        lambda w, r, a, b: w("exp", w("subtract", a, r)),
        lambda w, r, a, b: w("exp", w("subtract", b, r)),
    ),
    "logaddexp2": (
        lambda w, r, a, b: w("exp2", w("subtract", a, r)),
        lambda w, r, a, b: w("exp2", w("subtract", b, r)),
    ),
    "sin": (lambda w, r, a: w("cos", a),),
    "cos": (lambda w, r, a: w("negative", w("sin", a)),),
    "tan": (lambda w, r, a: w.one_minus_square(r, "add"),),
    "arcsin": (lambda w, r, a: w("divide", 1.0, w("sqrt", w.one_minus_square(a))),),
    "arccos": (lambda w, r, a: w("divide", -1.0, w("sqrt", w.one_minus_square(a))),),
    "arctan": (lambda w, r, a: w("divide", 1.0, w.one_minus_square(a, "add")),),
    "arctan2": (
        lambda w, r, a, b: w("divide", b, _square_sum(w, a, b)),
        lambda w, r, a, b: w("negative", w("divide", a, _square_sum(w, a, b))),
    ),
    "hypot": (
        lambda w, r, a, b: w("divide", a, r),
        lambda w, r, a, b: w("divide", b, r),
    ),
    "sinh": (lambda w, r, a: w("cosh", a),),
    "cosh": (lambda w, r, a: w("sinh", a),),
    "tanh": (lambda w, r, a: w.one_minus_square(r),),
    "arcsinh": (lambda w, r, a: w("divide", 1.0, w("sqrt", w.one_minus_square(a, "add"))),),
    "arccosh": (
        lambda w, r, a: w(
            "divide", 1.0, w("sqrt", w("multiply", w("subtract", a, 1.0), w("add", a, 1.0)))
        ),
    ),
    "arctanh": (lambda w, r, a: w("divide", 1.0, w.one_minus_square(a)),),
}

# Where the comparison holds, the derivative is that of the first operand.
_CHOSEN = {"maximum": "greater", "fmax": "greater", "minimum": "less", "fmin": "less"}


def _square_sum(w: _Writer, a: int, b: int) -> int:
    return w("add", w("multiply", a, a), w("multiply", b, b))
