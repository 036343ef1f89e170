"""Content hashes: what must change them, what must not, and what cannot be hashed."""

import functools
import os
import subprocess
import sys
import textwrap
import threading
import types
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from sdde.engine.fingerprint import Unhashable, fingerprint

ROOT = Path(__file__).parents[2]


def functions_from(text: str, **names: Any) -> types.SimpleNamespace:
    """The names that a piece of source defines, as a module of its own would."""
    space: dict[str, Any] = {"np": np, **names}
    exec(textwrap.dedent(text), space)
    return types.SimpleNamespace(**{k: v for k, v in space.items() if k != "__builtins__"})


def hash_of(text: str, **names: Any) -> bytes:
    return fingerprint(functions_from(text, **names).f)


BASE = """
    def helper(v):
        return 2.0 * v

    def f(t, x, delayed, k=1.0, *, m=2):
        return helper(x) + k * len({1, 2, 3}) + m
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("k * len", "k / len"),
        ("2.0 * v", "2.5 * v"),
        ("2.0 * v", "2 * v"),
        ("k=1.0", "k=1.5"),
        ("k=1.0", "k=1"),
        ("m=2", "m=3"),
        ("{1, 2, 3}", "{1, 2, 4}"),
        ("{1, 2, 3}", "[1, 2, 3]"),
        ("helper(x)", "abs(x)"),
        ("t, x, delayed", "x, t, delayed"),
        ("2.0 * v", "0.0 * v if v else -0.0"),
    ],
)
def test_an_edit_changes_the_hash(old, new):
    """A stale compiled function would be wrong without a word."""
    assert old in BASE
    assert hash_of(BASE) != hash_of(BASE.replace(old, new))


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1), ("ab", b"ab"), ((1, 2), [1, 2]), ((1,), ((1,),)),
     ({1: 2}, {2: 1}), ({1, 2}, frozenset({1, 2})), (np.float64(1), 1.0), (None, ()),
     (np.zeros(2), np.zeros(2, dtype=int)), (np.zeros((2, 1)), np.zeros((1, 2))),
     (np.array([0.0]), np.array([-0.0])), (np.float32(0), np.float64(0)), (1 + 0j, 1)],
)  # fmt: skip
def test_values_that_behave_differently_differ_in_a_closure(one, other):
    """Equality is not enough: 1 and 1.0 compile to different code."""
    assert fingerprint((lambda v: lambda: v)(one)) != fingerprint((lambda v: lambda: v)(other))


def test_the_place_of_the_source_does_not_matter():
    """Moving a function down its file, or making the same lambda again, compiles nothing new."""
    assert hash_of(BASE) == hash_of("\n\n\n# a comment\n" + textwrap.dedent(BASE))
    make = lambda a: lambda t, x, delayed: a * x  # noqa: E731
    assert fingerprint(make(2.0)) == fingerprint(make(2.0))
    assert fingerprint(make(2.0)) != fingerprint(make(3.0))


def test_a_global_that_is_not_read_does_not_matter():
    """Only names in the bytecode count."""
    text = "def f(t, x, delayed):\n    return K * x"
    assert hash_of(text, K=1.0, other=1) == hash_of(text, K=1.0, other=2)
    assert hash_of(text, K=1.0) != hash_of(text, K=2.0)


def test_attributes_of_the_user_s_modules_count():
    """A module of parameters has no version; what is read from it is its content."""
    text = "def f(t, x, delayed):\n    return settings.gain * settings.inner.scale * x"

    def module(gain, scale):
        made = types.ModuleType("settings")
        made.gain, made.inner = gain, types.ModuleType("inner")  # type: ignore[attr-defined]
        made.inner.scale = scale  # type: ignore[attr-defined]
        return made

    assert hash_of(text, settings=module(1.0, 2.0)) == hash_of(text, settings=module(1.0, 2.0))
    assert hash_of(text, settings=module(1.0, 2.0)) != hash_of(text, settings=module(1.5, 2.0))
    assert hash_of(text, settings=module(1.0, 2.0)) != hash_of(text, settings=module(1.0, 2.5))


def test_a_module_of_unknown_content_is_refused():
    """Passing the whole module on could read anything from it."""
    with pytest.raises(Unhashable, match="no version"):
        hash_of("def f():\n    return vars(settings)", settings=types.ModuleType("settings"))


def test_an_import_inside_a_function_counts_by_version():
    """What it brings is not in the globals."""
    text = "def f(x):\n    import {} as m\n    return m.sqrt(x)"
    assert hash_of(text.format("math")) != hash_of(text.format("numpy"))
    with pytest.raises(Unhashable, match="no version"):
        hash_of(text.format("a_module_of_the_user"))


def test_many_names_do_not_hide_an_attribute():
    """Bytecode widens its arguments when a function has more than 256 names."""
    many = "\n".join(f"    x.name{k}" for k in range(300))
    text = f"def f(x):\n{many}\n    return settings.gain"
    made = types.ModuleType("settings")
    made.gain = 1.0  # type: ignore[attr-defined]
    before = hash_of(text, settings=made)
    made.gain = 2.0  # type: ignore[attr-defined]
    assert hash_of(text, settings=made) != before


def test_cycles_end_and_still_tell_functions_apart():
    """Functions that call each other refer to each other."""
    text = """
        def f(n):
            return 1 if n == 0 else n * g(n - 1)

        def g(n):
            return {} if n == 0 else f(n - 1)
    """
    assert hash_of(text.format(1)) == hash_of(text.format(1))
    assert hash_of(text.format(1)) != hash_of(text.format(2))
    ring: list[Any] = [1]
    ring.append(ring)
    assert fingerprint(ring) != fingerprint([1, [1]])


class Model:
    scale = 1.0

    def __init__(self, gain):
        self.gain = gain

    def __call__(self, t, x, delayed):
        return self.gain * self.scale * x


def test_an_object_counts_by_its_state_and_its_methods():
    """Callable objects are functions with parameters."""
    assert fingerprint(Model(1.0)) == fingerprint(Model(1.0))
    assert fingerprint(Model(1.0)) != fingerprint(Model(2.0))
    assert fingerprint(Model(1.0).__call__) != fingerprint(Model(2.0).__call__)
    changed = type("Model", (Model,), {"__call__": lambda self, t, x, delayed: -x})
    assert fingerprint(changed(1.0)) != fingerprint(Model(1.0))


def test_partials_methods_and_numba_functions_are_seen_through():
    """However a function is wrapped, what it computes counts."""

    def f(t, x, delayed, k):
        return k * x

    assert fingerprint(functools.partial(f, k=1)) != fingerprint(functools.partial(f, k=2))
    one, fast = numba.njit(f), numba.njit(fastmath=True)(f)
    assert fingerprint(one) == fingerprint(numba.njit(f))
    assert fingerprint(one) != fingerprint(fast)
    assert fingerprint(one) != fingerprint(numba.njit(lambda t, x, delayed, k: k + x))
    cached = functools.lru_cache(f)
    assert fingerprint(cached) == fingerprint(functools.lru_cache(f))


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), (i for i in range(3)), sys.stdout, memoryview(b"a")],
    ids=["lock", "generator", "file", "memoryview"],
)
def test_a_value_whose_content_cannot_be_seen_is_refused(value):
    """The caller then compiles without a disk cache, instead of guessing."""
    with pytest.raises(Unhashable):
        fingerprint((lambda v: lambda: v)(value))


SCRIPT = """
import functools, math, numpy as np
from sdde.engine.fingerprint import fingerprint
words = {"alpha", "beta", "gamma", ("x", 1)}
W = np.arange(6.0).reshape(2, 3)
class M:
    names = frozenset("abc")
    def __call__(self, t, x, delayed):
        return W @ x if t in {"p", "q", "r"} else math.exp(np.sum(x))
def f(t, x, delayed, k={"a": 1, "b": words}):
    return [g(v) for v in x if v in words] + [lambda: k]
def g(v):
    return f(v, v, v) if v else np.tanh(v)
print(fingerprint(f, M(), M().__call__, functools.partial(f, k=words)).hex())
"""


def test_the_hash_is_the_same_in_another_process_with_another_hash_seed():
    """A disk cache is for the next process."""
    found = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert len(found.pop().strip()) == 64
