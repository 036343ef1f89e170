"""Brownian: one path at every time step, mirrored pairs, recorded increments."""

import math

import numpy as np
import pytest

import sdde
from sdde.engine import streams


def _problem(dim=1, noise="diagonal", **changes):
    history = 1.0 if dim == 1 else np.linspace(0.5, 1.5, dim)
    arguments = {"delays": 0.4, "history": history, "noise": noise} | changes
    return sdde.Problem(
        lambda t, x, d: 0.5 * np.tanh(d[0]) - x, lambda t, x, d: 0.3 * x + 0.1, **arguments
    )


def _reference_increments(seed, path, fine, finest, steps, channels):
    """Sums of the normals at their addresses, in plain Python."""
    k0, k1 = streams.key_of(seed)
    rows = []
    for n in range(steps):
        row = []
        for c in range(channels):
            numbers = [
                streams.normal(k0, k1, path, n * fine + j, c, streams.NOISE) for j in range(fine)
            ]
            row.append(math.sqrt(finest) * sum(numbers))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("fine", [1, 3, 70])
@pytest.mark.parametrize("paths", [1, 11])
def test_increments_are_sums_of_the_finest_ones(fine, paths):
    """The path must not depend on the step at which it is looked at."""
    noise = sdde.Brownian(5, finest=0.01)
    got = noise.increments(fine * 0.01, 7, paths, channels=2)
    expected = _reference_increments(5, paths - 1, fine, 0.01, 7, 2)
    np.testing.assert_allclose(got[-1], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dim", [1, 3, 20])
@pytest.mark.parametrize("paths", [1, 5, 70])
def test_at_the_finest_step_a_run_is_the_same_bit_for_bit(dim, paths):
    """`Brownian` names the path that the seed has anyway."""
    problem = _problem(dim)
    plain = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=paths, rng=9)
    named = sdde.solve(
        problem, (0.0, 1.0), dt=0.02, paths=paths, noise=sdde.Brownian(9, finest=0.02)
    )
    np.testing.assert_array_equal(named.x, plain.x)
    assert named.seed == 9
    assert named.noise is not None


@pytest.mark.parametrize("dim", [1, 20])
@pytest.mark.parametrize("noise_kind", ["diagonal", "scalar"])
def test_a_run_receives_the_increments_that_brownian_shows(dim, noise_kind):
    """Pure noise adds up to the path itself, at every step and for one path as for many."""
    noise = sdde.Brownian(3, finest=0.01)
    history = 0.0 if dim == 1 else np.zeros(dim)
    problem = sdde.Problem(lambda t, x, d: 0.0 * x, 2.0, history=history, noise=noise_kind)
    channels = 1 if noise_kind == "scalar" else dim
    for dt in (0.01, 0.05):
        times = dt * np.arange(21)
        expected = 2.0 * noise.path(times, paths=9, channels=channels)
        for paths in (1, 9):
            x = sdde.solve(problem, (0.0, times[-1]), dt=dt, paths=paths, noise=noise).x
            x = x.reshape(paths, 21, dim)
            wanted = np.broadcast_to(expected[:paths], x.shape)
            np.testing.assert_allclose(x, wanted, rtol=1e-12, atol=1e-13)


def test_coarse_and_fine_runs_converge_to_each_other_on_one_path():
    """Without common noise the difference would be of the size of the noise itself."""
    noise = sdde.Brownian(1, finest=1e-3)
    problem = _problem()
    ends = [
        sdde.solve(problem, (0.0, 2.0), dt=dt, paths=500, noise=noise, save="final").x[:, 0]
        for dt in (0.001, 0.01, 0.1)
    ]
    near, far = (math.sqrt(np.mean((end - ends[0]) ** 2)) for end in ends[1:])
    assert near < 0.5 * far < 0.05
    assert near < 0.02 < ends[0].std()


def test_a_path_does_not_depend_on_what_else_is_computed():
    """Paths, threads, saves and blocks leave the bits of a path, mirrored ones too."""
    problem = _problem(3)
    for antithetic in (False, True):
        noise = sdde.Brownian(4, finest=0.01, antithetic=antithetic)
        span = {"t_span": (0.0, 1.5), "dt": 0.03, "noise": noise}
        full = sdde.solve(problem, paths=150, threads=1, **span)
        for paths, threads in ((70, 2), (3, 1), (1, 1)):
            other = sdde.solve(problem, paths=paths, threads=threads, save=10, **span)
            np.testing.assert_array_equal(other.x, full.x[:paths, ::10])


@pytest.mark.parametrize("paths", [2, 8, 130])
def test_antithetic_pairs_mirror_each_other(paths):
    """Even paths are those without pairs; linear equations move symmetrically about their mean."""
    noise = sdde.Brownian(2, finest=0.01, antithetic=True)
    problem = sdde.Problem(lambda t, x, d: -d[0], 0.4, delays=0.5, history=1.0)
    x = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=paths, noise=noise).x
    calm = sdde.solve(problem.replace(diffusion=None), (0.0, 1.0), dt=0.02).x[0]
    np.testing.assert_allclose(0.5 * (x[::2] + x[1::2]), np.tile(calm, (paths // 2, 1)), atol=1e-12)
    single = sdde.Brownian(2, finest=0.01)
    plain = sdde.solve(problem, (0.0, 1.0), dt=0.02, paths=paths, noise=single).x
    np.testing.assert_array_equal(x[::2], plain[::2])
    moves = noise.increments(0.02, 50, paths)
    np.testing.assert_array_equal(moves[1::2], -moves[::2])


@pytest.mark.parametrize("paths", [1, 3, 64])
def test_recorded_increments_are_used_as_they_are(paths):
    """A replay of recorded noise, at its own step and at twice that."""
    record = 0.1 * np.random.default_rng(1).normal(size=(64, 40, 2))
    noise = sdde.Brownian.from_increments(record, 0.01)
    problem = sdde.Problem(lambda t, x, d: 0.0 * x, [1.0, 3.0], history=[0.0, 0.0])
    for every in (1, 2):
        x = sdde.solve(problem, (0.0, 0.4), dt=0.01 * every, paths=paths, noise=noise).x
        expected = np.array([1.0, 3.0]) * record.cumsum(axis=1)[:paths, every - 1 :: every]
        np.testing.assert_allclose(x[:, 1:], expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(noise.increments(0.01, 40, 64, 2), record, rtol=1e-14)


def test_jumps_follow_their_own_seed():
    """The same arrivals under other noise, and the same noise under other arrivals."""
    jump = sdde.Jump(3.0, lambda t, x, d, mark: 1.0)
    problem = sdde.Problem(lambda t, x, d: 0.0, 0.1, history=0.0, jumps=jump)
    noise = sdde.Brownian(7, finest=0.01)
    one = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=4, noise=noise)
    same = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=4, rng=7)
    np.testing.assert_array_equal(one.x, same.x)
    other = sdde.solve(problem, (0.0, 5.0), dt=0.01, paths=4, rng=8, noise=noise)
    path = 0.1 * noise.path(5.0, paths=4)[:, 0]
    for run in (one, other):
        arrivals = run.x[:, -1] - path
        np.testing.assert_allclose(arrivals, arrivals.round(), atol=1e-12)
    assert not np.array_equal(one.x, other.x)


def test_paths_are_brownian():
    """Variance t, independent increments; bounds of 5 standard errors: false alarm 6e-7 each."""
    paths = 20_000
    w = sdde.Brownian(11, finest=0.1).path([0.5, 1.0], paths=paths)[:, :, 0]
    tolerance = 5.0 / math.sqrt(paths)
    assert abs(w[:, 1].var() - 1.0) < tolerance * math.sqrt(2.0)
    assert abs(np.mean(w[:, 0] * (w[:, 1] - w[:, 0]))) < 0.5 * tolerance
    middle = sdde.Brownian(11, finest=0.1).path(0.55, paths=3)
    ends = sdde.Brownian(11, finest=0.1).path([0.5, 0.6], paths=3)
    np.testing.assert_allclose(middle, ends.mean(axis=1))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: sdde.Brownian(1, finest=0.0), "finest = 0.0 is not positive"),
        (lambda: sdde.Brownian("a", finest=0.1), "rng = 'a' is not a seed"),
        (lambda: sdde.Brownian(1, finest=0.1, antithetic=1), "antithetic = 1 is neither"),
        (lambda: sdde.Brownian.from_increments([1.0], 0.1), r"has shape \(1,\)"),
        (lambda: sdde.Brownian.from_increments(np.full((1, 1, 1), np.nan), 0.1), "not finite"),
        (lambda: sdde.Brownian(1, finest=0.1).path(-1.0), "is negative"),
        (lambda: sdde.Brownian(1, finest=0.1).increments(0.1, 1.5), "is not a whole number"),
    ],
)
def test_misuse_of_brownian_is_refused(make, match):
    """Each fault has a message that names the argument."""
    with pytest.raises(sdde.ArgumentError, match=match):
        make()


@pytest.mark.parametrize(
    ("dt", "noise", "match"),
    [
        (0.025, sdde.Brownian(1, finest=0.01), r"works?.*dt = 0.02 or dt = 0.03"),
        (0.005, sdde.Brownian(1, finest=0.01), r"dt = 0.01\."),
        (0.1, 7, "noise = 7 is not an sdde.Brownian"),
        (0.1, sdde.Brownian.from_increments(np.ones((1, 10, 1)), 0.1), "holds 1 paths"),
        (0.1, sdde.Brownian.from_increments(np.ones((2, 9, 1)), 0.1), "9 steps, .* needs 10"),
    ],
)
def test_a_run_that_the_noise_cannot_serve_is_refused(dt, noise, match, monkeypatch):
    """Before anything is compiled, with values that work."""
    monkeypatch.setattr("sdde.solving.running.compile_model", None)
    with pytest.raises(sdde.ArgumentError, match=match):
        sdde.solve(_problem(), (0.0, 1.0), dt=dt, paths=2, noise=noise)
