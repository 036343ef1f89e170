"""The tape: scalar operations in the order in which a traced function performed them.

Equal operations are met once, operations on constants are carried out at once with NumPy's own
arithmetic, and only rewritings that keep every bit are made, with one exception: a power with a
whole literal exponent up to 16 becomes multiplications by repeated squaring, and the exponent 0.5 a
square root (a few units in the last place from `power`, and several times faster). The tape knows
scalars only; arrays are the business of `arrays`.
"""

import linecache
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, NoReturn

import numpy as np

from sdde.engine.tracing.operations import COMMUTATIVE, COMPARISONS, LOGICAL, OPERATIONS

MOST_OPERATIONS = 5_000  # beyond, compiling the straight line takes longer than ten seconds
LARGEST_POWER = 16

_OWN_FOLDERS = (
    str(Path(__file__).resolve().parents[1]),
    str(Path(np.__file__).resolve().parent),
)


class Untraceable(Exception):
    """A function that cannot be read as a straight line of scalar operations.

    Attributes
    ----------
    reason : str
        What stood in the way, and what to write instead where that is known.
    line : int or None
        Line number in the user's source.
    text : str
        That line, where the source can be found.
    """

    def __init__(self, reason: str, line: int | None = None, text: str = "") -> None:
        self.reason, self.line, self.text = reason, line, text
        place = "" if line is None else f"line {line}"
        place += f", `{text}`" if text else ""
        super().__init__(f"{place}: {reason}" if place else reason)


Label = tuple[str | int, ...]


class Node(NamedTuple):
    """One scalar: an operation on earlier nodes, a constant, or an input."""

    operation: str
    operands: tuple[int, ...] = ()
    label: Label = ()


def _is_users(filename: str) -> bool:
    return not filename.startswith(_OWN_FOLDERS) and not filename.startswith("<frozen ")


def _place(frame: FrameType | None, line: int | None) -> tuple[int | None, str]:
    if frame is None or line is None:
        return None, ""
    text = linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()
    return line, text


def calling_line() -> tuple[int | None, str]:
    """Return the user's line that is being run now."""
    frame = sys._getframe(1)
    while frame is not None and not _is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return _place(frame, frame.f_lineno if frame else None)


def raising_line(traceback: TracebackType | None) -> tuple[int | None, str]:
    """Return the deepest line of the user's code in a traceback."""
    found: tuple[FrameType | None, int | None] = (None, None)
    while traceback is not None:
        if _is_users(traceback.tb_frame.f_code.co_filename):
            found = (traceback.tb_frame, traceback.tb_lineno)
        traceback = traceback.tb_next
    return _place(*found)


class Tape:
    """Scalar operations while they are being recorded."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.refusal: Untraceable | None = None
        self._known: dict[Node, int] = {}

    def refuse(self, reason: str) -> NoReturn:
        """Raise `Untraceable` at the user's current line; the first refusal is kept.

        It is kept because the user's code may catch the exception and carry on differently from
        how it would with numbers.
        """
        refusal = Untraceable(reason, *calling_line())
        self.refusal = self.refusal or refusal
        raise refusal

    def _record(self, node: Node) -> int:
        place = self._known.get(node)
        if place is None:
            place = self._known[node] = len(self.nodes)
            self.nodes.append(node)
            if place > MOST_OPERATIONS:
                self.refuse(f"has more than {MOST_OPERATIONS} scalar operations")
        return place

    def input(self, *label: str | int) -> int:
        """Return the node of an input, for instance ``("delayed", 0, 2)``."""
        return self._record(Node("input", (), label))

    def constant(self, value: float | bool) -> int:
        """Return the node of a number; the hexadecimal label tells 0.0 from -0.0 and meets nan."""
        if isinstance(value, bool | np.bool_):
            return self._record(Node("boolean", (), (str(bool(value)),)))
        return self._record(Node("constant", (), (float(value).hex(),)))

    def unassigned(self) -> int:
        """Return the node that stands for an element of ``np.empty`` before it is assigned."""
        return self._record(Node("unassigned"))

    def value(self, node: int) -> float | bool | None:
        """Return the number that a node is known to be, or None."""
        return constant_of(self.nodes[node])

    def is_bool(self, node: int) -> bool:
        """Return whether a node holds a truth value."""
        name = self.nodes[node].operation
        return name == "boolean" or (name in OPERATIONS and OPERATIONS[name].gives_bool)

    def as_float(self, node: int) -> int:
        """Return the node as a number: 1.0 or 0.0 for a truth value."""
        return self.apply("as_float", node) if self.is_bool(node) else node

    def as_bool(self, node: int) -> int:
        """Return the node as a truth value: whether a number is not zero."""
        return node if self.is_bool(node) else self.apply("not_equal", node, self.constant(0.0))

    def apply(self, name: str, *operands: int) -> int:
        """Return the node of an operation on earlier nodes."""
        if any(self.nodes[node].operation == "unassigned" for node in operands):
            self.refuse("reads an element of np.empty before assigning it")
        if name in LOGICAL:
            operands = tuple(self.as_bool(node) for node in operands)
        elif name == "where":
            condition, *branches = operands
            condition = self.as_bool(condition)
            if all(self.is_bool(node) for node in branches):
                return self._where_of_bools(condition, *branches)
            operands = (condition, *(self.as_float(node) for node in branches))
        elif name != "as_float":
            if all(self.is_bool(node) for node in operands) and name not in COMPARISONS:
                return self._arithmetic_of_bools(name, operands)
            operands = tuple(self.as_float(node) for node in operands)
        values = [self.value(node) for node in operands]
        if all(value is not None for value in values):
            with np.errstate(all="ignore"):
                folded = OPERATIONS[name].compute(*(_numpy_scalar(value) for value in values))
            return self.constant(bool(folded) if OPERATIONS[name].gives_bool else float(folded))
        simpler = self._simplified(name, operands, values)
        if simpler is not None:
            return simpler
        if name in COMMUTATIVE:
            operands = tuple(sorted(operands))
        return self._record(Node(name, operands))

    def _where_of_bools(self, condition: int, yes: int, no: int) -> int:
        chosen = self.apply("logical_and", condition, yes)
        other = self.apply("logical_and", self.apply("logical_not", condition), no)
        return self.apply("logical_or", chosen, other)

    def _arithmetic_of_bools(self, name: str, operands: tuple[int, ...]) -> int:
        if name == "multiply":
            return self.apply("logical_and", *operands)
        if name == "divide":
            return self.apply(name, *(self.apply("as_float", node) for node in operands))
        return self.refuse(
            f"computes {name} of truth values, which NumPy does in another type; "
            "write np.where(condition, 1.0, 0.0)"
        )

    def _simplified(
        self, name: str, operands: tuple[int, ...], values: list[float | bool | None]
    ) -> int | None:
        """Return an equal node where the result is known bit for bit, powers excepted."""
        if name == "negative" and self.nodes[operands[0]].operation == "negative":
            return self.nodes[operands[0]].operands[0]
        if name == "where":
            return None if values[0] is None else operands[1] if values[0] else operands[2]
        if len(operands) != 2:
            return None
        (left, right), (a, b) = operands, values
        if name in ("multiply", "divide") and b == 1.0:
            return left
        if name == "multiply" and a == 1.0:
            return right
        if name == "subtract" and b is not None and b == 0.0 and np.signbit(b) == 0:
            return left
        if name in ("logical_and", "logical_or"):
            for known, other in ((a, right), (b, left)):
                if known is not None:
                    return other if known == (name == "logical_and") else self.constant(bool(known))
        if name == "power" and b is not None:
            return self._power(left, float(b))
        return None

    def _power(self, base: int, exponent: float) -> int | None:
        if exponent == 0.5:
            return self.apply("sqrt", base)
        if not exponent.is_integer() or abs(exponent) > LARGEST_POWER:
            return None
        if exponent < 0.0:
            power = self._power(base, -exponent)
            return None if power is None else self.apply("divide", self.constant(1.0), power)
        left, square, product = int(exponent), base, None
        while left:
            if left & 1:
                product = square if product is None else self.apply("multiply", product, square)
            left >>= 1
            if left:
                square = self.apply("multiply", square, square)
        return self.constant(1.0) if product is None else product


def constant_of(node: Node) -> float | bool | None:
    """Return the number that a constant node holds, or None for any other node."""
    if node.operation == "constant":
        return float.fromhex(str(node.label[0]))
    if node.operation == "boolean":
        return node.label[0] == "True"
    return None


def _numpy_scalar(value: float | bool | None) -> np.generic:
    return np.bool_(value) if isinstance(value, bool) else np.float64(value)  # type: ignore[arg-type]
