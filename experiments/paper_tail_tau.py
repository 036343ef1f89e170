"""Learning rates shaped by the measured staleness: TAIL-τ against constant and inverse rules.

`python -m experiments.paper_tail_tau [--quick]`. After Bäckström, Papatriantafilou and Tsigas
(ASAP.SGD, ICML 2022): a small network learns handwritten digits on simulated workers whose compute
times have a gamma law. Measured: time to several losses, share of runs that never get there, and
the precision reached. Beside it stands what theory says of the rule, derived in this project: in
the mean TAIL-τ acts like constant steps with the lesser of two independent stalenesses.
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
    AsyncSGD,
    Composed,
    Network,
    Power,
    Quadratic,
    StalenessTable,
    System,
    TailTau,
    simulate,
)

COMPUTE = scipy.stats.gamma(4.0, scale=0.25)  # mean 1, coefficient of variation 1/2
TARGETS = (0.3, 0.1, 0.03)
UPDATES = 6000
INVERSE = Composed(rate=Power(1.0))  # 1 / (1 + staleness)
RULES = ("constant", "inverse", "TAIL-τ", "TAIL-τ, law known")


def staleness_law(workers: int, seed: int) -> Any:
    """Return the measured law of the staleness of this cluster."""
    out = simulate(
        Quadratic(1.0), AsyncSGD(), System(COMPUTE, workers=workers), learning_rate=1e-6,
        updates=400_000, rng=seed,
    )  # fmt: skip
    return out.staleness.pmf


def rule(name: str, pmf: Any) -> Any:
    """Return the method of that name."""
    if name == "TAIL-τ, law known":
        return StalenessTable(theory.tail_factors(pmf))
    return {"constant": AsyncSGD(), "inverse": INVERSE, "TAIL-τ": TailTau()}[name]


def in_theory(counts: Any, seed: int) -> Table:
    """Mean staleness and largest stable learning rate with and without TAIL-τ."""
    rows = []
    for workers in counts:
        pmf = staleness_law(workers, seed)
        factors = theory.tail_factors(pmf)
        shaped = pmf * factors
        late = np.arange(pmf.size)
        plain, tail = (theory.IndependentStaleness(0.01, law) for law in (pmf, shaped))
        rows.append([
            f"{workers}", Number(float(pmf @ late), 0.003 * workers),
            Number(float(shaped @ late), 0.003 * workers), Number(float(pmf @ factors**2), 0.002),
            Number(plain.mean_stability_limit(), 0.003 * plain.mean_stability_limit()),
            Number(tail.mean_stability_limit(), 0.003 * tail.mean_stability_limit()),
        ])  # fmt: skip
    head = [
        "workers", "mean staleness", "weighted by TAIL-τ", "noise of the steps, ×",
        "largest stable ηλ, constant", "largest stable ηλ, TAIL-τ",
    ]  # fmt: skip
    return Table("What the rule does in the mean (measured staleness law, quadratic)", head, rows)


def study(quick: bool, seed: int) -> Result:
    """Return all tables and the verdicts."""
    counts = {0.1: (8, 32)} if quick else {0.1: (2, 8, 24, 32, 36, 40), 0.2: (2, 8, 14, 16, 18, 20)}
    runs, updates = (8, UPDATES // 2) if quick else (16, UPDATES)
    network = Network.digits(hidden=(32,), batch=16, rng=1)
    rows, times, missed = [], {}, {}
    for eta, numbers in counts.items():
        for workers in numbers:
            pmf = staleness_law(workers, seed)
            for name in RULES:
                out = simulate(
                    network, rule(name, pmf), System(COMPUTE, workers=workers), learning_rate=eta,
                    updates=updates, runs=runs, rng=seed + workers, records=81,
                )  # fmt: skip
                cells = []
                for target in TARGETS:
                    cell, own = reporting.time_to(out, target, updates / workers)
                    cells.append(cell)
                    times[eta, workers, name, target] = own
                    missed[eta, workers, name, target] = ~(out.loss <= target).any(axis=1)
                rows.append([
                    f"η {eta:g}, {workers} workers, {name}", *cells,
                    reporting.mean(np.log10(np.nanmin(out.loss, axis=1))),
                ])  # fmt: skip
                print(" | ".join(str(cell) for cell in rows[-1]), flush=True)
    title = f"Network on digits, {runs} runs of {updates} updates: mean time to a training loss"
    head = ["learning rate, workers, rule", *map(str, TARGETS), "log10 of least loss"]
    claims = judge(times, missed, [(eta, n) for eta in counts for n in counts[eta]])
    tables = [
        Table(title, head, rows),
        in_theory(sorted({n for own in counts.values() for n in own}), seed),
    ]
    return Result(tables, claims, (times, missed, counts))


def contested(missed: Any, settings: Any) -> tuple[list[float], float]:
    """Return shares of failed runs, constant and TAIL-τ, where some but not all constant ones fail.

    And by how many standard errors the shares differ.
    """
    where = [at for at in settings if 0 < missed[*at, "constant", 0.3].mean() < 1]
    if not where:
        return [0.0, 0.0], 0.0
    both = [np.array([missed[*at, name, 0.3] for at in where]) for name in ("constant", "TAIL-τ")]
    odds = [float(own.mean()) for own in both]
    middle = sum(odds) / 2.0
    return odds, (odds[0] - odds[1]) / math.sqrt(2.0 * middle * (1.0 - middle) / both[0].size)


def judge(times: Any, missed: Any, settings: Any) -> list[Claim]:
    """Hold the three statements of the abstract against the measured times."""
    gains = {
        (eta, n): times[eta, n, "constant", 0.1].mean() / times[eta, n, "TAIL-τ", 0.1].mean()
        for eta, n in settings
        if missed[eta, n, "TAIL-τ", 0.1].mean() < 0.9
    }
    lost = {name: sum(int(missed[*at, name, 0.3].sum()) for at in settings) for name in RULES}
    total = sum(missed[*at, "constant", 0.3].size for at in settings)
    odds, z = contested(missed, settings)
    finer = []
    for eta, n in settings:
        for target in TARGETS:
            plain, tail = (missed[eta, n, name, target].mean() for name in ("constant", "TAIL-τ"))
            if plain >= 0.75 and tail <= 0.5:
                finer.append(f"loss {target:g}, η {eta:g}, {n} workers")
    best = max(gains.values())
    return [
        Claim(
            "persistent speed-up in wall-clock convergence time in the parallelism spectrum",
            "reproduced" if min(gains.values()) > 1.0
            else ("partly reproduced" if best > 1.05 else "not reproduced"),
            "time to loss 0.1, constant over TAIL-τ: "
            + ", ".join(f"{gain:.2f} (η {eta:g}, {n})" for (eta, n), gain in gains.items()),
        ),
        Claim(
            "considerably lower risk of non-convergence",
            "reproduced" if z > 3.0 else ("partly reproduced" if z > 1.5 else "not reproduced"),
            f"of {total} runs never at loss 0.3: "
            + ", ".join(f"{name} {count}" for name, count in lost.items())
            + f"; where some but not all constant runs fail, {100 * odds[0]:.0f} % fail, and "
            f"{100 * odds[1]:.0f} % with TAIL-τ ({z:.1f} standard errors)",
        ),
        Claim(
            "precision levels for which original implementations fail",
            "reproduced" if finer else "not reproduced",
            "reached by most runs with TAIL-τ and by less than a quarter with constant steps: "
            + ("; ".join(finer) or "none"),
        ),
    ]  # fmt: skip


def draw(drawing: Any) -> Any:
    """Draw mean time to loss 0.3 and the share of failed runs against workers."""
    times, missed, counts = drawing
    plt = reporting.style()
    figure, axes = plt.subplots(2, len(counts), figsize=(4.6 * len(counts), 5.2), squeeze=False)
    for column, (eta, numbers) in enumerate(counts.items()):
        top, bottom = axes[:, column]
        for number, (colour, name) in enumerate(zip(reporting.COLOURS, RULES, strict=False)):
            failed = np.array([missed[eta, n, name, 0.3].mean() for n in numbers])
            middle = np.array([times[eta, n, name, 0.3].mean() for n in numbers])
            shown = np.where(failed < 0.25, middle, np.nan)
            top.plot(numbers, shown, "o-", color=colour, label=name)
            shift = 0.12 * (number - 1.5)
            bottom.plot(np.array(numbers) + shift, failed, "o-", color=colour)
        top.set(title=f"learning rate {eta:g}", yscale="log", ylim=(15, 400))
        top.set_yticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
        bottom.set(xlabel="workers", ylim=(-0.05, 1.05))
        for ax in (top, bottom):
            ax.set(xlim=(0.0, None), xticks=numbers)
            ax.yaxis.minorticks_off()
    axes[0, 0].set_ylabel("time to loss 0.3\n(mean compute times)")
    axes[1, 0].set_ylabel("share of runs that\nnever reach loss 0.3")
    axes[1, 0].legend(*axes[0, 0].get_legend_handles_labels(), loc="center left")
    return figure


if __name__ == "__main__":
    sys.exit(reporting.main(__file__, study, draw))
