"""How long a script takes that solves one equation: `python -m experiments.benchmarks.start`.

Each measurement is a new Python process, timed from outside from its start to its end: with nothing
cached, with the driver cached and a model never seen before, and with everything cached. Starts of
Python and its packages alone are measured in between, to say what part is ours.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.benchmarks import timing

ROOT = Path(__file__).resolve().parents[2]
SCALAR = """
import sdde
problem = sdde.Problem(
    lambda t, x, delayed: -{number} * delayed[0], 0.1, delays=1.0, history=1.0
)
sdde.solve(problem, (0.0, 100.0), dt=1e-3, rng=1)
"""
SYSTEM = """
import numpy as np
import sdde
network = np.array([[0.0, 1.5, -0.5], [-0.5, 0.0, 1.5], [1.5, -0.5, 0.0]])
problem = sdde.Problem(
    lambda t, x, delayed: network @ np.tanh({number} * delayed[0]) - x,
    0.1, delays=1.0, history=np.full(3, 0.5),
)
sdde.solve(problem, (0.0, 20.0), dt=0.01, paths=1000, save="final", rng=1)
"""
SCRIPTS = {"scalar, 100 000 steps": SCALAR, "3 components, 1000 paths x 2000 steps": SYSTEM}
BARE = {
    "Python alone": "pass",
    "import numpy": "import numpy",
    "import sdde": "import sdde",
    "import numba and compile x + 1": "import numba\nnumba.njit(lambda x: x + 1)(1.0)",
}


def seconds(code: str, cache: str, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long a new process takes to run `code` with its caches in the folder `cache`."""
    variables = {"SDDE_CACHE_DIR": cache, "NUMBA_CACHE_DIR": cache}
    began = clock()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=os.environ | variables)
    return clock() - began


def of_children() -> float:
    """Return the processor time of all processes that have been started and have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def measure(
    rounds: int, *, scripts: Sequence[str], clock: Callable[[], float] = time.perf_counter
) -> dict[str, np.ndarray]:
    """Return seconds of whole processes by name, one value per round.

    In each round the scripts share a cache that is empty at first, so only the first sees it empty.
    """
    taken: dict[str, list[float]] = {}
    for round_ in range(rounds):
        for name, code in BARE.items():
            with tempfile.TemporaryDirectory() as folder:
                taken.setdefault(name, []).append(seconds(code, folder, clock))
        with tempfile.TemporaryDirectory() as folder:
            for name in scripts:
                states = [("new model, driver cached", 0.9), ("all cached", 0.9)]
                if name == scripts[0]:
                    states.insert(0, ("nothing cached", 1.0))
                for state, number in states:
                    code = SCRIPTS[name].format(number=number)
                    taken.setdefault(f"{name}: {state}", []).append(seconds(code, folder, clock))
        print(f"round {round_ + 1} of {rounds} done", flush=True)
    return {name: np.array(values) for name, values in taken.items()}


def judge(taken: dict[str, np.ndarray]) -> list[timing.Target]:
    """Return the targets with what was measured."""
    scalar = next(iter(SCRIPTS))
    return [
        timing.Target(
            f"{scalar}: {state}", float(np.median(taken[f"{scalar}: {state}"])), limit, unit="s"
        )
        for state, limit in (("new model, driver cached", 1.0), ("all cached", 0.5))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round, one script")
    parser.add_argument("--rounds", type=int, help="how often everything is started (default 5)")
    parser.add_argument(
        "--processor-time", action="store_true", help="for a machine that is busy with other work"
    )
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    options = parser.parse_args(arguments)
    scripts = list(SCRIPTS)
    rounds = options.rounds or (1 if options.quick else 5)
    taken = measure(
        rounds, scripts=scripts[:1] if options.quick else scripts,
        clock=of_children if options.processor_time else time.perf_counter,
    )  # fmt: skip
    rows = [
        [name, f"{np.median(values):.2f} ({values.min():.2f}–{values.max():.2f})"]
        for name, values in taken.items()
    ]
    targets = judge(taken)
    busy = " The machine was busy with other work; seconds of processor time."
    busy = busy if options.processor_time else ""
    passed, line = timing.verdict(targets)
    text = "\n\n".join(
        [
            timing.machine() + busy,
            timing.table(("whole process", "seconds, median (min–max)"), rows),
            timing.targets_table(targets),
        ]
    )
    print(f"\n{text}\n")
    if options.write_docs:
        timing.write_section("start", f"{text}\n\n{line}")
    print(line)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
