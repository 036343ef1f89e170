"""JAX by hand: `lax.scan` over a ring buffer, compiled by XLA.

The ring has one row more than the delay has steps, and the row just read is the one overwritten:
otherwise XLA copies the whole ring in every step. Raises ImportError where JAX is not installed.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.benchmarks.workloads import Workload

jax.config.update("jax_enable_x64", True)


def prepare(work: Workload) -> Callable[[int], np.ndarray] | None:
    """Return a function of the seed that runs `work` and gives the final states, or None."""
    if work.dim == 3:
        return None
    drift, diffusion = work.rule(jnp)
    shape = (work.dim, work.paths) if work.dim else (work.paths,)
    dt, root, rows = work.dt, math.sqrt(work.dt), work.lag + 1
    generator = "unsafe_rbg" if work.paths == 1 else "threefry2x32"  # whichever is faster

    @jax.jit
    def run(seed: Any) -> Any:
        key = jax.random.key(seed, impl=generator)

        def step(carry: Any, n: Any) -> Any:
            x, ring = carry
            slot = n % rows
            past = lax.dynamic_index_in_dim(ring, slot, 0, keepdims=False)
            now = jax.random.fold_in(key, n)
            if work.rate:
                new = x - work.kick * past * jax.random.poisson(now, work.rate * dt, shape)
            else:
                z = jax.random.normal(now, shape, jnp.float64)
                g = diffusion(n * dt, x, [past]) if callable(diffusion) else diffusion
                new = x + (drift(n * dt, x, [past]) * dt + g * (root * z))
            kept = new if work.paths == 1 else None
            return (new, lax.dynamic_update_index_in_dim(ring, new, slot, 0)), kept

        start = jnp.full(shape, work.start), jnp.full((rows, *shape), work.start)
        (x, _), kept = lax.scan(step, start, jnp.arange(work.steps))
        return x, kept

    return lambda seed: np.asarray(jax.block_until_ready(run(seed))[0])
