"""Conditions: each verdict is the one that the numbers give, and says where it comes from."""

import math

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, theory
from sdde.theory import conditions, theorems


def model(**changes):
    kwargs = {"learning_rate": 0.02, "workers": 16, "compute_time": 1.0} | changes
    return theory.AsyncSGD(1.0, **kwargs)


@pytest.mark.parametrize("arrivals", ["poisson", "regular", "exact"])
@pytest.mark.parametrize("workers", [8, 60, 78, 120])
def test_the_verdicts_on_convergence_are_those_of_the_model(arrivals, workers):
    """The first two conditions restate is_stable and is_mean_square_stable."""
    subject = model(workers=workers, arrivals=arrivals)
    mean, square = conditions.check(subject)[:2]
    assert mean.holds == subject.is_stable()
    assert square.holds == subject.is_mean_square_stable()


def test_margins_change_sign_at_the_boundary():
    """Critical damping is crossed between 18 and 19 workers at learning rate 0.02."""
    before, after = (conditions.check(model(workers=n))[2] for n in (18, 19))
    assert before.holds
    assert not after.holds
    assert before.margin > 0.0 > after.margin


def test_the_target_is_compared_with_the_floor():
    """The last condition appears with a target only."""
    subject = model(gradient_noise=1.0)
    floor = subject.loss_floor()
    assert len(conditions.check(subject)) == 4
    assert conditions.check(subject, target_loss=2.0 * floor)[-1].margin == pytest.approx(0.5)
    assert not conditions.check(subject, target_loss=0.5 * floor)[-1].holds


def test_arrivals_are_judged_by_what_the_model_assumes():
    """Few constant cycles are not near Poisson; variable ones are not near regular."""
    assert not conditions.check(model(workers=3))[3].holds
    assert conditions.check(model(workers=16))[3].holds
    variable = model(compute_time=scipy.stats.gamma(0.5), arrivals="regular", learning_rate=1e-3)
    assert not conditions.check(variable)[3].holds
    assert conditions.check(model(arrivals="exact"))[3].holds


def every_theorem():
    return [
        *theorems.unbounded_delays("polynomial", "1/(k log k log log k)"),
        *theorems.delay_compensation(1.0, 0.2),
        *theorems.saddle_escape(8, 1e6, 32),
        *theorems.staleness_shaped([0.4, 0.3, 0.2, 0.1]),
        *theorems.modified_equation(0.3, 8),
        *theorems.delay_adaptive(0.1, 1.0, 8, 1.0, 0.01),
        *theorems.fixed_delay(0.005, 1.0, 5, 1000),
        *theorems.waiting_for_k(0.1, 1.0, 4, 8, noise_growth=1.0, fresh=0.2, drift=0.05),
        *theorems.ringmaster(1e-4, 1.0, 10, 1.0, 0.1),
    ]


def test_every_condition_names_its_assumptions_source_and_status():
    """A reader can disagree with each of them."""
    found = every_theorem()
    assert len(found) >= 15
    for condition in found:
        assert condition.claim
        assert condition.assumptions
        assert condition.status in {"paper", "derived", "unverified"}
        assert (condition.reference == "derived in this project") == (condition.status == "derived")
        assert condition.status in str(condition)


def test_derived_formulas_are_never_attributed():
    """What is worked out here does not borrow a publication's name."""
    for condition in every_theorem():
        if condition.status == "derived":
            assert "arXiv" not in condition.reference


@pytest.mark.parametrize(
    ("subject", "holds"),
    [
        (theorems.unbounded_delays("linear", "1/k"), [False]),
        (theorems.unbounded_delays("sublinear", "k^-0.75"), [False]),
        (theorems.delay_compensation(1.7, 0.0), [False]),
        (theorems.delay_compensation(1.7, 0.3), [True]),
        (theorems.saddle_escape(10, 1e5, 32), [True, True]),
        (theorems.saddle_escape(100, 1e5, 32), [False, False]),
        (theorems.modified_equation(0.2, 8), [True, True]),
        (theorems.delay_adaptive(0.3, 1.0, 8, 1.0, 0.01), [False, True]),
        (theorems.delay_adaptive(0.2, 1.0, 200, 1.0, 0.01), [True, False]),
        (theorems.fixed_delay(0.3, 1.0, 5, 10), [False, False, False]),
        (theorems.waiting_for_k(0.6, 1.0, 4, 1, fresh=0.5, drift=0.1), [False, True, True]),
    ],
)
def test_verdicts_on_both_sides_of_each_bound(subject, holds):
    """Numbers chosen just enough inside or outside."""
    assert [condition.holds for condition in subject] == holds


def test_fixed_delay_limits_of_theory_and_practice():
    """A sufficient learning rate is about 31 times below the exact limit."""
    for staleness in (5, 20, 50):
        exact = theory.FixedStaleness(0.1, staleness).stability_limit
        theirs = 1.0 / (20.0 * (staleness + 1.0))
        assert exact / theirs == pytest.approx(10.0 * math.pi, rel=0.15)
        assert theorems.fixed_delay(0.999 * theirs, 1.0, staleness, 10**6)[0].holds
        assert not theorems.fixed_delay(1.001 * theirs, 1.0, staleness, 10**6)[0].holds


def test_below_handles_the_ends():
    """Infinite limits hold with full margin; zero limits never do."""
    assert conditions.below(3.0, math.inf) == (True, 1.0)
    assert conditions.below(math.inf, 1.0) == (False, -math.inf)
    assert not conditions.below(1.0, 0.0)[0]
    assert np.isclose(conditions.below(0.25, 1.0)[1], 0.75)


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: theorems.saddle_escape(0, 1e5, 32), "workers = 0 is not positive"),
        (lambda: theorems.fixed_delay(0.1, 1.0, -1, 10), "staleness = -1 is below 0"),
        (lambda: theorems.ringmaster(0.1, 1.0, 0, 1.0, 0.1), "limit = 0 is below 1"),
        (lambda: theorems.waiting_for_k(0.1, 1.0, 0, 1), "group = 0 is below 1"),
    ],
)
def test_misuse_is_named(call, fault):
    """Messages carry the argument."""
    with pytest.raises(ArgumentError, match=fault):
        call()
