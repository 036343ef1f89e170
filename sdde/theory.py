"""`sdde.theory` in a checkout, where its code lives in the top-level theory/.

A built wheel has that folder here instead of this file (see pyproject.toml).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theory import *
else:
    import sys
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    _home = Path(__file__).resolve().parents[1] / "theory"
    _spec = spec_from_file_location(
        __name__, _home / "__init__.py", submodule_search_locations=[str(_home)]
    )
    sys.modules[__name__] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
