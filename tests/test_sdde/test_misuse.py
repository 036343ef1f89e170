"""Misuse: each raises `ArgumentError` with argument, value and a remedy, and compiles nothing.

The tables in `tests/misuse` hold how each message begins (`...` stands for any text) and the call
that is refused.
"""

import re

import numba.core.compiler
import pytest

import sdde
from sdde.engine import storage
from tests.misuse import others, problems, solving

TABLE = [*problems.TABLE, *solving.TABLE, *others.TABLE]
# What is wrong with a function is said of what it returned or how it failed, without "= value".
OF_FUNCTIONS = ("returned", "failed", "cannot be called with", "cannot be read", "is ")


def test_the_table_is_long():
    """Misuse is as many-sided as use."""
    assert len(TABLE) >= 400
    assert len({begins for begins, _ in TABLE}) >= 250


@pytest.fixture
def nothing_compiles(monkeypatch):
    """Make every compilation fail the test."""

    def compiled(*arguments, **options):
        pytest.fail("something was compiled")

    monkeypatch.setattr(storage, "compiled", compiled)  # chunks, drivers, fillers of noise
    monkeypatch.setattr(numba.core.compiler, "compile_extra", compiled)  # whatever numba compiles


@pytest.mark.usefixtures("nothing_compiles")
def test_right_use_does_compile():
    """The watch sees a compilation when there is one."""
    problem = sdde.Problem(lambda t, x, delayed: -0.123456789 * x, history=1.0)
    with pytest.raises(pytest.fail.Exception, match="something was compiled"):
        sdde.solve(problem, (0.0, 1.0), dt=0.1)


@pytest.mark.usefixtures("nothing_compiles")
@pytest.mark.parametrize(
    ("begins", "misuse"), TABLE, ids=[f"{k}: {begins}" for k, (begins, _) in enumerate(TABLE)]
)
def test_misuse_is_refused_before_anything_is_compiled(begins, misuse):
    """A wrong call costs a second and one clear message, not a compilation and a traceback."""
    with pytest.raises(sdde.ArgumentError) as caught:
        misuse()
    first, *rest = str(caught.value).split("\n")
    pattern = ".*".join(re.escape(part) for part in begins.split("..."))
    assert re.match(pattern, first)
    assert re.match(r"[\w.\[\](), ]+ = ", first) or any(
        f" {word}" in first for word in OF_FUNCTIONS
    )
    assert first.endswith(".")
    assert rest  # why, or what to do
    assert all(line.startswith("  ") and line.endswith(".") for line in rest)
