"""What each feature costs: `python -m experiments.benchmarks.features`.

One linear equation is solved with one thing changed at a time: the method, the kind of noise, the
kind of delay, jumps, what is watched. Times are processor time of one thread. Runs take turns; a
cost is the median ratio to the plain equation within a round. There is nothing to pass or fail but
that every run gives finite states.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats

import sdde
from experiments.benchmarks import timing

HEAD = ("what is changed", "ns per path-step, median (min–max)", "cost, median (min–max)")
SPAN, DT, DELAY = (0.0, 10.0), 0.01, 1.0


def _drift(t, x, delayed):
    return -delayed[0]


def _pair(t, x, delayed):
    return -delayed[0]


def _matrix(t, x, delayed):
    return np.array([[0.1, 0.05], [0.0, 0.1 * x[0]]])


def features() -> dict[str, tuple[sdde.Problem, dict]]:
    """Return problems and further arguments of `sdde.solve` by name; the first is the plain one."""
    plain = sdde.Problem(_drift, 0.1, delays=DELAY, history=1.0)
    multiplicative = plain.replace(diffusion=lambda t, x, delayed: 0.1 * x)
    pair = sdde.Problem(_pair, 0.1, delays=DELAY, history=[1.0, 0.5])
    kick = sdde.Jump(1.0, lambda t, x, delayed, mark: 0.1 * mark, mark=scipy.stats.norm())
    leaps = sdde.Jump(
        1.0, lambda t, x, delayed, mark: 0.1 * mark, mark=scipy.stats.norm(), leaping=True
    )
    level = sdde.Hit(lambda t, x, delayed: x + 1e6)
    return {
        "nothing: linear, delayed, additive noise": (plain, {}),
        "a delay off the grid": (plain.replace(delays=0.777777), {}),
        "multiplicative noise": (multiplicative, {}),
        "multiplicative noise, euler-heun": (
            multiplicative.replace(calculus="stratonovich"), {"method": "euler-heun"}
        ),
        "multiplicative noise, tamed-euler": (multiplicative, {"method": "tamed-euler"}),
        "noise summed over 4 finer steps": (plain, {"noise": sdde.Brownian(1, finest=DT / 4)}),
        "two components": (pair, {}),
        "two components, noise matrix": (pair.replace(diffusion=_matrix, noise="general"), {}),
        "a delay that depends on time": (
            plain.replace(
                delays=sdde.TimeDelay(lambda t: 0.5 + 0.25 * np.sin(t), longest=DELAY)
            ), {},
        ),
        "a delay that depends on the state": (
            plain.replace(
                delays=sdde.StateDelay(lambda t, x: 1.0 / (1.0 + x * x), longest=DELAY)
            ), {},
        ),
        "a delay drawn at each step": (
            plain.replace(delays=sdde.RandomDelay(scipy.stats.uniform(0.2, 0.8))), {}
        ),
        "the past weighted by a gamma law": (
            plain.replace(delays=sdde.DistributedDelay(scipy.stats.gamma(2, scale=0.25))), {}
        ),
        "jumps of rate 1": (plain.replace(jumps=kick), {}),
        "jumps of rate 1, counted per step": (plain.replace(jumps=leaps), {}),
        "a level that is watched": (plain, {"until": level}),
    }  # fmt: skip


def runner(problem: sdde.Problem, options: dict, paths: int) -> Callable[[int], np.ndarray]:
    """Return a function of the seed that solves and gives the final states."""

    def run(seed: int) -> np.ndarray:
        solution = sdde.solve(
            problem, SPAN, dt=DT, paths=paths, rng=seed, save="final", threads=1, **options
        )
        return solution.x[:, -1]

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if all states are finite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of the paths, 2 rounds")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    options = parser.parse_args(arguments)
    paths, rounds = (256, 2) if options.quick else (2560, 7)
    runs = {name: runner(*what, paths) for name, what in features().items()}
    wrong = [name for name, run in runs.items() if not np.isfinite(run(1)).all()]
    times = timing.side_by_side(runs, rounds, time.process_time)
    plain = next(iter(times.values()))
    units = paths * SPAN[1] / DT
    rows = []
    for name, taken in times.items():
        ns = taken.seconds * 1e9 / units
        cost = "{:.2f} ({:.2f}–{:.2f})".format(*taken.over(plain))
        rows.append([name, f"{np.median(ns):.2f} ({ns.min():.2f}–{ns.max():.2f})", cost])
    text = f"{timing.machine()}\n\n{timing.table(HEAD, rows)}"
    print(f"{text}\n")
    if options.write_docs:
        timing.write_section("features", text)
    print(f"FAIL: not finite: {', '.join(wrong)}" if wrong else "PASS: all states are finite")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
