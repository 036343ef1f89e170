"""The regret study: its simulator, its limits and its small version."""

import json

import numpy as np
import pytest
import scipy.stats

from experiments import planner_regret, regret_clusters, regret_report
from experiments.regret_search import Bench, Exhaustive, largest_alpha, second_moment_growth
from experiments.regret_systems import LAWS, cases
from sdde import cluster, theory
from tests import reference_regret
from tests.reference_fixed_cycles import growth

GAMMA = scipy.stats.gamma(3, scale=1 / 3)
LINK = cluster.SharedLink(scipy.stats.expon(scale=0.2))


@pytest.mark.parametrize("kicked", [False, True])
@pytest.mark.parametrize("link", [None, LINK])
def test_the_compiled_clusters_follow_their_words(kicked, link):
    """Run by run the same as plain Python, to rounding."""
    bench = Bench(cluster.Quadratic(1.0), cluster.System(GAMMA, communication=link), 0.1, 1)
    tables, think, biased, place = bench.tables(5)
    alpha, grid = np.array([0.05, 0.2, 0.4]), np.linspace(0.0, 6.0, 7)
    shares = np.arange(1, 6) / 5
    found = np.zeros((4, 7, 3))
    regret_clusters.moments(
        tables, think, biased, place, 1, np.zeros(2), False, shares, alpha, grid, kicked, 9,
        np.array([0, 4]), found,
    )  # fmt: skip
    slow = reference_regret.moments(tables, think, biased, place, shares, alpha, grid, kicked, 9, 4)
    np.testing.assert_allclose(found, slow, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_losses_are_those_of_the_package(noise):
    """Two simulators that share no loop; z below 4.9 at four times, false-alarm rate 8e-6."""
    objective = cluster.Quadratic([0.3, 1.0], noise=noise)
    system = cluster.System(GAMMA)
    bench = Bench(objective, system, 0.1, 1)
    moments, _ = bench.moments(6, 0.08 * objective.eigenvalues, 8.0, (0, 1600), 7)
    losses = moments.losses(bench, 0.08)[:, 59::60]
    runs = cluster.simulate(
        objective, cluster.AsyncSGD(), system, learning_rate=0.08, workers=6, time=8.0, runs=1600,
        rng=1, records=240, start="stationary",
    ).loss[:, 59::60]  # fmt: skip
    error = np.hypot(runs.std(axis=0) / 40.0, losses[:-1].std(axis=0, ddof=1) / 4.0)
    assert (np.abs(losses[-1] - runs.mean(axis=0)) < 4.9 * error).all()


@pytest.mark.parametrize(("law", "workers"), [(scipy.stats.expon(), 8), (1.0, 6)])
def test_cloning_finds_the_limits_that_are_known(law, workers):
    """Within 1.5 % of the exact second moments; stated errors are 0.2 to 0.7 %, seeds fixed."""
    bench = Bench(cluster.Quadratic(1.0), cluster.System(law), 0.1, 5)
    known = theory.AsyncSGD(
        1.0, learning_rate=0.01, workers=workers, compute_time=law, arrivals="exact"
    ).max_learning_rate()
    found, error = largest_alpha(bench, workers, 1.1 * known)
    assert error < 0.01 * known
    assert found == pytest.approx(known, rel=0.015)


def test_limits_of_unequal_constant_workers_are_those_of_a_long_product():
    """Two workers, one of them 1.37 times as fast; within 0.4 %, the stated error is 0.1 %."""
    bench = Bench(cluster.Quadratic(1.0), cluster.System([1.0, 1.37]), 0.1, 5)
    found, _ = largest_alpha(bench, 2, 1.1)
    for factor, grows in ((0.996, False), (1.004, True)):
        rate = growth((1.0, 1.37), (0.2, 0.9), 40_000, factor * found)
        assert (rate > 0.0) == grows


def test_the_growth_of_workers_in_step_is_that_of_their_recursion():
    """Beyond the limit the second moment grows as the recursion does, within 0.03 a cycle."""
    bench = Bench(cluster.Quadratic(1.0), cluster.System(1.0), 0.1, 5)
    found, _ = second_moment_growth(bench, 6, 0.35)
    assert found == pytest.approx(reference_regret.growth_of_fixed_staleness(0.35, 6), abs=0.03)


def test_a_spectrum_of_learning_rates_is_read_between_its_nodes():
    """Losses at a rate between the nodes against those simulated at it, the same schedules."""
    objective = cluster.Quadratic([0.1, 1.0], noise=0.1)
    bench = Bench(objective, cluster.System(GAMMA), 0.1, 1)
    exact, _ = bench.moments(4, 0.11 * objective.eigenvalues, 12.0, (0, 64), 3)
    nodes, _ = bench.moments(4, np.geomspace(0.003, 0.3, 24), 12.0, (0, 64), 3)
    a, b = exact.losses(bench, 0.11)[-1], nodes.losses(bench, 0.11)[-1]
    np.testing.assert_allclose(b, a, rtol=2e-3)


def test_the_search_finds_the_best_of_workers_in_step():
    """Exact theory as the witness: the time at the best found is within 2 % of the best of all."""
    objective = cluster.Quadratic([0.2, 1.0])
    bench = Bench(objective, cluster.System(1.0), 1e-2, 1)
    best = Exhaustive(bench, 0.05, 40, 2.0).run()[0]
    plan = theory.plan(
        objective, cluster.System(1.0), target_loss=1e-2, learning_rate=0.05, max_workers=40
    )
    assert best.time == pytest.approx(plan.time_to_target, rel=0.02)


def test_the_systems_are_those_that_were_promised():
    """All laws, spectra, rates, noises and kinds of question."""
    facts = [case.facts for case in cases()]
    assert len(facts) >= 60
    assert {fact["law"] for fact in facts} == set(LAWS)
    for name in ("link", "free", "near"):
        assert {fact[name] for fact in facts} == {True, False}
    assert {fact["noise"] for fact in facts} == {"none", "weak", "strong", "dominant"}
    assert min(fact["alpha"] for fact in facts) < 0.015
    assert max(fact["alpha"] for fact in facts) > 0.4
    assert max(fact["condition"] for fact in facts) > 300.0
    assert {fact["eigenvalues"] for fact in facts} >= {1, 2, 5, 50}


def test_the_small_study_runs_and_goes_on_where_it_stopped(tmp_path, capsys):
    """Six systems; a second time nothing is simulated again."""
    arguments = ["--quick", "--store", str(tmp_path)]
    assert planner_regret.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.rstrip().endswith("PASS")
    files = sorted((tmp_path / "quick").glob("??.json"))
    assert len(files) == 6
    before = [file.read_text() for file in files]
    assert planner_regret.main(arguments) == 0
    assert [file.read_text() for file in files] == before
    rows = [json.loads(text) for text in before]
    found = regret_report.summary(rows)
    # Small simulations: these bounds hold a blunder, not the accuracy of the study.
    assert found["figures"]["regret, checked"]["median"] < 5.0
    assert found["figures"]["prediction, theory alone"]["median"] < 15.0
