"""Plans: the number they give is the best of all, and the words say what the numbers say."""

import json
import math

import numpy as np
import pytest
import scipy.stats

import sdde
from sdde import ArgumentError, cluster, theory

NOISY = cluster.Quadratic(1.0, noise=0.1)


@pytest.mark.parametrize("law", [1.0, scipy.stats.expon()])
def test_the_planned_number_is_the_best_of_all_numbers(law):
    """The coarse-to-fine search against trying every number of workers."""
    plan = theory.plan(
        NOISY, cluster.System(law), target_loss=1e-3, learning_rate=0.05, max_workers=40,
        methods="async",
    )  # fmt: skip
    times = [
        theory.AsyncSGD(
            1.0, learning_rate=0.05, workers=n, compute_time=law, gradient_noise=0.1,
            arrivals="exact",
        ).time_to(1e-3)
        for n in range(1, 41)
    ]  # fmt: skip
    assert plan.workers == int(np.argmin(times)) + 1
    assert plan.time_to_target == pytest.approx(min(times), rel=1e-12)
    assert plan.range[0] <= plan.workers <= plan.range[1]
    assert plan.time_range[0] <= plan.time_to_target <= plan.time_range[1]
    assert plan.arrivals == "exact"


def test_more_workers_do_not_help_beyond_the_best():
    """The answer names a larger number that is slower, and where training diverges."""
    plan = theory.plan(NOISY, cluster.System(1.0), target_loss=1e-3, learning_rate=0.02)
    later = [row for row in plan.table if row.workers > 1.5 * plan.workers]
    assert all(row.time_to_target > plan.time_to_target for row in later)
    assert "More workers will not help" in plan.explain()
    assert plan.limits["max_workers"] == 79
    assert "From 80 workers on training diverges" in plan.explain()


def test_targets_below_the_noise_floor_are_called_so():
    """No number of workers is offered; a smaller learning rate that would do is."""
    plan = theory.plan(
        NOISY, cluster.System(1.0), target_loss=1e-5, learning_rate=0.02, methods="async"
    )
    assert plan.workers is None
    assert plan.time_to_target == math.inf
    assert "below the noise floor" in plan.explain()
    slower = plan.limits["learning_rate_for_target"]
    again = theory.plan(NOISY, cluster.System(1.0), target_loss=1e-5, learning_rate=slower)
    assert again.workers is not None
    assert not plan.conditions[-1].holds


def test_divergence_with_one_worker_is_called_so():
    """A learning rate above 2 / eigenvalue diverges whatever the workers do."""
    plan = theory.plan(NOISY, cluster.System(1.0), target_loss=1e-2, learning_rate=2.5)
    assert plan.workers is None
    assert "diverges" in plan.explain()
    assert plan.limits["max_learning_rate"] == pytest.approx(2.0)


def test_a_free_learning_rate_is_at_least_as_fast_as_any_fixed_one():
    """The inner search over learning rates against a grid of fixed ones."""
    system = cluster.System(scipy.stats.expon())
    free = theory.plan(NOISY, system, target_loss=1e-3, max_workers=8)
    for eta in (0.01, 0.03, 0.06, 0.1):
        fixed = theory.plan(NOISY, system, target_loss=1e-3, learning_rate=eta, max_workers=8)
        assert free.time_to_target <= fixed.time_to_target * 1.01


def test_the_best_of_several_methods_is_recommended():
    """With nearly constant times and much noise, waiting for all is no worse than rushing."""
    methods = [cluster.AsyncSGD(), cluster.Synchronous(), cluster.KSync(4), cluster.KBatchAsync(4)]
    system = cluster.System(1.0, workers=8)
    noisy = cluster.Quadratic([1.0, 0.3], noise=0.5)
    plan = theory.plan(noisy, system, target_loss=5e-3, methods=methods)
    assert plan.method in methods
    assert len(plan.alternatives) == 3
    assert all(time >= plan.time_to_target for _, _, time in plan.alternatives)
    alone = theory.plan(noisy, system, target_loss=5e-3, methods=[plan.method])
    assert alone.time_to_target == plan.time_to_target
    for method, _, _ in plan.alternatives:
        assert repr(method) in plan.explain()


def test_rounds_of_synchronous_sgd_follow_their_recursion():
    """Mean squares round by round; the time is whole rounds of their mean length."""
    model = theory.SynchronousSGD(
        [1.0, 0.2], learning_rate=0.3, workers=6, compute_time=scipy.stats.expon(),
        gradient_noise=0.2, method=cluster.KSync(4),
    )  # fmt: skip
    assert model.round_time == pytest.approx(sum(1 / i for i in (3, 4, 5, 6)))
    square, losses = np.ones(2), []
    for _ in range(40):
        losses.append(0.5 * np.sum([1.0, 0.2] * square))
        square = (1 - 0.3 * np.array([1.0, 0.2])) ** 2 * square + (0.3 * 0.2) ** 2 / 4
    times = model.round_time * np.arange(40)
    np.testing.assert_allclose(model.loss(times), losses, rtol=1e-12)
    first = int(np.argmax(np.array(losses) <= 0.05))
    assert model.time_to(0.05) == pytest.approx(first * model.round_time)
    assert model.loss(1e5) == pytest.approx(model.loss_floor())
    assert model.replace(learning_rate=2.1).loss_floor() == math.inf


def test_a_full_link_is_mentioned():
    """Beyond saturation more workers only queue."""
    system = cluster.System(1.0, communication=cluster.SharedLink(0.25))
    plan = theory.plan(NOISY, system, target_loss=1e-3, learning_rate=0.02, max_workers=30)
    assert plan.limits["link_saturation"] == pytest.approx(5.0)
    assert "link is full" in plan.explain()


def test_a_slow_server_acts_as_a_shared_resource():
    """With constant times the rate of updates saturates at one over the server's time."""
    system = cluster.System(1.0, update_time=0.1)
    plan = theory.plan(NOISY, system, target_loss=1e-2, learning_rate=0.01, max_workers=64)
    assert max(row.update_rate for row in plan.table) == pytest.approx(10.0)


def test_unequal_workers_are_added_fastest_first():
    """The rows count the fastest workers."""
    system = cluster.System([4.0, 1.0, 2.0])
    plan = theory.plan(NOISY, system, target_loss=1e-2, learning_rate=0.05)
    rates = {row.workers: row.update_rate for row in plan.table}
    assert rates == pytest.approx({1: 1.0, 2: 1.5, 3: 1.75})


def test_a_plan_is_plain_data_too():
    """For scripts: JSON without infinities, and the table as named tuples."""
    plan = theory.plan(NOISY, cluster.System(1.0), target_loss=1e-3, learning_rate=0.02)
    data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))
    assert data["workers"] == plan.workers
    assert len(data["table"]) == len(plan.table)
    assert data["table"][-1]["time_to_target"] is None


def test_a_plan_draws_itself():
    """One curve, one marked best, on given axes."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    plan = theory.plan(
        NOISY, cluster.System(1.0), target_loss=1e-3, learning_rate=0.02, max_workers=12
    )
    figure, axes = pyplot.subplots()
    assert plan.plot(axes) is axes
    assert axes.get_xlabel() == "workers"
    pyplot.close(figure)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"objective": 3.0}, "objective = 3.0 is not an objective"),
        ({"system": 1.0}, "system = 1.0 is not a system"),
        ({"target_loss": 0.0}, "target_loss = 0.0 is not positive"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0 is not positive"),
        ({"max_workers": 0}, "max_workers = 0 is below 1"),
        ({"methods": ["fast"]}, "is not a sequence of methods"),
        ({"methods": []}, "is not a sequence of methods"),
    ],
)
def test_misuse_is_named(change, fault):
    """Each unusable argument is refused with its name."""
    kwargs = {"objective": NOISY, "system": cluster.System(1.0), "target_loss": 1e-3} | change
    with pytest.raises(ArgumentError, match=fault):
        theory.plan(kwargs.pop("objective"), kwargs.pop("system"), **kwargs)


def test_theory_needs_neither_numba_nor_matplotlib():
    """An independent witness that also runs where compiled code does not."""
    import subprocess
    import sys

    code = (
        "import sys; from sdde import cluster, theory\n"
        "theory.plan(cluster.Quadratic(1.0), cluster.System(1.0), target_loss=0.1, "
        "learning_rate=0.1, max_workers=4).explain()\n"
        "assert not {'numba', 'matplotlib', 'sympy'} & set(sys.modules)"
    )
    root = sdde.__path__[0] + "/.."
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_plan_keeps_its_distance_from_divergence():
    """Near the edge losses have heavy tails, and one worker more can be one too many."""
    wide = cluster.Quadratic([1.0, 0.001], noise=1e-4)
    law = 1.0

    def answer(margin):
        return theory.plan(
            wide, cluster.System(law), target_loss=1e-5, learning_rate=0.05, margin=margin
        )

    edge, safe = answer(0.0), answer(0.1)
    assert safe.workers < edge.workers <= edge.limits["max_workers"]
    model = theory.AsyncSGD(
        wide.eigenvalues, learning_rate=0.05, workers=safe.workers, compute_time=law,
        gradient_noise=wide.noise, arrivals=safe.arrivals,
    )  # fmt: skip
    assert 0.9 * model.max_learning_rate() >= 0.05
    assert "closer to divergence than the margin allows" in safe.explain()
    with pytest.raises(ArgumentError, match=r"margin = 1.0 leaves no learning rate"):
        answer(1.0)
