"""Compilation: forms of functions, the cache on disk, and what cannot be compiled."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import sdde
from sdde.engine import compile as compiling
from sdde.engine import storage
from sdde.engine.forms import forms_of
from sdde.solving import running
from tests import reference


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    """An empty cache folder, and nothing compiled in this process."""
    monkeypatch.setenv("SDDE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiling, "_models", dict(compiling._models))
    return tmp_path


def _helper(v):
    return v if v > 0.3 else -0.5 * v


def _branching(t, x, delayed, a):
    if x > 0.5 and delayed[0] < 1.0:
        return -a * x
    return -_helper(delayed[1])


def test_a_branching_scalar_function_equals_its_plain_python_twin():
    """What cannot be read as a formula is compiled as it stands, helpers included."""
    problem = sdde.Problem(_branching, 0.3, delays=(0.1, 0.25), history=1.0, args=(2.0,))
    assert forms_of(problem, ()).expressions["drift"] is None
    many = sdde.solve(problem, (0.0, 2.0), dt=0.02, paths=40, rng=5)
    alone = sdde.solve(problem, (0.0, 2.0), dt=0.02, rng=5)
    np.testing.assert_array_equal(many.x[0], alone.x[0])
    twin = reference.euler_maruyama(
        lambda t, x, d, a: [_branching(t, x[0], [late[0] for late in d], a)],
        lambda t, x, d, a: [0.3], (0.1, 0.25), lambda t: [1.0], 0.0, 0.02, 100, 5, 7, args=(2.0,),
    )  # fmt: skip
    np.testing.assert_array_equal(many.x[7], twin[:, 0])


def test_delayed_is_an_array_also_where_a_tuple_would_mean_something_else():
    """Adding tuples joins them; users were promised arrays."""

    def drift(t, x, delayed):
        total = 0.0
        for value in delayed + delayed:
            total -= value if value > 0.0 else 0.25
        return total

    problem = sdde.Problem(drift, 0.1, delays=(0.1, 0.2), history=1.0)
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.1, paths=2, rng=3)
    twin = reference.euler_maruyama(
        lambda t, x, d: [drift(t, x[0], np.array([late[0] for late in d]))],
        lambda t, x, d: [0.1], (0.1, 0.2), lambda t: [1.0], 0.0, 0.1, 10, 3, 1,
    )  # fmt: skip
    np.testing.assert_array_equal(solution.x[1], twin[:, 0])


def _numpy_paths(drift, start, lag, dt, steps):
    """The method without noise, in NumPy."""
    states = [start] * (lag + 1)
    for n in range(steps):
        states.append(states[-1] + drift(n * dt, states[-1], np.array([states[-1 - lag]])) * dt)
    return np.array(states[lag:])


WEIGHTS = np.random.default_rng(1).normal(size=(24, 24)) / 5.0


def _matrix_form(t, x, delayed):
    return -x + WEIGHTS @ np.tanh(delayed[0]) + 0.1 * np.sin(t)


def _loop_form(t, x, delayed):
    out = np.zeros(24)
    for i in range(24):
        out[i] = delayed[0, i - 1] - x[i] if x[i] > 0.5 else -x[i]
    return out


@pytest.mark.parametrize(("drift", "in_lanes"), [(_matrix_form, True), (_loop_form, False)])
def test_large_systems_agree_with_numpy(drift, in_lanes):
    """Matrix products serve many paths at once where that is the same; else path by path."""
    start = np.linspace(0.1, 1.0, 24)
    problem = sdde.Problem(drift, delays=0.1, history=start)
    assert forms_of(problem, (24,)).in_lanes is in_lanes
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=3)
    expected = _numpy_paths(drift, start, 5, 0.02, 50)
    np.testing.assert_allclose(solution.x[2], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("noise", ["diagonal", "scalar"])
def test_large_systems_use_the_noise_of_small_ones(noise):
    """Components of a large system that do not interact are copies of the scalar equation."""
    large = sdde.Problem(
        lambda t, x, d: -2.0 * d[0] + x, lambda t, x, d: 0.1 * x, delays=0.15,
        history=np.ones(20), noise=noise,
    )  # fmt: skip
    small = sdde.Problem(
        lambda t, x, d: -2.0 * d[0] + x, lambda t, x, d: 0.1 * x, delays=0.15, history=1.0
    )
    one, other = (sdde.solve(p, (0.0, 1.0), dt=0.1, paths=4, rng=2).x for p in (large, small))
    np.testing.assert_allclose(one[:, :, 0], other, rtol=1e-13)
    if noise == "scalar":
        np.testing.assert_allclose(one[:, :, 19], other, rtol=1e-13)


@pytest.mark.parametrize("jumps", [False, True])
def test_block_and_buffer_sizes_do_not_change_a_path(jumps, monkeypatch):
    """They are chosen for speed, so they may change with the processor."""
    jump = sdde.Jump(3.0, lambda t, x, d, mark: -0.3 * d[0] * mark, delays=0.2, mark=1.5)
    problem = sdde.Problem(
        lambda t, x, d: -d[0] * np.exp(-x * x), 0.3, delays=(0.35,), history=1.0,
        jumps=jump if jumps else (),
    )  # fmt: skip

    def solve(paths):
        return sdde.solve(problem, (0.0, 4.0), dt=0.1, paths=paths, rng=4).x

    expected = solve(70)
    np.testing.assert_array_equal(solve(1), expected[:1])
    np.testing.assert_array_equal(solve(9), expected[:9])
    for many, group in ((64, 64), (128, 32), (16, 96)):
        monkeypatch.setattr(compiling, "_MANY", many)
        monkeypatch.setattr(running, "_GROUP", group)
        np.testing.assert_array_equal(solve(70), expected)


def _problem(a):
    return sdde.Problem(lambda t, x, d: -a * d[0], 0.1, delays=0.5, history=1.0)


def test_a_compiled_model_is_found_again(fresh_cache):
    """A second process must not compile; new constants must."""
    compiling._models.clear()
    sdde.solve(_problem(1.0), (0.0, 1.0), dt=0.1, rng=1)
    entries = sdde.cache_info().entries
    assert entries > 0
    compiling._models.clear()
    sdde.solve(_problem(1.0), (0.0, 1.0), dt=0.1, rng=1)
    assert sdde.cache_info().entries == entries
    sdde.solve(_problem(2.0), (0.0, 1.0), dt=0.1, rng=1)
    assert sdde.cache_info().entries == entries + 1
    assert sdde.cache_info().path == fresh_cache


def test_clearing_the_cache_leaves_other_files_alone(fresh_cache):
    """People may point SDDE_CACHE_DIR at a folder of theirs."""
    other = fresh_cache / "notes.txt"
    other.write_text("mine")
    sdde.solve(_problem(1.0), (0.0, 1.0), dt=0.1, rng=1)
    assert sdde.clear_cache().entries > 0
    assert sdde.cache_info().entries == 0
    assert other.read_text() == "mine"


@pytest.mark.parametrize("damage", ["emptied", "replaced", "cut short", "altered"])
def test_broken_cache_entries_are_made_again(fresh_cache, damage):
    """A full disk or a killed process must not break every later run."""
    expected = sdde.solve(_problem(1.0), (0.0, 1.0), dt=0.1, rng=1).x
    files = list(Path(fresh_cache).glob("m_*.obj"))
    assert files
    for file in files:
        data = file.read_bytes()
        file.write_bytes({
            "emptied": b"", "replaced": b"rubbish", "cut short": data[: len(data) // 2],
            "altered": data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        }[damage])  # fmt: skip
    compiling._models.clear()
    again = sdde.solve(_problem(1.0), (0.0, 1.0), dt=0.1, rng=1).x
    np.testing.assert_array_equal(again, expected)


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    """Read-only homes are common on clusters."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SDDE_CACHE_DIR", str(blocked / "below"))
    monkeypatch.setattr(compiling, "_models", dict(compiling._models))
    assert sdde.solve(_problem(3.25), (0.0, 1.0), dt=0.1, rng=1).x.shape == (1, 11)
    assert sdde.cache_info().entries == 0


def test_threads_may_compile_the_same_model_at_once(fresh_cache):
    """Two solves in two threads are ordinary use."""
    with ThreadPoolExecutor(4) as pool:
        results = list(
            pool.map(lambda _: sdde.solve(_problem(1.5), (0.0, 1.0), dt=0.1, rng=1).x, range(8))
        )
    for x in results:
        np.testing.assert_array_equal(x, results[0])


def test_a_changed_closure_is_noticed():
    """A stale compiled model would silently solve the old equation."""
    gain = 1.0

    def drift(t, x, delayed):
        return -gain * x

    problem = sdde.Problem(drift, history=1.0)
    first = sdde.solve(problem, (0.0, 1.0), dt=0.5).x
    gain = 2.0
    second = sdde.solve(problem, (0.0, 1.0), dt=0.5).x
    np.testing.assert_array_equal(first[0], [1.0, 0.5, 0.25])
    np.testing.assert_array_equal(second[0], [1.0, 0.0, 0.0])


def test_what_cannot_be_compiled_is_named_with_its_line():
    """Numba's own messages fill a screen and name none of the user's things."""

    def drift(t, x, delayed):
        if x > 0.0:
            return float(open("numbers.txt").read())
        return -x

    problem = sdde.Problem(drift, history=-1.0)
    with pytest.raises(
        sdde.CompileError, match=r"drift could not be compiled: line \d+, `"
    ) as info:
        sdde.solve(problem, (0.0, 1.0), dt=0.1)
    text = str(info.value)
    assert "open" in text
    assert len(text.splitlines()) < 8
    assert "nopython" not in text
    assert info.value.__cause__ is None


def test_a_branching_callable_object_is_refused_with_advice():
    """Only functions have code to compile."""

    class Drift:
        def __call__(self, t, x, delayed):
            return -x if x > 0.0 else 0.0

    problem = sdde.Problem(Drift(), history=1.0)
    with pytest.raises(sdde.CompileError, match="is not an ordinary Python function"):
        sdde.solve(problem, (0.0, 1.0), dt=0.1)


def test_keys_depend_on_every_part():
    """Joining parts without their lengths would let two models share a key."""
    assert storage.key_of(b"ab", b"c") != storage.key_of(b"a", b"bc")
    assert len(storage.key_of(b"")) == 32


def test_importing_the_package_compiles_nothing():
    """`import sdde` is for quick scripts and for documentation tools."""
    code = (
        "import sys, sdde; sdde.Problem(lambda t, x, d: -x, history=1.0);"
        "sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_compiled_before_starts_without_the_compiler(fresh_cache):
    """Importing numba takes longer than all else in a short script; SciPy's laws as long again."""
    code = (
        "import sys, sdde\n"
        "jump = sdde.Jump(2.0, lambda t, x, d, mark: -0.1 * d[0] * mark, delays=0.2, mark=1.5)\n"
        "def drift(t, x, d):\n    return -d[0] if x > 0.0 else 0.5\n"
        "for function in (lambda t, x, d: -d[0] * x, drift):\n"
        "    p = sdde.Problem(function, 0.1, delays=0.25, history=1.0, jumps=jump)\n"
        "    sdde.solve(p, (0.0, 1.0), dt=0.1, rng=1)\n"
        "    sdde.solve(p, (0.0, 1.0), dt=0.1, rng=1, paths=100, save='final')\n"
        "print(*(name in sys.modules for name in ('numba', 'sdde.engine.tracing', 'scipy')))"
    )
    run = [sys.executable, "-c", code]
    first = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    again = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
    assert first[:2] == ["True", "True"]
    assert again == ["False", "False", "False"]


def test_what_a_compiled_function_raises_reaches_the_caller():
    """A function that is compiled as it stands may refuse a state."""

    def drift(t, x, delayed):
        if x > 2.0:
            raise ValueError("too large", x)
        return 1.0

    problem = sdde.Problem(drift, history=1.0)
    with pytest.raises(ValueError, match="too large") as info:
        sdde.solve(problem, (0.0, 3.0), dt=0.1, rng=1)
    assert info.value.args == ("too large",)
