"""The recorded cases of asynchronous SGD, through public names and at their own tolerances."""

import json
import pathlib

import numpy as np
import pytest
import scipy.stats

from sdde import cluster, theory

TABLE = pathlib.Path(__file__).parents[1] / "cases" / "async_sgd.json"


def fixed(p):
    return theory.FixedStaleness(p.get("alpha", 0.1), p["tau"])


def memoryless(p):
    return theory.MemorylessWorkers(p.get("alpha", 0.1), p["n"])


def shared(p):
    use = theory.shared_link(
        p["n"], scipy.stats.expon(scale=p["Z"]), scipy.stats.expon(scale=p["D"])
    )
    return [use.throughput, use.cycle_time]


def root_of(model):
    """Return [Re, |Im|] of the dominant root of the only eigenvalue of a model."""
    stream = model.stream
    a = model.damping[0] / stream.delay.mean
    root = theory.rightmost_roots(a, stream.delay)
    return [float(root.real), abs(float(root.imag))]


def grouped(p):
    return root_of(
        theory.AsyncSGD(
            1.0, learning_rate=p["alpha"], workers=p["n"], compute_time=scipy.stats.expon(),
            method=cluster.KBatchAsync(p["K"]),
        )
    )  # fmt: skip


def dropped(p):
    return root_of(
        theory.AsyncSGD(
            1.0, learning_rate=p["u"] / 10, workers=10, compute_time=scipy.stats.expon(),
            method=cluster.AgeThreshold(p["c"]),
        )
    )  # fmt: skip


def poisson_limit(p):
    """Return the real number of workers at which the index reaches one, by interpolation."""
    counts = np.arange(70, 80)
    index = [
        theory.AsyncSGD(
            1.0, learning_rate=p["alpha"], workers=int(n), compute_time=1.0
        ).mean_square_index()
        for n in counts
    ]  # fmt: skip
    # The index is (alpha / 2) tan(pi/4 + alpha n / 2): its arctangent is linear in n.
    angles = np.arctan(2.0 * np.array(index)[:8] / p["alpha"])
    slope, offset = np.polyfit(counts[:8], angles, 1)
    return (np.arctan(2.0 / p["alpha"]) - offset) / slope


def fastest(p):
    model = fixed(p)
    best = theory.FixedStaleness(model.fastest_alpha, p["tau"])
    return [model.fastest_alpha, best.contraction()]


def complex_pair(root):
    return [root.real, abs(root.imag)]


WAYS = {
    "discrete_stability": lambda p: fixed(p).stability_limit,
    "discrete_critical": fastest,
    "discrete_variance": lambda p: fixed(p).variance(),
    "memoryless_variance": lambda p: memoryless(p).variance(),
    "memoryless_rate": lambda p: complex_pair(memoryless(p).root()),
    "memoryless_mean_square": lambda p: memoryless(p).stability_limit,
    "poisson_mean_square": poisson_limit,
    "several_eigenvalues": lambda p: list(theory.best_damping(1.0, p["kappa"])),
    "shared_link": shared,
    "group_size": grouped,
    "staleness_threshold": dropped,
    "poisson_approximation": lambda p: theory.poisson_error(1.0, p["n"]),
    "staleness_law": lambda p: theory.staleness_law(
        scipy.stats.gamma(p["r"], scale=1.0 / p["r"]), p["n"]
    ).pmf[p["k"]],
}


def cases():
    table = json.loads(TABLE.read_text(encoding="utf-8"))["cases"]
    mine = [case for case in table if case["category"] in WAYS]
    assert {case["category"] for case in mine} == set(WAYS)
    return [pytest.param(case, id=case["id"]) for case in mine]


@pytest.mark.parametrize("case", cases())
def test_recorded_case(case):
    """Values computed beforehand in two independent ways, to their recorded tolerance."""
    value = WAYS[case["category"]](case["inputs"])
    np.testing.assert_allclose(value, case["expected"], rtol=case["rel_tol"], atol=1e-9)
