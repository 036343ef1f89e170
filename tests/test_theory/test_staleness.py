"""Staleness and update rate: closed forms against counting and quadrature."""

import heapq
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad
from sdde.theory.links import thinking

from sdde import ArgumentError, theory


@pytest.mark.parametrize(("workers", "expected"), [(4, 0.0738020783861), (16, 0.0172767988239)])
def test_poisson_error_of_constant_cycles_is_the_largest_gap_to_the_exact_window_law(
    workers, expected
):
    """For constant cycles the exact law is (1 - x/n)^n: a dense grid is a second witness."""
    x = np.linspace(0.0, 6.0, 600_001)
    dense = np.max(np.abs(np.maximum(1.0 - x / workers, 0.0) ** workers - np.exp(-x)))
    assert theory.poisson_error(1.0, workers) == pytest.approx(expected, rel=1e-10)
    assert theory.poisson_error(3.7, workers) == pytest.approx(dense, rel=1e-9)


def test_poisson_error_falls_like_one_over_the_workers_and_vanishes_for_exponential_cycles():
    """The leading term 2 exp(-2) |T g(0) - 1| / n has g(0) = 0 for an Erlang law."""
    for workers in (256, 1024):
        error = theory.poisson_error(scipy.stats.gamma(2, scale=0.5), workers)
        assert error * workers == pytest.approx(2.0 * np.exp(-2.0), rel=8.0 / np.sqrt(workers))
    assert theory.poisson_error(scipy.stats.expon(), 3) == 0.0
    assert theory.poisson_error(scipy.stats.gamma(2), 64) == pytest.approx(0.004083, abs=5e-7)


@pytest.mark.parametrize(
    ("shape", "k", "expected"), [(1, 5, 0.0641136169434), (2, 7, 0.0680226698077)]
)
def test_erlang_cycles_give_negative_binomial_staleness(shape, k, expected):
    """Quadrature of the Poisson mixture is compared with the negative binomial law."""
    law = theory.staleness_law(scipy.stats.gamma(shape, scale=1.0 / shape), 8)
    exact = scipy.stats.nbinom(shape, shape / (shape + 7.0)).pmf(np.arange(law.pmf.size))
    assert law.pmf[k] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(law.pmf, exact, atol=1e-11)


def test_exponential_cycles_give_geometric_staleness_exactly():
    """The next arrival is any worker's with equal chance, so freshness has chance 1/n."""
    law = theory.staleness_law(scipy.stats.expon(scale=3.0), 8)
    assert law.exact
    np.testing.assert_allclose(law.pmf[:40], 0.125 * 0.875 ** np.arange(40), rtol=1e-12)
    assert (law.mean, law.var) == (7.0, 56.0)


def test_constant_cycles_make_every_gradient_equally_stale():
    """Between two arrivals of one worker every other worker arrives exactly once."""
    law = theory.staleness_law(2.0, 6)
    assert (law.mean, law.var, law.pmf[5], law.exact) == (5.0, 0.0, 1.0, True)


@pytest.mark.parametrize("law", [scipy.stats.lognorm(0.5), scipy.stats.uniform(0.5, 1.0)])
def test_staleness_is_a_proper_law_with_the_stated_moments(law):
    """Mean n - 1 holds for every law; the variance formula is checked by summation."""
    stale = theory.staleness_law(law, 12)
    k = np.arange(stale.pmf.size)
    assert stale.pmf.sum() == pytest.approx(1.0, abs=1e-9)
    assert k @ stale.pmf == pytest.approx(11.0, rel=1e-8)
    assert (k - 11.0) ** 2 @ stale.pmf == pytest.approx(stale.var, rel=1e-6)
    direct = quad(lambda s: law.pdf(s) * scipy.stats.poisson(11 * s / law.mean()).pmf(9), 0, 60)[0]
    assert stale.pmf[9] == pytest.approx(direct, rel=1e-6)


def count_staleness(cycles, arrivals, rng):
    """Count staleness event by event: a heap of finishing times, one version per update."""
    workers = len(cycles)
    heap = [(cycles[w](rng) * rng.random(), w) for w in range(workers)]
    heapq.heapify(heap)
    read, total = [0] * workers, 0.0
    for version in range(2 * arrivals):
        now, w = heapq.heappop(heap)
        if version >= arrivals:
            total += version - read[w]
        read[w] = version + 1
        heapq.heappush(heap, (now + cycles[w](rng), w))
    return total / arrivals


def test_mean_staleness_is_workers_minus_one_however_unequal_the_workers():
    """An invariant of counting: each cycle of one worker counts everyone else's updates once."""
    rng = np.random.default_rng(5)
    means = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    cycles = [lambda rng, m=m: m * rng.gamma(3.0) / 3.0 for m in means]
    laws = [scipy.stats.gamma(3, scale=m / 3.0) for m in means]
    model = theory.AsyncSGD(1.0, learning_rate=0.01, workers=6, compute_time=laws)
    assert model.staleness.mean == 5.0
    assert model.staleness.pmf @ np.arange(model.staleness.pmf.size) == pytest.approx(5.0, rel=1e-6)
    # The sum telescopes up to the gradients in flight: at most 6 versions in 20,000 arrivals each.
    assert count_staleness(cycles, 20_000, rng) == pytest.approx(5.0, abs=0.05)


def test_update_rates_add_up_over_unequal_workers():
    """Each worker delivers one gradient per mean cycle, computation and link together."""
    model = theory.AsyncSGD(
        1.0, learning_rate=0.01, workers=3, compute_time=[1.0, 2.0, 4.0], communication=0.5
    )
    assert model.update_rate == pytest.approx(1 / 1.5 + 1 / 2.5 + 1 / 4.5)
    assert model.stream.delay.mean == pytest.approx(3.0 / model.update_rate)


@pytest.mark.parametrize(
    ("workers", "expected"), [(5, 4.36047823145), (10, 7.85418), (20, 9.98130950148)]
)
def test_shared_link_throughput_agrees_with_mean_value_analysis(workers, expected):
    """The product form and the mean-value recursion are two derivations of one number."""
    use = theory.shared_link(workers, scipy.stats.expon(), scipy.stats.expon(scale=0.1))
    queue = throughput = 0.0
    for k in range(1, workers + 1):
        wait = 0.1 * (1.0 + queue)
        throughput = k / (1.0 + wait)
        queue = throughput * wait
    assert use.throughput == pytest.approx(throughput, rel=1e-12)
    assert use.throughput == pytest.approx(expected, rel=1e-6)
    assert use.throughput * use.cycle_time == pytest.approx(workers)


@pytest.mark.parametrize(
    ("n", "think", "link", "capacity"),
    [(30, 1.0, 0.1, 1), (300, 1.0, 0.02, 1), (120, 0.5, 0.5, 4), (3, 0.0, 0.1, 2)],
)
def test_numbers_at_a_link_are_the_product_form(n, think, link, capacity):
    """Every weight as a product of fractions, in exact arithmetic."""
    z, d = Fraction(think).limit_denominator(1000), Fraction(link).limit_denominator(1000)
    weights = [
        Fraction(math.factorial(n), math.factorial(n - j)) * z ** (n - j)
        * math.prod((d / min(i, capacity) for i in range(1, j + 1)), start=Fraction(1))
        for j in range(n + 1)
    ]  # fmt: skip
    exact = np.array([float(weight / sum(weights)) for weight in weights])
    apart, found = thinking(n, think, link, capacity)
    at_link = np.zeros(n + 1)
    at_link[n - apart.astype(int)] = found
    np.testing.assert_allclose(at_link, exact, rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("link", [scipy.stats.expon(scale=0.1), scipy.stats.uniform(0.0, 0.2)])
def test_a_billion_workers_on_one_link_only_queue(link):
    """The link never rests, and the answer costs no memory."""
    use = theory.shared_link(10**9, 1.0, link)
    assert use.throughput == pytest.approx(10.0, rel=1e-12)
    assert use.cycle_time == pytest.approx(1e8, rel=1e-12)


def test_two_transfers_at_once_agree_with_the_birth_and_death_chain():
    """The stationary law of the chain, solved as linear equations, is the second witness."""
    n, think, link = 7, 1.0, 0.4
    generator = np.zeros((n + 1, n + 1))
    for j in range(n + 1):
        if j < n:
            generator[j, j + 1] = (n - j) / think
        if j > 0:
            generator[j, j - 1] = min(j, 2) / link
    generator -= np.diag(generator.sum(axis=1))
    system = np.vstack([generator.T, np.ones(n + 1)])
    stationary = np.linalg.lstsq(system, np.r_[np.zeros(n + 1), 1.0], rcond=None)[0]
    expected = stationary @ np.minimum(np.arange(n + 1), 2) / link
    use = theory.shared_link(
        n, scipy.stats.gamma(3, scale=1 / 3), scipy.stats.expon(scale=link), capacity=2
    )
    assert use.throughput == pytest.approx(expected, rel=1e-10)


def test_constant_times_on_a_shared_link_queue_only_beyond_saturation():
    """With constant times workers take turns: the cycle is max(Z + D, n D)."""
    assert theory.shared_link(5, 1.0, 0.1).cycle_time == pytest.approx(1.1)
    assert theory.shared_link(20, 1.0, 0.1).cycle_time == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: theory.poisson_error(-1.0, 4), "can take values below 0"),
        (lambda: theory.poisson_error(1.0, 0), "is below 1"),
        (lambda: theory.staleness_law("fast", 4), "is not a law"),
        (lambda: theory.shared_link(4, 1.0, 0.0), "has mean zero"),
        (lambda: theory.shared_link(4, 1.0, 0.5, capacity=2), None),
        (lambda: theory.shared_link(4, scipy.stats.gamma(2), 0.5, capacity=2), "exponential"),
    ],
)
def test_misuse_is_named(call, fault):
    """Messages carry the argument and the reason."""
    if fault is None:
        assert call().throughput == pytest.approx(4 / 1.5)
        return
    with pytest.raises(ArgumentError, match=fault):
        call()
