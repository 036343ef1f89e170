"""Time to a target against workers: the delay equation of asynchronous SGD beside simulated runs.

`python -m experiments.paper_sdde [--quick]`. After Yu, Chen and Poor (arXiv:2406.11159): at a fixed
learning rate more workers need not help, a little staleness does, a lot makes training diverge;
also on a network. Predictions are those of `sdde.theory`, derived in this project: the stochastic
delay differential equation with Poisson arrivals, and where it exists the exact treatment.
"""

import math
import sys
from collections import deque
from typing import Any

import numpy as np
import scipy.stats

from experiments import reporting
from experiments.reporting import Claim, Number, Result, Table
from sdde import theory
from sdde.cluster import (
    AsyncSGD,
    Network,
    PrescribedStaleness,
    Quadratic,
    Softmax,
    System,
    simulate,
    simulate_staleness,
)

ERLANG = scipy.stats.gamma(4.0, scale=0.25)
LAWS = {
    "constant": (1.0, "exact"), "Erlang-4": (ERLANG, "regular"),
    "exponential": (scipy.stats.expon(), "exact"),
}  # fmt: skip
RATE, NOISE, TARGET = 0.02, 0.02, 0.5 * 0.02**2  # of the quadratic x^2 / 2, from x = 1
DIGITS_RATE, DIGITS_TARGET = 0.1, 0.06
NETWORK_RATE, NETWORK_TARGET = 0.2, 0.1


def prediction(objective: Any, rate: float, workers: int, law: Any, kind: Any, at: float) -> float:
    """Return the predicted settling time of the mean loss, inf if it is never reached."""
    model = theory.AsyncSGD(
        objective.eigenvalues, learning_rate=rate, workers=workers, compute_time=law,
        gradient_noise=objective.noise, arrivals=kind,
    )  # fmt: skip
    return model.time_to(at, objective.start) if model.is_mean_square_stable() else math.inf


def shown(value: float, error: float = 0.0) -> Number:
    """Return a time that is shown as never where it is not finite."""
    return Number(value, error) if math.isfinite(value) else Number(math.inf, 0.0, "never")


def quadratic(quick: bool, seed: int) -> tuple[Table, dict[str, Any]]:
    """Settling time of the mean loss of one coordinate, for three laws of the compute time."""
    counts = (4, 12, 18, 32, 96) if quick else (2, 4, 8, 12, 16, 18, 20, 24, 32, 48, 64, 72, 96)
    rows, curves = [], {}
    objective = Quadratic(1.0, noise=NOISE)
    for name, (law, kind) in LAWS.items():
        for workers in counts:
            out = simulate(
                objective, AsyncSGD(), System(law, workers=workers), learning_rate=RATE,
                time=160.0, runs=100 if quick else 400, rng=seed + workers, records=1601,
                start="stationary",
            )  # fmt: skip
            value, low, high = out.time_to(TARGET)
            better = prediction(objective, RATE, workers, law, kind, TARGET)
            plain = prediction(objective, RATE, workers, law, "poisson", TARGET)
            # Half the recording interval, and an interval that is one-sided where a wave just
            # touches the target.
            error = max(abs(high - value), abs(value - low)) / 1.96 + 0.05
            curves[name, workers] = (value, better, plain)
            rows.append([f"{name}, {workers}", shown(value, error), shown(better), shown(plain)])
        print(f"quadratic, {name} compute times: done", flush=True)
    head = ["compute time, workers", "simulated", "exact or regular arrivals", "SDDE, Poisson"]
    return Table("Time to loss 2e-4 on x²/2, learning rate 0.02", head, rows), curves


def staleness() -> tuple[Table, dict[int, Any]]:
    """Count updates to the target with a fixed staleness."""
    rows, curves = [], {}
    for late in (0, 5, 10, 15, 18, 20, 30, 45, 60, 74, 80):
        out = simulate_staleness(
            Quadratic(1.0), PrescribedStaleness("bounded", late), learning_rate=RATE,
            updates=6000, records=6001,
        )  # fmt: skip
        value = out.time_to(1e-6).value
        rate = theory.FixedStaleness(RATE, late).rate()
        curves[late] = value
        rows.append([f"{late}", shown(value), Number(rate), "yes" if rate > 0 else "no"])
    head = ["staleness", "updates to loss 1e-6", "decay per update, theory", "stable"]
    return Table("Fixed staleness, noise-free, learning rate 0.02", head, rows), curves


def sensitivity(seed: int) -> tuple[Table, list[tuple[Number, Number]]]:
    """Change of the mean first time at x^2/2 = 0.005 when staleness or noise variance doubles."""
    rows, changed = [], []

    def hit(late: int, noise: float) -> Number:
        out = simulate_staleness(
            Quadratic(1.0, noise=noise), PrescribedStaleness("bounded", late), learning_rate=RATE,
            updates=400, runs=8000, rng=seed, records=401,
        )  # fmt: skip
        return reporting.time_to(out, 0.005, 400.0)[0]

    for late, noise in ((5, 0.1), (5, 0.6), (9, 0.1), (9, 0.6)):
        base, later, louder = hit(late, noise), hit(2 * late, noise), hit(late, noise * 2**0.5)
        changes = [later.value / base.value - 1.0, louder.value / base.value - 1.0]
        errors = [math.hypot(other.error, base.error) / base.value for other in (later, louder)]
        pair = [Number(100 * c, 100 * e) for c, e in zip(changes, errors, strict=True)]
        changed.append((pair[0], pair[1]))
        rows.append([f"{late}, {noise:g}", base, *pair])
    head = ["staleness, noise", "mean updates", "doubled staleness, %", "doubled variance, %"]
    title = "Mean number of updates to the first loss below 0.005"
    return Table(title, head, rows), changed


def digits(seed: int) -> tuple[Table, dict[int, Any]]:
    """Softmax regression on digits against the prediction from its curvature and noise."""
    objective = Softmax.digits(regularisation=1e-2, batch=16)
    local = theory.condense(objective.quadratic())
    rows, curves = [], {}
    for workers in (1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 64):
        out = simulate(
            objective, AsyncSGD(), System(ERLANG, workers=workers), learning_rate=DIGITS_RATE,
            updates=4000, runs=12, rng=seed + workers, records=201,
        )  # fmt: skip
        value, low, high = out.time_to(DIGITS_TARGET)
        error = max(high - value, value - low) / 1.96
        told = prediction(local, DIGITS_RATE, workers, ERLANG, "regular", DIGITS_TARGET)
        curves[workers] = (value, told)
        rows.append([f"{workers}", shown(value, error), shown(told)])
    print("softmax: done", flush=True)
    head = ["workers", "simulated", "predicted"]
    return Table(
        "Softmax on digits, learning rate 0.1: time to excess loss 0.06", head, rows
    ), curves


def curvature(network: Network, late: int, seed: int) -> float:
    """Return the largest curvature where SGD with fixed staleness first reaches the target.

    In plain NumPy, since runs do not keep parameters; nan if 4000 updates do not get there.
    """
    rng, x = np.random.default_rng(seed), network.start
    past = deque([x] * (late + 1), late + 1)
    for k in range(4001):
        if k % 50 == 0 and network.loss(x) <= NETWORK_TARGET:
            break
        rows = rng.integers(len(network.inputs), size=network.batch)
        x = x - NETWORK_RATE * network.gradient(past[0], rows)
        past.append(x)
    else:
        return math.nan
    direction, size = rng.normal(size=x.size), 0.0
    for _ in range(40):  # power iteration on differences of gradients
        direction /= np.linalg.norm(direction)
        step = 1e-4 * direction
        turned = (network.gradient(x + step) - network.gradient(x - step)) / 2e-4
        size, direction = float(direction @ turned), turned
    return size


def curvatures(quick: bool, seed: int) -> tuple[Table, float]:
    """Return the curvatures met with growing staleness, and the workers that the first allows."""
    network, rows, limit = Network.digits(hidden=(32,), batch=16, rng=1), [], 0.0
    for late in (0, 4) if quick else (0, 4, 8):
        met = np.array([curvature(network, late, seed + i) for i in range(4 if quick else 12)])
        met = met[np.isfinite(met)]
        if late == 0:
            limit = float(np.mean(0.5 + math.pi / 2 / (NETWORK_RATE * met)))
        most = theory.FixedStaleness(NETWORK_RATE, late).stability_limit / NETWORK_RATE
        rows.append([f"{late}", f"{met.size}", reporting.mean(met), Number(most)])
        print(f"curvature at staleness {late}: {met.mean():.3f}", flush=True)
    head = ["staleness", "runs that reach it", "largest curvature", "stable up to curvature"]
    return Table("Curvature of the network where loss 0.1 is reached", head, rows), limit


def perceptron(quick: bool, seed: int) -> tuple[Table, dict[int, Any]]:
    """Time to a training loss of a network."""
    runs, updates = (6, 2000) if quick else (12, 6000)
    network = Network.digits(hidden=(32,), batch=16, rng=1)
    rows, curves = [], {}
    for workers in (2, 8, 24) if quick else (1, 2, 4, 8, 10, 12, 14, 16, 20, 24):
        out = simulate(
            network, AsyncSGD(), System(ERLANG, workers=workers), learning_rate=NETWORK_RATE,
            updates=updates, runs=runs, rng=seed + workers, records=201,
        )  # fmt: skip
        cell, own = reporting.time_to(out, NETWORK_TARGET, updates / workers)
        missed = ~(out.loss <= NETWORK_TARGET).any(axis=1)
        curves[workers] = (float(own.mean()), float(missed.mean()))
        rows.append([f"{workers}", cell, reporting.share(missed)])
    print("network: done", flush=True)
    head = ["workers", "time to training loss 0.1", "share never there"]
    return Table("Network 64-32-10, learning rate 0.2", head, rows), curves


def study(quick: bool, seed: int) -> Result:
    """Return all tables and the verdicts."""
    one, plain = quadratic(quick, seed)
    two, updates = staleness()
    three, changed = sensitivity(seed)
    five, net = perceptron(quick, seed)
    six, limit = curvatures(quick, seed)
    tables = [one, two, three]
    real: dict[int, Any] = {}
    if not quick:
        four, real = digits(seed)
        tables.append(four)
    tables += [five, six]
    return Result(tables, judge(plain, updates, changed, net), (plain, updates, real, net, limit))


def judge(plain: Any, updates: Any, changed: Any, net: Any) -> list[Claim]:
    """Hold the statements of the two abstracts against what was measured."""
    best = {}
    for name in LAWS:
        own = {n: value for (law, n), (value, *_) in plain.items() if law == name}
        best[name] = min(own, key=lambda n: own[n] if math.isfinite(own[n]) else math.inf)
    inner = all(min(n for _, n in plain) < n < max(n for _, n in plain) for n in best.values())
    off = [abs(told / value - 1.0) for value, told, _ in plain.values() if math.isfinite(value)]
    rough = [abs(told / value - 1.0) for value, _, told in plain.values() if math.isfinite(value)]
    quickest = min(updates, key=lambda late: updates[late] if updates[late] > 0 else math.inf)
    times = {n: time for n, (time, missed) in net.items() if missed < 0.25}
    inside = min(times, key=lambda n: times[n])
    lost = [n for n, (_, missed) in net.items() if missed > 0.75]
    factors = [abs(a.value) / (abs(b.value) + 2.0 * b.error) for a, b in changed]
    return [
        Claim(
            "increasing the number of workers does not always accelerate training",
            "reproduced" if inner else "not reproduced",
            "fastest number of workers on the quadratic: "
            + ", ".join(f"{n} ({name})" for name, n in best.items())
            + f"; predictions off by {100 * np.median(off):.1f} % in the median with exact or "
            f"regular arrivals, by {100 * np.median(rough):.1f} % with Poisson arrivals",
        ),
        Claim(
            "a small staleness may slightly speed up training, a large one makes it diverge",
            "reproduced" if 0 < quickest < 60 and math.isnan(updates[80]) else "not reproduced",
            f"fewest updates at staleness {quickest}: {updates[0] / updates[quickest]:.2f} times "
            "fewer than without; no convergence from 80 on",
        ),
        Claim(
            "the mean convergence time is much more sensitive to staleness than to gradient noise",
            "reproduced"
            if min(factors) > 5
            else (
                "partly reproduced" if max(factors) > 5 and min(factors) > 1 else "not reproduced"
            ),
            "doubling the staleness moves it by "
            + ", ".join(f"{a.value:.0f} %" for a, _ in changed)
            + ", doubling the noise variance by "
            + ", ".join(f"{b.value:.1f} %" for _, b in changed),
        ),
        Claim(
            "the same holds for non-convex tasks",
            "reproduced" if inside not in (min(net), max(net)) and lost else "not reproduced",
            f"network: fastest with {inside} workers, most runs fail with "
            + (", ".join(map(str, lost)) or "none"),
        ),
    ]


def draw(drawing: Any) -> Any:
    """Draw the four studies side by side."""
    plain, updates, real, net, limit = drawing
    plt = reporting.style()
    figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(9.0, 6.6))
    for colour, name in zip(reporting.COLOURS, LAWS, strict=False):
        counts = [n for law, n in plain if law == name]
        value, better, poisson = ([plain[name, n][i] for n in counts] for i in range(3))
        a.plot(counts, value, "o", color=colour, label=f"{name} compute times")
        a.plot(counts, better, "-", color=colour)
        a.plot(counts, poisson, ":", color=colour)
    a.plot([], [], "-", color="0.4", label="theory, exact or regular arrivals")
    a.plot([], [], ":", color="0.4", label="theory, SDDE with Poisson arrivals")
    a.set(
        title="quadratic", xscale="log", yscale="log", xlabel="workers", ylim=(3, 320),
        ylabel="time to loss 2e-4 (mean compute times)",
    )  # fmt: skip
    a.legend(fontsize=7.5, loc="upper center")
    b.plot(list(updates), list(updates.values()), "o-", color=reporting.COLOURS[0])
    b.axvline(math.pi / (2 * RATE) - 0.5, color=reporting.COLOURS[1], linestyle="--")
    b.text(76.5, 500, "theory: diverges", rotation=90, fontsize=8.5, ha="right", va="center")
    b.set(
        title="quadratic, fixed staleness", xlabel="staleness (updates)", yscale="log",
        ylabel="updates to loss 1e-6", ylim=(100, 3000),
    )  # fmt: skip
    c.plot(list(real), [v[0] for v in real.values()], "o", label="simulated")
    c.plot(list(real), [v[1] for v in real.values()], "-", color="0.4", label="predicted")
    never = min((n for n, pair in real.items() if not any(map(math.isfinite, pair))), default=64)
    c.text(never, 40, "never, simulated\nand predicted", fontsize=8.5, ha="center")
    c.set(
        title="softmax on digits", xscale="log", yscale="log", xlabel="workers", xlim=(0.9, 64),
        ylabel="time to excess loss 0.06", ylim=(15, 600),
    )  # fmt: skip
    c.legend()
    kept = {n: value for n, (value, missed) in net.items() if missed < 0.25}
    lost = {n: value for n, (value, missed) in net.items() if missed >= 0.25}
    d.plot(list(kept), list(kept.values()), "o-", label="reached by most runs")
    d.plot(list(lost), list(lost.values()), "x", color=reporting.COLOURS[1],
           label="missed by a quarter or more (with all of their time)")  # fmt: skip
    d.axvline(limit, color=reporting.COLOURS[1], linestyle="--", label="workers by curvature")
    d.set(
        title="network on digits", xscale="log", yscale="log", xlabel="workers", ylim=(30, 800),
        ylabel="time to training loss 0.1",
    )  # fmt: skip
    d.legend(loc="lower left", fontsize=7.5)
    for ax, ticks in (
        (a, [5, 10, 20, 50, 100]), (b, [100, 200, 500, 1000, 2000]),
        (c, [20, 50, 100, 200, 500]), (d, [50, 100, 200, 500]),
    ):  # fmt: skip
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.yaxis.minorticks_off()
    for ax in (a, c, d):
        ax.xaxis.set_major_locator(plt.FixedLocator([1, 2, 4, 8, 16, 32, 64]))
        ax.xaxis.set_major_formatter(plt.ScalarFormatter())
        ax.xaxis.minorticks_off()
    return figure


if __name__ == "__main__":
    sys.exit(reporting.main(__file__, study, draw))
