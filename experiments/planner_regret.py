"""How good the planner's choices are: its regret on generated systems, by exhaustive simulation.

`python -m experiments.planner_regret [--quick] [--processes 4]`. For each system the plan of theory
alone and the plan refined by simulation are held against the best choice that exhaustive simulation
finds. All final times come from random numbers that no search has seen, the same for all choices.
Results are kept system by system, so that a study that was stopped goes on; the search is kept
apart, as it does not depend on the theory.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import regret_report
from experiments.regret_search import (
    Bench,
    Exhaustive,
    confirmed,
    largest_alpha,
    most_stable_workers,
)
from experiments.regret_systems import Case, case_of, cases
from sdde import cluster, theory

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = Path(__file__).with_suffix(".json")
SIMULATOR = ("clusters", "search", "systems")  # files that the searches come from
QUICK = (5, 19, 36, 45, 48, 62)  # of the systems: small ones, all kinds of question
SHORTEST = 1.5  # mean cycles that a target takes at least
MANY = 300  # workers up to which divergence is looked for in the number of workers


def searched(case: Case, seconds: float) -> dict[str, Any]:
    """Return the best choices by exhaustive simulation, and the target that they are for.

    A target out of reach is raised; one that is reached before the workers have delivered much more
    than once is lowered, while that is possible.
    """
    target, began, reached = case.target, time.process_time(), None
    for _ in range(10):
        search = search_of(case, target, seconds)
        try:
            soon = search.first_time()
        except RuntimeError:
            if reached is not None:
                break
            target *= 1.5
            continue
        reached = target
        if soon >= SHORTEST * search.bench.cycle(1):
            break
        target *= 0.6
    if reached is None:
        raise RuntimeError(f"{case.name}: no target within reach")
    best = search_of(case, reached, seconds).run()
    return {
        "target": reached, "best": [list(map(float, row)) for row in best],
        "seconds": time.process_time() - began,
    }  # fmt: skip


def search_of(case: Case, target: float, seconds: float) -> Exhaustive:
    """Return the search for a target."""
    bench = Bench(case.objective, case.system, target, 1)
    return Exhaustive(bench, case.learning_rate, case.most, seconds)


def answered(case: Case, known: dict[str, Any], seconds: float, budget: float) -> dict[str, Any]:
    """Return the plans with and without simulation, and how they fare."""
    case = replace(case, target=known["search"]["target"])
    began = time.process_time()
    plan = theory.plan(
        case.objective, case.system, target_loss=case.target, learning_rate=case.learning_rate,
        max_workers=case.most, methods=[cluster.AsyncSGD()], check="simulation", rng=2,
        budget=budget,
    )  # fmt: skip
    found: dict[str, Any] = {"plan_seconds": time.process_time() - began, "workers": None}
    if plan.checked is None:
        return found
    alone, checked = plan.checked.theory, plan.checked
    bench = Bench(case.objective, case.system, case.target, 3)

    def judged(workers: int, rate: float, guess: float) -> dict[str, Any]:
        return kept(
            known, f"time of {workers}, {rate:.12g}",
            lambda: judgement(bench, workers, rate, guess, seconds),
        )  # fmt: skip

    own = judged(alone.workers, alone.learning_rate, checked.predicted)
    after = judged(checked.workers, checked.learning_rate, checked.time_to_target)
    rivals = [judged(int(row[0]), row[1], row[2]) for row in known["search"]["best"]]
    winner = min([own, after, *rivals], key=lambda row: row["time"])
    rows = (("theory", own), ("checked", after), ("best", winner))
    short = {name: {k: v for k, v in row.items() if k != "curve"} for name, row in rows}
    return found | short | {
        "workers": alone.workers, "predicted": checked.predicted,
        "checked_predicted": checked.time_to_target,
        "curve": curve_error(case, alone, own["curve"]),
        **limits_of(case, bench, plan, alone, known),
        **checked_limit_of(case, bench, checked, known),
    }  # fmt: skip


def kept(known: dict[str, Any], name: str, make: Callable[[], Any]) -> Any:
    """Return a simulated number that is known already, or make it."""
    store = known.setdefault("simulated", {})
    if name not in store:
        with np.errstate(all="ignore"):  # of choices that diverge
            store[name] = make()
    return store[name]


def judgement(bench: Bench, workers: int, rate: float, guess: float, seconds: float) -> Any:
    """Return the simulated time and loss curve of a choice, as plain numbers."""
    found, moments = confirmed(bench, workers, rate, guess, seconds=seconds)
    loss = moments.losses(bench, rate)[-1]
    return {
        "workers": workers, "learning_rate": rate, "time": found.time, "error": found.error,
        "curve": [moments.times[1::4].tolist(), loss[1::4].tolist()],
    }  # fmt: skip


def curve_error(case: Case, choice: Any, curve: list[list[float]]) -> float:
    """Return the median relative error of the predicted curve where it is above twice its floor."""
    model = theory.model_of(
        case.objective, case.system, workers=choice.workers, learning_rate=choice.learning_rate
    )
    times, simulated = np.array(curve)
    predicted = np.asarray(model.loss(times, case.objective.start))
    above = simulated > 2.0 * model.loss_floor()
    if not above.any():
        return math.nan
    return float(np.median(np.abs(predicted[above] / simulated[above] - 1.0)))


def limits_of(
    case: Case, bench: Bench, plan: Any, alone: Any, known: dict[str, Any]
) -> dict[str, Any]:
    """Return the predicted and the simulated divergence limit, in workers where it is told so."""
    most = plan.limits.get("max_workers", math.inf)
    if case.learning_rate is not None and 1 <= most <= MANY:
        rate = case.learning_rate
        value, error = kept(
            known, "most workers", lambda: most_stable_workers(bench, rate, int(most))
        )
        return {"limit": "workers", "limit_predicted": most, "limit_simulated": value,
                "limit_error": error}  # fmt: skip
    model = theory.model_of(
        case.objective, case.system, workers=alone.workers, learning_rate=alone.learning_rate
    )
    predicted = model.max_learning_rate()
    value, error = largest_rate(bench, alone.workers, predicted, known)
    return {"limit": "learning rate", "limit_predicted": predicted,
            "limit_simulated": value, "limit_error": error}  # fmt: skip


def checked_limit_of(
    case: Case, bench: Bench, checked: Any, known: dict[str, Any]
) -> dict[str, Any]:
    """Return the limit that the package simulates, and that of the study, of the same kind."""
    limits = checked.limits
    if "max_workers" in limits:
        told = limits["max_workers"].simulated
        value, _ = kept(
            known, "most workers",
            lambda: most_stable_workers(bench, case.learning_rate or 0.0, int(told)),
        )  # fmt: skip
        return {"checked_limit": told, "checked_limit_simulated": value}
    told = limits["max_learning_rate"].simulated
    value, _ = largest_rate(bench, checked.workers, told, known)
    return {"checked_limit": told, "checked_limit_simulated": value}


def largest_rate(
    bench: Bench, workers: int, guess: float, known: dict[str, Any]
) -> tuple[float, float]:
    """Return the learning rate from which the mean square grows, and its standard error."""
    largest = float(bench.eigenvalues.max())
    value, error = kept(
        known, f"largest rate of {workers}",
        lambda: largest_alpha(bench, workers, guess * largest),
    )  # fmt: skip
    return value / largest, error / largest


def one(number: int, store: Path, quick: bool) -> str:
    """Do one system, or what is missing of it; return a line about it."""
    case = case_of(number)
    seconds = 0.3 if quick else 4.0
    file = store / f"{number:02d}.json"
    known = with_search(case, file, number, seconds)
    state = digest_of((ROOT / "theory").glob("*.py"))
    if known.get("theory") != state:
        known["answer"] = answered(case, known, seconds, 0.2 if quick else 4.0)
        known["theory"] = state
        _write(file, known)
    return regret_report.line(known)


def search_only(number: int, store: Path, quick: bool) -> str:
    """Do the exhaustive search of one system, if it is missing."""
    case = case_of(number)
    known = with_search(case, store / f"{number:02d}.json", number, 0.3 if quick else 4.0)
    return f"{case.name}: {known['search']}"


def with_search(case: Case, file: Path, number: int, seconds: float) -> dict[str, Any]:
    """Return what is known of a system: all there is, or a new search.

    Simulations of another simulator are not kept, nor searches for another margin.
    """
    known = json.loads(file.read_text()) if file.exists() else {}
    state = digest_of(Path(__file__).with_name(f"regret_{name}.py") for name in SIMULATOR)
    if known.get("simulator") != state:
        known = {"number": number, "name": case.name, "facts": case.facts, "simulator": state}
        with np.errstate(all="ignore"):  # of choices that diverge
            known["search"] = searched(case, seconds)
        _write(file, known)
    return known


def digest_of(paths: Iterable[Path]) -> str:
    """Return a digest of files: what was made by others is not kept."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _write(file: Path, known: dict[str, Any]) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(known, indent=1))
    part.replace(file)


def _without_curves(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "simulated"}


def main(arguments: Any = None) -> int:
    """Run the study; 0 means that it ran and, in full, that checked plans meet the targets."""
    parser = argparse.ArgumentParser(prog="python -m experiments.planner_regret")
    parser.add_argument("--quick", action="store_true", help="6 systems, under a minute")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--store", type=Path, default=Path("planner_regret_store"))
    parser.add_argument("--search-only", action="store_true", help="no plans, only the searches")
    parser.add_argument("--commit", action="store_true", help="write the JSON, page and figure")
    options = parser.parse_args(arguments)
    numbers = list(QUICK) if options.quick else list(range(len(cases())))
    store = options.store / ("quick" if options.quick else "full")
    store.mkdir(parents=True, exist_ok=True)
    work = search_only if options.search_only else one
    failed = 0
    with ProcessPoolExecutor(max(options.processes, 1)) as pool:
        futures = [pool.submit(work, number, store, options.quick) for number in numbers]
        for number, future in zip(numbers, futures, strict=True):
            try:
                print(future.result(), flush=True)
            except Exception as error:
                failed += 1
                print(f"{number:02d}: {type(error).__name__}: {error}", flush=True)
    if options.search_only:
        return int(failed > 0)
    rows = [json.loads(path.read_text()) for path in sorted(store.glob("??.json"))]
    rows = [_without_curves(row) for row in rows if "answer" in row]
    summary = regret_report.summary(rows)
    print("\n" + regret_report.text(summary, rows))
    if options.commit:
        regret_report.commit(NUMBERS, summary, rows)
    met = not failed and len(rows) == len(numbers) and (options.quick or summary["met"])
    print("PASS" if met else "FAIL")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
