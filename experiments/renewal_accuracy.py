"""How accurate the theory of workers as renewal processes is, against simulated clusters.

`python -m experiments.renewal_accuracy [--quick]`. Ten laws of cycles from nearly constant to
heavy-tailed, 1 to 40 workers, dampings from 0.05 to 2.4, one eigenvalue: the times to settle below
a tenth, a hundredth and 0.002 of the first loss, noise floors, and the learning rates at which
training diverges, in theory and in simulation.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.stats as st
from sdde.theory.simulated_limits import Growth
from sdde.theory.simulated_losses import expected_losses
from sdde.theory.simulated_times import settling

from sdde import cluster, theory
from sdde.cluster.linear_runs import GROUPS, LinearRuns

LAWS = {
    "gamma 100": st.gamma(100, scale=0.01),
    "gamma 16": st.gamma(16, scale=1 / 16),
    "uniform": st.uniform(0.3, 1.4),
    "gamma 4": st.gamma(4, scale=0.25),
    "lognormal 0.5": st.lognorm(0.5, scale=math.exp(-0.125)),
    "shifted exponential": st.expon(loc=0.5, scale=0.5),
    "exponential": st.expon(),
    "gamma 0.6": st.gamma(0.6, scale=1 / 0.6),
    "lognormal 1.1": st.lognorm(1.1, scale=math.exp(-0.605)),
    "Pareto 2.5": st.pareto(2.5, scale=0.6),
}
QUICK = ("gamma 4", "exponential")
WORKERS = (1, 2, 4, 8, 16, 40)
DAMPINGS = (0.05, 0.15, 0.4, 0.8, 1.4, 2.4)
LARGEST = 0.5  # learning rate times eigenvalue
TARGETS = (0.1, 0.01, 0.002)  # of the first loss
EDGE = 0.95  # of the limit, from which nothing is timed
SURE = 0.02  # relative standard error beyond which a simulated time says too little
UNIT = cluster.Quadratic(1.0)


class Row(NamedTuple):
    """One number in theory and in simulation."""

    kind: str
    law: str
    workers: int
    off: float  # relative error


def rows_of(name: str, workers: int, gradients: float) -> Iterable[Row]:
    """Yield the errors of one law with a number of workers, at all dampings."""
    system = cluster.System(LAWS[name])

    def model(alpha: float, kind: Any, noise: float = 0.0) -> Any:
        return theory.AsyncSGD(
            1.0, learning_rate=alpha, workers=workers, compute_time=LAWS[name], arrivals=kind,
            gradient_noise=noise,
        )  # fmt: skip

    told = model(0.01, "renewal").max_learning_rate()
    growth = Growth(system, 1.0, np.random.SeedSequence(1), gradients=round(0.3 * gradients))
    limit = growth.largest_rate(workers, told).value
    yield Row("limit", name, workers, told / limit - 1.0)
    fits = "poisson" if LAWS[name].var() > 0.5 * LAWS[name].mean() ** 2 else "regular"
    for alpha in (damping / workers for damping in DAMPINGS):
        if alpha > LARGEST or alpha > EDGE * limit:
            continue
        times = {
            kind: [model(alpha, kind).time_to(0.5 * part) for part in TARGETS]
            for kind in ("renewal", fits)
        }
        end = 1.5 * max(time for time in times["renewal"] if math.isfinite(time))
        count = int(np.clip(gradients / (end * workers), 4 * GROUPS, 60_000)) // GROUPS * GROUPS
        grid = np.linspace(0.0, end, 301)
        runs = LinearRuns(system, workers, 7)
        losses, _ = expected_losses(UNIT, runs, alpha, grid, count)
        for at, part in enumerate(TARGETS):
            found, error = settling(grid, losses, 0.5 * part)
            if math.isfinite(found) and error < SURE * found:
                for kind, label in (("renewal", "time"), (fits, "time, simpler treatment")):
                    yield Row(label, name, workers, times[kind][at] / found - 1.0)
        kicked = runs.squares(np.array([alpha]), np.array([2.0 * end]), count, kicked=True)
        floor = 0.5 * alpha**2 * workers / runs.cycle * kicked.values.mean()
        yield Row("floor", name, workers, model(alpha, "renewal", 1.0).loss_floor() / floor - 1.0)


def line(label: str, rows: list[Row]) -> tuple[float, float, str]:
    """Return median and largest error, and a line that says them."""
    off = np.abs([row.off for row in rows])
    off = np.where(np.isnan(off), np.inf, off)
    worst = rows[int(np.argmax(off))]
    median, most = float(np.median(off)), float(off.max())
    said = (
        f"{label}: {len(rows)} numbers, median {100 * median:.2f} %, 90 % below "
        f"{100 * float(np.quantile(off, 0.9)):.1f} %, worst {100 * most:.1f} % "
        f"({worst.law}, {worst.workers} workers)"
    )
    return median, most, said


def main(arguments: Any = None) -> int:
    """Run the study; 0 means that medians and worst cases are what the guide says."""
    parser = argparse.ArgumentParser(prog="python -m experiments.renewal_accuracy")
    parser.add_argument("--quick", action="store_true", help="two laws, shorter simulations")
    quick = parser.parse_args(arguments).quick
    rows = [
        row
        for name in (QUICK if quick else LAWS)
        for workers in WORKERS
        for row in rows_of(name, workers, 1e5 if quick else 1e6)
    ]
    met = True
    allowed = {"time": (0.003, 0.3), "floor": (0.003, 0.05), "limit": (0.006, 0.09)}
    for kind in ("time", "time, simpler treatment", "floor"):
        median, most, said = line(kind, [row for row in rows if row.kind == kind])
        print(said)
        if kind in allowed:
            scale = 4.0 if quick else 1.0  # shorter simulations have errors of their own
            met &= median < scale * allowed[kind][0] and most < scale * allowed[kind][1]
    for workers in WORKERS:
        picked = [row for row in rows if row.kind == "limit" and row.workers == workers]
        median, most, said = line(f"limit of {workers} workers", picked)
        print(said)
        met &= median < allowed["limit"][0] * (4.0 if quick else 1.0) and most < allowed["limit"][1]
    print("PASS" if met else "FAIL")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
