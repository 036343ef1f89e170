"""Explicit schemes without derivatives: each new state from values of drift and diffusion."""

from sdde.engine.schemes.steps import Step


def euler_maruyama(step: Step) -> None:
    """Write x + f dt + g dW."""
    f = step.drift()
    step.finish(_moved(step.x, f, step.noise()))


def _moved(x: list[str], drift: list[str], noise: list[str]) -> list[str]:
    """Return x + drift * dt + noise; the brackets leave one addition from state to state."""
    return [
        f"{a} + ({f} * dt + {w})" if w else f"{a} + {f} * dt"
        for a, f, w in zip(x, drift, noise, strict=True)
    ]
