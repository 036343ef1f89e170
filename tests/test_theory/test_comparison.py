"""Theory against the simulator: the same system, two programs that share no code."""

import numpy as np
import pytest
import scipy.stats as st
from sdde.theory.accounts import Account, Estimate, Row, crossing

import sdde
from sdde import cluster, theory


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
    return sdde.compare(plan, runs=100, paths=100, rng=3, name="a <b>test</b>")


def test_the_three_accounts_of_a_plan_agree(comparison):
    """Seed fixed; each row's false-alarm rate is below 1e-5."""
    assert comparison.passed, str(comparison)
    assert {row["quantity"].split(" ")[0] for row in comparison.table} == {
        "updates", "mean", "excess", "time",
    }  # fmt: skip


def test_the_report_is_one_page_that_loads_nothing(comparison, tmp_path):
    """It must open on a machine without network, and text from outside must not become markup."""
    text = comparison.to_html(tmp_path / "report.html").read_text()
    for attribute in ("src=", "<script", "<link", "@import", "url(http"):
        assert attribute not in text
    assert "a &lt;b&gt;test&lt;/b&gt;" in text
    assert text.count("<svg") == 1


def test_a_comparison_is_reproducible(comparison):
    """The seed in the settings makes the same numbers again."""
    again = sdde.compare(comparison.plan, runs=100, paths=100, rng=3)
    assert again.table == comparison.table


def test_a_wrong_theory_is_noticed():
    """A test of agreement must be able to fail."""
    row = Row(8, "mean staleness", np.nan, None, 7.0, Estimate(8.0, 0.01), 0.02)
    assert not row.agrees
    assert Row(8, "mean staleness", np.nan, None, 7.0, Estimate(7.05, 0.01), 0.02).agrees
    assert not Row(8, "time", np.inf, None, np.inf, Estimate(3.0, 0.01), 0.1).agrees
    assert not Row(8, "time", 3.0, Estimate(4.0, 0.01), 3.0, Estimate(3.0, 0.01), 0.1).agrees


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
    ],
)
def test_misuse_of_compare_is_named(comparison, arguments, message):
    """One clear error before anything runs."""
    subject = arguments.pop("subject", comparison.plan)
    with pytest.raises(sdde.ArgumentError, match=message):
        sdde.compare(subject, **arguments)
