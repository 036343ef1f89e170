"""Two workers against one: `python -m experiments.benchmarks.executors`.

Workload W2 is solved many times over, as blocks of its size, by one and by two worker processes: a
pool of the standard library, and a dask cluster on this machine. They take turns; a gain is the
ratio of times within a round. Every result is compared with that of this process, bit for bit.

On a machine that is busy with other work elapsed times say little. So processor time is reported,
too: what the workers and this process took, and the gain that this allows on processors of one's
own if nothing is waited for. Then a run lasts as long as its busiest process, or as all of them
shared out to the processors. That is a bound, not a measurement of the gain; and dask's processes
look after each other all the time, so on a busy machine their processor time grows, too.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np

import sdde
from experiments.benchmarks import timing
from experiments.benchmarks.workloads import WORKLOADS

WORK = next(work for work in WORKLOADS if work.name == "W2")
GAIN = 1.7
HEAD = (
    "executor", "workers", "seconds, median (min–max)", "gain, median (min–max)",
    "processor seconds of each worker", "of the caller", "gain by processor time",
)  # fmt: skip


class Turn(NamedTuple):
    """One run: elapsed seconds, processor seconds of each worker and of this process."""

    seconds: float
    workers: tuple[float, ...]
    caller: float

    @property
    def least(self) -> float:
        """How long the run takes at least, by the processor time of all processes."""
        every = (*self.workers, self.caller)
        return max(*every, sum(every) / timing.processors())


def spent(pids: Sequence[int], work: Callable[[], object]) -> np.ndarray:
    """Do some work, and return the processor seconds that processes spend meanwhile."""
    import psutil

    every = [psutil.Process(pid) for pid in pids]
    before = [sum(process.cpu_times()[:2]) for process in every]
    work()
    return np.array([sum(process.cpu_times()[:2]) for process in every]) - before


@contextmanager
def crews(kind: str) -> Iterator[dict[int, tuple[Any, list[int]]]]:
    """Give executors with one and with two workers, and the workers' process ids."""
    with ExitStack() as stack:
        found: dict[int, tuple[Any, list[int]]] = {}
        for count in (1, 2):
            if kind == "processes":
                context = multiprocessing.get_context("spawn")
                pool = stack.enter_context(ProcessPoolExecutor(count, mp_context=context))
                list(pool.map(time.sleep, [0.2] * count))
                found[count] = pool, list(pool._processes)
                continue
            from dask.distributed import Client, LocalCluster

            cluster = stack.enter_context(
                LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0")
            )
            client: Any = stack.enter_context(Client(cluster))
            found[count] = client, list(client.run(os.getpid).values())
        yield found


def solver(blocks: int) -> Callable[..., np.ndarray]:
    """Return a function of the seed and further arguments that solves so many times W2.

    Moments come back, as they would from far away: states would be sent at a cost of their own.
    """
    problem, kept = WORK.problem(), sdde.Moments([0.5 * WORK.span[1], WORK.span[1]])

    def run(seed: int, **options: Any) -> np.ndarray:
        return sdde.solve(
            problem, WORK.span, dt=WORK.dt, paths=WORK.paths * blocks, rng=seed, save=kept,
            **options,
        ).var()  # fmt: skip

    return run


def measure(kind: str, blocks: int, rounds: int) -> tuple[dict[int, list[Turn]], bool]:
    """Return the turns of one and of two workers, and whether all numbers are those of here."""
    run = solver(blocks)
    turns: dict[int, list[Turn]] = {1: [], 2: []}
    same = True
    with crews(kind) as found:
        for pool, _ in found.values():
            run(0, executor=pool)  # loads the package and the machine code
        every = [[*pids, os.getpid()] for _, pids in found.values()]
        for seed in range(1, rounds + 1):
            for (count, (pool, _)), pids in zip(found.items(), every, strict=True):
                results: list[np.ndarray] = []
                began = time.perf_counter()
                took = spent(pids, lambda: results.append(run(seed, executor=pool)))  # noqa: B023
                seconds = time.perf_counter() - began
                *workers, caller = took
                turns[count].append(Turn(seconds, tuple(workers), caller))
                if seed == 1:
                    same &= np.array_equal(results[0], run(seed))
    return turns, same


def gains(turns: dict[int, list[Turn]], of: str) -> np.ndarray:
    """Return one worker's time over that of two, round by round."""
    pairs = zip(turns[1], turns[2], strict=True)
    return np.array([getattr(one, of) / getattr(two, of) for one, two in pairs])


def rows(kind: str, turns: dict[int, list[Turn]]) -> list[list[str]]:
    """Return the table's rows for one kind of executor."""
    lines = []
    for count, taken in turns.items():
        seconds = np.array([turn.seconds for turn in taken])
        gain = gains(turns, "seconds")
        middle = np.median([sorted(turn.workers) for turn in taken], axis=0)
        lines.append([
            kind, str(count),
            f"{np.median(seconds):.2f} ({seconds.min():.2f}–{seconds.max():.2f})",
            f"{np.median(gain):.2f} ({gain.min():.2f}–{gain.max():.2f})" if count > 1 else "",
            ", ".join(f"{value:.2f}" for value in middle),
            f"{np.median([turn.caller for turn in taken]):.2f}",
            f"{np.median(gains(turns, 'least')):.2f}" if count > 1 else "",
        ])  # fmt: skip
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="8 blocks, 3 rounds")
    parser.add_argument("--blocks", type=int, help="how many times W2 (default 80)")
    parser.add_argument("--rounds", type=int, help="how often everybody takes a turn (default 7)")
    parser.add_argument("--kinds", nargs="+", default=["processes", "dask"], metavar="KIND")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/")
    options = parser.parse_args(arguments)
    blocks = options.blocks or (8 if options.quick else 80)
    rounds = options.rounds or (3 if options.quick else 7)
    load = f"Load at the start: {os.getloadavg()[0]:.1f}." if hasattr(os, "getloadavg") else ""
    lines, targets, right = [], [], True
    for kind in options.kinds:
        turns, same = measure(kind, blocks, rounds)
        right &= same
        lines += rows(kind, turns)
        gain = float(np.median(gains(turns, "seconds")))
        targets.append(timing.Target(f"two workers, {kind}", gain, GAIN, at_least=True))
    title = f"**{blocks} x W2**: {WORK.paths * blocks} paths x {WORK.steps} steps, moments kept."
    texts = [f"{timing.machine()} {load}", title, timing.table(HEAD, lines)]
    passed, line = timing.verdict(targets)
    if not right:
        passed, line = False, "FAIL: an executor gave other numbers"
    texts.append(timing.targets_table(targets))
    print("\n\n".join(texts), line, sep="\n\n")
    if options.write_docs:
        timing.write_section("executors", "\n\n".join([*texts, line]))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
