"""``sdde plan``: how many workers reach a target loss soonest."""

import argparse
from typing import Any

from sdde.commands import parsing

_LIMITS = ("max_workers", "margin", "max_transfer_rate", "cost_per_worker_time", "max_cost")


def add(commands: Any) -> None:
    """Add the command."""
    plan = parsing.command(
        commands, "plan", "find how many workers reach a target loss soonest", run
    )
    plan.add_argument("source", nargs="?", metavar="SOURCE", help=parsing.SOURCE)
    parsing.add_aim(plan)
    add_limits(plan)
    plan.add_argument(
        "--check", action="store_true",
        help="refine the answer with the event simulator (a few seconds)",
    )  # fmt: skip
    parsing.add_seed(plan)
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
        help="methods to choose from, such as async,sync,k-sync:4; a number left out is found; or "
        "all (default: those of the source)",
    )  # fmt: skip
    parser.add_argument(
        "--margin", type=float, metavar="SHARE",
        help="how far to stay from divergence (default: 0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--max-transfer-rate", type=float, metavar="RATE",
        help="most gradients sent to the server per unit of time",
    )  # fmt: skip
    parser.add_argument(
        "--cost", dest="cost_per_worker_time", type=float, metavar="PRICE",
        help="cost of one worker for one unit of time (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--max-cost", type=float, metavar="COST", help="most that reaching the target may cost"
    )


def planned(options: argparse.Namespace, *, methods: Any = None, **more: Any) -> tuple[Any, Any]:
    """Return the description that a command was given, and its plan.

    Parameters
    ----------
    options : argparse.Namespace
    methods : optional
        To choose from if neither the options nor the description say so.
    more : dict
        Further keywords of the plan.
    """
    from sdde import theory
    from sdde.description import describe, methods_named, target_of

    parsing.check_numbers(options)
    asked = {name: getattr(options, name) for name in _LIMITS}
    if options.methods is not None:
        asked["methods"] = methods_named([name.strip() for name in options.methods.split(",")])
    description = describe(options.source)
    limits = {"methods": methods} | description.limits
    limits |= {name: value for name, value in asked.items() if value is not None}
    plan = theory.plan(
        description.objective,
        description.system,
        target_loss=target_of(description, options.target_loss),
        learning_rate=options.learning_rate or description.learning_rate,
        **limits,
        **more,
    )
    return description, plan


def run(options: argparse.Namespace) -> int:
    """Describe, plan, print, write."""
    from sdde.description_example import EXAMPLE

    if options.example:
        print(EXAMPLE, end="")
        return 0
    check = {"check": "simulation", "rng": options.seed} if options.check else {}
    description, plan = planned(options, **check)
    parsing.show(options, plan.explain, plan.to_dict)
    if options.out and parsing.is_page(options.out):
        path = plan.to_html(options.out, name=description.name, command=options.command_line)
        parsing.say(options, f"report: {path}")
    elif options.out:
        parsing.save_figure(options, plan.plot().figure, options.out)
    return 0
