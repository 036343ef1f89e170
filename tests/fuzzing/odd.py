"""Odd values: what people pass by accident, and what nobody should pass."""

import datetime
import decimal
import fractions
import math

import numpy as np
import scipy.stats
from hypothesis import strategies as st

import sdde


def silent(*arguments, **named):
    """Return nothing."""


def constant(*arguments):
    return 1.0


def nan(*arguments):
    return math.nan


def text(*arguments):
    return "text"


def pair(*arguments):
    return [1.0, 2.0]


def raising(*arguments):
    raise ZeroDivisionError("on purpose")


def first(x, *rest):
    return x


def no_arguments():
    return 1.0


class Odd:
    """An object whose own text fails."""

    def __repr__(self):
        raise RuntimeError("no text")


# Between a million and 2**62 a count is a long run rather than a mistake: left out on purpose.
NUMBERS = [
    0, 1, 2, 3, -1, 7, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 10**400, True, False,
    0.0, -0.0, 1.0, 0.5, -1.0, 1.5, 2.0, 1e-3, math.pi, math.nan, math.inf, -math.inf, 1e300,
    -1e300,
    1.7976931348623157e308, 5e-324, 1e-300, 1j, 0j, complex(math.nan, 0),
    np.float32(0.5), np.float64("nan"), np.int8(3), np.uint64(2**64 - 1), np.bool_(True),
    np.array(1.0), np.array(3), np.datetime64("2026-01-01"), np.timedelta64(1, "s"),
    fractions.Fraction(1, 3), decimal.Decimal("0.1"), decimal.Decimal("nan"),
]  # fmt: skip
WORDS = [
    "",
    "text",
    "all",
    "final",
    "ito",
    "exact",
    "poisson",
    "α",
    "a" * 1000,
    "1.0",
    "\x00",
    b"bytes",
]
COLLECTIONS = [
    (), [], {}, set(), frozenset({1.0}), [[]], [[], []], [None], [math.nan], [1.0, math.inf], ["a"],
    [1.0], [1.0, 2.0], [2.0, 1.0], [1, 2, 3], (0, 1), (1.0, 0.0), [[1.0, 2.0], [3.0]],
    [[1.0, 0.0], [0.0, 1.0]], {"a": 1.0}, {1: 2}, range(3), range(0), {1.0, 2.0}, [True, False],
    np.zeros(0), np.zeros((0, 3)), np.ones(3), np.ones((2, 2)), np.ones((2, 3, 4)), np.full(3,
    np.nan),
    np.array([1.0, -1.0]), np.array([1, 2], dtype=np.int32), np.array(["a", "b"]), np.array([1j,
    2.0]),
    np.array([None, 1.0], dtype=object), np.array([True, False]), np.ones(3, dtype=np.float16),
    np.array([1e300, 1e-300]), np.arange(6.0)[::-2], np.ma.masked_array([1.0, 2.0], [True, False]),
    [sdde.ArgumentError], bytearray(b"ab"), memoryview(b"ab"),
]  # fmt: skip
FUNCTIONS = [
    silent, constant, nan, text, pair, raising, first, no_arguments, math.sin, np.sin, len, int,
    Odd,
    max, print,
]  # fmt: skip
LAWS = [
    scipy.stats.expon(), scipy.stats.expon(scale=1e-300), scipy.stats.expon(scale=1e300),
    scipy.stats.gamma(0.01), scipy.stats.norm(), scipy.stats.cauchy(), scipy.stats.pareto(0.5),
    scipy.stats.pareto(1.5), scipy.stats.poisson(2.0), scipy.stats.uniform(-1.0, 2.0),
    scipy.stats.expon,
    scipy.stats.lognorm(5.0), scipy.stats.bernoulli(0.5), scipy.stats.uniform(0.0, 0.0),
]  # fmt: skip
OBJECTS = [
    None, ..., NotImplemented, object(), Odd(), datetime.date(2026, 1, 1), Ellipsis, sdde,
    np.random.default_rng(0), np.random.SeedSequence(1), np.random.RandomState(0),
    np.random.PCG64(2), sdde.Problem(first, history=1.0), sdde.cluster.System(1.0),
    sdde.cluster.Quadratic([1.0]), sdde.cluster.AsyncSGD(), sdde.cluster.KSync(2),
    sdde.cluster.SharedLink(0.1), sdde.Moments(), sdde.theory.DelaySystem(0.0, -1.0, 1.0),
]  # fmt: skip

POOL = [*NUMBERS, *WORDS, *COLLECTIONS, *FUNCTIONS, *LAWS, *OBJECTS]
odd = st.sampled_from(range(len(POOL)))
