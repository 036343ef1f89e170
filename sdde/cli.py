"""The command line: ``sdde compare | plan | solve | trace | live``.

Each command reads its input, calls the same public functions that scripts call, prints a table and
writes a figure or a page. Exit status: 0 done, 1 a comparison failed its tolerance, 2 misuse (one
line, no traceback), 130 interrupted, 141 nobody reads on.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
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
        _require_folders(options)
        status = int(options.run(options))
        sys.stdout.flush()
    except Error as error:
        line = " ".join(str(error).split())
        print(f"sdde {options.command}: {line}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader has seen enough, as in `sdde trace | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print(f"sdde {options.command}: interrupted", file=sys.stderr)
        return 130
    return status


def _parser() -> _Parser:
    import sdde

    parser = _Parser(
        prog="sdde",
        description="Simulate equations with delays and noise; plan, compare and run asynchronous "
        "SGD.",
        epilog="sdde COMMAND --help shows the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"sdde {sdde.__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    _add_compare(commands)
    _add_plan(commands)
    _add_solve(commands)
    _add_trace(commands)
    _add_live(commands)
    return parser


def _command(commands: Any, name: str, summary: str, run: Callable[..., int]) -> _Parser:
    """Add a command whose own help begins with the same words as its line in the list."""
    command = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    command.set_defaults(run=run)
    return command


def _add_compare(commands: Any) -> None:
    compare = _command(
        commands, "compare", "hold closed forms, SDDE paths and runs against each other", _compare
    )
    compare.add_argument("source", nargs="?", metavar="SOURCE", help=_SOURCE)
    compare.add_argument("--quick", action="store_true", help="fewer paths and runs")
    _add_aim(compare)
    _add_seed(compare)
    compare.add_argument(
        "--out", default="report.html", metavar="FILE",
        help="write the page to this file (default: report.html)",
    )  # fmt: skip


def _add_plan(commands: Any) -> None:
    plan = _command(commands, "plan", "find how many workers reach a target loss soonest", _plan)
    plan.add_argument("source", nargs="?", metavar="SOURCE", help=_SOURCE)
    _add_aim(plan)
    plan.add_argument("--max-workers", type=int, metavar="N", help="most workers to consider")
    plan.add_argument("--json", action="store_true", help="print the answer as JSON")
    plan.add_argument("--example", action="store_true", help="print a SYSTEM.toml that works")
    plan.add_argument(
        "--out", metavar="FILE", help="draw time against workers to this file (.png, .svg, .pdf)"
    )


def _add_solve(commands: Any) -> None:
    solve = _command(
        commands, "solve", "simulate paths of an sdde.Problem defined in a Python file", _solve
    )
    solve.add_argument("problem", metavar="PROBLEM", help="FILE.py:name or package.module:name")
    solve.add_argument(
        "--t-span", type=float, nargs=2, required=True, metavar=("T0", "T1"), help="start and end"
    )
    solve.add_argument("--dt", type=float, required=True, metavar="DT", help="time step")
    solve.add_argument("--paths", type=int, default=1, metavar="N", help="paths (default: 1)")
    solve.add_argument(
        "--method", default="euler-maruyama", metavar="NAME",
        help="euler-maruyama (default), heun, milstein, tamed-euler, theta, implicit-euler or "
        "euler-heun",
    )  # fmt: skip
    solve.add_argument(
        "--every", type=int, metavar="N", help="keep every N-th step (default: about 500 times)"
    )
    _add_seed(solve)
    solve.add_argument(
        "--out", metavar="FILE", help="write times and paths to this file (.npz, .nc)"
    )
    solve.add_argument("--plot", metavar="FILE", help="draw the paths to this file")


def _add_trace(commands: Any) -> None:
    trace = _command(commands, "trace", "tell what the log of a real run says", _trace)
    trace.add_argument(
        "source", nargs="?", metavar="LOG", help="a trace (default: the packaged run)"
    )
    trace.add_argument("--plot", metavar="FILE", help="draw it to this file")


def _add_live(commands: Any) -> None:
    live = _command(commands, "live", "train on real dask workers and log every gradient", _live)
    live.add_argument(
        "--method", default="async", metavar="NAME",
        help="async (default), sync, k-sync:4, k-batch-sync:4, k-async:4, k-batch-async:4, "
        "staleness-threshold:16, dc-asgd:0.04, tail-tau, staleness-aware or delay-adaptive; the "
        "number is yours to choose",
    )  # fmt: skip
    live.add_argument("--workers", type=int, default=8, metavar="N", help="default: 8")
    live.add_argument(
        "--updates", type=int, default=6000, metavar="N",
        help="updates of the parameters to make (default: 6000)",
    )  # fmt: skip
    live.add_argument("--learning-rate", type=float, metavar="RATE", help="default: 0.05")
    live.add_argument(
        "--batch", type=int, metavar="N", help="samples in one gradient (default: 2048)"
    )
    live.add_argument(
        "--target-loss", type=float, metavar="LOSS", help="stop at this excess loss, if earlier"
    )
    live.add_argument(
        "--checkpoint", metavar="FILE", help="write what is needed to go on to this file (.npz)"
    )
    live.add_argument(
        "--resume", metavar="FILE", help="go on from this checkpoint, up to --updates in all"
    )
    live.add_argument(
        "--scheduler", metavar="ADDRESS",
        help="use the workers of this dask scheduler (default: start some on this machine)",
    )  # fmt: skip
    _add_seed(live)
    live.add_argument(
        "--out", default="trace.csv", metavar="FILE", help="the log (default: trace.csv)"
    )


def _add_aim(command: _Parser) -> None:
    command.add_argument(
        "--target-loss", type=float, metavar="LOSS",
        help="excess loss to reach (default: that of the source, else 2 %% of the first)",
    )  # fmt: skip
    command.add_argument(
        "--learning-rate", type=float, metavar="RATE",
        help="use this one (default: that of the source, else the best)",
    )  # fmt: skip


def _add_seed(command: _Parser) -> None:
    command.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the random numbers (default: 1)"
    )


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


def _require_folders(options: argparse.Namespace) -> None:
    """Refuse files that could not be written before anything runs."""
    from sdde import checks

    for name in ("out", "plot"):
        path = getattr(options, name, None)
        if path is not None and not Path(path).parent.is_dir():
            raise checks.fail(name, path, "lies in a folder that does not exist")


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
    from sdde.solving.files import solution_file

    if options.out:
        solution_file(options.out)
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
    from sdde.cluster.method_names import method_named
    from sdde.cluster.trace_formats import file_format

    _check_numbers(options)
    file_format(options.out)
    chosen = {"learning_rate": options.learning_rate, "batch": options.batch}
    run = live(
        method=method_named(options.method),
        workers=options.workers,
        updates=options.updates,
        until_loss=options.target_loss,
        checkpoint=options.checkpoint,
        resume=options.resume,
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
