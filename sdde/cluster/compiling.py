"""How the helpers of the event loops are compiled: once each, without counting references."""

from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "_nrt": False}

compiled = njit(**_OPTIONS)
