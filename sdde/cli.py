"""The command line: ``sdde compare | plan | solve | trace | live``.

Each command reads its input, calls the same public functions that scripts call, prints a table and
writes a figure or a page. Exit status: 0 done, 1 a comparison failed its tolerance, 2 misuse (one
line, no traceback).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sdde.errors import Error

_SOURCE = "SYSTEM.toml or a trace (default: a recorded run)"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except Error as error:
        line = " ".join(str(error).split())
        print(f"sdde {options.command}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"sdde {options.command}: interrupted", file=sys.stderr)
        return 130


def _parser() -> _Parser:
    import sdde

    parser = _Parser(
        prog="sdde",
        description="Stochastic delay differential equations and asynchronous SGD.",
    )
    parser.add_argument("--version", action="version", version=f"sdde {sdde.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    compare = commands.add_parser("compare", help="closed form, SDDE paths and runs")
    compare.add_argument("source", nargs="?", help=_SOURCE)
    compare.add_argument("--quick", action="store_true", help="fewer paths and runs")
    compare.add_argument("--target-loss", type=float, help="excess loss to reach")
    compare.add_argument("--learning-rate", type=float)
    compare.add_argument("--seed", type=int, default=1)
    compare.add_argument("--out", default="report.html", help="the page (default: report.html)")
    compare.set_defaults(run=_compare)

    plan = commands.add_parser("plan", help="how many workers for a target loss")
    plan.add_argument("source", nargs="?", help=_SOURCE)
    plan.add_argument("--target-loss", type=float, help="excess loss to reach")
    plan.add_argument("--learning-rate", type=float)
    plan.add_argument("--max-workers", type=int)
    plan.add_argument("--json", action="store_true", help="print the answer as JSON")
    plan.add_argument("--example", action="store_true", help="print a SYSTEM.toml that works")
    plan.add_argument("--out", help="draw time against workers to this file (.png, .svg, .pdf)")
    plan.set_defaults(run=_plan)

    solve = commands.add_parser("solve", help="simulate an sdde.Problem defined in a Python file")
    solve.add_argument("problem", help="FILE.py:name or package.module:name")
    solve.add_argument("--t-span", type=float, nargs=2, required=True, metavar=("T0", "T1"))
    solve.add_argument("--dt", type=float, required=True)
    solve.add_argument("--paths", type=int, default=1)
    solve.add_argument("--method", default="euler-maruyama")
    solve.add_argument("--every", type=int, help="keep every n-th step (default: about 500 times)")
    solve.add_argument("--seed", type=int, default=1)
    solve.add_argument("--out", help="write times and paths to this .npz or .nc file")
    solve.add_argument("--plot", help="draw the paths to this file")
    solve.set_defaults(run=_solve)

    trace = commands.add_parser("trace", help="what the log of a real run says")
    trace.add_argument("source", nargs="?", help="a trace; default: the recorded run")
    trace.add_argument("--plot", help="draw it to this file")
    trace.set_defaults(run=_trace)

    live = commands.add_parser("live", help="a real asynchronous run on dask workers, logged")
    live.add_argument("--workers", type=int, default=8)
    live.add_argument("--updates", type=int, default=6000, help="gradients to apply")
    live.add_argument("--learning-rate", type=float)
    live.add_argument("--batch", type=int)
    live.add_argument("--scheduler", help="address of a running dask scheduler")
    live.add_argument("--seed", type=int, default=1)
    live.add_argument("--out", default="trace.csv", help="the log (default: trace.csv)")
    live.set_defaults(run=_live)
    return parser


def _comparing() -> Any:
    """Return the module that compares; commands alone use it directly."""
    import importlib

    return importlib.import_module("sdde.theory.comparison")


def _check_numbers(options: argparse.Namespace) -> None:
    """Refuse bad numbers before anything is read or measured."""
    from sdde import checks

    for name in ("target_loss", "learning_rate"):
        if getattr(options, name) is not None:
            checks.positive(name, getattr(options, name), example=0.01)
    if getattr(options, "max_workers", None) is not None:
        checks.integer("max_workers", options.max_workers, lowest=1)


def _compare(options: argparse.Namespace) -> int:
    from sdde.description import describe

    _check_numbers(options)
    comparison = _comparing().compare_description(
        describe(options.source),
        target_loss=options.target_loss,
        learning_rate=options.learning_rate,
        quick=options.quick,
        rng=options.seed,
        progress=True,
    )
    print(comparison)
    path = comparison.to_html(options.out)
    print(f"report: {path}")
    return 0 if comparison.passed else 1


def _plan(options: argparse.Namespace) -> int:
    from sdde import theory
    from sdde.description import EXAMPLE, describe

    if options.example:
        print(EXAMPLE, end="")
        return 0
    _check_numbers(options)
    description = describe(options.source)
    plan = theory.plan(
        description.objective,
        description.system,
        target_loss=_comparing().target_of(description, options.target_loss),
        learning_rate=options.learning_rate or description.learning_rate,
        max_workers=options.max_workers,
    )
    print(json.dumps(plan.to_dict(), indent=2) if options.json else plan.explain())
    if options.out:
        _save_figure(plan.plot().figure, options.out)
    return 0


def _solve(options: argparse.Namespace) -> int:
    import sdde

    start, end = options.t_span
    steps = round((end - start) / options.dt) if options.dt > 0 and end > start else 1
    solution = sdde.solve(
        _load(options.problem),
        (start, end),
        dt=options.dt,
        paths=options.paths,
        rng=options.seed,
        method=options.method,
        save=max(1, steps // 500) if options.every is None else options.every,
        progress=True,
    )
    print(solution)
    if options.out:
        solution.save(options.out)
        print(f"written: {options.out}")
    if options.plot:
        _save_figure(solution.plot().figure, options.plot)
    return 0


def _trace(options: argparse.Namespace) -> int:
    from sdde.cluster import Trace, packaged_trace

    trace = packaged_trace() if options.source is None else Trace.read(options.source)
    print(trace)
    print(trace.check())
    if options.plot:
        _save_figure(trace.plot().flat[0].figure, options.plot)
    return 0


def _live(options: argparse.Namespace) -> int:
    from sdde.cluster import live

    chosen = {"learning_rate": options.learning_rate, "batch": options.batch}
    run = live(
        workers=options.workers,
        updates=options.updates,
        scheduler=options.scheduler,
        rng=options.seed,
        progress=True,
        **{key: value for key, value in chosen.items() if value is not None},
    )
    run.trace.write(options.out)
    print(run)
    print(f"written: {options.out}")
    return 0


def _load(where: str) -> Any:
    """Return the object that ``FILE.py:name`` or ``package.module:name`` names."""
    import importlib
    import runpy

    from sdde.equation.problem import Problem
    from sdde.errors import ArgumentError

    source, separator, name = where.rpartition(":")
    if not separator or not source or not name:
        raise ArgumentError(f"problem = {where!r} does not look like FILE.py:name.")
    if source.endswith(".py"):
        if not Path(source).is_file():
            raise ArgumentError(f"{source} is not a file.")
        space = runpy.run_path(source)
    else:
        try:
            space = vars(importlib.import_module(source))
        except ImportError as error:
            raise ArgumentError(f"{source} cannot be imported: {error}.") from None
    problem = space.get(name)
    if not isinstance(problem, Problem):
        raise ArgumentError(f"{source} holds no sdde.Problem named {name!r}.")
    return problem


def _save_figure(drawing: Any, path: str) -> None:
    from sdde.errors import ArgumentError

    try:
        drawing.savefig(path, dpi=150, bbox_inches="tight")
    except (ValueError, OSError) as error:
        raise ArgumentError(f"{path} cannot be written: {error}.") from None
    print(f"figure: {path}")
