"""Quantiles from merged buffers: the bound on ranks holds, for any data and order."""

import numpy as np
import pytest

import sdde
from sdde.solving.sketch import SIZE, Sketch

SHARES = np.array([0.0, 0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999, 1.0])


def streams(count):
    rng = np.random.default_rng(5)
    return {
        "normal": rng.normal(size=count),
        "heavy tails": rng.standard_cauchy(count),
        "rising": np.arange(count, dtype=float),
        "falling": -np.arange(count, dtype=float),
        "few values": rng.integers(0, 3, count).astype(float),
        "swinging": np.sin(0.37 * np.arange(count)) * np.arange(count),
    }


@pytest.mark.parametrize("count", [1, 2, 63, SIZE, 5 * SIZE - 1])
def test_few_paths_give_the_quantiles_of_all(count):
    """Nothing is thrown away before it must be."""
    data = np.stack(list(streams(count).values()), axis=1)
    sketch = Sketch(data.shape[1])
    for part in np.array_split(data, min(count, 7)):
        sketch.add(part)
    assert sketch.rank_error == 0.0
    scale = np.abs(data).max()
    np.testing.assert_allclose(
        sketch.quantile(SHARES), np.quantile(data, SHARES, axis=0), rtol=1e-12, atol=1e-14 * scale
    )


@pytest.mark.parametrize("count", [5 * SIZE, 26 * SIZE + 77, 130 * SIZE + 5])
def test_the_rank_of_a_quantile_is_as_right_as_stated(count):
    """By brute force on sorted data, also where the order is against us."""
    data = np.stack(list(streams(count).values()), axis=1)
    sketch = Sketch(data.shape[1])
    for begin in range(0, count, 1000):
        sketch.add(data[begin : begin + 1000])
    bound = sketch.rank_error + 1.0 / count
    assert sketch.rank_error < 0.0009
    for column, found in zip(data.T, sketch.quantile(SHARES).T, strict=True):
        ordered = np.sort(column)
        below = np.searchsorted(ordered, found, "left") / count
        upto = np.searchsorted(ordered, found, "right") / count
        assert (below <= SHARES + bound).all()
        assert (upto >= SHARES - bound).all()


def test_how_the_stream_is_cut_does_not_matter():
    """Jobs differ in size; buffers fill in the order of the paths."""
    data = np.random.default_rng(1).normal(size=(30_000, 2))
    results = []
    for length in (64, 999, 30_000):
        sketch = Sketch(2)
        for begin in range(0, len(data), length):
            sketch.add(data[begin : begin + length])
        results.append(sketch.quantile(SHARES))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_memory_grows_with_the_logarithm_of_the_count():
    """At most four buffers of a kind, and those that are filled."""
    sketch = Sketch(1)
    part = np.zeros((SIZE, 1))
    for _ in range(700):
        sketch.add(part)
    assert len(sketch.buffers) <= 4 * 5


def test_nan_is_not_hidden():
    """As in numpy.quantile."""
    sketch = Sketch(2)
    sketch.add(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert np.isnan(sketch.quantile(SHARES)[:, 1]).all()
    assert np.isfinite(sketch.quantile(SHARES)[:, 0]).all()


def test_streamed_quantiles_of_many_paths_are_near_those_of_stored_ones():
    """Through the public interface, for any number of threads, at times of different spread."""
    problem = sdde.Problem(lambda t, x, d: -d[0], 0.4, delays=0.1, history=1.0)
    kept = sdde.Moments([0.2, 1.0], quantiles=[0.05, 0.5, 0.95])
    runs = [
        sdde.solve(problem, (0, 1), dt=0.02, paths=40_000, rng=1, save=kept, threads=n)
        for n in (1, 2)
    ]
    stored = sdde.solve(problem, (0, 1), dt=0.02, paths=40_000, rng=1, save=[0.2, 1.0])
    np.testing.assert_array_equal(runs[0].moments.quantiles, runs[1].moments.quantiles)
    bound = runs[0].moments.rank_error + 1.0 / 40_000
    assert 0.0 < bound < 0.0009
    for k, share in enumerate([0.05, 0.5, 0.95]):
        found = runs[0].quantile(share)
        ranks = (stored.x <= found).mean(axis=0)
        np.testing.assert_allclose(ranks, share, atol=bound)
        assert runs[0].moments.quantiles[k].shape == found.shape
