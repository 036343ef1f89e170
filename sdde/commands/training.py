"""``sdde live``: train on real dask workers and log every gradient."""

import argparse
import sys
from typing import Any

from sdde.commands import parsing

LOST = 1  # exit status of a run that lost its server or too many workers


def add(commands: Any) -> None:
    """Add the command."""
    live = parsing.command(
        commands, "live", "train on real dask workers and log every gradient", run
    )
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
    parsing.add_seed(live)
    parsing.add_json(live)
    live.add_argument(
        "--out", default="trace.csv", metavar="FILE", help="the log (default: trace.csv)"
    )


def run(options: argparse.Namespace) -> int:
    """Train, write the log, print; the status is 1 if the run was lost and 130 if interrupted."""
    from sdde.cluster import live
    from sdde.cluster.method_names import method_named
    from sdde.cluster.trace_formats import file_format

    parsing.check_numbers(options)
    file_format(options.out)
    chosen = {"learning_rate": options.learning_rate, "batch": options.batch}
    made = live(
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
    made.trace.write(options.out)
    parsing.show(options, lambda: repr(made), lambda: _content(made))
    parsing.say(options, f"written: {options.out}")
    if made.status == "lost":
        print("sdde live: the run was lost; the log holds what came before", file=sys.stderr)
    return {"lost": LOST, "interrupted": 130}.get(made.status, 0)


def _content(made: Any) -> dict[str, Any]:
    """Return a live run as plain values."""
    import numpy as np

    loss = [float(value) if np.isfinite(value) else None for value in made.loss]
    return {
        "status": made.status, "workers": made.workers, "lost_workers": list(made.lost_workers),
        "method": repr(made.method), "learning_rate": made.learning_rate, "batch": made.batch,
        "seed": made.seed, "updates": made.updates.tolist(), "time": made.t.tolist(),
        "excess_loss": loss, "header": dict(made.trace.header),
    }  # fmt: skip
