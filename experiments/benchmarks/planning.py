"""How fast plans are made: `python -m experiments.benchmarks.planning`.

Processor times, the least of several rounds, with one thread for linear algebra: `theory.plan` over
1 to 1,000 workers for six kinds of cycles with links of each worker's own and one shared by all,
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

from experiments.benchmarks import timing
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


def planned_rows(laws: Sequence[str], rate: float | None, rounds: int) -> list[list[Any]]:
    """Return law, eigenvalues, and seconds with own links and a shared one, for every plan."""
    rows: list[list[Any]] = []
    for count in SPECTRA:
        for law in laws:
            seconds = [
                processor_time(planned(law, count, rate, shared=shared), rounds)
                for shared in (False, True)
            ]
            print(f"{law}, {count} eigenvalues: {seconds[0]:.2f} s, {seconds[1]:.2f} s", flush=True)
            rows.append([law, count, *seconds])
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return 1 if a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round, two laws, fixed rate")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    options = parser.parse_args(arguments)
    if "OPENBLAS_NUM_THREADS" not in os.environ:  # read once, when NumPy is imported
        command = [sys.executable, "-m", "experiments.benchmarks.planning", *sys.argv[1:]]
        return subprocess.call(command, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    laws = ["constant", "gamma"] if options.quick else list(LAWS)
    rounds = 1 if options.quick else options.rounds
    planned("gamma", 3, 0.002, shared=False)()  # imports and tables that are made once
    load = f"Load at the start: {os.getloadavg()[0]:.1f}." if hasattr(os, "getloadavg") else ""
    texts, targets = [f"{timing.machine()} {load}"], []
    head = ("cycles", "eigenvalues", "own links", "shared link")
    for title, rate, limit in (("a given", 0.002, PLAN), ("a free", None, FREE)):
        if rate is None and options.quick:
            continue
        rows = planned_rows(laws, rate, rounds)
        slowest = max(max(row[2:]) for row in rows)
        targets.append(timing.Target(f"plans with {title} learning rate", slowest, limit, unit="s"))
        cells = [[law, str(count), *(f"{t:.2f} s" for t in times)] for law, count, *times in rows]
        texts += [f"**Plans over 1 to 1,000 workers, {title} learning rate**",
                  timing.table(head, cells)]  # fmt: skip
    curves = [processor_time(timed(law), max(rounds, 2)) for law in laws]
    targets.append(timing.Target("time_to", 1e3 * max(curves), 1e3 * CURVE, unit="ms"))
    cells = [[law, f"{1e3 * t:.0f} ms"] for law, t in zip(laws, curves, strict=True)]
    texts += ["**`AsyncSGD.time_to`, 1,000 eigenvalues**", timing.table(("cycles", "time"), cells)]
    passed, line = timing.verdict(targets)
    texts += [timing.targets_table(targets), line]
    print("\n\n".join(texts))
    if options.write_docs:
        timing.write_section("planning", "\n\n".join(texts))
    return int(not passed)


if __name__ == "__main__":
    raise SystemExit(main())
