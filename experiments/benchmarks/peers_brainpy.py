"""BrainPy, a library with delays and noise of its own: `sdeint` with a `LengthDelay`.

Raises ImportError where BrainPy is not installed.
"""

from collections.abc import Callable
from typing import Any

import brainpy as bp
import brainpy.math as bm
import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.workloads import Workload

bm.set_platform("cpu")
bm.enable_x64()


def prepare(work: Workload) -> Callable[[int], np.ndarray] | None:
    """Return a function of the seed that runs `work` and gives the final states, or None."""
    if work.dim == 3 or work.rate or work.name == "W1L":
        return None
    drift, diffusion = work.rule(jnp)
    shape = (work.dim, work.paths) if work.dim else (work.paths,)

    def noise(x: Any, t: Any, past: Any) -> Any:
        return diffusion(t, x, [past]) if callable(diffusion) else diffusion * bm.ones(shape)

    class System(bp.DynamicalSystem):
        def __init__(self) -> None:
            super().__init__()
            self.x = bm.Variable(bm.full(shape, work.start))
            before = bm.full((work.lag, *shape), work.start)
            self.delay = bm.LengthDelay(self.x, work.lag, initial_delay_data=before)
            self.integral = bp.sdeint(
                f=lambda x, t, past: drift(t, x, [past]), g=noise, method="euler"
            )

        def update(self, n: Any) -> None:
            past = self.delay(work.lag)
            self.x.value = self.integral(self.x.value, n * work.dt, past, dt=work.dt)
            self.delay.update(self.x.value)

    system, indices = System(), bm.arange(work.steps)

    @bm.jit
    def advance() -> None:
        bm.for_loop(system.update, indices, progress_bar=False)

    def run(seed: int) -> np.ndarray:
        bm.random.seed(seed)
        system.x.value = bm.full(shape, work.start)
        system.delay.data.value = bm.full(system.delay.data.shape, work.start)
        advance()
        return np.asarray(jax.block_until_ready(system.x.value))

    return run
