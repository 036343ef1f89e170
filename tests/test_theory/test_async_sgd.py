"""Asynchronous SGD on a quadratic: against event counting, linear algebra and limits."""

import heapq
import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, theory


def simulate(draw, workers, times, *, eigenvalues, learning_rate, noise, runs, rng, first):
    """Losses of asynchronous SGD event by event: the plainest possible simulator."""
    losses = np.empty((runs, len(times)))
    for run in range(runs):
        x = np.ones(len(eigenvalues))
        copies = [x.copy() for _ in range(workers)]
        heap = [(first(rng), w) for w in range(workers)]
        heapq.heapify(heap)
        for i, until in enumerate(times):
            while heap[0][0] <= until:
                now, w = heapq.heappop(heap)
                gradient = eigenvalues * copies[w] + noise * rng.standard_normal(len(x))
                x = x - learning_rate * gradient
                copies[w] = x
                heapq.heappush(heap, (now + draw(rng), w))
            losses[run, i] = 0.5 * np.sum(eigenvalues * x * x)
    return losses


def test_predicted_loss_of_eight_exponential_workers_agrees_with_event_simulation():
    """Ten times, each within 4.9 standard errors: false-alarm rate 1e-5 in all (normal tail)."""
    eigenvalues, times = np.array([1.0, 0.4]), np.linspace(0.5, 12.0, 10)
    model = theory.AsyncSGD(
        eigenvalues, learning_rate=0.05, workers=8, compute_time=scipy.stats.expon(),
        gradient_noise=0.3, arrivals="exact",
    )  # fmt: skip
    losses = simulate(
        lambda rng: rng.exponential(), 8, times, eigenvalues=eigenvalues, learning_rate=0.05,
        noise=0.3, runs=1500, rng=np.random.default_rng(1), first=lambda rng: rng.exponential(),
    )  # fmt: skip
    error = losses.std(axis=0, ddof=1) / math.sqrt(len(losses))
    assert np.all(np.abs(losses.mean(axis=0) - model.loss(times)) < 4.9 * error)


def test_workers_in_step_agree_with_event_simulation():
    """Equal constant cycles with random phases; 4.9 standard errors at ten times."""
    times = np.linspace(0.3, 9.3, 10)
    model = theory.AsyncSGD(
        1.0, learning_rate=0.1, workers=6, compute_time=1.0, gradient_noise=0.3, arrivals="exact"
    )
    losses = simulate(
        lambda rng: 1.0, 6, times, eigenvalues=np.ones(1), learning_rate=0.1,
        noise=0.3, runs=1500, rng=np.random.default_rng(2), first=lambda rng: rng.random(),
    )  # fmt: skip
    error = losses.std(axis=0, ddof=1) / math.sqrt(len(losses))
    assert np.all(np.abs(losses.mean(axis=0) - model.loss(times)) < 4.9 * error)


def test_unequal_memoryless_workers_agree_with_event_simulation():
    """Rates 1, 1 and 3: the grouped moment equations against counting events."""
    times, rates = np.linspace(0.3, 6.0, 10), np.array([1.0, 1.0, 3.0])
    model = theory.AsyncSGD(
        1.0, learning_rate=0.2, workers=3, gradient_noise=0.5, arrivals="exact",
        compute_time=[scipy.stats.expon(scale=1.0 / rate) for rate in rates],
    )  # fmt: skip
    rng, runs = np.random.default_rng(3), 40_000
    x, copies, now = np.ones(runs), np.ones((runs, 3)), np.zeros(runs)
    losses, reached = np.empty((runs, len(times))), np.zeros(runs, dtype=int)
    while (reached < len(times)).any():  # superposition: next event after Exp(5), worker by rate
        now = now + rng.exponential(1.0 / rates.sum(), runs)
        for i in range(len(times)):
            passed = (reached == i) & (now > times[i])
            losses[passed, i] = 0.5 * x[passed] ** 2
            reached[passed] += 1
        w = rng.choice(3, runs, p=rates / rates.sum())
        x = x - 0.2 * (copies[np.arange(runs), w] + 0.5 * rng.standard_normal(runs))
        copies[np.arange(runs), w] = x
    error = losses.std(axis=0, ddof=1) / math.sqrt(runs)
    assert np.all(np.abs(losses.mean(axis=0) - model.loss(times)) < 4.9 * error)


def poisson_model(law, alpha=0.09, rate=10.0, noise=1.0):
    return theory.AsyncSGD(
        1.0, learning_rate=alpha, workers=round(rate * law.mean()), compute_time=law,
        gradient_noise=noise,
    )  # fmt: skip


@pytest.mark.parametrize(
    "law", [scipy.stats.gamma(3, scale=1 / 3), scipy.stats.lognorm(1.0, scale=math.exp(-0.5))]
)
def test_poisson_arrivals_with_random_delays_agree_with_simulation_of_the_arrivals(law):
    """The renewal equation against Poisson points with independent delay marks, 4.9 sd."""
    times = np.linspace(0.25, 5.0, 10)
    model = poisson_model(law, alpha=0.12)
    rng, runs = np.random.default_rng(4), 1500
    losses = np.empty((runs, len(times)))
    for run in range(runs):
        points = np.cumsum(rng.exponential(0.1, 120))
        reads = points - law.rvs(size=120, random_state=rng)
        at = np.searchsorted(points, reads)  # state after all arrivals before the read
        x = np.ones(121)
        for k in range(120):
            stale = x[at[k]] if reads[k] > 0 else 1.0
            x[k + 1] = x[k] - 0.12 * (stale + rng.standard_normal())
        losses[run] = 0.5 * x[np.searchsorted(points, times)] ** 2
    error = losses.std(axis=0, ddof=1) / math.sqrt(runs)
    assert np.all(np.abs(losses.mean(axis=0) - model.loss(times)) < 4.9 * error)


@pytest.mark.parametrize(("workers", "alpha"), [(2, 0.3), (4, 0.1), (8, 0.05)])
def test_memoryless_floor_is_the_closed_form(workers, alpha):
    """The moment equations' fixed point against alpha (1 + alpha n) / (2 + alpha - alpha^2 n)."""
    model = theory.AsyncSGD(
        1.0, learning_rate=alpha, workers=workers, compute_time=scipy.stats.expon(scale=2.0),
        gradient_noise=1.0, arrivals="exact",
    )  # fmt: skip
    variance = alpha * (1 + alpha * workers) / (2 + alpha - alpha**2 * workers)
    assert 2.0 * model.loss_floor() == pytest.approx(variance, rel=1e-12)
    assert 2.0 * model.loss(2000.0) == pytest.approx(variance, rel=1e-9)


@pytest.mark.parametrize(
    "law",
    [1.0, scipy.stats.expon(), scipy.stats.gamma(4, scale=0.25), scipy.stats.uniform(0.5, 1.0),
     np.array([0.9, 1.0, 1.0, 1.1]), scipy.stats.lognorm(1.0), scipy.stats.pareto(3)],
)  # fmt: skip
@pytest.mark.parametrize("arrivals", ["poisson", "regular"])
def test_the_loss_ends_at_its_floor(law, arrivals):
    """Marching, exponential continuation and the stationary formula share only the kernel."""
    model = theory.AsyncSGD(
        [1.0, 0.3], learning_rate=0.03, workers=10, compute_time=law, gradient_noise=0.2,
        arrivals=arrivals,
    )  # fmt: skip
    assert model.loss(0.0, 2.0) == pytest.approx(0.5 * 1.3 * 4.0, rel=1e-6)
    assert model.loss(1e4) == pytest.approx(model.loss_floor(), rel=1e-9)
    end = model.loss_curve().end
    before, after = model.loss(np.array([end - 1e-6, end + 1e-6]))
    assert before == pytest.approx(after, rel=1e-5)


def test_noise_free_mean_square_without_arrival_noise_is_the_squared_power_series():
    """The exact series of x' = -a x(t - 1) with a constant past is the second witness."""
    model = theory.AsyncSGD(
        1.0, learning_rate=0.05, workers=10, compute_time=1.0, arrivals="regular"
    )
    # Half a gap shorter delay: damping 0.05 * 10 per cycle, delay 0.95.
    a, tau = 0.5, 0.95
    for t in (0.4, 1.3, 2.7, 5.1):
        series = sum(
            (-a) ** k * max(t - (k - 1) * tau, 0.0) ** k / math.factorial(k) if k else 1.0
            for k in range(12)
        )
        assert model.loss(t) == pytest.approx(0.5 * series**2, rel=1e-10)


def test_time_to_counts_settling_and_hitting():
    """Past critical damping the loss passes through zero, returns, and settles later."""
    model = theory.AsyncSGD(1.0, learning_rate=0.1, workers=9, compute_time=1.0, arrivals="regular")
    hit, settled = model.time_to(1e-3, settle=False), model.time_to(1e-3)
    assert hit < settled
    assert model.loss(hit) == pytest.approx(1e-3, rel=1e-6)
    assert model.loss(settled) == pytest.approx(1e-3, rel=1e-6)
    later = np.linspace(settled + 1e-6, settled + 60.0, 5000)
    assert model.loss(later).max() <= 1e-3
    assert model.loss(np.linspace(0.0, hit, 500)[:-1]).min() > 1e-3


def test_slow_modes_are_followed_for_thousands_of_cycles():
    """Far beyond the panels the noise-free settling time obeys the asymptotic exponential."""
    model = theory.AsyncSGD(
        1.0, learning_rate=1e-4, workers=10, compute_time=1.0, arrivals="regular"
    )
    r = model.rate()
    tau = 0.95
    amplitude = (1e-3 / r) / (1.0 - r * tau)
    expected = math.log(amplitude / math.sqrt(2e-8)) / r
    assert model.time_to(1e-8) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("law", [scipy.stats.lognorm(1.0), scipy.stats.pareto(3)])
def test_fast_modes_under_heavy_tails_neither_diverge_nor_change_their_neighbours(law):
    """Their kernels end as a tail, not as an exponential; alone or among others they are stable.

    A damping below one is stable under every law: on Re s >= 0 a root would have
    |s| <= |s + u| = u |1 - phi(s)| <= u |s|.
    """
    eigenvalues = np.linspace(0.1, 1.0, 30)

    def model(eigenvalues):
        return theory.AsyncSGD(
            eigenvalues, learning_rate=0.02, workers=8, compute_time=law, gradient_noise=0.02
        )

    together = model(eigenvalues)
    assert together.damping.max() < 1.0
    assert together.is_mean_square_stable()
    assert together.loss(5000.0) == pytest.approx(together.loss_floor(), rel=1e-9)
    alone = sum(model(eigenvalue).loss(40.0) for eigenvalue in eigenvalues)
    assert together.loss(40.0) == pytest.approx(alone, rel=1e-7)
    assert all(math.isfinite(model(eigenvalue).time_to(1e-3)) for eigenvalue in (0.5, 1.0))


def test_targets_that_cannot_be_reached_are_infinitely_far():
    """Below the floor, or where training diverges."""
    noisy = theory.AsyncSGD(1.0, learning_rate=0.1, workers=4, compute_time=1.0, gradient_noise=1.0)
    assert noisy.time_to(0.5 * noisy.loss_floor()) == math.inf
    wild = noisy.replace(learning_rate=1.0)
    assert not wild.is_stable()
    assert (wild.loss_floor(), wild.time_to(1e-3)) == (math.inf, math.inf)


def test_thousands_of_eigenvalues_cost_no_accuracy():
    """Gathered on Chebyshev nodes, against the same spectrum solved value by value."""
    rng = np.random.default_rng(6)
    spectrum = np.exp(rng.uniform(math.log(1e-3), 0.0, 400))
    kwargs = {"learning_rate": 0.12, "workers": 8, "compute_time": 1.0}
    times = np.array([0.5, 3.0, 30.0, 300.0, 3000.0])
    whole = theory.AsyncSGD(spectrum, gradient_noise=0.1, **kwargs).loss(times)
    parts = sum(
        theory.AsyncSGD(part, gradient_noise=0.1, **kwargs).loss(times)
        for part in np.array_split(spectrum, 10)
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-8)


def test_rates_of_memoryless_workers_solve_their_quadratic():
    """s^2 + (1 + alpha) s + alpha n = 0, in units of the mean cycle."""
    model = theory.AsyncSGD(
        1.0, learning_rate=0.05, workers=16, compute_time=scipy.stats.expon(), arrivals="exact"
    )
    assert model.rate() == pytest.approx(0.525, rel=1e-12)
    unequal = theory.AsyncSGD(
        1.0, learning_rate=0.01, workers=6, arrivals="exact",
        compute_time=[scipy.stats.expon(scale=1.0 / mu) for mu in (0.5, 1, 1.5, 2, 3, 4)],
    )  # fmt: skip
    assert unequal.rate() == pytest.approx(0.127185, abs=5e-7)
    assert unequal.replace(arrivals="poisson").rate() == pytest.approx(0.128665, abs=5e-7)


def test_rates_of_near_regular_workers_use_half_a_gap():
    """Exact discrete rate, half-step rate and plain delay rate of 16 workers, alpha 0.015."""
    model = theory.AsyncSGD(1.0, learning_rate=0.015, workers=16, compute_time=1.0)
    assert model.replace(arrivals="exact").rate() == pytest.approx(0.33059, abs=5e-6)
    assert model.replace(arrivals="regular").rate() == pytest.approx(0.3306, abs=5e-5)
    assert model.rate() == pytest.approx(0.3358, abs=5e-5)
    erlang = model.replace(compute_time=scipy.stats.gamma(4, scale=0.25))
    assert erlang.replace(arrivals="regular").rate() == pytest.approx(0.3381, abs=5e-5)
    assert erlang.rate() == pytest.approx(0.3438, abs=5e-5)


def test_stability_limits_match_their_closed_forms():
    """Poisson arrivals with constant delays, memoryless workers, and fixed staleness."""
    base = {"learning_rate": 0.02, "workers": 4}
    poisson = theory.AsyncSGD(1.0, compute_time=1.0, **base)
    assert poisson.max_workers() == math.floor((math.pi / 2 - 2 * math.atan(0.01)) / 0.02)
    memoryless = theory.AsyncSGD(1.0, compute_time=scipy.stats.expon(), arrivals="exact", **base)
    assert memoryless.max_workers() == math.ceil((2 + 0.02) / 0.02**2) - 1
    for n, limit in ((2, 1.281), (4, 0.843070330817), (6, 2 / 3), (16, 0.386)):
        best = memoryless.replace(workers=n).max_learning_rate()
        assert best == pytest.approx(limit, abs=5e-4)
    in_step = theory.AsyncSGD(1.0, compute_time=1.0, arrivals="exact", **base)
    assert in_step.replace(workers=3).max_learning_rate() == pytest.approx(0.61803398875)
    assert in_step.max_workers() == math.ceil(0.5 + math.pi / (4 * math.asin(0.01))) - 1
    exponential = theory.AsyncSGD(1.0, compute_time=scipy.stats.expon(), **base)
    assert exponential.max_workers() == math.ceil((2 / 0.02 - 1) / 0.02) - 1


@pytest.mark.parametrize("arrivals", ["poisson", "regular"])
def test_the_expected_loss_is_bounded_below_the_limit_and_grows_above_it(arrivals):
    """The limit from the energy integral against the marched loss on both sides of it."""
    model = theory.AsyncSGD(
        1.0, learning_rate=0.02, workers=6, gradient_noise=0.1, arrivals=arrivals,
        compute_time=scipy.stats.uniform(0.5, 1.0),
    )  # fmt: skip
    limit = model.max_learning_rate()
    below, above = (model.replace(learning_rate=c * limit) for c in (0.99, 1.01))
    assert below.is_mean_square_stable()
    assert not above.is_mean_square_stable()
    assert below.loss(39.0) < 1.02 * below.loss_floor() + below.loss(20.0)
    assert above.loss(39.0) > above.loss(20.0)


def test_best_values_sit_at_critical_damping():
    """u* = 1/e for constant delays; two curvatures balance their rates."""
    model = theory.AsyncSGD(1.0, learning_rate=0.02, workers=8, compute_time=1.0)
    assert model.best_workers() == 19  # 18.39: just above is faster than just below
    assert model.replace(arrivals="exact").best_workers() == 19  # 18.89
    assert model.best_learning_rate() * 8 == pytest.approx(math.exp(-1), rel=1e-6)
    pair = model.replace(eigenvalues=[1.0, 0.5], workers=400, learning_rate=1e-3)
    assert pair.best_learning_rate() * 400 == pytest.approx(0.660577283251, rel=1e-6)


@pytest.mark.parametrize(
    ("kappa", "damping", "rate"),
    [(1, 0.36788, 1.0), (2, 0.660577283251, 0.604599788078), (5, 1.056833, 0.279535),
     (100, 1.53670007758, 0.0156087420578), (1000, 1.567335, 0.0015698)],
)  # fmt: skip
def test_best_damping_of_several_curvatures(kappa, damping, rate):
    """Where the slowest and the fastest curvature decay alike; ends of the table."""
    best = theory.best_damping(3.0, kappa)
    assert best.damping == pytest.approx(damping, rel=2e-5)
    assert best.rate == pytest.approx(rate, rel=2e-5)
    if kappa > 1:
        roots = theory.rightmost_roots(np.array([best.damping, best.damping / kappa]), 1.0)
        np.testing.assert_allclose(-roots.real, best.rate, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"eigenvalues": [1.0, -1.0]}, "not positive"),
        ({"learning_rate": 0.0}, "not positive"),
        ({"workers": 0}, "is below 1"),
        ({"compute_time": [1.0, 2.0]}, "lists 2 laws for 4 workers"),
        ({"gradient_noise": -1.0}, "negative"),
        ({"arrivals": "bursty"}, "is not known"),
        ({"arrivals": "exact", "compute_time": scipy.stats.gamma(2)}, "no closed system"),
        ({"method": "fast"}, "is not a method"),
    ],
)
def test_misuse_is_named(change, fault):
    """Each unusable argument is refused with its name before anything is computed."""
    kwargs = {"eigenvalues": 1.0, "learning_rate": 0.1, "workers": 4, "compute_time": 1.0} | change
    with pytest.raises(ArgumentError, match=fault):
        theory.AsyncSGD(kwargs.pop("eigenvalues"), **kwargs)


def test_calls_that_make_no_sense_are_refused():
    """Times before the start, targets of zero, and the number of listed workers."""
    model = theory.AsyncSGD(1.0, learning_rate=0.1, workers=2, compute_time=[1.0, 2.0])
    with pytest.raises(ArgumentError, match="negative time"):
        model.loss(-1.0)
    with pytest.raises(ArgumentError, match="loss = 0"):
        model.time_to(0.0)
    with pytest.raises(ArgumentError, match="lists the workers"):
        model.max_workers()
