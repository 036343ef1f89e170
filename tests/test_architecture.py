"""The arrows of docs/design.md, held by reading the imports of every file."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted([*(ROOT / "sdde").rglob("*.py"), *(ROOT / "theory").rglob("*.py")])
# Each layer may import itself and what stands before it.
LAYERS = ["errors", "checks", "equation", "engine", "solving", "cluster"]
VALUES_OF_CLUSTER = {
    f"sdde.cluster.{name}"
    for name in (
        "system",
        "quadratic",
        "methods",
        "weighted_methods",
        "dropping_methods",
        "pipeline_methods",
        "rules",
        "weights",
        "projections",
        "changing",
    )
}
# The files that hold the theory against the simulator, and the pages that show plans.
COMPARISON = {
    f"sdde.theory.{name}"
    for name in (
        "comparison", "comparison_page", "growth_of_runs", "live_account", "plan_checking",
        "plan_page", "simulated_bounds", "simulated_limits", "simulated_losses",
        "simulated_times", "study",
    )
}  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "sdde" else ("sdde", *parts))


def imports_of(path: Path, *, everywhere: bool = True) -> set[str]:
    """Modules imported by a file; with everywhere=False only those imported when it is loaded."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for other in child.orelse:
                    visit(other)
                continue
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not everywhere:
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    package = module_of(path).split(".")
                    if path.name != "__init__.py":
                        package = package[:-1]
                    package = package[: len(package) - child.level + 1]
                    base = ".".join([*package, base]) if base else ".".join(package)
                found.add(base)
                found.update(f"{base}.{alias.name}" for alias in child.names)
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def layer_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", FILES, ids=[module_of(p) for p in FILES])
def test_arrows_point_one_way(path):
    """A file imports only what stands before it in the house."""
    module = module_of(path)
    layer = layer_of(module)
    if path == ROOT / "sdde" / "theory.py" or module == "sdde":
        return
    for name in imports_of(path):
        if not name.startswith("sdde"):
            assert name.split(".")[0] not in ("theory", "experiments"), f"{module} imports {name}"
            continue
        target = layer_of(name)
        if layer == "theory":
            if module in COMPARISON or target in ("", "theory"):
                continue
            plain = target in ("errors", "checks", "equation", "plots") or name == "sdde.cluster"
            plain = plain or any(name.startswith(value) for value in VALUES_OF_CLUSTER)
            plain = (
                plain or name == "sdde.engine.expressions" or name.startswith("sdde.engine.expr")
            )
            assert plain, f"{module} imports {name}"
        elif layer in LAYERS and target in LAYERS:
            assert LAYERS.index(target) <= LAYERS.index(layer), f"{module} imports {name}"
        elif layer in LAYERS and target == "theory":
            pytest.fail(f"{module} imports {name}")


@pytest.mark.parametrize("path", FILES, ids=[module_of(p) for p in FILES])
def test_heavy_packages_are_imported_where_they_are_used(path):
    """Loading a module must not load matplotlib, optional packages, or (in values) numba."""
    module, loaded = module_of(path), imports_of(path, everywhere=False)
    tops = {name.split(".")[0] for name in loaded}
    optional = {"tqdm", "xarray", "dask", "distributed", "pandas", "sklearn", "zarr", "torch"}
    assert not tops & optional
    if module != "sdde.plots" and not module.startswith("sdde.plots."):
        assert "matplotlib" not in tops
    if layer_of(module) in ("equation", "theory", "") or module in VALUES_OF_CLUSTER:
        assert "numba" not in tops


def test_kernels_know_numpy_numba_and_the_random_numbers_only():
    """Compiled loops live alone."""
    for path in (ROOT / "sdde" / "engine" / "kernels").glob("*.py"):
        for name in imports_of(path):
            if name.startswith("sdde"):
                assert name.startswith(("sdde.engine.kernels", "sdde.engine.streams")), path.name


@pytest.mark.parametrize("path", FILES, ids=[module_of(p) for p in FILES])
def test_no_file_is_longer_than_500_lines(path):
    """A file that grows past that lacks a noun."""
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("package", ["sdde", "sdde.theory", "sdde.cluster", "sdde.models"])
def test_no_module_bears_the_name_of_a_function_exported_beside_it(package):
    """Importing the module would hide the function."""
    home = ROOT / "theory" if package == "sdde.theory" else ROOT.joinpath(*package.split("."))
    modules = {path.stem for path in home.glob("*.py")}
    space = importlib.import_module(package)
    exported = {name for name in space.__all__ if not inspect.ismodule(getattr(space, name))}
    assert not modules & exported


def test_importing_the_package_loads_neither_numba_nor_scipy():
    """The start is instant and the theory is an independent witness."""
    code = (
        "import sys, sdde\n"
        "assert not {'numba', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "import sdde.theory\n"
        "assert not {'numba', 'matplotlib'} & set(sys.modules)\n"
        "import sdde.cluster\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_theory_file_of_the_user_is_not_imported(tmp_path):
    """Python looks in the script's folder first; ours must still be found."""
    (tmp_path / "theory.py").write_text("raise SystemExit('the wrong theory')\n")
    code = f"import sys; sys.path.append({str(ROOT)!r}); import sdde.theory; sdde.theory.__name__"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
