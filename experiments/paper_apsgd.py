"""Leaving saddles with stale gradients, and how many workers keep the speed-up linear.

`python -m experiments.paper_apsgd [--quick]`. After Wang, Shen and Zhao (arXiv:1910.06000): APSGD
adds up M gradients per update, with learning rate sqrt(1/(M K)) for K updates. It starts exactly on
the saddle of a double well. Measured: speed-up in time to leave it, against the number of workers
in units of two bounds, the gradient left after K updates, and the growth of the distance from the
saddle against the root that `sdde.theory` tells.
"""

import math
import sys
from typing import Any

import numpy as np
import scipy.stats

from experiments import reporting
from experiments.reporting import Claim, Number, Result, Table
from sdde import theory
from sdde.cluster import (
    APSGD,
    Objective,
    PrescribedStaleness,
    System,
    simulate,
    simulate_staleness,
)

COMPUTE = scipy.stats.gamma(4.0, scale=0.25)
LEFT, BACK = -0.5, 0.68  # of 1 - 3 x1^2: x1 beyond 0.71 has left, within 0.33 is back
MULTIPLES = (("1/2 cube root", 1 / 3, 0.5), ("cube root", 1 / 3, 1.0), ("root / 2", 1 / 2, 0.5),
             ("root", 1 / 2, 1.0))  # fmt: skip


def well(recorded: Any) -> Objective:
    """Return the double well of `sdde.cluster.strict_saddle`, noise 1, with another "loss"."""
    return Objective.from_callables(
        lambda x: np.array([x[0] * (x[0] * x[0] - 1.0), x[1]]), recorded, 2, start=0.0, noise=1.0
    )


PLACE = well(lambda x: 1.0 - 3.0 * x[0] * x[0])  # minus the curvature along the first axis
SLOPE = well(lambda x: (x[0] * (x[0] * x[0] - 1.0)) ** 2 + x[1] ** 2)


def leaving(updates: int, batch: int, workers: int, runs: int, seed: int) -> tuple[Number, Any]:
    """Return the mean number of updates until the saddle is left, and what each run did then.

    Whether it came back later, and whether it was outside at the end.
    """
    span = int(30 * math.sqrt(updates / batch))
    out = simulate(
        PLACE, APSGD(batch), System(COMPUTE, workers=workers), updates=span, records=601,
        learning_rate=1.0 / math.sqrt(updates * batch), runs=runs, rng=seed + workers,
    )  # fmt: skip
    after = np.cumsum(out.loss <= LEFT, axis=1) > 0
    back = (after & (out.loss > BACK)).any(axis=1)
    taken = reporting.time_to(out, LEFT, span, out.updates_at)[0]
    return taken, (back, out.loss[:, -1] < 0.0)


def speed_ups(quick: bool, seed: int) -> tuple[Table, Table, dict[Any, Number]]:
    """Speed-up per worker when leaving the saddle, for workers in units of the two bounds."""
    cases = ((1000, 1), (8000, 8)) if quick else (
        (1000, 1), (10_000, 1), (100_000, 1), (1_000_000, 1), (8000, 8), (80_000, 8)
    )  # fmt: skip
    runs, rows, falls, found = (200 if quick else 400), [], [], {}
    for updates, batch in cases:
        alone, _ = leaving(updates, batch, 1, 4 * runs, seed)
        cells: list[Any] = []
        returned: list[Any] = []
        for name, power, share in MULTIPLES:
            late = share * (updates / batch) ** power
            workers = 1 + round(batch * late)
            taken, (back, outside) = leaving(updates, batch, workers, runs, seed)
            returned += [reporting.share(back), reporting.share(outside)]
            value = alone.value / taken.value  # gradients arrive at exactly `workers` per unit
            error = value * math.hypot(alone.error / alone.value, taken.error / taken.value)
            found[updates, batch, name] = Number(value, error)
            cells.append(found[updates, batch, name])
        rows.append([f"K = {updates}, M = {batch}", Number((updates / batch) ** (1 / 3)), *cells])
        falls.append([f"K = {updates}, M = {batch}", *returned[2:4], *returned[-2:]])
        print(" | ".join(map(str, rows[-1])), flush=True)
    head = ["updates, gradients in one", "cube root of K/M", *(name for name, *_ in MULTIPLES)]
    title = "Speed-up per worker with 1 + M × (multiple of a root of K/M) workers"
    other = ["updates, gradients in one", "cube root: back", "outside at the end",
             "root: back", "outside at the end "]  # fmt: skip
    second = Table("Share of runs that come back to the saddle after leaving it", other, falls)
    return Table(title, head, rows), second, found


def accuracy(quick: bool, seed: int) -> tuple[Table, Any]:
    """Squared gradient and least curvature after K updates, at the cube-root bound."""
    rows, ratios = [], []
    for updates, batch in ((1000, 1), (4000, 4)) if quick else (
        (1000, 1), (10_000, 1), (100_000, 1), (8000, 8)
    ):  # fmt: skip
        workers = 1 + round(batch * (updates / batch) ** (1 / 3))
        rate = 1.0 / math.sqrt(updates * batch)
        final = []
        for objective in (SLOPE, PLACE):
            out = simulate(
                objective, APSGD(batch), System(COMPUTE, workers=workers), updates=updates,
                learning_rate=rate, runs=64 if quick else 128, rng=seed + updates, records=21,
            )  # fmt: skip
            final.append(out.loss)
        square = reporting.mean(final[0][:, -10:].mean(axis=1))
        second = -final[1][:, -1] >= -math.sqrt(math.sqrt(square.value))
        ratio = Number(square.value / rate, square.error / rate)
        ratios.append(ratio)
        rows.append([
            f"K = {updates}, M = {batch}", str(workers), square, ratio, reporting.share(second),
        ])  # fmt: skip
    head = ["updates, gradients in one", "workers", "‖∇f‖²", "‖∇f‖² √(MK)", "curvature ≥ −√ε"]
    return Table("After K updates with 1 + M (K/M)^(1/3) workers", head, rows), ratios


def growth() -> tuple[Table, float]:
    """Growth of the distance from the saddle per update, against the theory's root."""
    start, rows, worst = 1e-9, [], 0.0
    signed = Objective.from_callables(
        lambda x: x * (x * x - 1.0),
        lambda x: x[0],
        1,
        start=start,  # the "loss" is x
    )
    for alpha in (0.01, 0.1):
        for late in (0, 10, 50, 200):
            root = theory.escape_factor(alpha, late)
            updates = int(math.log(1e6) / math.log(root))
            out = simulate_staleness(
                signed, PrescribedStaleness("bounded", late), learning_rate=alpha,
                updates=updates, records=updates + 1,
            )  # fmt: skip
            rate = math.log(out.loss[0, -1] / out.loss[0, -1 - updates // 4]) / (updates // 4)
            worst = max(worst, abs(rate / math.log(root) - 1.0))
            rows.append([f"{alpha:g}, {late}", Number(math.log(root)), Number(rate)])
    head = ["learning rate × curvature, staleness", "log growth, theory", "measured"]
    return Table("Growth of the distance from the saddle per update, noise-free", head, rows), worst


def study(quick: bool, seed: int) -> Result:
    """Return all tables and the verdicts."""
    one, back, found = speed_ups(quick, seed)
    two, ratios = accuracy(quick, seed)
    three, worst = growth()
    ends, came = (
        [cell.value for row in back.rows if isinstance(cell := row[i], Number)] for i in (2, 3)
    )
    at_cube = {key[:2]: n for key, n in found.items() if key[2] == "cube root"}
    at_root = {key[:2]: n for key, n in found.items() if key[2] == "root"}
    all_second = all(float(row[4].value) > 0.98 for row in two.rows if isinstance(row[4], Number))
    flat = max(r.value for r in ratios) / min(r.value for r in ratios)
    best = max(at_cube.values(), key=lambda n: n.value)
    claims = [
        Claim(
            "with workers up to order (K/M)^(1/3) APSGD converges to points with "
            "‖∇f‖ ≤ ε, curvature ≥ −√ε, ε² of order √(1/(MK))",
            "reproduced" if all_second and flat < 3.0 else "not reproduced",
            f"‖∇f‖² √(MK) stays within a factor {flat:.2f} while K/M changes; "
            "practically all runs end where the curvature is positive",
        ),
        Claim(
            "and the linear speed-up is achieved",
            "reproduced" if best.value - 3 * best.error > 0.7 else "not reproduced",
            "speed-up per worker at the cube root: "
            + ", ".join(f"{n.value:.2f} (K/M {k // m})" for (k, m), n in at_cube.items())
            + "; at the square root it stays at "
            + ", ".join(f"{n.value:.2f}" for n in at_root.values()),
        ),
        Claim(
            "because of the delay an iterate may fall back after it left a saddle, but in the end "
            "it leaves for good (first version)",
            "reproduced" if min(ends) > 0.99 and max(came) > 0 and worst < 0.02
            else ("partly reproduced" if min(ends) > 0.99 else "not reproduced"),
            f"up to {100 * max(came):.0f} % of the runs come back with workers at the square root, "
            f"with workers at the cube root at least {100 * min(ends):.0f} % are outside at the "
            "end; the growth near the saddle agrees with the root of "
            f"z^(T+1) − z^T = ηλ (derived in this project) within {100 * worst:.1g} %",
        ),
    ]  # fmt: skip
    return Result([one, back, two, three], claims, found)


def draw(found: Any) -> Any:
    """Draw the speed-up per worker against K/M for workers at multiples of the two roots."""
    plt = reporting.style()
    figure, ax = plt.subplots(figsize=(6.4, 3.8))
    styles = {"1/2 cube root": (0, "o--"), "cube root": (0, "o-"), "root / 2": (1, "s--"),
              "root": (1, "s-")}  # fmt: skip
    labels = {"1/2 cube root": (r"$\frac{1}{2}(K/M)^{1/3}$", 6), "root": (r"$(K/M)^{1/2}$", -3),
              "cube root": (r"$(K/M)^{1/3}$", -12),
              "root / 2": (r"$\frac{1}{2}(K/M)^{1/2}$", -3)}  # fmt: skip
    for name, (number, line) in styles.items():
        keys = [key for key in found if key[2] == name and key[1] == 1]
        at = [key[0] for key in keys]
        ax.errorbar(
            at, [found[key].value for key in keys], [2 * found[key].error for key in keys],
            fmt=line, color=reporting.COLOURS[number],
        )  # fmt: skip
        ax.annotate(
            labels[name][0], (at[-1], found[keys[-1]].value), xytext=(8, labels[name][1]),
            textcoords="offset points", fontsize=10.5, color=reporting.COLOURS[number],
        )  # fmt: skip
    ax.axhline(1.0, color="0.6", linewidth=0.8)
    ax.set(
        xscale="log", xlim=(700, 8e6), ylim=(0.4, 1.08), xlabel="updates K (one gradient each)",
        ylabel="speed-up per worker", title="time to leave the saddle; staleness as labelled",
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    sys.exit(reporting.main(__file__, study, draw))
