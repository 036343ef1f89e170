"""Theory against the simulator: the same system, two programs that share no code."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats as st
from sdde.theory.accounts import (
    LIMIT,
    RATE,
    TIME,
    Account,
    Estimate,
    Row,
    crossing,
    overlap,
    verdicts,
)
from sdde.theory.comparison import rate_at
from sdde.theory.growth_of_runs import limit_of_plain_runs
from sdde.theory.simulated_limits import simulated_limit

import sdde
from sdde import cluster, theory

HOSTILE = '<script>alert("x")</script> & $a_$'


def worst(count):
    """Return the bound that the largest of `count` normal z-scores passes once in a million."""
    return st.norm.isf(0.5e-6 / count)


def test_predicted_and_simulated_loss_agree_for_eight_exponential_workers():
    """Memoryless workers have exact moment equations, so the only tolerance is Monte Carlo's."""
    objective = cluster.Quadratic([1.0, 0.3], noise=0.3, start=1.0)
    times = np.arange(4.0, 41.0, 4.0)  # times of records: the loss there is exact
    model = theory.AsyncSGD(
        objective.eigenvalues,
        learning_rate=0.05,
        workers=8,
        compute_time=st.expon(),
        gradient_noise=objective.noise,
        arrivals="exact",
    )
    runs = cluster.simulate(
        objective, cluster.AsyncSGD(), cluster.System(st.expon(), workers=8),
        learning_rate=0.05, time=40.0, records=21, runs=4000, rng=1,
    )  # fmt: skip
    mean, error = runs.mean_loss(times)
    z = (mean - model.loss(times, objective.start)) / error
    assert np.abs(z).max() < worst(len(times))


@pytest.fixture(scope="module")
def comparison():
    objective = cluster.Quadratic([1.0, 0.4], noise=0.3, start=1.0)
    plan = theory.plan(
        objective, cluster.System(st.gamma(4, scale=0.25)), target_loss=0.02, learning_rate=0.04
    )
    return sdde.compare(plan, runs=100, paths=100, rng=3, name=HOSTILE, command=HOSTILE)


def test_the_three_accounts_of_a_plan_and_its_neighbours_agree(comparison):
    """Seed fixed; each row's false-alarm rate is below 1e-5."""
    assert comparison.passed, str(comparison)
    workers = [case.workers for case in comparison.cases]
    assert workers[0] < comparison.plan.workers < workers[-1]
    assert [verdict.quantity for verdict in comparison.verdicts] == [
        "update rate", "staleness law", "loss curve", "time to target", "divergence limit",
    ]  # fmt: skip


def test_a_comparison_is_reproducible(comparison):
    """The seed in the settings makes the same numbers again."""
    workers = comparison.plan.workers
    again = sdde.compare(comparison.plan, runs=100, paths=100, rng=3, workers=[workers])
    before = [row for row in comparison.table if row["workers"] == workers]
    assert again.table == before


def test_a_comparison_is_written_as_plain_values(comparison):
    """Scripts read JSON, which has no infinity."""
    text = json.dumps(comparison.to_dict(), allow_nan=False)
    content = json.loads(text)
    assert content["passed"]
    assert len(content["table"]) == len(comparison.rows)
    assert content["live"] is None


def test_a_model_is_compared_at_its_workers_and_beside_them():
    """What a plan would choose does not matter then; memoryless workers leave chance only."""
    model = theory.AsyncSGD(
        1.0, learning_rate=0.05, workers=6, compute_time=st.expon(), gradient_noise=0.2,
        arrivals="exact",
    )  # fmt: skip
    found = sdde.compare(model, runs=60, paths=60, rng=5, target_loss=0.05)
    assert [case.workers for case in found.cases] == [3, 6, 9]
    assert {case.learning_rate for case in found.cases} == {0.05}
    assert found.passed, str(found)


def test_a_method_that_waits_is_simulated_as_it_is_planned():
    """No SDDE and no law of the staleness are claimed for it; one eigenvalue, so limits are 2."""
    objective = cluster.Quadratic(1.0, noise=0.1, start=1.0)
    plan = theory.plan(
        objective, cluster.System(st.gamma(4, scale=0.25)), target_loss=0.02, learning_rate=0.3,
        max_workers=6, methods=[cluster.KSync(2)],
    )  # fmt: skip
    found = sdde.compare(plan, runs=100, rng=1, workers=[4])
    assert found.passed, str(found)
    assert all(row.paths is None for row in found.rows)
    (limit,) = [row for row in found.rows if row.tolerance == LIMIT]
    assert limit.theory == 2.0
    assert limit.runs.value == pytest.approx(2.0, rel=0.01)


def test_neighbours_of_a_free_learning_rate_have_their_own():
    """The points then lie on the curve of the plan, whose rate changes with the workers."""
    objective = cluster.Quadratic(1.0, noise=0.3, start=1.0)
    plan = theory.plan(objective, cluster.System(1.0), target_loss=0.02, max_workers=7)
    thinner = replace(plan, table=plan.table[::3])
    rates = {row.workers: row.learning_rate for row in thinner.table}
    known = sorted(rates)
    assert [rate_at(thinner, count) for count in known] == [rates[count] for count in known]
    below, above = known[0], known[1]
    between = rate_at(thinner, below + 1)
    assert above > below + 1
    assert min(rates[below], rates[above]) < between < max(rates[below], rates[above])


@pytest.mark.parametrize(
    ("law", "workers", "limit"),
    [
        # One worker: x <- (1 - eta) x.
        (1.0, 1, 2.0),
        # Constant cycles of four workers: x_k+1 = x_k - eta x_k-3, a root of modulus one.
        (1.0, 4, 2.0 * np.sin(np.pi / 14.0)),
    ],
)
def test_simulated_divergence_is_where_the_recursion_says(law, workers, limit):
    """Exact answers: x_{k+1} = x_k - eta x_{k-d} is stable for eta < 2 sin(pi / (2 (2 d + 1)))."""
    for gradients, judge in ((400_000, simulated_limit), (None, limit_of_plain_runs)):
        size = {"runs": 200} if gradients is None else {"gradients": gradients}
        found = judge(
            1.0, cluster.AsyncSGD(), cluster.System(law), workers=workers, cycle=1.0,
            near=1.2 * limit, rng=np.random.SeedSequence(1), start="stationary", **size,
        )  # fmt: skip
        assert abs(found.value - limit) < 4.5 * found.error + 0.01 * limit


def test_a_wrong_theory_is_noticed():
    """A test of agreement must be able to fail."""
    row = Row(8, "updates", np.nan, None, 7.0, Estimate(8.0, 0.01), RATE)
    assert not row.agrees
    assert row.beyond_chance == pytest.approx((1.0 - 4.5 * 0.01) / 7.0)
    good = Row(8, "updates", np.nan, None, 7.0, Estimate(7.05, 0.01), RATE)
    assert good.agrees
    assert not Row(8, "time", np.inf, None, np.inf, Estimate(3.0, 0.01), TIME).agrees
    assert not Row(8, "time", 3.0, Estimate(4.0, 0.01), 3.0, Estimate(3.0, 0.01), TIME).agrees
    late = Row(8, "time", np.nan, None, 3.0, Estimate(np.nan), TIME)
    assert [verdict.agrees for verdict in verdicts((row, good, late))] == [False, False]
    assert np.isinf(verdicts((late,))[0].beyond_chance)
    assert verdicts((good,))[0].agrees


def test_laws_overlap_by_what_they_share():
    """1 for the same law, 0 for laws that never meet."""
    assert overlap(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 1.0
    assert overlap(np.array([1.0]), np.array([0.0, 1.0])) == 0.0
    assert overlap(np.array([0.75, 0.25]), np.array([0.5, 0.25, 0.25])) == 0.75


def test_crossing_times_are_interpolated_and_say_never():
    """Settling counts, not the first touch."""
    times = np.arange(5.0)
    loss = np.array([1.0, 0.09, 0.2, 0.05, 0.04])
    found = crossing(times, Account("x", loss, np.full(5, 0.001)), 0.1)
    assert found.value == pytest.approx(2.0 + np.log(2.0) / np.log(4.0))
    assert np.isnan(crossing(times, Account("x", loss, np.zeros(5)), 0.01).value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subject": 3}, "subject = 3 is not a plan"),
        ({"runs": 1}, "runs = 1 is below 2"),
        ({"paths": 0}, "paths = 0 is below 2"),
        ({"workers": []}, "workers = \\[\\] is empty"),
        ({"workers": [0]}, "workers = 0 is below 1"),
        ({"live": True}, "live = True has nothing to train"),
    ],
)
def test_misuse_of_compare_is_named(comparison, arguments, message):
    """One clear error before anything runs."""
    subject = arguments.pop("subject", comparison.plan)
    with pytest.raises(sdde.ArgumentError, match=message):
        sdde.compare(subject, **arguments)
