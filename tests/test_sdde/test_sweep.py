"""Sweeps: each parameter set is a solve, in one labelled table, wherever it is computed."""

import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import sdde
from sdde import cluster
from sdde.engine import compile as compiling

pytest.importorskip("xarray")
GRID = {"rate": [0.5, 1.0, 1.2], "delay": [0.1, 0.3]}
RUN = {"dt": 0.05, "paths": 20, "rng": 4}


def decay(t, x, late, rate):
    return -rate * late[0]


def problem(rate, delay):
    return sdde.Problem(decay, 0.3, delays=delay, history=1.0, args=(rate,))


@pytest.fixture(scope="module")
def processes():
    pytest.importorskip("cloudpickle")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_each_parameter_set_is_a_solve_bit_for_bit():
    """A grid has one axis for each parameter, in the order given; all share random numbers."""
    table = sdde.sweep(problem, GRID, (0, 4), **RUN)
    assert table.x.dims == ("rate", "delay", "path", "time")
    assert table.computed.values.all()
    assert table.attrs["seed"] == "4"
    for rate in GRID["rate"]:
        for delay in GRID["delay"]:
            one = sdde.solve(problem(rate, delay), (0, 4), save="final", **RUN)
            here = table.sel(rate=rate, delay=delay)
            np.testing.assert_array_equal(here.x.values, one.x)
            np.testing.assert_array_equal(here.status.values, one.status)


def test_listed_sets_and_tables_have_one_axis():
    """Sets need not form a grid."""
    pandas = pytest.importorskip("pandas")
    sets = [{"rate": 0.5, "delay": 0.1}, {"rate": 1.2, "delay": 0.3}, {"rate": 1.0, "delay": 0.1}]
    table = sdde.sweep(problem, sets, (0, 4), **RUN)
    assert table.x.dims == ("point", "path", "time")
    assert table.rate.values.tolist() == [0.5, 1.2, 1.0]
    whole = sdde.sweep(problem, GRID, (0, 4), **RUN)
    np.testing.assert_array_equal(table.x[1].values, whole.x.sel(rate=1.2, delay=0.3).values)
    assert sdde.sweep(problem, pandas.DataFrame(sets), (0, 4), **RUN).identical(table)


def test_a_sweep_elsewhere_is_the_same_table(processes):
    """Processes are sent several short sets at a time."""
    closed = 0.3

    def here(rate, delay):
        return sdde.Problem(decay, closed, delays=delay, history=1.0, args=(rate,))

    grid = {"rate": np.linspace(0.5, 1.0, 8), "delay": np.linspace(0.1, 0.4, 7)}
    run = {**RUN, "save": sdde.Moments([2.0, 4.0], quantiles=0.5)}
    expected = sdde.sweep(here, grid, (0, 4), threads=1, **run)
    assert set(expected.data_vars) >= {"mean", "var", "quantile", "status"}
    assert sdde.sweep(here, grid, (0, 4), threads=3, **run).identical(expected)
    assert sdde.sweep(here, grid, (0, 4), executor=processes, **run).identical(expected)
    with ThreadPoolExecutor(2) as pool:
        assert sdde.sweep(here, grid, (0, 4), executor=pool, **run).identical(expected)


def test_functions_compile_once_for_all_sets(monkeypatch):
    """Values of `args`, delays and histories stay outside the code."""
    made, build = [], compiling._chunk
    monkeypatch.setattr(compiling, "_models", {})
    monkeypatch.setattr(compiling, "_chunk", lambda *args: made.append(args) or build(*args))
    sdde.sweep(problem, GRID, (0, 4), **RUN)
    assert len(made) == 1


def test_seeds_may_be_independent():
    """Then differences between sets are due to chance, too; the same again with the same rng."""
    grid = {"rate": [0.5, 0.5], "delay": [0.1]}
    common = sdde.sweep(problem, grid, (0, 4), **RUN)
    np.testing.assert_array_equal(common.x[0].values, common.x[1].values)
    tables = [sdde.sweep(problem, grid, (0, 4), seeds="independent", **RUN) for _ in range(2)]
    assert tables[0].identical(tables[1])
    assert not (tables[0].x[0].values == tables[0].x[1].values).any()


def test_a_set_may_change_the_settings():
    """A stiff corner takes a smaller step; the table needs the same times only."""

    def careful(rate):
        return problem(rate, 0.2), {"dt": 0.01 if rate > 1.0 else 0.05}

    table = sdde.sweep(careful, {"rate": [0.5, 2.0]}, (0, 4), save=[1.0, 4.0], **RUN)
    fine = sdde.solve(problem(2.0, 0.2), (0, 4), save=[1.0, 4.0], **{**RUN, "dt": 0.01})
    np.testing.assert_array_equal(table.x[1].values, fine.x)


def test_results_that_are_no_problem_are_tabled_too(processes):
    """Anything that a function returns: numbers, arrays, runs of a cluster."""
    table = sdde.sweep(lambda a, b: {"sum": a + b, "pair": [a, b]}, {"a": [1, 2, 3], "b": [10, 20]})
    assert table["sum"].values.tolist() == [[11, 21], [12, 22], [13, 23]]
    assert table.pair.dims == ("a", "b", "pair_0")
    assert sdde.sweep(lambda a: 2.0 * a, {"a": [1.0, 2.0]}).value.values.tolist() == [2.0, 4.0]

    def runs(rate):
        return cluster.simulate(
            cluster.Quadratic(1.0, noise=0.1), cluster.AsyncSGD(), cluster.System(1.0, workers=3),
            learning_rate=rate, updates=50, runs=4, rng=1, records=6,
        )  # fmt: skip

    grid = {"rate": [0.05, 0.1]}
    here, there = sdde.sweep(runs, grid), sdde.sweep(runs, grid, executor=processes)
    np.testing.assert_array_equal(here.loss[1].values, runs(0.1).loss)
    assert here.identical(there)


def test_parameters_may_be_words_or_objects():
    """They become labels."""
    grid = {"noise": ["weak", "strong"], "history": [[1.0, 0.0], [0.0, 1.0]]}

    def system(noise, history):
        level = {"weak": 0.1, "strong": 1.0}[noise]
        return sdde.Problem(lambda t, x, late: -x, level, history=history)

    table = sdde.sweep(system, grid, (0, 1), **RUN)
    assert table.sel(noise="strong").x.std() > 3.0 * table.sel(noise="weak").x.std()
    assert table.history.values.tolist() == ["[1.0, 0.0]", "[0.0, 1.0]"]


def test_divergence_is_data_and_is_said_once():
    """One warning for the sweep, not one for each set."""
    with pytest.warns(sdde.SolutionWarning, match="Paths of 2 of 3 parameter sets") as said:
        table = sdde.sweep(
            lambda power: sdde.Problem(lambda t, x, late, p: p * x, history=1.0, args=(power,)),
            {"power": [-1.0, 20.0, 30.0]}, (0, 5), dt=0.05,
        )  # fmt: skip
    assert len(said) == 1
    assert table.status.values.ravel().tolist() == ["done", "diverged", "diverged"]
    assert np.isnan(table.x.values[1:]).all()


def test_ctrl_c_returns_what_is_done():
    """The rest is nan, and told apart."""

    def press(finished, total):
        assert total == 6
        if finished == 2:
            raise KeyboardInterrupt

    with pytest.warns(sdde.SolutionWarning, match="parameter sets were interrupted"):
        table = sdde.sweep(problem, GRID, (0, 4), threads=1, progress=press, **RUN)
    there = table.computed.values
    assert there.sum() == 2
    whole = sdde.sweep(problem, GRID, (0, 4), **RUN)
    np.testing.assert_array_equal(table.x.values[there], whole.x.values[there])
    assert np.isnan(table.x.values[~there]).all()
    assert (table.status.values[~there] == "interrupted").all()


def test_errors_name_the_parameter_set(processes):
    """Of the problem, and of its run."""
    with pytest.raises(sdde.ArgumentError, match=r"At rate = 1\.0, delay = -0\.1: delays"):
        sdde.sweep(problem, {"rate": [1.0], "delay": [0.1, -0.1]}, (0, 4), **RUN)

    def grows(rate):
        delay = sdde.TimeDelay(lambda t, rate: 0.5 + 0.4 * t, 0.8)
        return sdde.Problem(decay, 0.1, delays=delay, history=1.0, args=(rate,))

    for pool in (None, processes):
        with pytest.raises(sdde.ArgumentError, match=r"At rate = 1\.5: .* above longest"):
            sdde.sweep(grows, {"rate": [1.5]}, (0, 3), executor=pool, **RUN)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"parameters": {}}, "parameters = .* is empty"),
        ({"parameters": 3}, "is neither a grid nor a list"),
        ({"parameters": {"rate": 1.0}}, "parameters\\['rate'\\] = 1.0 is not a list of values"),
        ({"parameters": {"rate": []}}, "parameters\\['rate'\\] = .* is empty"),
        ({"parameters": {"a rate": [1.0]}}, "is not the name of an argument"),
        ({"parameters": [{"rate": 1.0}, {"delay": 1.0}]}, "parameters\\[1\\] = .* does not name"),
        ({"parameters": {"rate": [1.0]}}, "problem_of = .* cannot be called with rate"),
        ({"problem_of": 3}, "problem_of = 3 is not a function|problem_of = 3"),
        ({"seeds": "other"}, "seeds = 'other'"),
        ({"executor": "dask"}, "executor = 'dask' is neither"),
        ({"dt": None}, "dt = None is missing"),
        ({"t_span": None}, "t_span = None is missing"),
        ({"problem_of": lambda rate, delay: 1.0}, "problem_of returned no problem"),
        ({"problem_of": lambda rate, delay: None, "t_span": None}, "expected a Problem"),
        (
            {"problem_of": lambda rate, delay: (problem(rate, delay), {"step": 1})},
            "does not name arguments of sdde.solve",
        ),
        (
            {"problem_of": lambda rate, delay: (problem(rate, delay), {"paths": int(20 * rate)})},
            "At rate = 1.0, delay = 0.1, .* differs from that at rate = 0.5",
        ),
        (
            {"parameters": {"time": [1.0]}, "problem_of": lambda time: problem(time, 0.1)},
            "parameters = 'time' is also the name of a result",
        ),
    ],
)
def test_bad_sweeps_are_refused(changes, match):
    """With what to change."""
    given = {"problem_of": problem, "parameters": GRID, "t_span": (0, 4), "threads": 1, **RUN}
    given |= changes
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.sweep(given.pop("problem_of"), given.pop("parameters"), given.pop("t_span"), **given)


def test_a_missing_package_is_named(monkeypatch):
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(sdde.ArgumentError, match=r'pip install "sdde\[data\]"'):
        sdde.sweep(problem, GRID, (0, 4), **RUN)


def test_the_users_function_is_called_in_one_thread():
    """It need not be safe in several."""
    seen = set()

    def noted(rate, delay):
        seen.add(threading.get_ident())
        return problem(rate, delay)

    sdde.sweep(noted, GRID, (0, 4), threads=3, **RUN)
    assert seen == {threading.get_ident()}
