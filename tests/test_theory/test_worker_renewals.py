"""Workers as renewal processes: against exact chains, exact systems, and event simulation."""

import numpy as np
import pytest
import scipy.stats
from sdde.theory.squares import square_curves
from sdde.theory.worker_renewals import worker_renewals

import sdde
from sdde import cluster, theory
from tests.reference_renewals import erlang_floor, erlang_limit, erlang_squares


def model(alpha, workers, law, **more):
    return theory.AsyncSGD(
        [1.0], learning_rate=alpha, workers=workers, compute_time=law, arrivals="renewal", **more
    )


def erlang(stages):
    return scipy.stats.gamma(stages, scale=1.0 / stages)


TIMES = np.arange(0.0, 12.01, 0.25)


@pytest.mark.parametrize("stages", [1, 2, 5])
@pytest.mark.parametrize("alpha", [0.02, 0.5])
def test_one_worker_is_exact_for_any_law(stages, alpha):
    exact = erlang_squares(alpha, 1, stages, TIMES)[0]
    found = 2.0 * model(alpha, 1, erlang(stages)).loss(TIMES, 1.0)
    np.testing.assert_allclose(found, exact, rtol=6e-3, atol=2e-4)
    floor = model(alpha, 1, erlang(stages), gradient_noise=1.0).loss_floor()
    assert floor == pytest.approx(0.5 * alpha**2 / (2.0 * alpha - alpha**2), rel=1e-3)


@pytest.mark.parametrize(("workers", "stages"), [(2, 2), (2, 4), (3, 2)])
@pytest.mark.parametrize(("alpha", "near"), [(0.1, 0.004), (0.3, 0.012)])
def test_few_workers_agree_with_the_chain_of_their_stages(workers, stages, alpha, near):
    start, _ = erlang_squares(alpha, workers, stages, TIMES)
    found = model(alpha, workers, erlang(stages), gradient_noise=1.0)
    loss = found.replace(gradient_noise=0.0).loss(TIMES, 1.0)
    np.testing.assert_allclose(2.0 * loss, start, rtol=0.0, atol=near)
    floor = alpha**2 * erlang_floor(alpha, workers, stages)
    assert 2.0 * found.loss_floor() == pytest.approx(floor, rel=5e-3)
    late = 0.5 * floor * np.ones(1)
    np.testing.assert_allclose(found.loss([400.0], 0.0), late, rtol=5e-3)


@pytest.mark.parametrize(
    ("workers", "stages", "near"),
    [(1, 3, 1e-3), (2, 1, 2e-3), (2, 2, 2e-3), (3, 2, 2e-3), (2, 5, 0.02)],
)
def test_divergence_limits_agree_with_the_chain_of_stages(workers, stages, near):
    exact = erlang_limit(workers, stages, 0.3, 2.5)
    assert model(0.1, workers, erlang(stages)).max_learning_rate() == pytest.approx(exact, rel=near)


@pytest.mark.parametrize(("workers", "near"), [(4, 0.025), (16, 0.01), (64, 5e-3)])
def test_memoryless_workers_come_out_as_exact(workers, near):
    found = model(0.3 * workers**-0.5, workers, scipy.stats.expon(), gradient_noise=1.0)
    exact = found.replace(arrivals="exact")
    assert found.rate() == pytest.approx(exact.rate(), rel=5e-3)
    assert found.loss_floor() == pytest.approx(exact.loss_floor(), rel=0.01)
    assert found.max_learning_rate() == pytest.approx(exact.max_learning_rate(), rel=0.01)
    target = 1.2 * exact.loss_floor()
    assert found.time_to(target, 1.0) == pytest.approx(exact.time_to(target, 1.0), rel=near)


@pytest.mark.parametrize(
    ("law", "workers", "rate"),
    [
        (scipy.stats.uniform(0.0, 2.0), 4, 0.3),
        (scipy.stats.lognorm(1.0, scale=np.exp(-0.5)), 8, 0.1),
        (scipy.stats.expon(loc=0.5, scale=0.5), 3, 0.25),
        (scipy.stats.pareto(3.0, scale=2.0 / 3.0), 16, 0.05),
    ],
)
def test_losses_agree_with_event_simulation(law, workers, rate):
    """Fixed seed; false alarms below 1e-4 on top of the stated 1 % of the curve."""
    objective = cluster.Quadratic([1.0, 0.3, 0.1], noise=0.2, start=1.0)
    runs = cluster.simulate(
        objective, cluster.AsyncSGD(), cluster.System(law, workers=workers), learning_rate=rate,
        time=12.0, runs=4000, rng=5, records=25, start="stationary", threads=1,
    )  # fmt: skip
    found = theory.model_of(objective, cluster.System(law), workers=workers, learning_rate=rate)
    assert found.arrivals == "renewal"
    mean, error = runs.loss.mean(axis=0), runs.loss.std(axis=0) / np.sqrt(4000)
    predicted = found.loss(runs.t, 1.0)
    assert np.all(np.abs(predicted - mean) < 0.01 * mean + 4.5 * error)


def test_slow_coordinates_and_the_late_curve_continue_exactly():
    """Beyond the panels exponentials go on: one worker's mean square is known at any time."""
    found = model(0.01, 1, erlang(4))
    # E (1 - a)^(2 N(t)) decays as exp(z t) with phi(z) (1 - a)^2 = 1.
    z = 4.0 * ((1.0 - 0.01) ** 0.5 - 1.0)
    times = np.array([50.0, 200.0, 800.0])
    ratio = found.loss(times, 1.0) / np.exp(z * times)
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.02)


def test_what_diverges_is_said_to():
    found = model(1.2, 200, erlang(4))
    assert not found.is_stable()
    assert found.loss_floor() == np.inf
    assert found.time_to(0.1, 1.0) == np.inf
    assert model(0.1, 5, erlang(4)).max_workers() < 40


def test_methods_that_change_the_stream_are_refused():
    with pytest.raises(sdde.ArgumentError, match="renewal"):
        model(0.1, 8, erlang(4), method=cluster.KBatchAsync(2))


def test_waves_that_alternate_from_sample_to_sample_are_no_roots():
    """Rounding may leave one in a fit of the late kernel; a settling time was ten times as long."""
    values = np.geomspace(0.02, 1.0, 50)
    found = model(0.02, 20, erlang(4), gradient_noise=0.1).replace(eigenvalues=values)
    means = worker_renewals(found.stream, 0.02 * values)
    assert np.all(np.abs(means.roots.imag) * means.step[:, 0] < 1.0)
    regular = found.replace(arrivals="regular")
    assert found.time_to(0.1, 1.0) == pytest.approx(regular.time_to(0.1, 1.0), rel=0.05)
    alone = square_curves(found.stream, 0.02 * values)
    assert np.abs(alone.amplitudes[0]).max() < 2.0


def test_many_eigenvalues_on_nodes_are_eigenvalues_one_by_one():
    values = np.geomspace(0.02, 1.0, 24)
    law = scipy.stats.lognorm(0.8)
    found = model(0.02, 60, law, gradient_noise=0.1).replace(eigenvalues=values)
    alone = [found.replace(eigenvalues=[value], gradient_noise=0.1) for value in values]
    floor = sum(one.loss_floor() for one in alone)
    assert found.loss_floor() == pytest.approx(floor, rel=1e-4)
    times = np.array([1.0, 8.0, 30.0, 100.0])
    np.testing.assert_allclose(found.loss(times), sum(one.loss(times) for one in alone), rtol=1e-3)
    assert found.rate() == pytest.approx(min(one.rate() for one in alone), rel=1e-9)
