"""Divergence of workers behind a shared link: orders of arrivals, exact chains, simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from sdde.theory.arrival_order import largest_alpha, pair_choices
from sdde.theory.cycle import scaled
from sdde.theory.exact import in_turn
from sdde.theory.link_order import staleness
from sdde.theory.simulated_limits import Growth

from sdde import cluster, theory
from sdde.equation.laws import as_law
from sdde.theory import memoryless_link
from tests.reference_link_chain import order_of_arrivals, staleness_of, update_map


def limit(think, link, workers):
    model = theory.AsyncSGD(
        [1.0], learning_rate=0.1, workers=workers, compute_time=think,
        communication=cluster.SharedLink(link), arrivals="renewal",
    )  # fmt: skip
    return model.max_learning_rate()


@pytest.mark.parametrize("workers", [2, 5, 16])
def test_the_order_of_memoryless_workers_has_their_exact_limit(workers):
    chances = (1.0 - 1.0 / workers) ** np.arange(16 * workers)
    exact = (1.0 + math.sqrt(1.0 + 8.0 * workers)) / (2.0 * workers)
    assert largest_alpha(chances / chances.sum(), workers) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("workers", [1, 2, 9, 40])
def test_workers_in_turn_have_their_exact_limit(workers):
    chances = np.zeros(workers)
    chances[-1] = 1.0
    exact = 2.0 * math.sin(math.pi / (2.0 * (2.0 * workers - 1.0)))
    assert largest_alpha(chances, workers) == pytest.approx(exact, rel=1e-9)


def test_choices_of_pairs_have_the_law_of_the_staleness():
    chances = scipy.stats.nbinom.pmf(np.arange(80), 4, 4 / 11)
    chances /= chances.sum()
    found = pair_choices(chances, 8)
    stays = 1.0 - np.cumsum(chances)
    np.testing.assert_allclose(found.sum(axis=1), stays, atol=1e-4)
    # Fitted in turns, of which the remote tail would need most.
    np.testing.assert_allclose(found.sum(axis=0)[:25], 7.0 * chances[:25], atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=0), 7.0 * chances, atol=2e-3)


def test_choices_of_pairs_are_those_of_simulated_workers():
    """Seed fixed; 9 errors of independent draws, as arrivals are correlated, and a hundredth."""
    order = order_of_arrivals(scipy.stats.gamma(3, scale=1 / 3), 0.15, 5, 60_000, 3)
    ages = staleness_of(order, 5)
    chances = np.bincount(ages) / ages.size
    found = pair_choices(chances, 5)
    counts, last = np.zeros_like(found), np.zeros(5, dtype=int)
    for k, i in enumerate(order):
        pending = k - last - 1
        if k >= 100:
            for j in range(5):
                if j != i and pending[j] < len(counts) and pending[i] < len(counts):
                    counts[pending[j], pending[i]] += 1.0
        last[i] = k
    share = counts / (len(order) - 100)
    error = np.sqrt(found / len(order))
    assert np.all(np.abs(share - found) < 9.0 * error + 0.01)


@pytest.mark.parametrize("link", [0.4, scipy.stats.expon(scale=0.3), scipy.stats.uniform(0.1, 0.5)])
@pytest.mark.parametrize("workers", [2, 3])
def test_memoryless_workers_behind_a_link_agree_with_a_chain_of_labelled_places(workers, link):
    found = limit(scipy.stats.expon(), link, workers)
    for factor, grows in ((0.999, False), (1.001, True)):
        values = np.linalg.eigvals(update_map(factor * found, workers, link))
        assert (np.abs(values).max() > 1.0) == grows


@pytest.mark.parametrize("load", [1e-4, 0.5, 1.0, 2.0, 1e4])
@pytest.mark.parametrize("workers", [3, 10])
def test_the_exact_limit_is_where_moments_cease_to_shrink(workers, load):
    """At any load, by bisection; behind a link that never rests it is that of workers in turn."""
    link = as_law(load / workers, "link")
    found = memoryless_link.largest_alpha(workers, 1.0, link)
    parts = [part.toarray() for part in memoryless_link.matrices(workers, 1.0, link)]

    def radius(alpha):
        return np.abs(np.linalg.eigvals(parts[0] + alpha * parts[1] + alpha**2 * parts[2])).max()

    low, high = 0.9 * found, 1.1 * found
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if radius(middle) < 1.0 else (low, middle)
    assert found == pytest.approx(low, rel=1e-6)
    if load == 1e4:
        assert found == pytest.approx(in_turn(workers), rel=1e-4)


@pytest.mark.parametrize("link", [1.0, scipy.stats.expon()])
@pytest.mark.parametrize("load", [0.3, 0.85, 1.3, 4.0])
def test_more_memoryless_workers_follow_from_fewer(link, load):
    """36 by 24, against the exact chain of 36."""
    every = scaled(as_law(link, "link"), load / 36)
    exact = memoryless_link.largest_alpha(36, 1.0, every)
    longer = load / 36 if link == 1.0 else scipy.stats.expon(scale=load / 36)
    assert limit(scipy.stats.expon(), longer, 36) == pytest.approx(exact, rel=0.01)


def test_a_fast_link_leaves_memoryless_workers_as_they_were():
    exact = (1.0 + math.sqrt(65.0)) / 16.0
    assert limit(scipy.stats.expon(), 1e-5, 8) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_a_fast_link_leaves_others_as_they_were(workers):
    gamma = scipy.stats.gamma(3, scale=1 / 3)
    free = theory.AsyncSGD(
        [1.0], learning_rate=0.1, workers=workers, compute_time=gamma, arrivals="renewal"
    )
    assert limit(gamma, 1e-4, workers) == pytest.approx(free.max_learning_rate(), rel=5e-3)


@pytest.mark.parametrize(
    ("think", "link", "workers"),
    [
        (scipy.stats.uniform(0.35, 1.3), 0.194, 8),
        (scipy.stats.lognorm(0.475, scale=math.exp(-0.5 * 0.475**2)), 0.126, 6),
        (scipy.stats.gamma(2, scale=0.5), scipy.stats.expon(scale=0.1), 20),
    ],
)
def test_staleness_behind_a_link_agrees_with_events(think, link, workers):
    """Seed fixed; 4.5 standard errors from 40 stretches and 2 %: false alarms below 1e-4."""
    drawn = staleness_of(order_of_arrivals(think, link, workers, 60_000, 5), workers)
    drawn = drawn[: drawn.size // 40 * 40].reshape(40, -1).astype(float)
    squares = ((drawn - workers + 1.0) ** 2).mean(axis=1)
    found = staleness(workers, as_law(think, "think"), as_law(link, "link"))
    ages = np.arange(found.size)
    assert found @ ages == pytest.approx(workers - 1.0, abs=1e-6)
    variance = found @ (ages - workers + 1.0) ** 2
    room = 0.02 * variance + 4.5 * squares.std(ddof=1) / math.sqrt(40.0)
    assert abs(squares.mean() - variance) < room


@pytest.mark.parametrize(
    ("name", "link", "workers", "near"),
    [
        ("exponential", 0.188, 8, 0.015),
        ("uniform", 0.194, 8, 0.03),
        ("slow", 0.19, 6, 0.04),
        ("slow", 0.156, 21, 0.02),
        ("lognormal", 0.126, 6, 0.02),
    ],
)
def test_limits_behind_a_constant_link_agree_with_simulation(name, link, workers, near):
    """Signs of the growth by cloning, right to 0.3 %; seed fixed, false alarms below 1e-3."""
    rng = np.random.default_rng(11)
    times = rng.gamma(8.0, 1.0 / 8.0, 300)
    times = np.where(rng.random(300) < 0.1, 4.0 * times, times)
    think = {
        "exponential": scipy.stats.expon(), "uniform": scipy.stats.uniform(0.35, 1.3),
        "slow": times / times.mean(),
        "lognormal": scipy.stats.lognorm(0.475, scale=math.exp(-0.5 * 0.475**2)),
    }[name]  # fmt: skip
    found = limit(think, link, workers)
    system = cluster.System(think, communication=cluster.SharedLink(link), workers=workers)
    growth = Growth(system, 1.0, np.random.SeedSequence(4), gradients=400_000)
    assert growth.rate(workers, (1.0 - near) * found).value < 0.0
    assert growth.rate(workers, (1.0 + near) * found).value > 0.0


def test_very_many_workers_behind_a_full_link_are_nearly_in_turn():
    gamma = scipy.stats.gamma(4, scale=0.25)
    few, many = limit(gamma, 0.04, 250), limit(gamma, 0.01, 1000)
    turn = 2.0 * math.sin(math.pi / (2.0 * 1999.0))
    assert 1.0 < many / turn < few / (2.0 * math.sin(math.pi / (2.0 * 499.0))) * 1.01


def test_stability_behind_a_link_is_judged_by_its_limit():
    edge = limit(scipy.stats.expon(), 0.188, 8)
    for factor, kept in ((0.3, True), (0.99, True), (1.01, False)):
        model = theory.AsyncSGD(
            [0.1, 1.0], learning_rate=factor * edge, workers=8, compute_time=scipy.stats.expon(),
            communication=cluster.SharedLink(0.188), arrivals="renewal",
        )  # fmt: skip
        assert model.is_mean_square_stable() == kept
        assert (model.mean_square_index() < 1.0) == kept
    assert model.max_workers() == 7.0


def test_clones_behind_random_transfers_diverge_where_the_exact_chain_does():
    """Mean of 16 populations at the exact limit; z below 4.5, false-alarm rate 7e-6.

    Drawing the transfers of lost runs a second time makes it 0.01, ten standard errors.
    """
    link = scipy.stats.expon(scale=0.136)
    found = limit(scipy.stats.expon(), link, 8)
    system = cluster.System(scipy.stats.expon(), communication=cluster.SharedLink(link))
    growth = Growth(system, 1.0, np.random.SeedSequence(6), gradients=400_000)
    rates = np.array([growth.rate(8, found).value for _ in range(16)])
    error = rates.std(ddof=1) / 4.0
    assert abs(rates.mean()) < 4.5 * error
    assert error < 0.0015


def test_fewer_workers_stand_for_many_behind_a_full_link():
    gamma = as_law(scipy.stats.gamma(4, scale=0.25), "think")
    every = largest_alpha(staleness(200, gamma, as_law(0.02, "link")), 200)
    assert limit(gamma, 0.02, 200) == pytest.approx(every, rel=2e-3)
