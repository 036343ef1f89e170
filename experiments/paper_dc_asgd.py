"""Delay compensation: test error of sequential, synchronous, asynchronous and compensated SGD.

`python -m experiments.paper_dc_asgd [--quick]`. After Zheng, Meng, Wang, Chen, Yu, Ma and Liu (ICML
2017): with the same learning rate and the same number of gradients, 1 to 16 workers train softmax
regression and a small network on handwritten digits; a quarter of the images is kept for testing.
"""

import sys
from typing import Any

import numpy as np
import scipy.stats

from experiments import reporting
from experiments.reporting import Claim, Number, Result, Table
from sdde.cluster import (
    AsyncSGD,
    DelayCompensated,
    Network,
    Softmax,
    Synchronous,
    System,
    simulate,
)

COMPUTE = scipy.stats.gamma(4.0, scale=0.25)
METHODS = {
    "SSGD": Synchronous(), "ASGD": AsyncSGD(), "DC-ASGD-c": DelayCompensated(0.5),
    "DC-ASGD-a": DelayCompensated(2.0, decay=0.95),
}  # fmt: skip


def errors(objective: Any, name: str, workers: int, rate: float, work: Any, seed: int) -> Any:
    """Return the test error at the end of each run, a mean over its last tenth of records."""
    gradients, runs = work
    updates = gradients // workers if name == "SSGD" else gradients
    out = simulate(
        objective, METHODS[name], System(COMPUTE, workers=workers), learning_rate=rate,
        updates=updates, runs=runs, rng=seed + workers, records=41,
    )  # fmt: skip
    final = out.test_error[:, -5:]
    return np.where(np.isnan(final), 0.9, final).mean(axis=1)  # a diverged run guesses


def study(quick: bool, seed: int) -> Result:
    """Return all tables and the verdicts."""
    counts = (16,) if quick else (4, 8, 16)
    work = (3000, 6) if quick else (8000, 8)
    objectives = {
        "softmax": (Softmax.digits(regularisation=1e-3, test=0.25, rng=1), (0.4,)),
        "network": (Network.digits(hidden=(32,), test=0.25, rng=1), (0.1, 0.2, 0.4)),
    }
    if quick:
        objectives = {"network": (objectives["network"][0], (0.2,))}
    rows, found = [], {}
    for title, (objective, rates) in objectives.items():
        for rate in rates:
            alone = errors(objective, "ASGD", 1, rate, work, seed)
            for workers in counts:
                setting = (title, rate, workers)
                found[setting] = {"SGD": alone} | {
                    name: errors(objective, name, workers, rate, work, seed) for name in METHODS
                }
                cells = [reporting.mean(100.0 * own) for own in found[setting].values()]
                rows.append([f"{title}, η {rate:g}, {workers} workers", *cells])
                print(" | ".join(str(cell) for cell in rows[-1]), flush=True)
    head = ["objective, learning rate, workers", "SGD, 1 worker", *METHODS]
    table = Table(f"Test error in %, {work[0]} gradients, {work[1]} runs", head, rows)
    return Result([table], judge(found), found)


def gap(found: Any, one: str, other: str) -> dict[Any, Number]:
    """Return the difference of mean test errors in %, with its standard error."""
    result = {}
    for setting, own in found.items():
        a, b = (reporting.mean(100.0 * own[name]) for name in (one, other))
        result[setting] = Number(a.value - b.value, float(np.hypot(a.error, b.error)))
    return result


def judge(found: Any) -> list[Claim]:
    """Hold the three comparisons of the abstract against the measured test errors."""
    claims = []
    for rival in ("ASGD", "SSGD"):
        better, worse, total = 0, 0, 0
        for name in ("DC-ASGD-c", "DC-ASGD-a"):
            for difference in gap(found, rival, name).values():
                total += 1
                better += difference.value > 3.0 * difference.error
                worse += difference.value < -3.0 * difference.error
        held = better >= 1 and not worse
        claims.append(
            Claim(
                f"DC-ASGD outperforms {'asynchronous' if rival == 'ASGD' else 'synchronous'} SGD",
                "reproduced" if held and 2 * better > total
                else ("partly reproduced" if better else "not reproduced"),
                f"better by three standard errors in {better} of {total} settings, "
                f"worse in {worse}",
            )
        )  # fmt: skip
    near = gap(found, "DC-ASGD-a", "SGD")
    close = [s for s, d in near.items() if d.value < 0.5 + 3.0 * d.error]
    plain = sum(d.value < 0.5 + 3.0 * d.error for d in gap(found, "ASGD", "SGD").values())
    claims.append(
        Claim(
            "DC-ASGD nearly approaches the performance of sequential SGD",
            "reproduced" if len(close) == len(near)
            else ("partly reproduced" if close else "not reproduced"),
            f"within half a percentage point of one worker (and three standard errors): DC-ASGD-a "
            f"in {len(close)} of {len(near)} settings, ASGD in {plain}",
        )
    )  # fmt: skip
    return claims


def draw(found: Any) -> Any:
    """Draw test error against workers for each objective and learning rate."""
    plt = reporting.style()
    kinds = list(dict.fromkeys((title, rate) for title, rate, _ in found))
    figure, axes = plt.subplots(1, len(kinds), figsize=(2.7 * len(kinds), 3.3), squeeze=False)
    for ax, (title, rate) in zip(axes[0], kinds, strict=True):
        counts = [n for t, r, n in found if (t, r) == (title, rate)]
        for number, (colour, name) in enumerate(zip(reporting.COLOURS, METHODS, strict=False)):
            own = [reporting.mean(100 * found[title, rate, n][name]) for n in counts]
            at = np.arange(len(counts)) + 0.06 * (number - 1.5)
            ax.errorbar(
                at, [c.value for c in own], [2 * c.error for c in own], fmt="o-", color=colour,
                label=name, linewidth=1.0,
            )  # fmt: skip
        alone = 100 * found[title, rate, counts[0]]["SGD"].mean()
        ax.axhline(alone, color="0.5", linestyle="--", linewidth=1.0, label="SGD, 1 worker")
        ax.set(title=f"{title}, η = {rate:g}", xlabel="workers", yscale="log", ylim=(2, 100))
        ax.set_xticks(range(len(counts)), [str(n) for n in counts])
        ax.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.yaxis.minorticks_off()
    axes[0, 0].set_ylabel("test error, %")
    axes[0, 0].legend(loc="upper left")
    return figure


if __name__ == "__main__":
    sys.exit(reporting.main(__file__, study, draw))
