"""How fast clusters are simulated: `python -m experiments.benchmarks.cluster`.

Asynchronous SGD of 64 exponential workers on a scalar quadratic runs in the package, in C with a
binary heap, and in simpy; and 32 workers on softmax regression of the handwritten digits against
their gradients alone. All on one processor. The C program draws the same compute times, so it must
end with the same parameter at the same time.
"""

import argparse
import ctypes
import functools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import scipy.stats
import simpy
from numba import njit

from experiments.benchmarks import timing
from experiments.benchmarks.c_reference import available
from sdde import cluster
from sdde.engine import streams

WORKERS, RATE = 64, 1e-8  # so small a rate that the parameter stays an ordinary number
DIGIT_WORKERS, BATCH = 32, 16
SYSTEM = cluster.System(scipy.stats.expon(), workers=WORKERS)


def simulated(updates: int) -> Callable[[int], cluster.Runs]:
    """Return the package's simulation as a function of the seed."""
    return lambda seed: cluster.simulate(
        cluster.Quadratic(1.0), cluster.AsyncSGD(), SYSTEM, learning_rate=RATE, updates=updates,
        records=2, rng=seed, threads=1,
    )  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL:
    """Compile and load the C program."""
    source = Path(__file__).with_name("reference_cluster.c")
    with tempfile.TemporaryDirectory() as folder:  # a loaded library outlives its file
        target = Path(folder) / "cluster.so"
        command = ["gcc", "-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC"]
        command += [str(source), "-o", str(target), "-lm"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        found = ctypes.CDLL(str(target))
    found.async_sgd.restype = ctypes.c_double
    return found


def in_c(updates: int, *, exact: bool) -> Callable[[int], tuple[float, float, np.ndarray]]:
    """Return the C program as a function of the seed: parameter, end and counts of staleness."""

    def run(seed: int) -> tuple[float, float, np.ndarray]:
        counts, end = np.zeros(1 << 16, np.int64), ctypes.c_double()
        key = (ctypes.c_uint32 * 2)(*streams.key_of(seed))
        x = library().async_sgd(
            ctypes.c_long(WORKERS), ctypes.c_long(updates), ctypes.c_double(RATE), int(exact), key,
            ctypes.c_uint32(streams.COMPUTE), ctypes.c_void_p(counts.ctypes.data),
            ctypes.c_long(len(counts)), ctypes.byref(end),
        )  # fmt: skip
        return x, end.value, np.trim_zeros(counts, "b")

    return run


def in_simpy(updates: int) -> Callable[[int], float]:
    """Return the same model in simpy as a function of the seed."""

    def run(seed: int) -> float:
        draw = random.Random(seed).expovariate
        environment = simpy.Environment()
        state, counts = {"x": 1.0, "version": 0}, [0] * 4096
        done = environment.event()

        def worker():
            while True:
                read, version = state["x"], state["version"]
                yield environment.timeout(draw(1.0))
                counts[min(state["version"] - version, 4095)] += 1
                state["x"] -= RATE * read
                state["version"] += 1
                if state["version"] == updates:
                    done.succeed()

        for _ in range(WORKERS):
            environment.process(worker())
        environment.run(until=done)
        return state["x"]

    return run


def digits(updates: int) -> Callable[[int], cluster.Runs]:
    """Return a simulation on the digits as a function of the seed."""
    objective = cluster.Softmax.digits(batch=BATCH)
    objective.optimum()
    system = cluster.System(scipy.stats.expon(), workers=DIGIT_WORKERS)
    return lambda seed: cluster.simulate(
        objective, cluster.AsyncSGD(), system, learning_rate=0.01, updates=updates, records=2,
        rng=seed, threads=1,
    )  # fmt: skip


@njit(error_model="numpy")
def _gradients(inputs, labels, rows, weights, updates):
    batch, classes = rows.shape[1], weights.shape[1]
    drawn, slope = np.empty((batch, inputs.shape[1])), np.empty(weights.shape)
    shares = np.empty((batch, classes))
    for i in range(updates):
        chosen = rows[i % len(rows)]
        for s in range(batch):
            for f in range(inputs.shape[1]):
                drawn[s, f] = inputs[chosen[s], f]
        np.dot(drawn, weights, shares)
        for s in range(batch):
            top = shares[s].max()
            for c in range(classes):
                shares[s, c] = np.exp(shares[s, c] - top)
            mass = shares[s].sum()
            for c in range(classes):
                shares[s, c] /= mass
            shares[s, labels[chosen[s]]] -= 1.0
        np.dot(drawn.T, shares, slope)
        weights[0, 0] += 1e-30 * slope[0, 0]  # so that nothing can be left out
    return slope


def gradients(updates: int) -> dict[str, Callable[[int], object]]:
    """Return the gradients of the digits alone: BLAS in a compiled loop, and NumPy calls."""
    objective = cluster.Softmax.digits(batch=BATCH)
    inputs, labels = objective.inputs, np.asarray(objective.labels)
    shape = (inputs.shape[1], objective.classes)

    def rows(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(len(inputs), size=(1000, BATCH))

    def numpy(seed: int) -> np.ndarray:
        weights, chosen, one = np.zeros(shape), rows(seed), np.eye(objective.classes)[labels]
        slope = weights
        for i in range(updates):
            drawn = inputs[chosen[i % 1000]]
            shares = drawn @ weights
            shares -= shares.max(axis=1, keepdims=True)
            np.exp(shares, out=shares)
            shares /= shares.sum(axis=1, keepdims=True)
            shares -= one[chosen[i % 1000]]
            slope = drawn.T @ shares
        return slope

    return {
        "gradients alone, BLAS in a compiled loop": lambda seed: _gradients(
            inputs, labels, rows(seed), np.zeros(shape), updates
        ),
        "gradients alone, NumPy": numpy,
    }


def processor_times(
    runs: dict[str, Callable[[int], object]], rounds: int
) -> dict[str, timing.Times]:
    """Time each run once per round, taking turns, in seconds of the processor.

    Everything here runs on one processor, so that this is the elapsed time of a quiet machine.
    """
    seconds = {name: np.empty(rounds) for name in runs}
    for run in runs.values():
        run(0)  # compiles
    for round_ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            run(round_ + 1)
            seconds[name][round_] = time.process_time() - began
    return {name: timing.Times(values, 1.0) for name, values in seconds.items()}


def disagreement(updates: int) -> str:
    """Return what is wrong with the C program's result, or nothing."""
    ours = simulated(updates)(3)
    x, end, counts = in_c(updates, exact=True)(3)
    same = np.array_equal(ours.staleness.counts, counts)
    same &= bool(np.isclose(ours.end_time[0], end, rtol=1e-12))
    same &= bool(np.isclose(ours.loss[0, -1], 0.5 * x * x, rtol=1e-12))
    return "" if same else "C and the package disagree"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables and a verdict; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md")
    given = parser.parse_args(arguments)
    updates, few, rounds = (500_000, 10_000, 3) if given.quick else (4_000_000, 40_000, 9)

    runs: dict[str, Callable[[int], object]] = {"sdde": simulated(updates)}
    counts = {"sdde": updates, "simpy": few}
    if available():
        if fault := disagreement(20_000):
            print(f"FAIL: {fault}")
            return 1
        for name, exact in (("C, the same numbers", True), ("C, xoshiro256++", False)):
            runs[name], counts[name] = in_c(updates, exact=exact), updates
    runs["simpy"] = in_simpy(few)
    times = processor_times(runs, rounds)
    text = [timing.machine(), "", _table(times, counts, "events per second, millions", 1e-6)]

    bare = gradients(few)
    soft = processor_times({"sdde": digits(few), **bare}, rounds)
    sizes = dict.fromkeys(soft, few)
    text += ["", _table(soft, sizes, "gradients per second, thousands", 1e-3)]

    def ratio(name: str) -> float | None:
        if name not in times:
            return None
        return float(
            np.median(times["sdde"].seconds / times[name].seconds * counts[name] / updates)
        )

    slow = ratio("simpy")
    fastest = float(updates / times["sdde"].seconds.min() / 1e6)
    first = next(iter(bare))
    targets = [
        timing.Target("applied gradients per second", fastest, 20.0, at_least=True, unit="million"),
        timing.Target("time against C", ratio("C, the same numbers"), 1.5),
        timing.Target("faster than simpy", slow and 1.0 / slow, 100.0, at_least=True),
        timing.Target("digits: time against the gradients", soft["sdde"].over(soft[first])[0], 2.0),
    ]
    text += ["", timing.targets_table(targets)]
    page = "\n".join(text)
    print(page)
    if given.write_docs:
        timing.write_section("cluster", page)
    passed, line = timing.verdict(targets)
    print(line)
    return 0 if passed else 1


def _table(times: dict[str, timing.Times], counts: dict[str, int], head: str, unit: float) -> str:
    rows = []
    for name, measured in times.items():
        speed = counts[name] / measured.seconds * unit
        each = measured.seconds / counts[name]
        ratio = each / (times["sdde"].seconds / counts["sdde"])
        rows.append([
            name, f"{np.median(speed):.3g} (best {speed.max():.3g})",
            f"{1e9 * np.median(each):.0f} ns", f"{np.median(ratio):.2f}",
        ])  # fmt: skip
    return timing.table(["contender", head, "each", "time over sdde's"], rows)


if __name__ == "__main__":
    sys.exit(main())
