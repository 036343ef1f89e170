"""Who can run a workload here, and whether they compute the same thing.

A contender is a function of the seed that runs one workload and returns the final states with paths
as the last axis. Nothing here measures time.
"""

import importlib
import importlib.util
from collections.abc import Callable

import numpy as np

import sdde
from experiments.benchmarks import c_reference
from experiments.benchmarks.workloads import Workload

PEERS = {"NumPy": "numpy", "JAX": "jax", "PyTorch": "torch", "BrainPy": "brainpy"}
Runner = Callable[[int], np.ndarray]


def solver(work: Workload, threads: int = 1) -> Runner:
    """Return `sdde.solve` as a user calls it, checks included."""
    problem = work.problem()
    save = "all" if work.every == 1 else "final" if work.every == work.steps else work.every

    def run(seed: int) -> np.ndarray:
        solution = sdde.solve(
            problem, work.span, dt=work.dt, paths=work.paths, rng=seed, save=save, threads=threads
        )
        return np.moveaxis(solution.x[:, -1], 0, -1)

    return run


def c_runner(work: Workload, *, threads: int = 1, blas: bool = False) -> Runner:
    """Return the C reference on a workload."""
    run = c_reference.prepare(work, threads=threads, blas=blas)
    return lambda seed: c_reference.final(work, run(seed))


def contenders(work: Workload, *, threads: int = 1, peers: bool = True) -> dict[str, Runner]:
    """Return everybody who can run `work` here, the solver first; some also on several threads."""
    runs = {"sdde": solver(work)}
    compiled = c_reference.available()
    if compiled:
        runs["C"] = c_runner(work)
        if work.name == "W4":
            runs["C, BLAS"] = c_runner(work, blas=True)
    if threads > 1:
        runs[f"sdde, {threads} threads"] = solver(work, threads)
        if compiled:
            runs[f"C, {threads} threads"] = c_runner(work, threads=threads)
    for name, module in PEERS.items() if peers and work.more is None else ():
        if importlib.util.find_spec(module):
            peer = importlib.import_module(f"experiments.benchmarks.peers_{module}")
            if (run := peer.prepare(work)) is not None:
                runs[name] = run
    return runs


def disagreements(work: Workload, runs: dict[str, Runner]) -> list[str]:
    """Run everybody once and say who differs from the C reference: by rounding, or else by chance.

    The solver and C share the noise except for jumps, so they agree path by path. The others' means
    are compared: 6 standard errors, passed by chance twice in 10**9 comparisons.
    """
    if "C" not in runs:
        return []
    reference, faults = runs["C"](1), []
    for name, run in runs.items():
        x = run(1)
        if name.startswith("C") or (name.startswith("sdde") and not work.rate):
            difference = float(np.abs(x - reference).max())
            if not difference < 1e-9:
                faults.append(f"{work.name}, {name}: differs from C by {difference:.1e}")
        elif work.paths > 1:
            error = np.sqrt((x.var(axis=-1) + reference.var(axis=-1)) / work.paths)
            bias = work.dt * work.rate * work.kick  # of counting jumps per step, to first order
            off = np.abs(x.mean(axis=-1) - reference.mean(axis=-1)) - bias
            if not np.max(off / error) < 6.0:
                faults.append(f"{work.name}, {name}: mean is {np.max(off / error):.1f} errors off")
    return faults
