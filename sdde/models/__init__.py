"""Ready problems, each with the facts known about it."""

from sdde.models.linear import delayed_ornstein_uhlenbeck

__all__ = ["delayed_ornstein_uhlenbeck"]
