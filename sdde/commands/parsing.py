"""What the commands share: parsers whose errors are one line, common options, checks, files."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

SOURCE = "SYSTEM.toml or a trace (default: a recorded run)"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with status 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def command(commands: Any, name: str, summary: str, run: Callable[..., int]) -> Parser:
    """Add a command whose own help begins with the same words as its line in the list."""
    made = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    made.set_defaults(run=run)
    return made


def add_aim(parser: Parser) -> None:
    """Add the target loss and the learning rate."""
    parser.add_argument(
        "--target-loss", type=float, metavar="LOSS",
        help="excess loss to reach (default: that of the source, else 2 %% of the first)",
    )  # fmt: skip
    parser.add_argument(
        "--learning-rate", type=float, metavar="RATE",
        help="use this one (default: that of the source, else the best)",
    )  # fmt: skip


def add_seed(parser: Parser) -> None:
    """Add the seed."""
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the random numbers (default: 1)"
    )


def add_json(parser: Parser) -> None:
    """Add the switch to JSON."""
    parser.add_argument(
        "--json", action="store_true", help="print JSON alone; names of files go to stderr"
    )


def check_numbers(options: argparse.Namespace) -> None:
    """Refuse bad numbers before anything is read or measured."""
    from sdde import checks

    for name in ("target_loss", "learning_rate"):
        if getattr(options, name, None) is not None:
            checks.positive(name, getattr(options, name), example=0.01)
    if getattr(options, "max_workers", None) is not None:
        checks.integer("max_workers", options.max_workers, lowest=1)


def require_folders(options: argparse.Namespace) -> None:
    """Refuse files that could not be written before anything runs."""
    from sdde import checks

    for name in ("out", "plot"):
        path = getattr(options, name, None)
        if path is not None and not Path(path).parent.is_dir():
            raise checks.fail(name, path, "lies in a folder that does not exist")


def say(options: argparse.Namespace, line: str) -> None:
    """Print a line about a file, beside the output if that is JSON."""
    print(line, file=sys.stderr if getattr(options, "json", False) else sys.stdout)


def show(options: argparse.Namespace, text: Callable[[], str], content: Callable[[], Any]) -> None:
    """Print the text for people, or the same as JSON."""
    print(json.dumps(content(), indent=2) if options.json else text())


def save_figure(options: argparse.Namespace, drawing: Any, path: str) -> None:
    """Write a figure in the format that the suffix names."""
    from sdde.errors import ArgumentError

    try:
        drawing.savefig(path, dpi=150, bbox_inches="tight")
    except (ValueError, OSError) as error:
        raise ArgumentError(f"{path} cannot be written: {error}.") from None
    say(options, f"figure: {path}")


def is_page(path: str) -> bool:
    """Return whether a file is to hold a page rather than a figure."""
    return Path(path).suffix.lower() in (".html", ".htm")
