"""The law of the staleness of equal workers: counts of renewals, not of a Poisson stream."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st
from sdde.theory.renewal_counts import renewal_staleness, staleness_of

from sdde import cluster, theory
from sdde.equation.laws import as_law

LAWS = {
    "gamma": st.gamma(4, scale=0.25), "uniform": st.uniform(0.8, 0.4),
    "near constant": st.gamma(100, scale=0.01), "lognormal": st.lognorm(0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("workers", [2, 9, 40])
def test_the_mean_is_one_less_than_the_workers(name, workers):
    """Exact for every law, and nothing in the construction puts it there."""
    pmf = renewal_staleness(as_law(LAWS[name], "law"), workers).pmf
    assert pmf.sum() == pytest.approx(1.0)
    assert pmf @ np.arange(len(pmf)) == pytest.approx(workers - 1.0, rel=1e-3)


@pytest.mark.parametrize("name", LAWS)
def test_nothing_overtakes_one_of_two_workers_as_often_as_quadrature_says(name):
    """P(0) = E[1 - G_e(S)] for two workers, by adaptive quadrature of scipy's functions."""
    law = LAWS[name]
    low, high = law.ppf(1e-9), law.ppf(1.0 - 1e-9)

    def free(s):  # the integral of the survival function from s on, over the mean
        return scipy.integrate.quad(law.sf, s, high, limit=200)[0] / law.mean()

    expected = scipy.integrate.quad(lambda s: law.pdf(s) * free(s), low, high, limit=200)[0]
    found = renewal_staleness(as_law(law, "law"), 2).pmf[0]
    assert found == pytest.approx(expected, abs=2e-3)


def test_memoryless_and_constant_cycles_keep_their_exact_laws():
    """Geometric, and always n - 1."""
    for law in (st.expon(), 1.0):
        found = renewal_staleness(as_law(law, "law"), 6)
        np.testing.assert_array_equal(found.pmf, theory.staleness_law(law, 6).pmf)


def test_other_machines_have_what_their_model_says():
    """Unequal workers and methods that group gradients are not renewals of one law."""
    equal = theory.AsyncSGD(1.0, learning_rate=0.1, workers=3, compute_time=LAWS["gamma"])
    assert staleness_of(equal)[1]
    for model in (
        equal.replace(method=cluster.KBatchAsync(2)),
        equal.replace(compute_time=[1.0, LAWS["gamma"], 2.0]),
    ):
        law, exact = staleness_of(model)
        assert not exact
        assert law is model.staleness
