"""Methods in plans: each one's predicted time against event simulations, and the search of them."""

import numpy as np
import pytest
import scipy.stats
from sdde.theory.clock import losses, time_of
from sdde.theory.compensated_sgd import CompensatedSGD
from sdde.theory.idle_groups import idle_rounds
from sdde.theory.loss_curve import LossCurve
from sdde.theory.plan_question import Limits, Question
from sdde.theory.plan_search import converted
from sdde.theory.round_times import wait_for

from sdde import ArgumentError, cluster, theory
from sdde.equation.laws import as_law
from sdde.theory import plan_question

GAMMA = scipy.stats.gamma(4, scale=0.25)
QUADRATIC = cluster.Quadratic([1.0, 0.3], noise=0.2)
TARGET = 0.05


def predicted(method, law, workers, damping):
    """Return the learning rate with that damping, and the model's time to the target."""
    question = Question(QUADRATIC, converted(cluster.System(law)), TARGET, None, Limits(100))
    first = question.model(method, workers, 0.01)
    eta = 0.01 * damping / float(first.damping.max())
    model = question.model(method, workers, eta)
    return eta, float(model.time_to(TARGET, QUADRATIC.start))


@pytest.mark.parametrize(
    ("method", "law", "damping", "model_error"),
    [
        (cluster.KBatchSync(4), GAMMA, 0.3, 0.02),
        (cluster.KSync(4), [1.0] * 8 + [1.5] * 8, 0.3, 0.02),
        (cluster.KAsync(3), GAMMA, 0.2, 0.02),
        (cluster.KAsync(3), scipy.stats.expon(), 0.2, 0.02),
        (cluster.KBatchAsync(3), GAMMA, 0.2, 0.02),
        (cluster.KBatchAsync(3), scipy.stats.expon(), 0.2, 0.02),
        (cluster.StalenessThreshold(16), 1.0, 0.2, 0.02),
        (cluster.StalenessThreshold(16), GAMMA, 0.05, 0.04),
        (cluster.Ringmaster(16, stop=True), GAMMA, 0.1, 0.03),
        (cluster.RandomThinning(0.5), GAMMA, 0.2, 0.02),
        (cluster.TailTau(), GAMMA, 0.1, 0.02),
        (cluster.TailTau(), scipy.stats.expon(), 0.03, 0.02),
        (cluster.DelayCompensated(2.0), GAMMA, 0.3, 0.03),
        (cluster.DelayCompensated(0.5, decay=0.95), GAMMA, 0.3, 0.05),
    ],
)
def test_predicted_times_of_methods_are_those_of_event_simulations(
    method, law, damping, model_error
):
    """300 runs of 16 workers; z below 4.9 beyond the stated model error, 1.4e-5 over all cases."""
    eta, time = predicted(method, law, 16, damping)
    runs = cluster.simulate(
        QUADRATIC, method, cluster.System(law), workers=16, learning_rate=eta, time=1.5 * time,
        runs=300, rng=7, records=400,
        start="together" if waits(method) else "stationary",
    )  # fmt: skip
    found = runs.time_to(TARGET)
    error = 4.9 * (found.high - found.low) / (2.0 * 1.96)  # from a 95 % interval
    step = 1.5 * time / 400  # records see a crossing within one step
    assert abs(time - found.value) < model_error * found.value + error + step


def waits(method):
    rules = method.composed
    return rules.waiting != cluster.Group() or getattr(rules.admission, "stop", False)


@pytest.mark.parametrize("law", [GAMMA, scipy.stats.lognorm(1.0), scipy.stats.uniform(0.5, 1.0)])
@pytest.mark.parametrize(("workers", "k", "again"), [(4, 3, True), (4, 9, True), (8, 8, False)])
def test_waits_are_means_of_sorted_sums(law, workers, k, again):
    """Against 20,000 drawn rounds; z below 4.9, false-alarm rate 1e-6 for each."""
    rng = np.random.default_rng(3)
    times = law.rvs((20_000, workers, k if again else 1), random_state=rng).cumsum(axis=2)
    rounds = np.partition(times.reshape(20_000, -1), k - 1, axis=1)[:, k - 1]
    exact = wait_for([as_law(law, "law")], workers, k, again=again)
    assert abs(rounds.mean() - exact) < 4.9 * rounds.std() / np.sqrt(20_000) + 1e-3 * exact


def test_waits_of_unequal_constant_workers_are_sorted_times():
    """Each worker delivers once, or again and again: by hand."""
    laws = [as_law(value, "law") for value in (3.0, 1.0, 2.0)]
    assert [wait_for(laws, 3, k, again=False) for k in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert [wait_for(laws, 3, k, again=True) for k in range(1, 7)] == [1, 2, 2, 3, 3, 4]
    mixed = [as_law(GAMMA, "law"), as_law(2.0, "law")]
    twice = [wait_for(mixed, 2, k, again=False) for k in (1, 2)]
    assert sum(twice) == pytest.approx(3.0, rel=1e-3)  # minimum and maximum add up to the sum


@pytest.mark.parametrize("law", [GAMMA, scipy.stats.expon(), 1.0, scipy.stats.lognorm(0.5)])
@pytest.mark.parametrize(("workers", "k"), [(8, 3), (32, 8), (64, 2)])
def test_rounds_of_waiting_groups_have_the_time_and_staleness_of_runs(law, workers, k):
    """Mean staleness is workers / k - 1 by counting; rounds within 1 % and 4.9 errors of runs."""
    rounds = idle_rounds(as_law(law, "law"), workers, k)
    staleness = rounds.staleness @ np.arange(rounds.staleness.size)
    assert staleness == pytest.approx(workers / k - 1.0, rel=0.01)
    runs = cluster.simulate(
        cluster.Quadratic(1.0), cluster.KAsync(k), cluster.System(law), workers=workers,
        learning_rate=1e-3, updates=1000, runs=16, rng=1, records=3, start="together",
    )  # fmt: skip
    each = (runs.t[:, -1] - runs.t[:, 1]) / (runs.updates_at[-1] - runs.updates_at[1])
    error = 4.9 * each.std(ddof=1) / 4.0 + 1.0 / 500.0  # runs end within a cycle
    assert abs(each.mean() - rounds.time) < error + 0.01 * rounds.time


def test_an_uneven_clock_turns_exponentials_into_powers():
    """E exp(-z G) of a gamma time G of mean t and variance j t is (1 + z j)^(-t / j)."""
    empty = np.empty((0, 12))
    curve = LossCurve(1.0, empty, 0.0, np.array([-0.7 + 0j]), np.array([1.0 + 0j]))
    times = np.array([0.5, 3.0, 12.0])
    exact = (1.0 + 0.7 * 0.4) ** (-times / 0.4)
    np.testing.assert_allclose(losses(curve, times, lag=0.0, jitter=0.4), exact, rtol=1e-4)
    target = float(exact[1])
    even = curve.time_below(target, settle=True)
    assert time_of(curve, even, target, lag=0.25, jitter=0.4) == pytest.approx(3.25, rel=1e-4)


def test_compensation_of_strength_zero_is_none():
    """The stepped equation against the marched one, with and without noise."""
    plain = theory.AsyncSGD(
        [1.0, 0.3], learning_rate=0.03, workers=16, compute_time=GAMMA, gradient_noise=0.3,
        arrivals="regular",
    )  # fmt: skip
    model = CompensatedSGD(plain, cluster.DelayCompensated(0.0))
    assert model.time_to(0.02) == pytest.approx(plain.time_to(0.02), rel=0.01)
    assert model.loss_floor() == pytest.approx(plain.loss_floor(), rel=0.01)
    assert model.rate() == pytest.approx(plain.rate(), rel=0.01)
    assert model.max_learning_rate() == pytest.approx(plain.max_learning_rate(), rel=0.02)
    strong = CompensatedSGD(plain, cluster.DelayCompensated(1.0 / 0.09))
    assert strong.quality[0] == pytest.approx(1.0)
    assert strong.max_learning_rate() > 5.0 * model.max_learning_rate()


def test_a_family_is_searched_as_well_as_by_trying_its_members():
    """The searched number of gradients in an update against every one up to twelve."""
    system = cluster.System(GAMMA, workers=12)
    found = theory.plan(QUADRATIC, system, target_loss=0.02, methods="k-sync")
    times = [
        theory.plan(QUADRATIC, system, target_loss=0.02, methods=cluster.KSync(k)).time_to_target
        for k in range(1, 13)
    ]
    assert isinstance(found.method, cluster.KSync)
    assert found.time_to_target <= 1.02 * min(times)
    same = theory.plan(QUADRATIC, system, target_loss=0.02, methods=[cluster.KSync])
    assert same.method == found.method


@pytest.mark.slow
def test_all_methods_have_a_time_on_a_plain_system():
    """Every family answers, the table is that of the fastest, and the rest are alternatives."""
    system = cluster.System(GAMMA, workers=12)
    found = theory.plan(
        QUADRATIC, system, target_loss=0.05, methods="all", learning_rate=0.03, margin=0.05
    )
    assert len(found.methods) == 11
    times = [row["time_to_target"] for row in found.methods]
    assert np.isfinite(times).all()
    assert found.time_to_target == times[0] <= 1.011 * min(times)


def test_methods_without_a_model_are_named_and_left_out():
    """Rounds on a shared link have none; asked for alone they are refused."""
    system = cluster.System(1.0, communication=cluster.SharedLink(0.1))
    found = theory.plan(QUADRATIC, system, target_loss=0.05, learning_rate=0.03, max_workers=16)
    notes = {repr(row["method"]): row["note"] for row in found.methods}
    assert "links of their own" in notes["Synchronous()"]
    assert found.method == cluster.AsyncSGD()
    with pytest.raises(ArgumentError, match="links of their own"):
        theory.plan(QUADRATIC, system, target_loss=0.05, methods="sync", max_workers=16)


@pytest.mark.parametrize("methods", ["fast", ["k-sync", 3], cluster.System, []])
def test_what_is_no_method_is_refused(methods):
    """Names that are not known, numbers, and other classes."""
    with pytest.raises(ArgumentError, match="is not a sequence of methods"):
        theory.plan(QUADRATIC, cluster.System(1.0), target_loss=0.05, methods=methods)


def test_limits_behind_a_link_are_found_for_few_numbers_and_for_the_best(monkeypatch):
    """The others take a quotient from their neighbours; the choice keeps its margin exactly."""
    asked = []
    find = plan_question.largest_alpha
    monkeypatch.setattr(
        plan_question, "largest_alpha", lambda stream: asked.append(stream.workers) or find(stream)
    )
    link = cluster.SharedLink(scipy.stats.expon(scale=0.02))
    system = cluster.System(scipy.stats.gamma(4, scale=0.25), communication=link)
    answer = theory.plan(
        cluster.Quadratic([1.0, 0.1], noise=0.1), system, target_loss=0.05, max_workers=64,
        methods="async",
    )  # fmt: skip
    assert len(asked) == len(set(asked)) <= 7
    assert answer.workers in asked
    limit = answer.limits["max_learning_rate"]
    assert answer.learning_rate <= 0.9 * limit * (1.0 + 3e-3)
    assert len(answer.table) > len(asked)
