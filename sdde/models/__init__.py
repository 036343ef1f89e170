"""Ready problems, each with the facts known about it."""

from sdde.models.arrivals import async_sgd, hawkes
from sdde.models.feedback import ikeda, mackey_glass, neural_loop
from sdde.models.linear import delayed_ornstein_uhlenbeck, delayed_oscillator, geometric, hayes
from sdde.models.populations import delayed_sir, hutchinson, nicholson

__all__ = [
    "delayed_ornstein_uhlenbeck", "hayes", "geometric", "delayed_oscillator",
    "mackey_glass", "ikeda", "neural_loop", "hutchinson", "nicholson", "delayed_sir",
    "hawkes", "async_sgd",
]  # fmt: skip
