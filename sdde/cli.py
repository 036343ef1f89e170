"""The command line: ``sdde compare | plan | solve | trace | live``.

Each command reads its input, calls the same public functions that scripts call, prints a table and
writes a figure or a page. Exit status: 0 done, 1 a comparison failed its tolerance or a live run
was lost, 2 misuse (one line, no traceback), 130 interrupted, 141 nobody reads on.
"""

import os
import shlex
import sys
from collections.abc import Sequence

from sdde.commands import comparing, parsing, planning, solving, tracing, training
from sdde.errors import Error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(words)
    options.command_line = shlex.join(["sdde", *words])
    try:
        parsing.require_folders(options)
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


def _parser() -> parsing.Parser:
    import sdde

    parser = parsing.Parser(
        prog="sdde",
        description="Simulate equations with delays and noise; plan, compare and run asynchronous "
        "SGD.",
        epilog="sdde COMMAND --help shows the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"sdde {sdde.__version__}")
    commands = parser.add_subparsers(
        title="commands",
        dest="command",
        required=True,
        metavar="COMMAND",
        parser_class=parsing.Parser,
    )
    for family in (comparing, planning, solving, tracing, training):
        family.add(commands)
    return parser
