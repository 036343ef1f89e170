"""Cluster runs that go to a store: no block is simulated twice, and the result is the same."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats

import sdde
from sdde import cluster
from sdde.cluster import run_blocks
from sdde.solving.stores import Store

SYSTEM = cluster.System(scipy.stats.expon(), workers=3)


def simulate(**changes):
    options = {"learning_rate": 0.1, "updates": 50, "runs": 100, "rng": 5, "records": 4, **changes}
    objective = options.pop("objective", cluster.Quadratic([1.0, 0.2], noise=0.1))
    method = options.pop("method", cluster.AsyncSGD())
    return cluster.simulate(objective, method, options.pop("system", SYSTEM), **options)


def same(one, other):
    names = ("t", "updates_at", "loss", "end_time", "updates", "worker_counts", "idle_time", "log")
    return (
        all(np.array_equal(getattr(one, n), getattr(other, n), equal_nan=True) for n in names)
        and np.array_equal(one.staleness.counts, other.staleness.counts)
        and (one.status == other.status).all()
    )


class Stopped(Exception):
    """The runs are killed here."""


@pytest.fixture
def simulated(monkeypatch):
    """Note which blocks are simulated."""
    fill, blocks = run_blocks.RunWork.fill, []

    def noted(self, records, first, end):
        blocks.append(first)
        return fill(self, records, first, end)

    monkeypatch.setattr(run_blocks.RunWork, "fill", noted)
    return blocks


WAYS = {
    "updates": {},
    "time": {"updates": None, "time": 20.0},
    "loss": {"updates": None, "until_loss": 0.05},
    "log": {"trace": True, "threads": 1},
}


@pytest.mark.parametrize("way", WAYS)
def test_stored_runs_that_were_killed_end_as_runs_that_were_not(
    tmp_path, monkeypatch, simulated, way
):
    """Only what is missing is simulated; the call that finds all of it simulates nothing."""
    whole = simulate(**WAYS[way])
    put, count = Store.put, []

    def put_some(self, block, arrays):
        if len(count) == 10:
            raise Stopped
        count.append(block)
        put(self, block, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", put_some)
        with pytest.raises(Stopped):
            simulate(store=tmp_path / "a.zarr", **WAYS[way])
    simulated.clear()
    assert same(simulate(store=tmp_path / "a.zarr", **WAYS[way]), whole)
    assert len(simulated) == Store.for_reading(tmp_path / "a.zarr").blocks - 10
    simulated.clear()
    assert same(simulate(store=tmp_path / "a.zarr", **WAYS[way] | {"rng": None}), whole)
    assert simulated == []


def test_an_executor_fills_the_store_of_runs(tmp_path):
    """With the same result."""
    with ThreadPoolExecutor(2) as pool:
        assert same(simulate(store=tmp_path / "a.zarr", executor=pool), simulate())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rng": 6}, "seed = '5' there and '6' here"),
        ({"learning_rate": 0.2}, "learning_rate = 0.1 there and 0.2 here"),
        ({"objective": cluster.Quadratic([1.0, 0.3], noise=0.1)}, "it has other objective"),
        ({"system": cluster.System(scipy.stats.gamma(2.0), workers=3)}, "it has other system"),
        ({"method": cluster.KSync(2)}, "it has other method"),
        ({"records": 5}, "records = 4 there and 5 here"),
    ],
)
def test_the_store_of_other_runs_is_refused(tmp_path, simulated, change, said):
    """Nothing is simulated."""
    simulate(store=tmp_path / "a.zarr")
    simulated.clear()
    with pytest.raises(sdde.ArgumentError, match=said):
        simulate(store=tmp_path / "a.zarr", **change)
    with pytest.raises(sdde.ArgumentError, match="holds runs of a cluster"):
        sdde.open_store(tmp_path / "a.zarr")
    simulate(store=tmp_path / "a.zarr")
    assert simulated == []


def test_a_damaged_block_of_runs_is_simulated_again(tmp_path, simulated):
    """With a warning."""
    simulate(store=tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "rest" / "3" / "c" / "0"
    file.write_bytes(file.read_bytes()[:-5])
    simulated.clear()
    with pytest.warns(sdde.SolutionWarning, match="1 of 50 blocks are damaged"):
        mended = simulate(store=tmp_path / "a.zarr")
    assert simulated == [6]
    assert same(mended, simulate())
