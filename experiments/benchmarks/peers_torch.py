"""PyTorch by hand: eager operations on a ring buffer, one thread.

Raises ImportError where PyTorch is not installed.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from experiments.benchmarks.workloads import Workload

torch.set_num_threads(1)


def prepare(work: Workload) -> Callable[[int], np.ndarray] | None:
    """Return a function of the seed that runs `work` and gives the final states, or None."""
    if work.dim == 3 or work.name == "W1L":
        return None
    drift, diffusion = work.rule(torch)
    shape = (work.dim, work.paths) if work.dim else (work.paths,)
    dt, root = work.dt, math.sqrt(work.dt)

    def run(seed: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed)
        ring = torch.full((work.lag, *shape), work.start, dtype=torch.float64)
        x = torch.full(shape, work.start, dtype=torch.float64)
        mean_count = torch.full(shape, work.rate * dt, dtype=torch.float64)
        for n in range(work.steps):
            past = ring[n % work.lag]
            if work.rate:
                new = x - work.kick * past * torch.poisson(mean_count, generator=generator)
            else:
                z = torch.randn(shape, dtype=torch.float64, generator=generator)
                g = diffusion(n * dt, x, [past]) if callable(diffusion) else diffusion
                new = x + (drift(n * dt, x, [past]) * dt + g * (root * z))
            ring[n % work.lag] = x
            x = new
        return x.numpy()

    return run
