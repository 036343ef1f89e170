"""Runs that go to a store: they go on where they stopped, with the bits of a run that did not."""

import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

import sdde
from sdde.solving import memory, running, storing
from sdde.solving.stored_arrays import StoredArray
from sdde.solving.stores import Store

SPAN = (0.0, 2.0)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """So many blocks that there is something to lose."""
    monkeypatch.setattr(storing, "_STEPS", 64 * 20)


def drift(t, x, delayed, rate):
    return -rate * delayed[0]


def problem(rate=1.0, **changes):
    made = {"delays": 1.0, "history": 1.0, "args": (rate,), **changes}
    return sdde.Problem(made.pop("drift", drift), made.pop("diffusion", 0.5), **made)


def solve(**options):
    options = {"dt": 0.1, "paths": 300, "rng": 7, **options}
    return sdde.solve(options.pop("problem", None) or problem(), SPAN, **options)


def parts(solution):
    """Return every number of a solution by name."""
    found = {"x": np.asarray(solution.x), "end": solution.end_time, "hit": solution.hit_time}
    found |= {f"functional {name}": value for name, value in solution.functionals.items()}
    if (kept := solution.moments) is not None:
        found |= {"mean": kept.mean, "var": kept.var, "quantiles": kept.quantiles}
        found |= {"lagged": kept.autocovariance, "error": np.array(kept.rank_error)}
        if kept.covariance is not None:
            found["covariance"] = kept.covariance
    return found


def same(one, other):
    first, second = parts(one), parts(other)
    return (
        first.keys() == second.keys()
        and all(np.array_equal(first[k], second[k], equal_nan=True) for k in first)
        and (one.status == other.status).all()
        and one.seed == other.seed
    )


class Stopped(Exception):
    """The run is killed here."""


def stop_after(monkeypatch, blocks):
    """Let a run write so many blocks, and kill it in the middle of the next."""
    put, written = Store.put, []

    def put_some(self, number, arrays):
        if len(written) == blocks:
            name = next(iter(self.rows))  # one array of the block is there, the others are not
            first, end = self.span(number)
            self._array(name)[first:end] = arrays[name]
            raise Stopped
        written.append(number)
        put(self, number, arrays)

    monkeypatch.setattr(Store, "put", put_some)
    return written


def count_blocks(monkeypatch):
    """Note which paths are computed from now on."""
    fill, computed = running.Ready.fill, []

    def noted(self, block, **options):
        computed.append((block.first, block.end))
        return fill(self, block, **options)

    monkeypatch.setattr(running.Ready, "fill", noted)
    return computed


def pair(t, x, delayed, rate):
    return np.array([x[1], -rate * delayed[0, 0]])


def effect(t, x, delayed, mark, rate):
    return -0.1 * x


WAYS = {
    "all": {},
    "final": {"save": "final"},
    "every third": {"save": 3},
    "times": {"save": [0.25, 1.0, 1.93]},
    "moments": {"save": sdde.Moments()},
    "all moments": {"save": sdde.Moments("all", [0.1, 0.5], lags=0.5)},
    "covariance": {
        "problem": problem(drift=pair, history=[1.0, 0.0]),
        "save": sdde.Moments(5, 0.5, covariance=True),
    },
    "system": {"problem": problem(drift=pair, history=[1.0, 0.0])},
    "watched": {
        "until": sdde.Hit(lambda t, x, delayed, rate: x + 0.5),
        "functionals": {
            "largest": sdde.Functional(lambda t, x, delayed, rate: x, "maximum"),
            "both": sdde.Functional(lambda t, x, delayed, rate: np.array([x, x * x]), "integral"),
        },
    },
    "jumps": {"problem": problem(jumps=sdde.Jump(2.0, effect))},
    "recorded noise": {"noise": sdde.Brownian(3, finest=0.05), "rng": None},
    "method": {"method": "heun"},
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_stored_run_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch, way):
    """Bit for bit, whatever is kept; and only what was lost is computed again."""
    options = WAYS[way]
    whole = solve(**options)
    with monkeypatch.context() as patch:
        written = stop_after(patch, 2)
        with pytest.raises(Stopped):
            solve(store=tmp_path / "a.zarr", **options)
    computed = count_blocks(monkeypatch)
    resumed = solve(store=tmp_path / "a.zarr", **options)
    assert same(resumed, whole)
    blocks = Store.for_reading(tmp_path / "a.zarr").blocks
    assert blocks >= 4
    assert len(written) == 2
    assert len(computed) == blocks - 2
    computed.clear()
    assert same(solve(store=tmp_path / "a.zarr", **options), whole)
    assert computed == []


def test_a_url_will_do(tmp_path):
    """Here the memory of this process, behind fsspec."""
    place = f"memory://{tmp_path.name}/a.zarr"
    assert same(solve(store=place), solve())
    assert same(solve(store=place), solve())
    assert sdde.open_store(place).attrs["complete"] == 1


def test_an_executor_fills_a_store(tmp_path, monkeypatch):
    """Blocks come in any order; a killed run goes on here or there."""
    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as pool:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            solve(store=tmp_path / "a.zarr", executor=pool)
    with ThreadPoolExecutor(2) as pool:
        assert same(solve(store=tmp_path / "a.zarr", executor=pool), solve())


def test_threads_make_no_difference(tmp_path):
    """Neither to what is stored nor to who may go on."""
    assert same(solve(store=tmp_path / "a.zarr", threads=1), solve(threads=2))
    assert same(solve(store=tmp_path / "a.zarr", threads=2), solve())


def test_without_a_seed_a_store_goes_on_with_its_own(tmp_path, monkeypatch):
    """The same call, rng left out, is a call to go on."""
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            solve(store=tmp_path / "a.zarr", rng=None)
    resumed = solve(store=tmp_path / "a.zarr", rng=None)
    assert same(resumed, solve(rng=resumed.seed))


def other_drift(t, x, delayed, rate):
    return -rate * delayed[0] - 1e-9


CHANGES = {
    "paths": {"paths": 301},
    "dt": {"dt": 0.05},
    "seed": {"rng": 8},
    "method": {"method": "heun"},
    "save": {"save": "final"},
    "moments": {"save": sdde.Moments("all")},
    "until": {"until": sdde.Hit(lambda t, x, delayed, rate: x - 9.0)},
    "functionals": {
        "functionals": {"a": sdde.Functional(lambda t, x, delayed, rate: x, "last")},
    },
    "noise": {"noise": sdde.Brownian(7, finest=0.1)},
    "other functions": {"problem": problem(drift=other_drift)},
    "other parameters": {"problem": problem(rate=1.0 + 1e-15)},
    "constant diffusion": {"problem": problem(diffusion=0.25)},
    "other delays": {"problem": problem(delays=0.9)},
    "other history": {"problem": problem(history=lambda t: np.cos(t))},
    "other jumps": {"problem": problem(jumps=sdde.Jump(1.0, effect))},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_of_another_run_is_refused_before_anything_is_computed(
    tmp_path, monkeypatch, change
):
    """And stays as it was. The control is the plain call at the end."""
    solve(store=tmp_path / "a.zarr")
    computed = count_blocks(monkeypatch)
    with pytest.raises(
        sdde.ArgumentError, match=r"^store = .*(belongs to another run|holds paths)"
    ):
        solve(store=tmp_path / "a.zarr", **CHANGES[change])
    assert computed == []
    solve(store=tmp_path / "a.zarr")
    assert computed == []


def test_the_refusal_names_what_differs(tmp_path):
    """So that one sees at once which of two calls was meant."""
    solve(store=tmp_path / "a.zarr")
    with pytest.raises(sdde.ArgumentError, match="seed = '7' there and '8' here"):
        solve(store=tmp_path / "a.zarr", rng=8)
    with pytest.raises(sdde.ArgumentError, match="it has other functions of the problem"):
        solve(store=tmp_path / "a.zarr", problem=problem(drift=other_drift))


def test_the_same_functions_written_again_are_the_same(tmp_path, monkeypatch):
    """Content counts: a script that is started again makes new functions with the same text."""
    solve(store=tmp_path / "a.zarr")
    computed = count_blocks(monkeypatch)

    def make():
        return lambda t, x, delayed, rate: -rate * delayed[0]

    solve(store=tmp_path / "b.zarr", problem=problem(drift=make()))
    computed.clear()
    solve(store=tmp_path / "b.zarr", problem=problem(drift=make()))
    assert computed == []


def test_functions_whose_content_cannot_be_seen_are_refused(tmp_path):
    """Nobody could tell whether the store belongs to them."""
    lock = threading.Lock()

    def watched(t, x, delayed, rate):
        return x if lock else 0.0

    with pytest.raises(sdde.ArgumentError, match=r"until .*content of a function cannot be seen"):
        solve(store=tmp_path / "a.zarr", until=sdde.Hit(watched))


def test_a_damaged_block_alone_is_computed_again(tmp_path, monkeypatch):
    """With a warning; the result is that of an untouched store."""
    solve(store=tmp_path / "a.zarr")
    file = tmp_path / "a.zarr" / "x" / "c" / "1" / "0"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    computed = count_blocks(monkeypatch)
    with pytest.warns(sdde.SolutionWarning, match="1 of .* blocks are damaged"):
        mended = solve(store=tmp_path / "a.zarr")
    assert len(computed) == 1
    assert same(mended, solve())


def test_damaged_moments_are_computed_again(tmp_path, monkeypatch):
    """What is packed has a digest as well."""
    kept = sdde.Moments("all", 0.5)
    solve(store=tmp_path / "a.zarr", save=kept)
    file = tmp_path / "a.zarr" / "rest" / "2" / "c" / "0"
    file.write_bytes(file.read_bytes()[:-1])
    computed = count_blocks(monkeypatch)
    with pytest.warns(sdde.SolutionWarning, match="damaged"):
        mended = solve(store=tmp_path / "a.zarr", save=kept)
    assert len(computed) == 1
    assert same(mended, solve(save=kept))


def test_without_the_look_at_digests_damage_would_pass_unseen(tmp_path, monkeypatch):
    """The control of the two tests before: a chunk that is gone reads as nan."""
    solve(store=tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "x" / "c" / "1")
    monkeypatch.setattr("sdde.solving.stores._digest", lambda values: np.ones(32, dtype=np.uint8))
    store = Store.for_reading(tmp_path / "a.zarr")
    monkeypatch.setattr(store, "_digests_of", lambda block: np.ones((len(store.names), 32), "u1"))
    assert np.isnan(store.get_rows("x", 1)).all()


def test_large_results_stay_in_the_store_and_are_read_where_indexed(tmp_path, monkeypatch):
    """Half of the memory that is free is the limit; everything else works as with an array."""
    whole = solve(problem=WAYS["system"]["problem"])
    with monkeypatch.context() as patch:
        patch.setattr(memory, "available_memory", lambda: 2 * whole.x.nbytes - 1)
        stored = solve(problem=WAYS["system"]["problem"], store=tmp_path / "a.zarr")
    assert isinstance(stored.x, StoredArray)
    assert isinstance(whole.x, np.ndarray)
    assert (stored.status == whole.status).all()
    picks = [5, -1, slice(3, 200, 7), [4, 1, 299], whole.x[:, -1, 0] > 0, (slice(None), 3),
             (slice(10, 20), slice(None, None, 5), 1), (Ellipsis, 0), (7, 3, 1)]  # fmt: skip
    for pick in picks:
        assert np.array_equal(stored.x[pick], whole.x[pick]), pick
    assert np.array_equal(stored(0.33), whole(0.33))
    assert np.array_equal(stored.path(-2), whole.path(-2))
    assert np.array_equal(stored.quantile(0.3), whole.quantile(0.3))
    assert np.array_equal(stored.x - 1.0, whole.x - 1.0)
    assert np.allclose(stored.mean(), whole.mean(), rtol=0, atol=1e-13)
    assert np.allclose(stored.var(), whole.var(), rtol=0, atol=1e-13)
    assert np.allclose(stored.covariance(), whole.covariance(), rtol=0, atol=1e-13)
    assert np.array_equal(stored.to_xarray().x.values, whole.x)
    assert stored.to_dataframe().equals(whole.to_dataframe())
    stored.save(tmp_path / "a.npz")
    assert np.array_equal(sdde.Solution.load(tmp_path / "a.npz").x, whole.x)
    longer = whole.extend(3.0)
    assert np.array_equal(stored.extend(3.0).x, longer.x)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(sdde.ArgumentError, match=r"read as a whole needs .* of memory"):
        np.asarray(stored.x)


def test_a_store_opens_lazily_and_holds_all_there_is(tmp_path):
    """One chunk for each block; nothing is read before it is computed."""
    options = WAYS["watched"]
    whole = solve(store=tmp_path / "a.zarr", **options)
    runs = sdde.open_store(tmp_path / "a.zarr")
    blocks = Store.for_reading(tmp_path / "a.zarr").blocks
    assert len(runs.x.chunks[0]) == blocks
    assert runs.x.dims == ("path", "time")
    assert np.array_equal(runs.time, whole.t)
    assert np.array_equal(runs.x, whole.x)
    assert (runs.status.values == whole.status).all()
    assert np.array_equal(runs.hit_time, whole.hit_time, equal_nan=True)
    assert np.array_equal(runs.functional_both, whole.functionals["both"])
    assert runs.attrs["dt"] == 0.1
    assert runs.attrs["seed"] == "7"
    (tmp_path / "a.zarr" / "x" / "c" / "0" / "0").write_bytes(b"")
    damaged = sdde.open_store(tmp_path / "a.zarr")
    with pytest.raises(sdde.StoreError, match="is damaged"):
        damaged.x.compute()
    assert np.array_equal(damaged.x[-5:], whole.x[-5:])


@pytest.mark.parametrize("save", ["all", sdde.Moments([1.0, 2.0], [0.5], lags=0.5)])
def test_an_incomplete_store_opens_with_what_it_has(tmp_path, monkeypatch, save):
    """And says so."""
    whole = solve(save=save)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            solve(store=tmp_path / "a.zarr", save=save)
    with pytest.warns(sdde.SolutionWarning, match="has 128 of 300 paths"):
        runs = sdde.open_store(tmp_path / "a.zarr")
    assert runs.attrs["complete"] == 0
    assert (runs.status.values[:128] == "done").all()
    assert (runs.status.values[128:] == "missing").all()
    if isinstance(save, str):
        assert np.array_equal(runs.x[:128], whole.x[:128])
        assert np.isnan(runs.x[128:]).all()
    else:
        first = solve(save=save, paths=128)
        assert np.array_equal(runs["mean"], first.mean())
        assert np.array_equal(runs["quantile"], first.quantile([0.5]))
        assert np.array_equal(runs["autocovariance"][0], first.autocovariance(0.5), equal_nan=True)


def test_ctrl_c_leaves_whole_blocks_and_says_which_paths_are_missing(tmp_path, monkeypatch):
    """A second call goes on."""
    calls = []
    fill = running.Ready.fill

    def interrupted(self, block, **options):
        calls.append(block.first)
        if len(calls) == 3:
            return False  # as after Ctrl-C
        return fill(self, block, **options)

    with monkeypatch.context() as patch:
        patch.setattr(running.Ready, "fill", interrupted)
        with pytest.warns(sdde.SolutionWarning, match="172 of 300 paths were interrupted"):
            partly = solve(store=tmp_path / "a.zarr")
    whole = solve()
    assert np.array_equal(partly.x[:128], whole.x[:128])
    assert np.isnan(partly.x[128:]).all()
    assert same(solve(store=tmp_path / "a.zarr"), whole)


def test_divergence_is_stored_as_the_data_it_is(tmp_path):
    """A path that blew up is a result."""
    wild = problem(drift=lambda t, x, delayed, rate: x * x * x, diffusion=3.0)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        whole = solve(problem=wild)
    for _ in range(2):
        with pytest.warns(sdde.SolutionWarning, match="diverged"):
            assert same(solve(problem=wild, store=tmp_path / "a.zarr"), whole)
    assert (sdde.open_store(tmp_path / "a.zarr").status.values == whole.status).all()


def test_progress_counts_what_was_there(tmp_path, monkeypatch):
    """A bar begins where the last one ended."""
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            solve(store=tmp_path / "a.zarr")
    seen = []
    solve(store=tmp_path / "a.zarr", progress=lambda finished, total: seen.append(finished))
    assert seen == [128, 192, 256, 300]


@pytest.mark.parametrize("missing", ["zarr.storage", "xarray"])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, missing):
    """Neither is needed by anything else."""
    solve(store=tmp_path / "a.zarr")
    monkeypatch.setitem(sys.modules, missing, None)
    call = {"zarr.storage": lambda: solve(store=tmp_path / "a.zarr"),
            "xarray": lambda: sdde.open_store(tmp_path / "a.zarr")}[missing]  # fmt: skip
    with pytest.raises(sdde.ArgumentError, match=f"package {missing.partition('.')[0]}"):
        call()


def test_what_is_no_store_is_not_opened(tmp_path):
    """Nor made by looking."""
    with pytest.raises(sdde.ArgumentError, match="is not a store"):
        sdde.open_store(tmp_path / "nothing.zarr")
    assert not (tmp_path / "nothing.zarr").exists()
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(sdde.StoreError, match="no header"):
        sdde.open_store(tmp_path / "other.zarr")
