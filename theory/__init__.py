"""Theory of delay systems and of asynchronous SGD: closed forms and quadrature.

Imports numpy, scipy and sympy only, and neither numba nor the simulator, so that it is an
independent witness of what the simulator measures. Public names are loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .characteristic import (
        CriticalDamping,
        critical_damping,
        rightmost_roots,
        stability_limit,
    )

_HOMES = {
    # delay systems
    "CriticalDamping": "characteristic",
    "critical_damping": "characteristic",
    "rightmost_roots": "characteristic",
    "stability_limit": "characteristic",
}

__all__ = [
    "CriticalDamping", "critical_damping", "rightmost_roots", "stability_limit",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde.theory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
