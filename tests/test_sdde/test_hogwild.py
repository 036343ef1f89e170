"""Workers on shared memory: a plain-Python twin, and what inconsistent reads are."""

from typing import Any

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster
from tests.reference_hogwild import hogwild

GAMMA = scipy.stats.gamma(2, scale=0.5)
SETTINGS = {
    "slow memory": {"access": scipy.stats.expon(scale=0.5), "blocks": 3, "share": 0.5},
    "all in reading": {"access": 0.4, "blocks": 5, "share": 1.0},
    "all in writing": {"access": GAMMA, "blocks": 2, "share": 0.0},
    "one block": {"access": 0.2, "blocks": 1, "share": 0.3},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("damped", [False, True])
def test_shared_memory_equals_its_plain_python_twin_bit_for_bit(name, damped):
    """Pieces of jobs in a heap, written from the description."""
    setting = SETTINGS[name]
    curvatures, noise, start = [0.5, 1.0, 2.0, 1.5, 0.7], [0.3, 0.2, 0.1, 0.2, 0.3], [1.0] * 5
    memory = cluster.Piecewise(setting["blocks"], share=setting["share"])
    method = cluster.Composed(rate=cluster.Inverse() if damped else None, memory=memory)
    runs = cluster.simulate(
        cluster.Quadratic(curvatures, noise=noise), method,
        cluster.System(GAMMA, communication=setting["access"], workers=4), learning_rate=0.05,
        updates=120, records=121, rng=6,
    )  # fmt: skip
    rows = hogwild(
        curvatures, noise, start, compute=GAMMA, workers=4, learning_rate=0.05, seed=6,
        updates=120, weight=(lambda late: 1.0 / max(1, late)) if damped else (lambda late: 1.0),
        **setting,
    )  # fmt: skip
    when, who, stale, loss, _ = zip(*rows, strict=True)
    np.testing.assert_array_equal(runs.t[0, 1:], when)
    np.testing.assert_array_equal(runs.loss[0, 1:], loss)
    np.testing.assert_array_equal(runs.staleness.counts, np.bincount(stale))
    np.testing.assert_array_equal(runs.worker_counts[0], np.bincount(who, minlength=4))


def test_reads_are_inconsistent_only_if_reading_takes_time():
    """Ages of the blocks of one read differ in the twin where memory is slow, and only there."""
    common = {
        "compute": GAMMA, "workers": 6, "blocks": 4, "learning_rate": 0.05, "seed": 2,
        "updates": 200,
    }  # fmt: skip
    args = [1.0] * 4, [0.0] * 4, [1.0] * 4
    slow = hogwild(*args, access=1.0, share=0.5, **common)
    fast = hogwild(*args, access=0.0, share=0.5, **common)
    assert sum(len(set(row[4])) > 1 for row in slow) > 50
    assert not any(len(set(row[4])) > 1 for row in fast)


def test_shared_memory_without_time_is_plain_asynchronous_sgd():
    """Then every job reads at one instant and writes at one instant."""
    system = cluster.System(GAMMA, workers=5)
    both = [
        cluster.simulate(
            cluster.Quadratic([1.0, 2.0], noise=0.5), method, system, learning_rate=0.05,
            updates=300, rng=4, trace=True,
        )
        for method in (cluster.Hogwild(2), cluster.AsyncSGD())
    ]  # fmt: skip
    np.testing.assert_array_equal(both[0].loss, both[1].loss)
    np.testing.assert_array_equal(both[0].log, both[1].log)


def test_mean_staleness_on_shared_memory_is_the_number_of_workers_less_one():
    """Each job meets every other's end once; only the last, unfinished ones are cut off."""
    system = cluster.System(GAMMA, communication=0.7, workers=8)
    runs = cluster.simulate(
        cluster.Quadratic([1.0] * 8), cluster.Hogwild(8), system, learning_rate=1e-3,
        updates=50_000, rng=3,
    )  # fmt: skip
    missing = 7.0 - runs.staleness.mean
    assert 0.0 <= missing <= 8 * len(runs.staleness.counts) / 50_000


def test_rules_that_need_a_server_are_refused():
    """Workers write gradients themselves: nobody joins, drops or corrects them."""
    memory = cluster.Piecewise(4)
    rules: tuple[dict[str, Any], ...] = (
        {"momentum": 0.9}, {"admission": cluster.Fresh(3)}, {"waiting": cluster.Group(2)},
        {"budget": 3}, {"projection": cluster.Ball(1.0)},
    )  # fmt: skip
    for rule in rules:
        with pytest.raises(ArgumentError, match=r"^memory = "):
            cluster.Composed(memory=memory, **rule)
    with pytest.raises(ArgumentError, match=r"^system = "):
        cluster.simulate(
            cluster.Quadratic(1.0), cluster.Hogwild(), cluster.System(1.0, update_time=0.1),
            learning_rate=0.1, updates=1, workers=2,
        )  # fmt: skip
    with pytest.raises(ArgumentError, match=r"^share = "):
        cluster.Hogwild(share=1.5)
