"""The solver against C, NumPy, JAX, PyTorch and BrainPy: `python -m experiments.benchmarks.engine`.

Every contender solves the same workloads (`workloads.py`) in one process, on one thread, taking
turns. First a short run of each is compared with the C reference, since a fast wrong answer is no
result. Times are nanoseconds per path-step, with jumps per event; `sdde` is timed as a user calls
it, checks included.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from experiments.benchmarks import timing
from experiments.benchmarks.contenders import PEERS, contenders, disagreements
from experiments.benchmarks.workloads import WORKLOADS, Workload

Results = dict[str, dict[str, timing.Times]]
# Largest ratio to the fastest C form; W1L only tells the cost of a call from that of a step.
LIMITS = {"W1": 1.25, "W2": 1.25, "W3": 1.25, "W4": 1.2, "W5": 1.2, "N3": 1.3, "T3": 1.3}
LIMITS |= {"G3": 2.0, "D1": 2.0, "D2": 2.0, "J1": 2.0}
TWICE = ("W2", "W3")  # also measured on two threads
HEAD = ("contender", "ns, median (min–max)", "ratio to C, median (min–max)", "processors busy")


def measure(
    work: Workload, rounds: int, *, peers: bool, alone: bool = True
) -> tuple[dict[str, timing.Times], str]:
    """Compare short runs, time the workload, and return the times and the text about them.

    On a machine that is not for us `alone` processor time is measured, on one thread.
    """
    threads = 2 if work.name in TWICE and timing.processors() > 1 and alone else 1
    clock = time.perf_counter if alone else time.process_time
    short = work.short()
    faults = disagreements(short, contenders(short, threads=threads, peers=peers))
    runs = contenders(work, threads=threads, peers=peers)
    times = timing.side_by_side(runs, rounds, clock)
    title = f"**{work.name}**: {work.title}, {work.paths} x {work.steps} steps"
    return times, "\n\n".join([title, timing.table(HEAD, rows(work, times)), *faults])


def rows(work: Workload, times: dict[str, timing.Times]) -> list[list[str]]:
    """Return the table's rows for one workload."""
    lines = []
    for name, taken in times.items():
        ns = taken.seconds * 1e9 / work.units
        ratio = ""
        if "C" in times:
            ratio = "{:.2f} ({:.2f}–{:.2f})".format(*taken.over(times["C"]))
        middle = f"{np.median(ns):.2f} ({ns.min():.2f}–{ns.max():.2f})"
        lines.append([name, middle, ratio, f"{taken.processors:.1f}"])
    return lines


def judge(results: Results) -> list[timing.Target]:
    """Return the targets with what was measured."""

    def ratio(name: str, top: str, *bottom: str) -> float | None:
        times = results.get(name, {})
        if top not in times or not any(other in times for other in bottom):
            return None
        return max(times[top].over(times[other])[0] for other in bottom if other in times)

    return [
        *(
            timing.Target(f"{name} against C", ratio(name, "sdde", "C", "C, BLAS"), limit)
            for name, limit in LIMITS.items()
        ),
        *(
            timing.Target(f"W2, {peer} against sdde", ratio("W2", peer, "sdde"), 5.0, at_least=True)
            for peer in PEERS
        ),
        *(
            timing.Target(
                f"{name}, one thread against two",
                ratio(name, "sdde", "sdde, 2 threads"),
                1.8,
                at_least=True,
            )
            for name in TWICE
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every measured target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="an eighth of the work, 3 rounds")
    parser.add_argument("--rounds", type=int, help="how often everybody takes a turn (default 7)")
    parser.add_argument("--only", nargs="+", metavar="W", help="names of workloads, for example W2")
    parser.add_argument("--no-peers", action="store_true", help="the solver and C only")
    parser.add_argument(
        "--processor-time", action="store_true",
        help="for a machine that is busy with other work: the solver and C, on one thread",
    )  # fmt: skip
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (3 if options.quick else 7)
    results, texts, right = Results(), [timing.machine()], True
    if options.processor_time:
        texts[0] += " The machine was busy with other work; times are processor time."
    print(texts[0])
    for work in WORKLOADS:
        if options.only and work.name not in options.only:
            continue
        work = work.quick() if options.quick else work
        results[work.name], text = measure(
            work, rounds, peers=not (options.no_peers or options.processor_time),
            alone=not options.processor_time,
        )  # fmt: skip
        right = right and "differs" not in text and "errors off" not in text
        texts.append(text)
        print(f"\n{text}", flush=True)
    targets = judge(results)
    passed, line = timing.verdict(targets)
    texts.append(timing.targets_table(targets))
    print(f"\n{texts[-1]}\n")
    if options.write_docs:
        timing.write_section("engine", "\n\n".join([*texts, line]))
    if not right:
        passed, line = False, "FAIL: results disagree, see above"
    print(line)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
