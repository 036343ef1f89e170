"""Kernels: reading past states, noise rows, and the driver's bookkeeping."""

import struct

import numpy as np
import pytest

import sdde
from sdde.engine import streams
from sdde.engine.compile import noise_filler
from sdde.engine.kernels.reading import locate, state_at
from sdde.engine.kernels.signatures import WATCH, Packer
from sdde.solving import running
from sdde.solving.execute import cut
from sdde.solving.saving import plan_saves, steps_between


@pytest.mark.parametrize("r", [-0.95, -0.3, -0.05, 0.0, 0.02, 0.1, 0.34, 0.69])
def test_past_states_lie_on_straight_lines_between_grid_states(r):
    """History and ring together are one path; where one ends the other must begin."""
    dt, n, slots = 0.1, 7, 12
    grid = np.arange(-10, n + 1)
    values = np.sin(grid.astype(float))
    ring = np.full((slots, 4), np.nan)
    now = 3
    for index in range(1, n + 1):
        ring[(now - (n - index)) % slots, 2] = values[grid == index][0]
    past = values[grid <= 0][::-1].reshape(1, -1, 1).copy()
    read = state_at(ring, past, 0, now, n, 0.0, dt, r, 2, 0)
    assert read == pytest.approx(np.interp(r, grid * dt, values), abs=1e-12)


def test_the_last_history_row_stands_for_all_before():
    """A constant history is one row."""
    past = np.full((1, 1, 1), 2.5)
    assert state_at(np.zeros((3, 1)), past, 0, 0, 0, 0.0, 0.1, -1e6, 0, 0) == 2.5


def test_rounding_never_reads_beyond_the_present():
    """A time just before the present may round to the present's own index."""
    index, share = locate(np.nextafter(0.7, 0.0), 7, 0.0, 0.1)
    assert index == 6
    assert 0.0 <= share <= 1.0


@pytest.mark.parametrize("width", [1, 8, 64])
def test_noise_rows_hold_the_normals_at_their_addresses(width):
    """Whatever the layout, a number belongs to (path, step, channel)."""
    k0, k1 = streams.key_of(5)
    channels, first, n = 2, 3 * width, 64
    z = np.zeros((32, channels * width))
    nothing = np.empty((0, 0, 0))
    noise_filler(width)(
        z=z, n=n, steps=32, first=first, channels=channels, k0=k0, k1=k1, fine=1, mirrored=0,
        recorded=nothing,
    )  # fmt: skip
    for g, channel, lane in ((0, 0, 0), (1, 1, width - 1), (31, 1, width // 2)):
        expected = streams.normal(k0, k1, first + lane, n + g, channel, streams.NOISE)
        assert z[g, channel * width + lane] == expected


def test_buffers_of_noise_hold_whole_watches():
    """A path's end must not depend on how much noise is made at a time."""
    assert running._GROUP % WATCH == 0
    assert running._LONG_GROUP % WATCH == 0


@pytest.mark.parametrize("paths", [1, 8, 63, 64, 65, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_jobs_cover_all_paths_once_in_whole_blocks(paths, threads):
    """A gap would leave numbers that nobody computed."""
    for steps in (10, 100_000):
        jobs = cut(paths, 8, steps, threads)
        assert [first for first, _ in jobs] == [0, *(end for _, end in jobs[:-1])]
        assert jobs[-1][1] == paths
        assert all(first % 8 == 0 for first, _ in jobs)


@pytest.mark.parametrize(
    ("save", "expected"),
    [
        ("all", [0.0, 0.4, 0.8, 1.0]),
        (2, [0.0, 0.8, 1.0]),
        ("final", [1.0]),
        ([0.1, 0.4], [0.1, 0.4]),
    ],
)
def test_saved_times(save, expected):
    """The end is always among the grid times kept, also where it is off the grid."""
    plan = plan_saves(save, 0.0, 1.0, 0.4)
    np.testing.assert_allclose(plan.t, expected, rtol=1e-15)
    assert len(plan) == len(expected)


def test_ratios_written_in_floats_are_whole():
    """0.3 / 0.1 is 2.9999999999999996."""
    assert steps_between(0.0, 0.3, 0.1) == (3, 0.0)
    assert steps_between(0.0, 1e6, 1e-3) == (1_000_000_000, 0.0)
    assert steps_between(0.0, 0.25, 0.1) == (2, pytest.approx(0.5))


def test_dt_is_not_adjusted_to_the_end():
    """The grid is the same for any end; the end is read between its two neighbours."""
    problem = sdde.Problem(lambda t, x, d: -x, history=1.0)
    solution = sdde.solve(problem, (0.0, 1.0), dt=0.4)
    np.testing.assert_allclose(solution.x[0], [1.0, 0.6, 0.36, (0.36 + 0.216) / 2], rtol=1e-12)


def test_packed_arguments_are_of_their_kinds():
    """Compiled code would read whatever lies there."""
    pack = Packer({"a": "f2", "n": "i", "share": "f"})
    matrix = np.arange(6.0).reshape(2, 3)
    assert pack({"a": matrix, "n": 7, "share": 0.5}) == struct.pack(
        "=Qqqqd", matrix.ctypes.data, 2, 3, 7, 0.5
    )
    for wrong in (matrix.astype(np.float32), matrix.T, matrix[0], np.arange(6).reshape(2, 3)):
        with pytest.raises(TypeError, match="a is"):
            pack({"a": wrong, "n": 7, "share": 0.5})
