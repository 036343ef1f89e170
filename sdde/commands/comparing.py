"""``sdde compare``: theory, SDDE paths, runs and a real run held against each other."""

import argparse
from typing import Any

from sdde.commands import parsing, planning

FULL, QUICK = 100, 20  # paths and runs


def add(commands: Any) -> None:
    """Add the command."""
    compare = parsing.command(
        commands, "compare", "hold closed forms, SDDE paths and runs against each other", run
    )
    compare.add_argument("source", nargs="?", metavar="SOURCE", help=parsing.SOURCE)
    compare.add_argument("--quick", action="store_true", help="fewer paths and runs")
    compare.add_argument(
        "--live", action="store_true", help="add a real run on dask workers on this machine"
    )
    parsing.add_aim(compare)
    planning.add_limits(compare)
    parsing.add_seed(compare)
    parsing.add_json(compare)
    compare.add_argument(
        "--out", default="report.html", metavar="FILE",
        help="write the page (.html), or draw the figures (.png, .svg, .pdf); default: report.html",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Describe, plan, compare, print, write; the status is 1 if something missed its tolerance."""
    from sdde import compare
    from sdde.theory.plan_models import neighbours

    description, plan = planning.planned(options, methods="async")
    counts = None
    if plan.workers is not None:
        counts = {plan.workers, *neighbours(plan, plan.workers)}
        counts |= set() if description.workers is None else {description.workers}
    number = QUICK if options.quick else FULL
    comparison = compare(
        plan,
        runs=number,
        paths=number,
        workers=counts,
        rng=options.seed,
        training=description.training,
        trace=description.trace,
        live=options.live,
        name=description.name,
        progress=True,
        command=options.command_line,
    )
    parsing.show(options, lambda: str(comparison), comparison.to_dict)
    if parsing.is_page(options.out):
        parsing.say(options, f"report: {comparison.to_html(options.out)}")
    else:
        parsing.save_figure(options, comparison.figure(), options.out)
    return 0 if comparison.passed else 1
