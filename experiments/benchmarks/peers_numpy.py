"""NumPy by hand: a loop over steps, all paths at once, as one writes it without a library.

Buffers are reused and noise is drawn in place. Jumps are counted per step instead of followed one
by one: event by event, NumPy has nothing to vectorise.
"""

import math
from collections.abc import Callable

import numpy as np

from experiments.benchmarks.workloads import Workload


def prepare(work: Workload) -> Callable[[int], np.ndarray]:
    """Return a function of the seed that runs `work` and gives the final states."""
    drift, diffusion = work.rule(np)
    shape = (work.dim, work.paths) if work.dim else (work.paths,)
    dt, root = work.dt, math.sqrt(work.dt)

    def run(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        ring = np.full((work.lag, 1, *shape), work.start)
        x, z = np.full(shape, work.start), np.empty(shape)
        for n in range(work.steps):
            delayed = ring[n % work.lag]
            if work.rate:
                change = -work.kick * delayed[0] * rng.poisson(work.rate * dt, shape)
            else:
                change = drift(n * dt, x, delayed) * dt
                rng.standard_normal(out=z)
                z *= root * (diffusion(n * dt, x, delayed) if callable(diffusion) else diffusion)
                change += z
            delayed[0] = x
            x += change
        return x

    def run_one(seed: int) -> np.ndarray:
        """One path: plain numbers are ten times faster than arrays of one."""
        noise = np.random.default_rng(seed).standard_normal(work.steps) * root
        g = diffusion
        past = [work.start] * (work.lag + 1)
        x = work.start
        for n, z in enumerate(noise.tolist()):
            delayed = past[n : n + 1]
            change = g(n * dt, x, delayed) if callable(g) else g
            x += drift(n * dt, x, delayed) * dt + change * z
            past.append(x)
        return np.array([x])

    return run_one if work.paths == 1 else run
