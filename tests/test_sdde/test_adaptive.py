"""Adaptive steps: the twin bit for bit, one Brownian path, errors that fall, laws that stay."""

import math

import numpy as np
import pytest

import sdde
from tests import reference_adaptive as reference


def _diagonal(delays=0.7):
    return sdde.Problem(
        lambda t, x, d: 0.5 * d[0] - x, lambda t, x, d: 0.4 * x + 0.1, delays=delays, history=1.0
    )


def _delayed_ou(noise=1.0, history=0.0):
    return sdde.Problem(lambda t, x, d: -d[0], noise, delays=1.0, history=history)


def _burst(t, x, d):
    """Quiet drift to the delayed state, and a stiff pull around t = 1.5."""
    return 0.5 * d[0] - x - 200.0 * np.exp(-((t - 1.5) ** 2) / 0.002) * (x - np.cos(20.0 * t))


@pytest.mark.parametrize(("path", "mirrored"), [(0, False), (3, False), (3, True)])
@pytest.mark.parametrize("delays", [0.7, 0.5])
def test_milstein_with_diagonal_noise_is_its_twin(delays, path, mirrored):
    """Delays on and off the grid, mirrored paths."""
    noise = sdde.Brownian(7, finest=0.5 / 64, antithetic=mirrored)
    got = sdde.solve_adaptively(
        _diagonal(delays), (0.25, 3.25), dt=0.5, tolerance=0.01, relative=0.005, halvings=6,
        paths=4, noise=noise,
    )  # fmt: skip
    states, count = reference.adaptive_path(
        reference.milstein, lambda t, x, d: 0.5 * d[0] - x, lambda t, x, d: 0.4 * x + 0.1,
        lambda t, x, d: 0.4 * (0.4 * x + 0.1), [delays], 1.0, 0.25, 0.5, 6, 6, 0.01, 0.005, 7,
        path, mirrored,
    )  # fmt: skip
    assert 18 < count < 6 * 64
    assert got.evaluations[path] == count
    assert got.x[path].tolist() == [states[64 * n] for n in range(7)]


def test_heun_with_additive_noise_and_a_delay_of_zero_is_its_twin():
    """Noise that depends on time, two delays, one of them none; all finest states."""
    problem = sdde.Problem(
        lambda t, x, d: -d[0] - 0.5 * d[1], lambda t, x, d: 0.3 + 0.1 * t, delays=[0.8, 0.0],
        history=1.0,
    )  # fmt: skip
    finest = 0.25 / 32
    got = sdde.solve_adaptively(
        problem, (0, 2), dt=0.25, tolerance=0.003, halvings=5, rng=5, method="heun",
        save=np.arange(257) * finest,
    )  # fmt: skip
    states, count = reference.adaptive_path(
        reference.heun, lambda t, x, d: -d[0] - 0.5 * d[1], lambda t, x, d: 0.3 + 0.1 * t, None,
        [0.8, 0.0], 1.0, 0.0, 0.25, 8, 5, 0.003, 0.0, 5, 0,
    )  # fmt: skip
    assert got.evaluations[0] == count
    assert got.x[0].tolist() == [states[k] for k in range(257)]


def test_a_path_is_the_same_whatever_is_computed_beside_it():
    """Number of paths, threads, saved times, the end, and the way the noise is named."""
    problem = _diagonal()
    given = {"dt": 0.5, "tolerance": 0.01, "halvings": 8}
    many = sdde.solve_adaptively(problem, (0, 4), paths=9, rng=3, threads=2, **given)
    few = sdde.solve_adaptively(problem, (0, 4), paths=2, rng=3, threads=1, **given)
    assert few.x.tolist() == many.x[:2].tolist()
    assert few.evaluations.tolist() == many.evaluations[:2].tolist()
    noise = sdde.Brownian(3, finest=0.5 / 256)
    short = sdde.solve_adaptively(
        problem, (0, 2.75), paths=9, noise=noise, save=[1.0, 2.5, 2.625, 2.75], **given
    )
    assert short.x[:, :2].tolist() == many.x[:, [2, 5]].tolist()
    long = sdde.solve_adaptively(problem, (0, 4), paths=9, rng=3, save=[2.625, 2.75], **given)
    assert short.x[:, 2:].tolist() == long.x.tolist()


def test_recorded_increments_lead_to_the_same_paths():
    """Increments that were drawn and written down (up to the rounding of their scale)."""
    problem = _diagonal()
    noise = sdde.Brownian(3, finest=0.5 / 64)
    recorded = sdde.Brownian.from_increments(noise.increments(0.5 / 64, 256, paths=3), 0.5 / 64)
    given = {"dt": 0.5, "tolerance": 0.01, "halvings": 6, "paths": 3}
    a = sdde.solve_adaptively(problem, (0, 2), noise=noise, **given)
    b = sdde.solve_adaptively(problem, (0, 2), noise=recorded, **given)
    np.testing.assert_allclose(a.x, b.x, rtol=1e-9)


def test_smallest_steps_alone_are_the_uniform_run():
    """A tolerance that nothing meets leaves the smallest steps, on the path of `Brownian`."""
    problem = sdde.Problem(
        lambda t, x, d: np.array([-x[1], 0.5 * d[0][0] - x[0]]),
        lambda t, x, d: np.array([0.3 + 0.1 * t, 0.2]),
        delays=0.6, history=[1.0, 0.5],
    )  # fmt: skip
    noise = sdde.Brownian(2, finest=0.5 / 128)
    for method in ("milstein", "heun", "theta"):
        fine = sdde.solve(
            problem, (0, 2), dt=0.5 / 16, paths=5, noise=noise, method=method, save=16
        )
        small = sdde.solve_adaptively(
            problem, (0, 2), dt=0.5, tolerance=1e-300, halvings=4, paths=5, noise=noise,
            method=method,
        )  # fmt: skip
        np.testing.assert_allclose(small.x, fine.x, rtol=1e-12)


CASES = {
    "additive": (lambda: _delayed_ou(history=1.0), "heun"),
    "additive euler": (lambda: _delayed_ou(history=1.0), "euler-maruyama"),
    "two processes": (
        lambda: sdde.Problem(
            lambda t, x, d: -d[0],
            np.array([[1.0, 0.5], [0.0, 0.7]]),
            delays=0.5, history=[0.0, 1.0], noise="general",
        ),
        "heun",
    ),
    "one process": (
        lambda: sdde.Problem(
            lambda t, x, d: -d[0], np.array([1.0, -0.5]), delays=0.5, history=[0.0, 1.0],
            noise="scalar",
        ),
        "heun",
    ),
    "diagonal": (_diagonal, "milstein"),
    "stratonovich": (
        lambda: sdde.Problem(
            lambda t, x, d: 0.5 * d[0] - x, lambda t, x, d: 0.4 * x + 0.1, delays=0.7,
            history=1.0, calculus="stratonovich",
        ),
        "euler-heun",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_errors_on_one_brownian_path_fall_with_the_tolerance(name):
    """Against the uniform fine run of a method that is consistent by itself, on the same paths."""
    make, method = CASES[name]
    problem = make()
    noise = sdde.Brownian(11, finest=1 / 8192)
    fine = sdde.solve(
        problem, (0, 3), dt=1 / 8192, paths=64, noise=noise, method=method, save="final"
    )
    errors = []
    for tolerance in (3e-2, 3e-3, 3e-4):
        coarse = sdde.solve_adaptively(
            problem, (0, 3), dt=1 / 2, tolerance=tolerance, halvings=12, paths=64, noise=noise,
            method=method, save="final",
        )  # fmt: skip
        errors.append(math.sqrt(np.mean((coarse.x - fine.x) ** 2)))
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]
    assert errors[2] < 0.01


@pytest.mark.parametrize(("tolerance", "uniform", "gain"), [(1e-2, 512, 10.0), (1e-3, 1024, 2.0)])
def test_bursts_are_solved_better_with_fewer_steps(tolerance, uniform, gain):
    """A stiff stretch in a long quiet path sets the step of a uniform run."""
    problem = sdde.Problem(_burst, 0.1, delays=1.0, history=1.0)
    noise = sdde.Brownian(4, finest=2.0**-15)
    given = {"paths": 16, "noise": noise, "method": "heun", "save": np.linspace(0.25, 8.0, 32)}
    fine = sdde.solve(problem, (0, 8), dt=2.0**-15, **given).x

    def error(solution):
        return math.sqrt(np.mean((solution.x - fine) ** 2))

    adaptive = sdde.solve_adaptively(
        problem, (0, 8), dt=0.5, tolerance=tolerance, halvings=14, **given
    )
    assert adaptive.evaluations.mean() < 0.8 * uniform
    assert gain * error(adaptive) < error(sdde.solve(problem, (0, 8), dt=8 / uniform, **given))


def test_rejection_changes_no_law():
    """Mean and variance of the delayed Ornstein-Uhlenbeck process at t = 6; chance 1e-4 in all.

    The history is 0, and so is the mean; the variance is the integral of the square of the
    fundamental solution. On the same Brownian paths, a uniform run of the smallest steps has the
    same mean and variance to the tolerance.
    """
    paths, end = 20_000, 6.0
    noise = sdde.Brownian(6, finest=1 / 128)
    solution = sdde.solve_adaptively(
        _delayed_ou(), (0, end), dt=1.0, tolerance=0.02, halvings=7, paths=paths, noise=noise,
        method="heun", save="final",
    )  # fmt: skip
    x = solution.x[:, -1]
    s = np.linspace(0.0, end, 60_001)
    r = sum(
        np.where(s >= k, (-1.0) ** k * np.maximum(s - k, 0.0) ** k / math.factorial(k), 0.0)
        for k in range(int(end) + 1)
    )
    variance = np.trapezoid(r**2, s)
    assert solution.evaluations.min() > 3 * end  # some step of every path was rejected
    assert abs(x.mean()) < 4.06 * math.sqrt(variance / paths)  # 5e-5
    # 5e-5, and what the tolerance leaves of the variance
    assert abs(x.var() / variance - 1.0) < 4.06 * math.sqrt(2.0 / paths) + 0.005
    uniform = sdde.solve(
        _delayed_ou(), (0, end), dt=1 / 128, paths=paths, noise=noise, method="heun", save="final"
    ).x[:, -1]
    assert abs(x.mean() - uniform.mean()) < 0.001
    assert abs(x.var() / uniform.var() - 1.0) < 0.004


def test_without_noise_the_method_of_steps_is_met():
    """x' = -x(t - 1) from a history of 1 is a polynomial on each unit of time."""
    exact = sum(
        (-1.0) ** k * (4.0 - (k - 1)) ** k / math.factorial(k) for k in range(1, 6)
    ) + 1.0  # fmt: skip
    problem = sdde.Problem(lambda t, x, d: -d[0], delays=1.0, history=1.0)
    errors = [
        abs(
            sdde.solve_adaptively(
                problem, (0, 4), dt=0.5, tolerance=tolerance, halvings=12, method="heun",
                save="final",
            ).x[0, -1]
            - exact
        )
        for tolerance in (1e-3, 1e-5, 1e-7)
    ]  # fmt: skip
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1]
    assert errors[2] < 1e-6


def test_divergence_is_data():
    """Paths that blow up say when; what was saved before stays."""
    problem = sdde.Problem(lambda t, x, d: x * x, 0.01, delays=1.0, history=1.0)
    with pytest.warns(sdde.SolutionWarning, match="diverged"):
        solution = sdde.solve_adaptively(
            problem, (0, 3), dt=0.125, tolerance=1e-3, halvings=12, paths=3, rng=1, method="heun"
        )
    assert set(solution.status) == {"diverged"}
    assert np.all(abs(solution.end_time - 1.0) < 0.1)
    assert np.all(np.isfinite(solution.x[:, :7]))
    assert np.all(np.isnan(solution.x[:, 10:]))


def test_an_earlier_solution_is_a_history(tmp_path):
    """Each path continues its own; files keep what was counted; extend refuses."""
    problem = _diagonal()
    first = sdde.solve(problem, (0, 1), dt=0.01, paths=3, rng=1)
    later = sdde.Problem(problem.drift, problem.diffusion, delays=0.7, history=first)
    run = sdde.solve_adaptively(later, (1, 2), dt=0.5, tolerance=0.01, paths=3, rng=2)
    assert run.x[:, 0].tolist() == first.x[:, -1].tolist()
    run.save(tmp_path / "run.npz")
    loaded = sdde.Solution.load(tmp_path / "run.npz", problem=later)
    assert loaded.evaluations.tolist() == run.evaluations.tolist()
    for solution in (run, loaded):
        with pytest.raises(sdde.ArgumentError, match="does not continue adaptive steps"):
            solution.extend(3.0)


def _solve(problem=None, **changes):
    arguments = {"dt": 0.5, "tolerance": 0.01} | changes
    return sdde.solve_adaptively(problem or _diagonal(), (0, 1), **arguments)


SEEING = sdde.Problem(lambda t, x, d: -x, lambda t, x, d: 0.1 * d[0], delays=1.0, history=1.0)
CROSSED = sdde.Problem(
    lambda t, x, d: -x, lambda t, x, d: np.array([[x[1], 0.0], [0.1, x[0]]]), delays=1.0,
    history=[1.0, 1.0], noise="general",
)  # fmt: skip


@pytest.mark.parametrize(
    ("begins", "misuse"),
    [
        ("problem = 3 is not", lambda: _solve(3)),
        ("tolerance = 0.0 is not positive", lambda: _solve(tolerance=0.0)),
        ("relative = -1.0 is negative", lambda: _solve(relative=-1.0)),
        ("halvings = 0 is below 1", lambda: _solve(halvings=0)),
        ("halvings = 21 is above 20", lambda: _solve(halvings=21)),
        ("dt = 0.8 is longer than the shortest delay 0.7", lambda: _solve(dt=0.8)),
        ("noise = 1 is not", lambda: _solve(noise=1)),
        ("dt = ", lambda: _solve(noise=sdde.Brownian(1, finest=0.3))),
        ("save = ", lambda: _solve(save=sdde.Moments([1.0]))),
        ("method = 'euler-m.* is of strong order 1/2", lambda: _solve(method="euler-maruyama")),
        ("method = 'heun' is of strong order 1/2", lambda: _solve(method="heun")),
        ("problem = .* has noise that is neither", lambda: _solve(SEEING)),
        ("problem = .* has noise that is neither", lambda: _solve(CROSSED)),
        (
            "delays.0. = .* is not constant",
            lambda: _solve(
                sdde.Problem(
                    lambda t, x, d: -d[0], 0.1, history=1.0,
                    delays=sdde.TimeDelay(lambda t: 0.5, longest=1.0),
                )
            ),
        ),
        (
            "problem = .* has jumps",
            lambda: _solve(
                sdde.Problem(
                    lambda t, x, d: -x, history=1.0,
                    jumps=sdde.Jump(rate=1.0, effect=lambda t, x, d: -0.1 * x),
                )
            ),
        ),
        (
            "problem = .* has 17 components",
            lambda: _solve(sdde.Problem(lambda t, x, d: -x, 0.1, history=np.ones(17))),
        ),
    ],
)  # fmt: skip
def test_misuse_is_refused(begins, misuse):
    """What adaptive steps do not take is said, with something that works."""
    with pytest.raises(sdde.ArgumentError, match=begins):
        misuse()
