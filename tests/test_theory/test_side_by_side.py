"""What makes plans fast changes no number: grids, searches, sums of laws and their operators."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import cluster, theory
from sdde.equation.laws import as_law
from sdde.theory import cycle, exact, linear_fits, panels, side_by_side, squares
from sdde.theory import worker_limits as limits

LINK = cluster.SharedLink(scipy.stats.expon(scale=0.05))


@pytest.mark.parametrize("eigenvalues", [[1.0, 0.5, 0.1], np.geomspace(0.05, 1.0, 50)])
@pytest.mark.parametrize(
    ("law", "link", "arrivals"),
    [
        (1.0, None, "exact"),
        (scipy.stats.expon(), None, "exact"),
        (scipy.stats.expon(), LINK, "poisson"),
        (scipy.stats.gamma(4, scale=0.25), None, "regular"),
        (scipy.stats.uniform(0.5, 1.0), LINK, "regular"),
    ],
)
def test_rates_solved_side_by_side_take_as_long_as_one_by_one(eigenvalues, law, link, arrivals):
    """A grid shares panels and, for long spectra, nodes; each rate has its own elsewhere."""
    model = theory.AsyncSGD(
        eigenvalues, learning_rate=0.01, workers=12, compute_time=law, communication=link,
        gradient_noise=0.02, arrivals=arrivals,
    )  # fmt: skip
    rates = model.max_learning_rate() * np.array([0.8, 0.5, 0.3, 0.1, 0.03, 0.01])
    together = side_by_side.times_to(model, rates, 0.05, 1.0)
    alone = [model.replace(learning_rate=eta).time_to(0.05) for eta in rates]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("start", [1, 7, 500, 10**6])
def test_the_largest_count_is_the_last_below_one(power, start):
    """Against the definition, for smooth indices, steps to infinity, and ends of the range."""
    for limit in (0.5, 1.0, 2.5, 99.9, 1234.0):
        whole = math.ceil(limit) - 1
        found = limits.largest_count(lambda n, limit=limit: (n / limit) ** power, start)
        assert found == whole
        sudden = limits.largest_count(
            lambda n, limit=limit: n / limit if n < limit else math.inf, start
        )
        assert sudden == whole
        assert limits.largest_count(lambda n, limit=limit: float(n >= limit), start) == whole
        capped = limits.largest_count(lambda n, limit=limit: n / limit, start, least=3, most=50)
        assert capped == min(max(whole, 2), 50)
    assert limits.largest_count(lambda n: 0.5, start) == math.inf


def test_a_search_for_the_largest_count_asks_few_questions():
    """A power law in between is guessed; halving a range of a thousand takes ten questions."""
    asked = []

    def index(n):
        asked.append(n)
        return (n / 787.3) ** 1.2

    assert limits.largest_count(index, 1000, most=1000) == 787
    assert len(asked) <= 5


@pytest.mark.parametrize("start", [20, 60, 500])
def test_a_smooth_index_that_takes_long_is_asked_three_or_four_times(start):
    """Limits behind a link: the damping at the limit changes slowly with the workers."""
    for limit in (45.3, 78.9, 230.6):
        asked = []

        def index(n, limit=limit, asked=asked):
            asked.append(n)
            return n / limit * (1.0 + 0.1 * math.log(n / limit))

        found = limits.largest_count(index, start, most=1000, smooth=True)
        assert found == math.ceil(limit) - 1
        assert len(asked) <= 4


def test_an_operator_of_many_delays_is_the_sum_of_those_of_each():
    """Legendre moments of a law against one matrix for every delay."""
    rng = np.random.default_rng(3)
    delays, mass = rng.gamma(2.0, 1.0, 400), rng.dirichlet(np.ones(400))
    together = panels._projected(delays, mass, 6)
    alone = sum(
        panels._projected(delays[i : i + 1], mass[i : i + 1], 6) for i in range(len(delays))
    )
    np.testing.assert_allclose(together, alone, atol=1e-13)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0])
@pytest.mark.parametrize(
    "law", [scipy.stats.gamma(4, scale=0.25), scipy.stats.uniform(0.5, 1.0), scipy.stats.expon()]
)
def test_values_of_a_sum_keep_its_transform(law, scale):
    """The values that stand for a sum against the product of two closed transforms; most
    is lost at the jump of an exponential law to which a narrow one is added.
    """
    first, second = as_law(law, "law"), as_law(scipy.stats.gamma(3.3, scale=scale), "law")
    both = cycle.total(first, second)
    points, weights = both.nodes()
    s = np.array([0.3, 1.0, 3.0, 1j, 3j]) / both.mean
    values = np.exp(-np.multiply.outer(s, points)) @ weights
    np.testing.assert_allclose(values, first.laplace(s) * second.laplace(s), atol=1e-5)
    assert both.mean == pytest.approx(first.mean + second.mean, rel=1e-12)
    assert both.variance == pytest.approx(first.variance + second.variance, rel=1e-9)


@pytest.mark.parametrize("workers", [160, 333, 1000])
def test_many_workers_in_step_are_polynomials_of_the_update(workers, monkeypatch):
    """Twenty-four places in a cycle against every single update, up to the stability limit."""
    edge = 2.0 * math.sin(math.pi / (2.0 * (2.0 * workers - 1.0)))
    alpha = edge * np.array([1e-3, 0.1, 0.5, 0.9, 0.999, 1.2])
    few = exact.in_step(alpha, workers).square
    monkeypatch.setattr(exact.many_in_step, "FEWEST", math.inf)
    every = exact.in_step(alpha, workers).square
    scale = np.abs(every).max(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(few / scale, every / scale, atol=2e-12)


@pytest.mark.parametrize("eigenvalues", [[1.0], [1.0, 0.5, 0.1], np.geomspace(0.05, 1.0, 50)])
def test_a_grid_of_rates_serves_all_that_are_asked_for_later(eigenvalues, monkeypatch):
    """Workers as renewal processes: near the limit these are hard to interpolate."""
    model = theory.AsyncSGD(
        eigenvalues, learning_rate=0.01, workers=12, gradient_noise=0.02, arrivals="renewal",
        compute_time=scipy.stats.gamma(4, scale=0.25),
    )  # fmt: skip
    solved = []
    solve = side_by_side.square_curves
    monkeypatch.setattr(
        side_by_side, "square_curves", lambda *given: solved.append(given) or solve(*given)
    )
    highest = 0.9 * model.max_learning_rate()
    curves = side_by_side.RateCurves(model, 1.0, highest=highest)
    curves.reached(highest * np.array([0.25, 0.5, 0.8]), 0.05)
    rates = highest * np.array([1.0, 0.9, 0.7, 0.4, 0.25])
    found = curves.reached(rates, 0.05)
    assert len(solved) == 1
    for eta, (time, floor, _) in zip(rates, found, strict=True):
        alone = model.replace(learning_rate=float(eta))
        assert time == pytest.approx(alone.time_to(0.05), rel=3e-3)
        assert floor == pytest.approx(alone.loss_floor(), rel=5e-4)
    curves.reached(np.array([0.1 * highest]), 0.05)
    assert len(solved) == 2


@pytest.mark.parametrize("guess", [0.2, 0.93, 1.0, 1.004, 1.2, 5.0])
@pytest.mark.parametrize("law", [scipy.stats.gamma(4, scale=0.25), scipy.stats.lognorm(0.9)])
def test_a_guess_of_the_largest_rate_does_not_change_it(law, guess):
    stream = theory.AsyncSGD(
        [1.0], learning_rate=0.01, workers=20, compute_time=law, arrivals="renewal"
    ).stream
    limit = limits.largest_alpha(stream)
    assert limits.largest_alpha(stream, guess * limit) == pytest.approx(limit, rel=1e-3)


def test_quick_values_of_a_curve_are_its_values():
    model = theory.AsyncSGD(
        [1.0, 0.3], learning_rate=0.1, workers=8, compute_time=1.0, gradient_noise=0.1,
        arrivals="regular",
    )  # fmt: skip
    curve = model.loss_curve(1.0)
    width, end = curve.width, curve.end
    for low, high in ((0.0, width), (3.1 * width, 3.7 * width), (0.9 * width, 1.1 * width),
                      (end - 0.1, end + 0.1), (end + 1.0, end + 30.0)):  # fmt: skip
        times = np.linspace(low, high, 9)
        quick = curve.between(low, high)
        np.testing.assert_allclose([quick(t) for t in times], curve(times), rtol=1e-12)


@pytest.mark.parametrize("values", [np.geomspace(0.02, 1.0, 50), np.linspace(0.02, 1.0, 40)])
def test_nodes_serve_long_spectra_of_workers_as_renewals(values, monkeypatch):
    """Times from nodes and from all eigenvalues, up to close to divergence."""
    times = []
    for direct in (squares._FEW_DIRECT, values.size):
        monkeypatch.setattr(squares, "_FEW_DIRECT", direct)
        model = theory.AsyncSGD(
            values, learning_rate=0.01, workers=12, compute_time=scipy.stats.gamma(4, scale=0.25),
            gradient_noise=0.02, arrivals="renewal",
        )  # fmt: skip
        highest = 0.9 * model.max_learning_rate()
        times.append([
            model.replace(learning_rate=highest * share).time_to(target)
            for share in (1.0, 0.8, 0.4) for target in (0.3, 0.03)
        ])  # fmt: skip
    np.testing.assert_allclose(times[0], times[1], rtol=1e-3)


@pytest.mark.parametrize("values", [8, 40])
def test_many_least_squares_are_those_of_numpy(values):
    """Also without full rank, and with rows that do not count."""
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(3, 2, values, 5))
    columns[1, :, :, 2] = 0.0
    columns[2, :, :, 1] = columns[2, :, :, 0] * (1.0 + 1e-12)
    padded = np.concatenate([columns, np.zeros((3, 2, 7, 5))], axis=2)
    found = linear_fits.least_squares(padded, rcond=1e-7)
    for place in np.ndindex(3, 2):
        matrix = columns[place]
        wanted = np.linalg.lstsq(matrix[:, :-1], matrix[:, -1], rcond=1e-7)[0]
        np.testing.assert_allclose(found[place], wanted, rtol=1e-8, atol=1e-10)
