"""Sweeps that go to a store: no parameter set is computed twice, and the table is the same."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats

import sdde
from sdde.engine.fingerprint import fingerprint
from sdde.solving import sweeping
from sdde.solving.stores import Store


def decay(t, x, delayed, rate):
    return -rate * delayed[0]


def problem(rate, delay):
    return sdde.Problem(decay, 0.3, delays=delay, history=1.0, args=(rate,))


GRID = {"rate": [0.5, 1.0, 1.5, 2.0], "delay": [0.1, 0.2, 0.4]}


def sweep(**changes):
    options = {"dt": 0.1, "paths": 20, "rng": 3, "t_span": (0.0, 1.0), **changes}
    made, grid = options.pop("problem_of", problem), options.pop("parameters", GRID)
    return sdde.sweep(made, grid, **options)


class Stopped(Exception):
    """The sweep is killed here."""


@pytest.fixture
def computed(monkeypatch):
    """Note which sets are computed."""
    found, indices = sweeping.PointWork._found, []

    def noted(self, index, made):
        indices.append(index)
        return found(self, index, made)

    monkeypatch.setattr(sweeping.PointWork, "_found", noted)
    return indices


def stopped_after(monkeypatch, place, sets, **changes):
    """Kill a sweep after so many sets."""
    put, count = Store.put, []

    def put_some(self, block, arrays):
        if len(count) == sets:
            raise Stopped
        count.append(block)
        put(self, block, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", put_some)
        with pytest.raises(Stopped):
            sweep(store=place, **changes)


@pytest.mark.parametrize("save", ["all", sdde.Moments("all", 0.5)])
def test_a_sweep_that_was_killed_computes_only_what_is_missing(
    tmp_path, monkeypatch, computed, save
):
    """And ends as one that was not."""
    whole = sweep(save=save)
    stopped_after(monkeypatch, tmp_path / "a.zarr", 5, save=save)
    computed.clear()
    resumed = sweep(store=tmp_path / "a.zarr", save=save)
    assert len(computed) == 12 - 5
    assert resumed.identical(whole)
    computed.clear()
    assert sweep(store=tmp_path / "a.zarr", save=save).identical(whole)
    assert computed == []


@pytest.mark.parametrize("rates", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_many_points_resumed_after_a_kill_compute_only_what_is_missing(
    tmp_path, monkeypatch, computed, rates
):
    """100 and 1,000 points: one compilation, and no point twice."""
    grid = {"rate": np.linspace(0.5, 1.5, rates), "delay": np.linspace(0.1, 0.9, 10)}
    options = {"parameters": grid, "paths": 2, "save": "final"}
    stopped_after(monkeypatch, tmp_path / "a.zarr", 7 * rates, **options)
    computed.clear()
    resumed = sweep(store=tmp_path / "a.zarr", **options)
    assert len(computed) == 3 * rates
    assert len(set(computed)) == 3 * rates
    assert resumed.identical(sweep(**options))


def test_results_of_other_functions_are_stored_as_well(tmp_path, monkeypatch):
    """Here each set is a number and an array, from a function that solves itself."""

    def measured(rate):
        return {"late": rate**2, "curve": np.arange(3.0) * rate}

    options = {"parameters": [{"rate": 1.0}, {"rate": 2.0}], "t_span": None, "dt": None}
    whole = sweep(problem_of=measured, **options)
    first = sweep(problem_of=measured, store=tmp_path / "a.zarr", **options)
    monkeypatch.setattr(sweeping.PointWork, "made", lambda self, index: pytest.fail("computed"))
    again = sweep(problem_of=measured, store=tmp_path / "a.zarr", **options)
    assert first.identical(whole)
    assert again.identical(whole)


def test_an_executor_fills_the_store_of_a_sweep(tmp_path, monkeypatch, computed):
    """Begun here, ended there."""
    stopped_after(monkeypatch, tmp_path / "a.zarr", 4)
    with ThreadPoolExecutor(2) as pool:
        assert sweep(store=tmp_path / "a.zarr", executor=pool).identical(sweep())


def other(rate, delay):
    return sdde.Problem(decay, 0.31, delays=delay, history=1.0, args=(rate,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem_of": other}, "it has other functions in problem_of"),
        ({"rng": 4}, "seed = '3' there and '4' here"),
        ({"dt": 0.05}, "dt = 0.1 there and 0.05 here"),
        ({"save": "all"}, "save = 'final' there and 'all' here"),
        ({"parameters": {**GRID, "rate": [0.5, 1.0, 1.5, 2.5]}}, "parameters = "),
        ({"noise": sdde.Brownian(3, finest=0.1)}, "noise"),
        ({"seeds": "independent"}, "seeds = 'common' there and 'independent' here"),
    ],
)
def test_the_store_of_another_sweep_is_refused(tmp_path, computed, change, said):
    """Nothing is computed, and the store stays as it was."""
    sweep(store=tmp_path / "a.zarr")
    computed.clear()
    with pytest.raises(sdde.ArgumentError, match=said):
        sweep(store=tmp_path / "a.zarr", **change)
    sweep(store=tmp_path / "a.zarr")
    assert computed == []
    with pytest.raises(sdde.ArgumentError, match="holds a sweep, not paths"):
        sdde.solve(problem(1.0, 0.1), (0.0, 1.0), dt=0.1, store=tmp_path / "a.zarr")


def test_a_damaged_set_is_computed_again(tmp_path, computed):
    """With a warning."""
    sweep(store=tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "rest" / "7" / "c" / "0"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    computed.clear()
    with pytest.warns(sdde.SolutionWarning, match=r"1 of 12 blocks are damaged \(7\)"):
        mended = sweep(store=tmp_path / "a.zarr")
    assert computed == [7]
    assert mended.identical(sweep())


def test_the_store_of_a_sweep_opens_as_its_table(tmp_path, monkeypatch):
    """Incomplete ones say so."""
    whole = sweep()
    stopped_after(monkeypatch, tmp_path / "a.zarr", 5)
    with pytest.warns(sdde.SolutionWarning, match="has 5 of 12 parameter sets"):
        partly = sdde.open_store(tmp_path / "a.zarr")
    assert partly.computed.sum() == 5
    sweep(store=tmp_path / "a.zarr")
    opened = sdde.open_store(tmp_path / "a.zarr")
    assert opened.equals(whole)
    assert opened.attrs["complete"] == 1


LAW = scipy.stats.gamma(2.0)


def random(scale):
    return sdde.cluster.System(LAW, workers=2), scale


def test_what_a_function_refers_to_belongs_to_its_fingerprint(monkeypatch):
    """Laws and values of this package too; but not the state of NumPy's global numbers."""
    before = fingerprint(random, itself=True)
    np.random.mtrand._rand.random_sample()
    assert fingerprint(random, itself=True) == before
    monkeypatch.setitem(globals(), "LAW", scipy.stats.gamma(2.5))
    assert fingerprint(random, itself=True) != before
