"""Fuzzing: whatever is passed, only documented errors come out, and soon.

Right calls of everything public (`tests/fuzzing/calls.py`) are spoilt in one to three arguments by
odd values. Allowed: an answer, or an `sdde.Error`, within ten seconds of processor time without
what compiling takes. Counts between a million and 2**62 are no mistakes but long runs, and are not
passed.
"""

import contextlib
import faulthandler
import inspect
import signal
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba.core import compiler

import sdde
from sdde import cluster, models, theory
from sdde.engine import building, storage
from tests.fuzzing import calls, plans
from tests.fuzzing.odd import POOL

CALLS, MADE = calls.CALLS | plans.CALLS, calls.MADE | plans.MADE
SECONDS = 10.0
STUCK = 600.0  # of the clock, for what no signal reaches: the process then ends, with a traceback
# What reaches files, other machines or every function at once is tested where it is at home.
ELSEWHERE = {
    "cache_info", "clear_cache", "compare", "live", "packaged_trace", "TraceWriter", "open_store",
}  # fmt: skip
# Legitimately endless: a time or a number of updates so large that it is a wish, not a fault.
ENDLESS = {
    ("simulate", "updates"), ("simulate", "time"), ("simulate_staleness", "updates"),
    ("staleness_error", "updates"),
}  # fmt: skip


class Hang(Exception):
    """A call that does not end."""


@contextlib.contextmanager
def limited(monkeypatch):
    """Stop a call after so many seconds of processor time, compilation not counted."""

    def ended(number, frame):
        raise Hang

    def untimed(function):
        def call(*arguments, **options):
            left, _ = signal.setitimer(signal.ITIMER_PROF, 0.0)
            try:
                return function(*arguments, **options)
            finally:
                signal.setitimer(signal.ITIMER_PROF, left)

        return call

    old = signal.signal(signal.SIGPROF, ended)
    for home, name in ((storage, "compiled"), (building, "build"), (compiler, "compile_extra")):
        monkeypatch.setattr(home, name, untimed(getattr(home, name)))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, old)
        monkeypatch.undo()


def names_of(call):
    """Return the names of all arguments of a call."""
    signature = inspect.signature(call.function)
    return [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in ("progress", "executor", "store")
    ]


FLOATS = st.floats(width=64)
SMALL = st.integers(-20, 20)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
VALUES = st.one_of(
    st.sampled_from(range(len(POOL))).map(lambda k: ("pool", k)),
    st.one_of(
        FLOATS, SMALL, st.lists(FLOATS, max_size=4), st.text(max_size=5),
        arrays.arrays(float, SHAPES, elements=FLOATS),
    ).map(lambda value: ("made", value)),
)  # fmt: skip


@st.composite
def spoilt(draw):
    """Draw a call and the arguments that spoil it."""
    name = draw(st.sampled_from(sorted(CALLS)))
    names = names_of(CALLS[name])
    if not names:
        return name, {}
    which = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return name, {one: draw(VALUES) for one in which}


def try_call(name, changes, monkeypatch):
    """Make a spoilt call; anything but an answer or a documented error is raised."""
    call = CALLS[name]
    given_ = {
        key: POOL[value] if kind == "pool" else value for key, (kind, value) in changes.items()
    }
    if any((name, key) in ENDLESS and not isinstance(value, str) for key, value in given_.items()):
        return
    with limited(monkeypatch), warnings.catch_warnings(), contextlib.suppress(sdde.Error):
        warnings.simplefilter("ignore")
        value = call.function(**(call.arguments | given_))
        if call.use is not None:
            call.use(value)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_calls_are_right(name):
    """What fuzzing spoils works as it stands."""
    call = CALLS[name]
    value = call.function(**call.arguments)
    if call.use is not None:
        call.use(value)


def test_everything_public_is_fuzzed():
    """A public name is in the table, is made by the package, or is named as tested elsewhere."""
    for home in (sdde, cluster, models, theory):
        for name in home.__all__:
            value = getattr(home, name)
            if not callable(value) or name in MADE | ELSEWHERE:
                continue
            functions = {id(call.function) for call in CALLS.values()}
            assert id(value) in functions or any(key.split(".")[0] == name for key in CALLS), (
                f"{home.__name__}.{name} is not fuzzed"
            )


def fuzz(examples):
    """Return the fuzz test with a number of examples."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # an example says enough
    )
    @given(spoilt())
    def run(example):
        with pytest.MonkeyPatch.context() as monkeypatch:
            try_call(*example, monkeypatch)

    return run


def test_odd_arguments_get_an_answer_or_a_documented_error():
    """A few hundred spoilt calls."""
    fuzz(300)()


FOUND = [
    ("Solution.quantile", {"q": np.empty((0, 3))}),
    ("Solution.quantile", {"q": np.full((2, 3), 0.5)}),
    ("Objective.from_callables", {"loss": scipy.stats.expon}),
    ("multilevel", {"tolerance": 1e204}),
    ("multilevel", {"tolerance": 5e-324}),
    ("multilevel", {"max_levels": 2**62}),
    ("FixedStaleness", {"alpha": 2.5e203, "staleness": 2}),
    ("DelaySystem.euler_maruyama", {"dt": 5e-324}),
    ("staleness_law", {"workers": 2**62, "law": 1.0}),
    ("DiscardingBias", {"generation_time": 1e300}),
    ("hawkes", {"history": 1e30}),
    ("Jump", {"rate": -0.0}),
    ("Capped", {"smoothness": 5e-324}),
    ("Brownian.path", {"t": 1.7976931348623157e308}),
    ("Brownian.increments", {"dt": 1.7976931348623157e308}),
    ("Drifting", {"factors": max}),
    ("plan", {"methods": np.array(1.0)}),
    ("plan", {"learning_rate": 1e-70}),
    ("plan", {"learning_rate": 2e166}),
    ("convergence", {"t_span": np.array(3)}),
    ("solve_adaptively", {"rng": np.timedelta64(1, "s")}),
    ("stability_limit", {"law": scipy.stats.expon(scale=1e-300)}),
    ("best_damping", {"law": scipy.stats.gamma(0.01)}),
    ("model_of", {"arrivals": np.full(3, np.nan)}),
    ("Softmax", {"labels": [[1.0, 2.0], [3.0]]}),
    ("Softmax", {"regularisation": 2e-85}),
    ("System", {"buffer": np.int8(3)}),
    ("SharedLink", {"capacity": 2**62}),
    ("Outages", {"up": np.array([1.0, 2.0]), "down": 2.0**64}),
    ("best_k_sync", {"workers": 2**62, "law": np.array([1.0, 2.0])}),
    ("jump_cumulants", {"highest": 2**62}),
    ("with_state_dependent_jumps", {"size": 1e300}),
    ("MemorylessWorkers", {"alpha": 1.7976931348623157e308}),
    ("sweep", {"problem_of": max}),
    ("pipeline_flow", {"seed": np.array(3)}),
    ("DelaySystem", {"delays": 5e-324}),
    ("simulate", {"records": 2**62}),
    ("simulate_staleness", {"records": 2**62}),
    ("AsyncSGD", {"eigenvalues": np.array([1e300, 1e-300])}),
    ("plan", {"learning_rate": 5e-324}),
    ("SynchronousSGD", {"compute_time": 0}),
]


@pytest.mark.parametrize(("name", "changes"), FOUND)
def test_what_fuzzing_found_stays_mended(name, changes, monkeypatch):
    """Each of these once ended in something undocumented, or not at all."""
    made = {key: ("made", value) for key, value in changes.items()}
    try_call(name, made, monkeypatch)


@pytest.mark.slow
def test_thousands_of_odd_arguments():
    """The same with 6,000."""
    fuzz(6000)()


def test_a_hang_is_seen(monkeypatch):
    """The watch that the fuzzing relies on does stop what does not end."""
    monkeypatch.setattr("tests.test_sdde.test_fuzz.SECONDS", 0.2)

    def endless():
        while True:
            pass

    with limited(monkeypatch), pytest.raises(Hang):
        endless()
