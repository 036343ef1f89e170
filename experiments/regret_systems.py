"""The systems of the planner's regret study: generated, each from its own number.

Every kind of law meets systems with and without a shared link, fixed and free learning rates, near
and far targets; spectra, noise and sizes are drawn. Time is in units of the mean computation.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats as st

from sdde import cluster

LAWS = (
    "constant", "exponential", "gamma", "lognormal", "Pareto", "shifted exponential", "uniform",
    "empirical", "heterogeneous",
)  # fmt: skip
NOISES = {"none": 0.0, "weak": 1e-3, "strong": 0.02, "dominant": 0.1}  # floor over first loss
EACH = 7  # systems of each law


@dataclass(frozen=True, eq=False)
class Case:
    """One question for the planner.

    Attributes
    ----------
    name : str
    facts : dict
        What was drawn, in words and numbers.
    objective, system
    learning_rate : float or None
        None: the planner chooses.
    most : int
        Most workers.
    target : float
    """

    name: str
    facts: dict[str, Any]
    objective: cluster.Quadratic
    system: cluster.System
    learning_rate: float | None
    most: int
    target: float


def cases() -> list[Case]:
    """Return all systems of the study."""
    return [case_of(number) for number in range(EACH * len(LAWS))]


def case_of(number: int) -> Case:
    """Return system number `number`."""
    rng = np.random.default_rng([20261121, number])
    law, place = LAWS[number % len(LAWS)], number // len(LAWS)
    free = place % 2 == 1
    linked = place // 2 % 2 == 1 and law != "heterogeneous"
    near = (place // 4 + number) % 2 == 1
    noise = list(NOISES)[(number + place) % 4]
    alpha = math.exp(rng.uniform(math.log(0.01), math.log(0.5)))
    most = int(rng.choice([4, 8, 16, 32])) if free else int(np.clip(round(3.0 / alpha), 6, 150))
    compute, about = compute_time(law, rng, most)
    if law == "heterogeneous":
        most = len(compute)
    system = cluster.System(compute)
    if linked:
        mean = math.exp(rng.uniform(math.log(0.02), math.log(0.2)))
        transfer = mean if rng.random() < 0.5 else st.expon(scale=mean)
        about += f", {'constant' if transfer == mean else 'exponential'} transfers of {mean:.3g}"
        system = cluster.System(compute, communication=cluster.SharedLink(transfer))
    size = int(rng.choice([1, 1, 2, 5, 16, 50]))
    condition = 1.0 if size == 1 else math.exp(rng.uniform(0.0, math.log(1000.0)))
    condition = min(condition, max(2e4 * alpha, 10.0)) if size > 1 else 1.0
    inner = np.exp(rng.uniform(-math.log(condition), 0.0, max(size - 2, 0)))
    values = np.sort(np.unique(np.concatenate([[1.0 / condition], inner, [1.0]])))
    start = 1.0 / np.sqrt(values) if rng.random() < 0.5 else np.ones(values.size)
    first = float(0.5 * np.sum(values * start**2))
    share = NOISES[noise]
    sigma = math.sqrt(4.0 * share * first / (values.size * alpha))
    if share:
        far = (2.5, 4.5) if noise == "dominant" else (5.0, 20.0)
        target = share * first * rng.uniform(*((1.3, 2.5) if near else far))
        target = min(target, 0.5 * first)
    else:
        target = first * 10.0 ** -(rng.uniform(0.5, 1.0) if near else rng.uniform(1.5, 3.0))
    facts = {
        "law": law, "times": about, "link": linked, "eigenvalues": int(values.size),
        "condition": condition, "alpha": alpha, "noise": noise, "near": near, "free": free,
        "most": most,
    }  # fmt: skip
    return Case(
        f"{number:02d} {law}", facts,
        cluster.Quadratic(values, noise=sigma, start=start), system, None if free else alpha, most,
        target,
    )  # fmt: skip


def compute_time(law: str, rng: np.random.Generator, most: int) -> tuple[Any, str]:
    """Return a law of mean one (or one for each worker), and its description."""
    match law:
        case "constant":
            return 1.0, "constant"
        case "exponential":
            return st.expon(), "exponential"
        case "gamma":
            shape = float(rng.choice([1.5, 2.0, 4.0, 10.0, 30.0]))
            return st.gamma(shape, scale=1.0 / shape), f"gamma {shape:g}"
        case "lognormal":
            s = rng.uniform(0.2, 1.0)
            return st.lognorm(s, scale=math.exp(-0.5 * s * s)), f"lognormal {s:.3f}"
        case "Pareto":
            b = rng.uniform(2.2, 5.0)
            return st.pareto(b, scale=(b - 1.0) / b), f"Pareto {b:.3f}"
        case "shifted exponential":
            s = rng.uniform(0.3, 0.9)
            return st.expon(loc=s, scale=1.0 - s), f"{s:.3f} + exponential"
        case "uniform":
            w = rng.uniform(0.2, 1.0)
            return st.uniform(1.0 - w, 2.0 * w), f"uniform 1 ± {w:.3f}"
        case "empirical":
            times = rng.gamma(8.0, 1.0 / 8.0, 300)
            slow = rng.random(300) < rng.uniform(0.02, 0.2)
            times = np.where(slow, times * rng.uniform(2.0, 5.0), times)
            return times / times.mean(), "300 measurements, some slow"
    count = int(min(max(most, 4), rng.integers(8, 33)))
    means = np.exp(rng.uniform(0.0, math.log(4.0), count))
    kind = rng.choice(["constant", "exponential", "gamma"])
    laws: list[Any] = [float(mean) for mean in means]
    if kind == "exponential":
        laws = [st.expon(scale=mean) for mean in means]
    if kind == "gamma":
        laws = [st.gamma(4.0, scale=mean / 4.0) for mean in means]
    return laws, f"{count} workers, {kind}, means 1 to 4"
