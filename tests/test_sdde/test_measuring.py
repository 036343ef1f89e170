"""Measured curvature and noise against whole matrices and all samples, and their errors."""

import numpy as np
import pytest
from scipy import stats

import sdde
from sdde import cluster
from sdde.cluster import Measurement, Objective, measure
from sdde.cluster.hessian_products import Differences, derivatives
from tests import reference_measuring as reference

RNG = np.random.default_rng(1)
ROWS = RNG.normal(size=(60, 5)) * [3.0, 1.0, 1.0, 0.5, 0.2]
CLASSES = RNG.integers(0, 3, 60)


def of_rows(whole=True, **more):
    """Least squares by functions: the loss of a row is half the square of its residual."""
    target = ROWS @ [1.0, -1.0, 0.5, 0.0, 2.0] + CLASSES

    def gradient(x, rows):
        part, wanted = ROWS[rows], target[rows]
        if not whole:
            return part * (part @ x - wanted)
        return part.T @ (part @ x - wanted) / len(rows)

    def loss(x):
        return 0.5 * np.mean((ROWS @ x - target) ** 2)

    return Objective.from_callables(
        gradient, loss, 5, samples=60, batch=4, whole_batches=whole, compile=False, **more
    )


OBJECTIVES = {
    "quadratic": cluster.Quadratic([3.0, 1.0, 0.2, 0.1], noise=[0.1, 0.2, 0.3, 0.0], start=2.0),
    "dense": cluster.DenseQuadratic.with_spectrum([4.0, 2.0, 1.0, 0.5], noise=0.3, rng=1),
    "logistic": cluster.Logistic(ROWS, (CLASSES > 0).astype(int), regularisation=0.05),
    "softmax": cluster.Softmax(ROWS, CLASSES, regularisation=0.05, batch=8),
    "tanh network": cluster.Network(ROWS, CLASSES, hidden=(4, 3), regularisation=0.01, batch=8),
    "relu network": cluster.Network(ROWS, CLASSES, hidden=(6,), activation="relu"),
    "factorisation": cluster.MatrixFactorisation.random(6, 5, 2, residual=0.3, batch=8),
    "rosenbrock": cluster.rosenbrock(5, noise=0.1),
    "saddle": cluster.strict_saddle(3, noise=0.1),
    "log well": cluster.log_well(3, noise=[0.1, 0.2, 0.3]),
    "star well": cluster.star_well(4, noise=0.1),
    "rows": of_rows(),
    "single rows": of_rows(whole=False, noise=0.2),
}


def place(objective):
    return np.random.default_rng(5).normal(size=objective.dim) * 0.7


def one_sample(objective, x):
    """Return the gradient of one sample, how many there are and the batch; None without samples."""
    if isinstance(objective, Objective):
        if not objective.samples:
            return None
        function = objective.gradient_function
        if objective.whole_batches:
            return (lambda s: function(x, np.array([s]))), objective.samples, objective.batch
        return (lambda s: function(x, s)), objective.samples, objective.batch
    if isinstance(objective, cluster.Quadratic | cluster.DenseQuadratic):
        return None
    entries = isinstance(objective, cluster.MatrixFactorisation)
    count = objective.target.size if entries else len(objective.inputs)
    return (lambda s: objective.gradient(x, [s])), count, objective.batch


def whole_covariance(objective, x):
    if isinstance(objective, cluster.DenseQuadratic):
        return objective.covariance
    added = getattr(objective, "noise", np.zeros(objective.dim))
    one = one_sample(objective, x)
    return np.diag(added**2) + (0.0 if one is None else reference.covariance(*one))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_eigenvalues_are_those_of_the_dense_hessian(name):
    """Formulas and differences against a Jacobian of the gradient, column by column."""
    objective = OBJECTIVES[name]
    x = place(objective)
    step = 1e-7 if name == "relu network" else 1e-5  # small enough to cross no kink
    matrix = reference.hessian(derivatives(objective).gradient, x, step)
    values = np.linalg.eigvalsh(matrix)[::-1]
    found = measure(objective, x, leading=3, trailing=2)
    size = np.abs(values).max()
    np.testing.assert_allclose(found.leading, values[:3], atol=2e-7 * size)
    np.testing.assert_allclose(found.trailing, values[::-1][:2], atol=2e-7 * size)
    assert found.hessian_trace == pytest.approx(np.trace(matrix), abs=1e-6 * size)
    assert found.hessian_trace_error == 0.0
    assert found.product_error < 1e-6
    assert found.gradient_norm == pytest.approx(
        np.linalg.norm(derivatives(objective).gradient(x)), rel=1e-12
    )


@pytest.mark.parametrize("name", OBJECTIVES)
def test_noise_is_that_of_all_samples(name):
    """The covariance over all samples, by its trace and along eigenvectors."""
    objective = OBJECTIVES[name]
    x = place(objective)
    whole = whole_covariance(objective, x)
    found = measure(objective, x, leading=2, trailing=0)
    assert found.noise_trace == pytest.approx(np.trace(whole), rel=1e-9)
    assert found.noise_trace_error == 0.0
    step = 1e-7 if name == "relu network" else 1e-5
    vectors = np.linalg.eigh(reference.hessian(derivatives(objective).gradient, x, step))[1]
    along = np.einsum("ij,ij->j", vectors, whole @ vectors)[::-1]
    np.testing.assert_allclose(found.leading_noise, along[:2], rtol=1e-4, atol=1e-9)
    one = one_sample(objective, x)
    batch = 1 if one is None else one[2]
    assert found.critical_batch == pytest.approx(
        batch * np.trace(whole) / found.gradient_norm**2, rel=1e-9
    )


LARGE = cluster.Network(
    RNG.normal(size=(300, 8)), RNG.integers(0, 4, 300), hidden=(10,), regularisation=0.02, batch=4
)
AT = place(LARGE)
MATRIX = reference.hessian(LARGE.gradient, AT, step=1e-4)
VALUES = np.linalg.eigvalsh(MATRIX)[::-1]


def estimate(seed, **more):
    settings = {"leading": 4, "trailing": 2, "probes": 6, "steps": 30, "exact": False} | more
    return measure(LARGE, AT, rng=seed, **settings)


def test_without_the_matrix_the_ends_of_the_spectrum_are_right_within_their_bounds():
    """ARPACK's eigenvalues and the residuals that bound their errors."""
    found = estimate(3)
    np.testing.assert_allclose(found.leading, VALUES[:4], atol=1e-6 * VALUES[0])
    for value, bound in zip(found.trailing, found.trailing_errors, strict=True):
        assert np.abs(VALUES - value).min() <= bound + 1e-6 * VALUES[0]


def test_a_crowded_lower_end_is_told_by_the_lowest_node():
    """Thirty dead inputs give the penalty as an eigenvalue, which ARPACK cannot separate."""
    dead = np.hstack([RNG.normal(size=(80, 6)), np.zeros((80, 60))])
    objective = cluster.Softmax(dead, RNG.integers(0, 3, 80), regularisation=0.01)
    found = measure(objective, np.zeros(objective.dim), exact=False, rng=1)
    assert found.trailing.size >= 1
    assert abs(found.trailing[0] - 0.01) <= found.trailing_errors[0] + 1e-6 * found.leading[0]


def test_the_trace_is_covered_by_its_standard_error():
    """Student's law with 5 degrees of freedom: of 24 intervals of 95 %, fewer than 18 hold the
    trace with probability 1e-4 (binomial), and one |t| is above 20 with probability 1e-4.
    """
    scores = []
    for seed in range(24):
        found = estimate(seed, steps=8, gradients=2)
        scores.append((found.hessian_trace - VALUES.sum()) / found.hessian_trace_error)
    inside = np.abs(scores) < stats.t(5).ppf(0.975)
    assert inside.sum() >= 18
    assert np.max(np.abs(scores)) < 20.0


def test_the_noise_is_covered_by_its_standard_error():
    """50 of 300 samples: of 40 intervals of 95 %, fewer than 30 hold the value with probability
    5e-5 even where coverage is only 92 % (the law of squares is skew).
    """
    exact = estimate(0)
    assert exact.noise_trace_error == 0.0
    inside = []
    for seed in range(40):
        found = estimate(seed, gradients=50, probes=2, steps=2, trailing=0)
        inside.append(abs(found.noise_trace - exact.noise_trace) < 2.01 * found.noise_trace_error)
        assert found.critical_batch / found.noise_trace == pytest.approx(
            exact.critical_batch / exact.noise_trace
        )
    assert sum(inside) >= 30
    assert found.noise_trace_error > 0.02 * found.noise_trace


def test_the_density_counts_eigenvalues():
    """Where the spectrum has gaps the count is right within its error, and it integrates to all."""
    found = estimate(1, probes=10)
    gaps = VALUES[:-1] - VALUES[1:]
    for i in np.argsort(gaps)[-8:]:
        count, error = found.eigenvalues_below((VALUES[i] + VALUES[i + 1]) / 2.0)
        # Student with 9 degrees of freedom: 8 tests at |t| < 6.5 fail with probability 1e-3;
        # a rule of 30 nodes may misplace part of an eigenvalue.
        assert abs(count - (LARGE.dim - 1 - i)) < 6.5 * error + 1.0
    grid = np.linspace(VALUES[-1] - 1.0, VALUES[0] + 1.0, 4001)
    total = np.trapezoid(found.density(grid, 0.02), grid)
    assert total == pytest.approx(LARGE.dim, rel=1e-6)
    exact = measure(LARGE, AT, exact=True)
    assert exact.eigenvalues_below(0.0) == (np.sum(VALUES <= 0.0), 0.0)


@pytest.fixture(scope="module")
def digits():
    objective = cluster.Softmax.digits(batch=8)
    best = objective.optimum()[0]
    return objective, objective.quadratic(), measure(objective, best, exact=False, rng=2)


@pytest.mark.parametrize("time", [0.1, 1.0, 10.0, 100.0])
def test_the_quadratic_relaxes_like_the_whole_matrix(digits, time):
    """Sums over all 650 modes: of the start exact by Gauss's rule, of the noise within 2 %."""
    _, whole, found = digits
    few, condensed = (found.quadratic(n, whole_way=False) for n in (None, 16))

    def excess(q):
        return 0.5 * np.sum(q.eigenvalues * q.start**2 * np.exp(-2.0 * q.eigenvalues * time))

    def floor(q):
        return np.sum(q.noise**2 * -np.expm1(-2.0 * q.eigenvalues * time))

    assert excess(few) == pytest.approx(excess(whole), rel=1e-6)
    assert floor(few) == pytest.approx(floor(whole), rel=0.02)
    assert condensed.dim <= 16
    assert excess(condensed) == pytest.approx(excess(whole), rel=0.05)
    assert floor(condensed) == pytest.approx(floor(whole), rel=0.05)
    assert condensed.eigenvalues.max() == pytest.approx(whole.eigenvalues.max(), rel=1e-6)


def test_larger_curvature_on_the_way_limits_and_costs_nothing(digits):
    """A mode of the curvature at the start is added: the same loss, a smaller stable rate."""
    objective, whole, found = digits
    there = np.linalg.eigvalsh(objective.hessian(objective.start))[-1]
    assert found.steepest == pytest.approx(there, rel=1e-3)
    limited = found.quadratic()
    assert limited.eigenvalues.max() == found.steepest
    assert limited.initial_loss == pytest.approx(whole.initial_loss, rel=1e-6)
    again = found.resample(1)
    assert again.eigenvalues.max() == found.steepest
    assert found.resample(1, whole_way=False).eigenvalues.max() < 0.5


def test_warnings_say_where_the_quadratic_of_digits_misleads(digits):
    """From zero weights the loss is 4 times what curvature at the optimum makes of it."""
    objective, _, found = digits
    text = found.explain()
    assert found.critical_batch == np.inf
    for word in ("loss rises by 2.04", "Hessian changes", "Curvature is larger", "noise changes"):
        assert word in text
    best = objective.optimum()[0]
    near = best + 0.02 * (objective.start - best)
    assert measure(objective, best, start=near, exact=False).warnings == ()


@pytest.mark.parametrize("name", ["quadratic", "dense"])
def test_a_quadratic_measures_as_itself(name):
    """Nothing is estimated, and nothing is warned of."""
    objective = OBJECTIVES[name]
    found = measure(objective, np.zeros(objective.dim))
    same, known = found.quadratic(), objective.quadratic()
    order, other = np.argsort(same.eigenvalues), np.argsort(known.eigenvalues)
    np.testing.assert_allclose(same.eigenvalues[order], known.eigenvalues[other])
    np.testing.assert_allclose(same.noise[order], known.noise[other], atol=1e-9)
    np.testing.assert_allclose(same.start[order], np.abs(known.start[other]))
    assert found.warnings == ()
    assert found.initial_loss == pytest.approx(known.initial_loss)


def test_away_from_the_minimum_the_start_is_counted_from_the_minimum_of_the_quadratic():
    """There the gradient over the curvature says how far it is."""
    objective = cluster.DenseQuadratic.with_spectrum([4.0, 2.0, 1.0], start=[1.0, 2.0, 3.0], rng=4)
    for exact in (True, False):
        many = cluster.DenseQuadratic.with_spectrum(np.linspace(0.5, 4.0, 40), rng=4)
        one = many if not exact else objective
        found = measure(one, one.start, exact=exact, leading=2, trailing=1)
        assert found.quadratic().initial_loss == pytest.approx(one.quadratic().initial_loss)
        assert "is no minimum" in found.warnings[0]


def test_negative_curvature_is_told_and_left_out():
    """At its saddle the well falls along the first axis."""
    found = measure(cluster.strict_saddle(3, noise=0.1), np.zeros(3))
    assert "negative curvature: the smallest eigenvalue is -1" in found.warnings[0]
    assert "33% of the gradient noise" in found.warnings[0]
    np.testing.assert_allclose(found.quadratic().eigenvalues, [1.0, 1.0])
    hill = Objective.from_callables(lambda x: -x, lambda x: -0.5 * (x @ x), 2)
    with pytest.raises(sdde.ArgumentError, match="is not positive"):
        measure(hill, np.zeros(2)).quadratic()


def test_other_doubts_are_told():
    """Shared data, and gradients that are not smooth."""
    shared = OBJECTIVES["softmax"].split(3)
    assert any("shared out" in text for text in measure(shared, shared.optimum()[0]).warnings)
    turning = Objective.from_callables(
        lambda x: np.array([x[0] + x[1], x[1] - x[0]]), lambda x: 0.5 * (x @ x), 2
    )
    assert any("not exact" in text for text in measure(turning, np.zeros(2)).warnings)
    stepped = Objective.from_callables(
        lambda x: x + np.round(x * 40.0) / 8.0, lambda x: 0.5 * (x @ x), 6
    )
    assert any("not smooth" in text for text in measure(stepped, np.full(6, 0.3125)).warnings)


def test_resampled_quadratics_spread_as_the_errors_say():
    """What was measured exactly stays; what was sampled moves by its standard error."""
    exact = measure(OBJECTIVES["softmax"], OBJECTIVES["softmax"].optimum()[0])
    again = exact.resample(1)
    np.testing.assert_allclose(again.eigenvalues, exact.quadratic().eigenvalues, rtol=1e-12)
    np.testing.assert_allclose(again.noise, exact.quadratic().noise, rtol=1e-9)
    found = estimate(2, gradients=60)
    totals = [float(np.sum(found.resample(seed, None).noise ** 2)) for seed in range(200)]
    kept = float(np.sum(found.quadratic(None).noise ** 2)) / found.noise_trace
    # The standard deviation of 200 normal numbers is within 20 % with probability 0.9999, and
    # draws on directions of negative curvature add a little.
    assert 0.75 < np.std(totals) / (kept * found.noise_trace_error) < 1.5
    np.testing.assert_array_equal(found.resample(3).noise, found.resample(3).noise)


def test_differences_tell_their_step_from_the_function():
    """Right to 1e-7 in double precision, whatever the scale, and honest about single precision."""
    for scale in (1e-3, 1.0, 1e4):

        def gradient(x, s=scale):
            return np.sinh(x / s) * s

        x = scale * np.array([0.3, -0.7, 1.1])
        v = np.array([1.0, 2.0, -1.0])
        np.testing.assert_allclose(Differences(gradient, x)(v), np.cosh(x / scale) * v, rtol=1e-7)
    rough = Objective.from_callables(
        lambda x: np.sinh(x).astype(np.float32), lambda x: np.cosh(x).sum(), 30, compile=False
    )
    found = measure(rough, np.full(30, 0.5))
    assert 1e-7 < found.product_error < 1e-2
    np.testing.assert_allclose(found.leading, np.cosh(0.5), rtol=1e-3)


def test_a_product_of_the_users_own_is_taken():
    """It is exact, and costs less."""
    asked = []

    def product(x, v):
        asked.append(1)
        return ROWS.T @ (ROWS @ v) / len(ROWS)

    own = measure(of_rows(hessian_product=product), np.zeros(5))
    assert len(asked) >= own.products
    assert own.product_error < 1e-14
    np.testing.assert_allclose(own.leading, measure(of_rows(), np.zeros(5)).leading, rtol=1e-6)


def test_a_measurement_is_an_objective_for_the_planner():
    """The plan of a measured quadratic is the plan of the quadratic."""
    objective = cluster.Quadratic([2.0, 0.5], noise=0.1, start=1.0)
    found = measure(objective, np.zeros(2))
    system = cluster.System(1.0)
    plans = [
        sdde.theory.plan(o, system, target_loss=1e-2, learning_rate=0.02, max_workers=16)
        for o in (objective, found)
    ]
    assert plans[0].workers == plans[1].workers
    assert plans[0].time_to_target == pytest.approx(plans[1].time_to_target, rel=1e-9)


def test_a_plan_shows_what_the_measurement_warns_of():
    """Before anything is run."""
    found = measure(cluster.log_well(1, noise=0.1, start=3.0), [0.0])
    assert len(found.warnings) >= 2
    answer = sdde.theory.plan(
        found, cluster.System(1.0), target_loss=0.1, learning_rate=0.1, max_workers=4
    )
    assert set(found.warnings) <= set(answer.warnings)


def test_the_same_seed_measures_the_same():
    """Every draw comes from `rng`."""
    first, second = estimate(7), estimate(np.random.SeedSequence(7))
    np.testing.assert_array_equal(first.modes.noise_rules[0].weights,
                                  second.modes.noise_rules[0].weights)  # fmt: skip
    assert first.hessian_trace == second.hessian_trace != estimate(8).hessian_trace


def test_a_measurement_explains_and_draws_itself(digits):
    """Text for people, a figure of the spectrum."""
    from matplotlib import pyplot

    found = digits[2]
    assert "650 parameters" in repr(found)
    assert isinstance(found, Measurement)
    ax = found.plot()
    assert ax.get_yscale() == "log"
    assert found.plot(ax) is ax
    estimate(1).plot()
    pyplot.close("all")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": [0.0, 1.0]}, "has 2 values for 4 parameters"),
        ({"x": [0.0, 1.0, np.nan, 0.0]}, "not finite"),
        ({"leading": 0}, "is below 1"),
        ({"trailing": -1}, "is below 0"),
        ({"probes": 1}, "is below 2"),
        ({"steps": 1.5}, "is not a whole number"),
        ({"gradients": 1}, "is below 2"),
        ({"start": [1.0]}, "has 1 values for 4 parameters"),
        ({"exact": 1}, "neither True nor False"),
        ({"rng": "x"}, "is not a seed"),
        ({"objective": 3.0}, "is not an objective"),
    ],
)
def test_misuse_is_refused(change, said):
    """Before anything is measured."""
    given = {"objective": OBJECTIVES["quadratic"], "x": np.zeros(4)} | change
    with pytest.raises(sdde.ArgumentError, match=said):
        measure(given.pop("objective"), given.pop("x"), **given)


def test_values_that_cannot_be_asked_for_are_refused():
    """In the methods of a measurement."""
    found = measure(OBJECTIVES["quadratic"], np.zeros(4))
    with pytest.raises(sdde.ArgumentError, match="value"):
        found.eigenvalues_below(np.nan)
    with pytest.raises(sdde.ArgumentError, match="width"):
        found.density([0.0], -1.0)
    with pytest.raises(sdde.ArgumentError, match="modes"):
        found.quadratic(1)
