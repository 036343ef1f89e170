"""How time and memory grow: `python -m experiments.benchmarks.scaling`.

One equation is solved with more and more threads, paths, steps and components, one at a time, and
the cost of a path-step and component is drawn against each. Memory is the largest resident set of a
new process, which must depend on what is saved and on the delay but not on the number of steps.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import sdde
from experiments.benchmarks import timing
from experiments.benchmarks.contenders import solver
from experiments.benchmarks.workloads import WORKLOADS, Workload, coupled

ROOT = Path(__file__).resolve().parents[2]
BASE = next(work for work in WORKLOADS if work.name == "W2")
MEMORY = """
import resource, sys
import sdde
problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.1, delays=1.0, history=1.0)
end = 0.01 * {steps}
save = {save}
sdde.solve(problem, (0.0, end), dt=0.01, paths={paths}, rng=1, save=save)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)
"""


def cases(*, quick: bool) -> dict[str, dict[int, tuple[Workload, int]]]:
    """Return, by what is varied and its value, the workload and the threads."""
    size = replace(BASE, paths=BASE.paths // (8 if quick else 1), every=BASE.steps)
    most = timing.processors()
    threads = sorted({1, 2, *(2**k for k in range(most.bit_length())), most} & {*range(most + 1)})
    paths = (1, 64, 1024) if quick else (1, 8, 64, 512, 4096, 32_768, 262_144)
    steps = (1000, 10_000) if quick else (100, 1000, 10_000, 100_000)
    dims = (1, 3) if quick else (1, 2, 3, 4, 8, 16, 32, 64)
    total = size.paths * size.steps
    return {
        "threads": {n: (size, n) for n in threads},
        "paths": {n: (replace(size, paths=n), 1) for n in paths},
        "steps": {
            n: (replace(size, steps=n, every=n, paths=max(64, total // n)), 1) for n in steps
        },
        "components": {
            n: (replace(size, rule=coupled(n), dim=n, paths=max(64, size.paths // (4 * n))), 1)
            for n in dims
        },
    }


def megabytes(paths: int, steps: int) -> float:
    """Return the peak memory of a new process that keeps only statistics, or the final states."""
    save = "sdde.Moments([end])" if hasattr(sdde, "Moments") else repr("final")
    code = MEMORY.format(paths=paths, steps=steps, save=save)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return float(done.stdout)


def measure(rounds: int, *, quick: bool) -> dict[str, dict[int, np.ndarray]]:
    """Return ns per path-step and component by what is varied, its value, and round."""
    found: dict[str, dict[int, np.ndarray]] = {}
    for axis, values in cases(quick=quick).items():
        runs = {str(n): solver(work, threads) for n, (work, threads) in values.items()}
        times = timing.side_by_side(runs, rounds)
        found[axis] = {
            n: times[str(n)].seconds * 1e9 / (work.units * max(1, work.dim))
            for n, (work, _) in values.items()
        }
        print(f"{axis} done", flush=True)
    return found


def draw(found: dict[str, dict[int, np.ndarray]], target: Path) -> None:
    """Draw cost against each varied quantity into a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.8), layout="constrained")
    for axes, (axis, values) in zip(figure.subplots(1, 4, sharey=True), found.items(), strict=True):
        middle, low, high = (
            np.array([f(v) for v in values.values()]) for f in (np.median, np.min, np.max)
        )
        axes.errorbar(list(values), middle, [middle - low, high - middle], fmt="o-", capsize=2)
        axes.set(xlabel=axis, xscale="log", yscale="log")
        if max(values) < 100:
            axes.set_xticks(list(values), [str(n) for n in values], minor=False)
            axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ns per path-step\nand component")
    figure.savefig(target, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 0 if every target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, 2 rounds, less memory")
    parser.add_argument("--figure", type=Path, default=Path("scaling.png"), help="where it goes")
    parser.add_argument("--write-docs", action="store_true", help="put tables, figure into docs/")
    options = parser.parse_args(arguments)
    found = measure(2 if options.quick else 5, quick=options.quick)
    paths, steps = (20_000, 1000) if options.quick else (1_000_000, 10_000)
    few, many = megabytes(paths, steps // 10), megabytes(paths, steps)
    rows = [
        [axis, str(n), f"{np.median(v):.2f} ({v.min():.2f}–{v.max():.2f})"]
        for axis, values in found.items()
        for n, v in values.items()
    ]
    rows += [
        ["memory", f"{paths} paths x {n} steps", f"{v:.0f} MB"]
        for n, v in ((steps // 10, few), (steps, many))
    ]
    two = found["threads"].get(2)
    gain = None if two is None else float(np.median(found["threads"][1] / two))
    targets = [
        timing.Target("one thread against two", gain, 1.8, at_least=True),
        timing.Target(f"memory, {paths} paths", many, 300.0, unit="MB"),
        timing.Target("memory, ten times the steps", many / few, 1.05),
    ]
    passed, line = timing.verdict(targets)
    head = ("varied", "value", "ns per path-step and component, median (min–max)")
    text = [timing.machine(), timing.table(head, rows), timing.targets_table(targets)]
    print("", *text, "", sep="\n")
    if options.write_docs:
        options.figure = timing.DOCS.parent / "_static" / "scaling.png"
        picture = "![Cost of a path-step and component](_static/scaling.png)"
        timing.write_section("scaling", "\n\n".join([picture, *text, line]))
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(found, options.figure)
    print(f"figure: {options.figure.name}", line, sep="\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
