"""Explicit schemes without derivatives: each new state from values of drift and diffusion."""

from sdde.engine.schemes.steps import Step


def euler_maruyama(step: Step) -> None:
    """Write x + f dt + g dW."""
    f = step.drift()
    step.finish(_moved(step.x, f, step.noise()))


def heun(step: Step) -> None:
    """Write x + (f + f') / 2 dt + g dW, with f' at the end that Euler-Maruyama predicts."""
    f = step.drift()
    w = step.noise()
    step.predict(_moved(step.x, f, w))
    later = step.drift(at_end=True)
    average = [f"0.5 * ({a} + {b})" for a, b in zip(f, later, strict=True)]
    step.finish(_moved(step.x, average, w))


def tamed_euler(step: Step) -> None:
    """Write x + f / (1 + dt |f|) dt + g dW."""
    f = step.drift()
    norm = step.norm(f)
    step.finish(_moved(step.x, [f"{a} / (1.0 + dt * {norm})" for a in f], step.noise()))


def euler_heun(step: Step) -> None:
    """Write x + f dt + (g + g') / 2 dW, with g' at x + g dW."""
    f = step.drift()
    w = step.noise()
    step.predict([f"{x} + {a}" if a else x for x, a in zip(step.x, w, strict=True)])
    later = step.noise(at_end=True)
    average = [f"0.5 * ({a} + {b})" if a else "" for a, b in zip(w, later, strict=True)]
    step.finish(_moved(step.x, f, average))


def _moved(x: list[str], drift: list[str], noise: list[str]) -> list[str]:
    """Return x + drift * dt + noise; the brackets leave one addition from state to state."""
    return [
        f"{a} + ({f} * dt + {w})" if w else f"{a} + {f} * dt"
        for a, f, w in zip(x, drift, noise, strict=True)
    ]
