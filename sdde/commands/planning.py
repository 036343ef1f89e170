"""``sdde plan``: how many workers reach a target loss soonest."""

import argparse
from typing import Any

from sdde.commands import parsing


def add(commands: Any) -> None:
    """Add the command."""
    plan = parsing.command(
        commands, "plan", "find how many workers reach a target loss soonest", run
    )
    plan.add_argument("source", nargs="?", metavar="SOURCE", help=parsing.SOURCE)
    parsing.add_aim(plan)
    add_limits(plan)
    parsing.add_json(plan)
    plan.add_argument("--example", action="store_true", help="print a SYSTEM.toml that works")
    plan.add_argument(
        "--out", metavar="FILE",
        help="write a page (.html), or draw time against workers (.png, .svg, .pdf)",
    )  # fmt: skip


def add_limits(parser: parsing.Parser) -> None:
    """Add what a plan is held to."""
    parser.add_argument("--max-workers", type=int, metavar="N", help="most workers to consider")
    parser.add_argument(
        "--methods", metavar="NAMES",
        help="methods to choose from, such as async,sync,k-sync:4 (default: that of the source, "
        "else async)",
    )  # fmt: skip
    parser.add_argument(
        "--margin", type=float, metavar="SHARE",
        help="how far to stay from divergence (default: 0.1)",
    )  # fmt: skip


def planned(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return the description that a command was given, and its plan."""
    from sdde import theory
    from sdde.cluster.method_names import method_named
    from sdde.description import describe, target_of

    parsing.check_numbers(options)
    methods = None if options.methods is None else options.methods.split(",")
    asked = {
        "max_workers": options.max_workers,
        "margin": options.margin,
        "methods": methods and [method_named(name.strip()) for name in methods],
    }
    description = describe(options.source)
    limits = description.limits | {key: value for key, value in asked.items() if value is not None}
    plan = theory.plan(
        description.objective,
        description.system,
        target_loss=target_of(description, options.target_loss),
        learning_rate=options.learning_rate or description.learning_rate,
        **limits,
    )
    return description, plan


def run(options: argparse.Namespace) -> int:
    """Describe, plan, print, write."""
    from sdde.description_example import EXAMPLE

    if options.example:
        print(EXAMPLE, end="")
        return 0
    description, plan = planned(options)
    parsing.show(options, plan.explain, plan.to_dict)
    if options.out and parsing.is_page(options.out):
        path = plan.to_html(options.out, name=description.name, command=options.command_line)
        parsing.say(options, f"report: {path}")
    elif options.out:
        parsing.save_figure(options, plan.plot().figure, options.out)
    return 0
