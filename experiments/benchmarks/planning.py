"""How fast plans are made: `python -m experiments.benchmarks.planning`.

Processor times, the least of several rounds, with one thread for linear algebra: `theory.plan` over
1 to 1,000 workers for seven kinds of cycles with links of each worker's own and one shared by all,
3 and 50 eigenvalues, a fixed and a free learning rate; and `AsyncSGD.time_to` with 1,000
eigenvalues. Every round builds its laws anew, so nothing is remembered from the last.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.stats

from sdde import cluster, theory

PLAN, FREE, CURVE = 1.0, 3.0, 0.05  # seconds: a plan, one with a free learning rate, a time_to
MEASURED = np.random.default_rng(0).gamma(4.0, 0.25, 3000)
LAWS: dict[str, Callable[[], Any]] = {
    "constant": lambda: 1.0,
    "exponential": scipy.stats.expon,
    "gamma": lambda: scipy.stats.gamma(4, scale=0.25),
    "lognormal": lambda: scipy.stats.lognorm(0.5),
    "uniform": lambda: scipy.stats.uniform(0.5, 1.0),
    "measured": MEASURED.copy,
}
SPECTRA = {3: np.array([1.0, 0.5, 0.1]), 50: np.geomspace(0.02, 1.0, 50)}


def processor_time(run: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of a call."""
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def planned(law: str, eigenvalues: int, rate: float | None, *, shared: bool) -> Callable[[], Any]:
    """Return a plan over 1 to 1,000 workers, to be made."""
    objective = cluster.Quadratic(SPECTRA[eigenvalues], noise=0.1, start=1.0)

    def run() -> Any:
        link = cluster.SharedLink(scipy.stats.expon(scale=0.01)) if shared else None
        system = cluster.System(LAWS[law](), communication=link)
        return theory.plan(
            objective, system, target_loss=0.05, learning_rate=rate, max_workers=1000
        )

    return run


def timed(law: str) -> Callable[[], Any]:
    """Return a time to a target with 1,000 eigenvalues, to be found."""

    def run() -> Any:
        model = theory.AsyncSGD(
            np.geomspace(1e-3, 1.0, 1000), learning_rate=0.02, workers=20,
            compute_time=LAWS[law](), gradient_noise=0.01,
        )  # fmt: skip
        return model.time_to(1.0)

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, two laws, fixed rate")
    options = parser.parse_args(arguments)
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # read once, when NumPy is imported
        command = [sys.executable, "-m", "experiments.benchmarks.planning", *sys.argv[1:]]
        return subprocess.call(command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    laws = ["constant", "gamma"] if options.quick else list(LAWS)
    rounds = 1 if options.quick else options.rounds
    rates = (0.002,) if options.quick else (0.002, None)
    planned("gamma", 3, 0.002, shared=False)()  # imports and tables that are made once
    late = 0
    print(f"{'plan over 1..1,000 workers':36}{'own links':>12}{'shared link':>14}{'limit':>8}")
    for rate in rates:
        for count in SPECTRA:
            for law in laws:
                limit = PLAN if rate else FREE
                seconds = [
                    processor_time(planned(law, count, rate, shared=shared), rounds)
                    for shared in (False, True)
                ]
                late += max(seconds) > limit
                name = f"{law}, {count} eigenvalues, {'fixed' if rate else 'free'} rate"
                print(
                    f"{name:36}{seconds[0]:10.2f} s{seconds[1]:12.2f} s{limit:6.0f} s", flush=True
                )
    for law in laws:
        seconds = processor_time(timed(law), max(rounds, 2))
        late += seconds > CURVE
        name = f"time_to, 1,000 eigenvalues, {law}"
        print(f"{name:36}{1e3 * seconds:10.0f} ms{'':13}{1e3 * CURVE:6.0f} ms", flush=True)
    print("PASS" if not late else f"FAIL: {late} of these take longer than their limit")
    return int(late > 0)


if __name__ == "__main__":
    raise SystemExit(main())
