"""One right call of everything public: what fuzzing then spoils, argument by argument.

Each entry is a callable and its right arguments by name; `use` is what is done with the value that
it returns, so that what was accepted is also put to work.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

import sdde
from sdde import cluster, models, theory
from sdde.solving.saving import plan_saves


class Call(NamedTuple):
    """A right call, and what to do with its value."""

    function: Any
    arguments: dict[str, Any]
    use: Any = None


def decay(t, x, delayed):
    return -x


def late(t, x, delayed):
    return -delayed[0]


def sine(t):
    return 0.5 + 0.1 * t


def follow(t, x):
    return 0.5 + 0.0 * x


def reversal(t, x, delayed):
    return x - 0.5


def push(t, x, delayed, mark):
    return -0.1 * x * mark


def last(x):
    return x


def chart_system(x, y):
    return theory.DelaySystem(-abs(x), -y, 1.0)


def inverse_root(k):
    return 1.0 / np.sqrt(k)


def one_before(k):
    return k - 1.0


def gradient(x):
    return x


def square(x):
    return 0.5 * float(np.sum(x * x))


INPUTS = np.random.default_rng(1).normal(size=(12, 3))
LABELS = np.arange(12) % 3
NOISY = sdde.Problem(late, 0.1, delays=0.5, history=1.0)
SOLUTION = sdde.Solution(
    problem=NOISY, times=plan_saves("all", 0.0, 1.0, 0.1), x=np.zeros((3, 11)),
    status=np.array(["done"] * 3), end_time=np.ones(3), t_span=(0.0, 1.0), dt=0.1,
    method="euler-maruyama", seed=1,
)  # fmt: skip
BOWL = cluster.Quadratic([1.0, 0.5], noise=0.1)
MACHINES = cluster.System(scipy.stats.expon())
TRACE = {
    "worker": np.arange(40) % 4, "read_time": np.arange(40.0), "apply_time": np.arange(40.0) + 4.0,
    "read_version": np.arange(40), "apply_version": np.arange(40) + 3,
}  # fmt: skip
SYSTEM = theory.DelaySystem(-0.5, -1.0, 1.0, noise=0.3)
SLOW = theory.DelaySystem(0.0, -0.2, 1.0, noise=0.1)
MODEL = theory.AsyncSGD([1.0], learning_rate=0.05, workers=4, compute_time=1.0)


def solved(problem):
    sdde.solve(problem, (0.0, 0.3), dt=0.1, rng=1)


def delayed_by(delay):
    solved(sdde.Problem(late, delays=delay, history=1.0))


def trained(objective):
    cluster.simulate(
        objective, cluster.AsyncSGD(), MACHINES, learning_rate=0.1, workers=2, updates=5, rng=1
    )


def trained_by(method):
    cluster.simulate(BOWL, method, MACHINES, learning_rate=0.1, workers=2, updates=5, rng=1)


def trained_on(system):
    workers = None if system.workers is not None else 2
    cluster.simulate(
        BOWL, cluster.AsyncSGD(), system, learning_rate=0.1, workers=workers, updates=5, rng=1
    )


def composed(part):
    return functools.partial(_composed, part)


def _composed(part, value):
    trained_by(cluster.Composed(**{part: value}))


def asked(*names):
    """Return a use that reads properties and calls methods by name."""

    def use(value):
        for name in names:
            found = getattr(value, name)
            if callable(found):
                found()

    return use


ABOUT_DELAYS = asked(
    "roots", "abscissa", "is_stable", "delay_margin", "mean_square_index", "is_mean_square_stable"
)
ABOUT_SGD = asked(
    "update_rate", "damping", "rate", "is_stable", "is_mean_square_stable", "loss_floor",
    "max_learning_rate",
)  # fmt: skip
TIMES = {"smoothness": 1.0, "initial_loss": 1.0, "variance": 0.1, "target": 0.01}
SGD = {"learning_rate": 0.05, "workers": 4, "compute_time": 1.0}

CALLS: dict[str, Call] = {
    # equations
    "Problem": Call(sdde.Problem, {"drift": decay, "history": 1.0}, solved),
    "TimeDelay": Call(sdde.TimeDelay, {"function": sine, "longest": 1.0}, delayed_by),
    "StateDelay": Call(sdde.StateDelay, {"function": follow, "longest": 1.0}, delayed_by),
    "RandomDelay": Call(
        sdde.RandomDelay, {"law": scipy.stats.uniform(), "longest": 1.0}, delayed_by
    ),
    "DistributedDelay": Call(
        sdde.DistributedDelay, {"kernel": scipy.stats.uniform(), "longest": 1.0}, delayed_by
    ),
    "Jump": Call(
        sdde.Jump,
        {"rate": 1.0, "effect": push, "mark": 1.0},
        lambda jump: solved(sdde.Problem(decay, history=1.0, jumps=jump)),
    ),
    # solving
    "solve": Call(sdde.solve, {"problem": NOISY, "t_span": (0.0, 1.0), "dt": 0.1}),
    "solve_adaptively": Call(
        sdde.solve_adaptively,
        {"problem": NOISY, "t_span": (0.0, 1.0), "dt": 0.25, "tolerance": 0.1, "halvings": 3},
    ),
    "Moments": Call(
        sdde.Moments,
        {},
        lambda save: sdde.solve(NOISY, (0.0, 0.3), dt=0.1, rng=1, paths=3, save=save),
    ),
    "Functional": Call(
        sdde.Functional,
        {"function": reversal, "kind": "maximum"},
        lambda one: sdde.solve(NOISY, (0.0, 0.3), dt=0.1, rng=1, functionals={"one": one}),
    ),
    "Hit": Call(
        sdde.Hit,
        {"function": reversal},
        lambda hit: sdde.solve(NOISY, (0.0, 0.3), dt=0.1, rng=1, until=hit),
    ),
    "Brownian": Call(
        sdde.Brownian,
        {"rng": 1, "finest": 0.1},
        lambda noise: sdde.solve(NOISY, (0.0, 0.3), dt=0.1, noise=noise),
    ),
    "Brownian.from_increments": Call(
        sdde.Brownian.from_increments, {"increments": np.ones((1, 5, 1)), "dt": 0.1}
    ),
    "Brownian.increments": Call(
        sdde.Brownian(1, 0.1).increments, {"dt": 0.1, "steps": 3, "paths": 2, "channels": 1}
    ),
    "Brownian.path": Call(sdde.Brownian(1, 0.1).path, {"t": [0.0, 0.1]}),
    "convergence": Call(
        sdde.convergence,
        {
            "problem": NOISY,
            "methods": "euler-maruyama",
            "dts": [0.25, 0.125],
            "t_span": (0.0, 1.0),
            "paths": 64,
        },
    ),
    "multilevel": Call(
        sdde.multilevel,
        {
            "problem": NOISY,
            "functional": last,
            "tolerance": 0.1,
            "t_span": (0.0, 1.0),
            "dt": 0.25,
            "pilot": 64,
            "max_levels": 3,
        },
    ),
    "Solution.quantile": Call(SOLUTION.quantile, {"q": 0.5}),
    "Solution.path": Call(SOLUTION.path, {"i": 0}),
    "Solution.autocovariance": Call(SOLUTION.autocovariance, {"lag": 0.1}),
    "Solution.extend": Call(SOLUTION.extend, {"t1": 1.5}),
    # machines, objectives, methods
    "System": Call(cluster.System, {"compute_time": 1.0}, trained_on),
    "SharedLink": Call(
        cluster.SharedLink,
        {"law": 0.1},
        lambda link: trained_on(cluster.System(1.0, communication=link)),
    ),
    "Drifting": Call(
        cluster.Drifting,
        {"law": 1.0, "times": [0.0, 1.0], "factors": [1.0, 2.0]},
        lambda law: trained_on(cluster.System(law)),
    ),
    "Replay": Call(
        cluster.Replay, {"durations": [1.0, 2.0, 0.5]}, lambda law: trained_on(cluster.System(law))
    ),
    "Outages": Call(
        cluster.Outages,
        {"up": 5.0, "down": 1.0},
        lambda outages: trained_on(cluster.System(1.0, outages=outages)),
    ),
    "PlannedOutages": Call(
        cluster.PlannedOutages,
        {"intervals": [[[1.0, 2.0]], []]},
        lambda outages: trained_on(cluster.System(1.0, outages=outages)),
    ),
    "Quadratic": Call(cluster.Quadratic, {"eigenvalues": [1.0, 0.5]}, trained),
    "DenseQuadratic": Call(cluster.DenseQuadratic, {"hessian": np.eye(2)}, trained),
    "Logistic": Call(cluster.Logistic, {"inputs": INPUTS, "labels": LABELS % 2}, trained),
    "Softmax": Call(cluster.Softmax, {"inputs": INPUTS, "labels": LABELS}, trained),
    "Network": Call(cluster.Network, {"inputs": INPUTS, "labels": LABELS}, trained),
    "MatrixFactorisation": Call(
        cluster.MatrixFactorisation, {"target": np.ones((3, 4)), "rank": 2}, trained
    ),
    "Objective.from_callables": Call(
        cluster.Objective.from_callables,
        {"gradient": gradient, "loss": square, "dim": 2, "compile": False},
        trained,
    ),
    "rosenbrock": Call(cluster.rosenbrock, {}, trained),
    "strict_saddle": Call(cluster.strict_saddle, {}, trained),
    "log_well": Call(cluster.log_well, {}, trained),
    "star_well": Call(cluster.star_well, {}, trained),
    "simulate": Call(
        cluster.simulate,
        {
            "objective": BOWL,
            "method": cluster.AsyncSGD(),
            "system": MACHINES,
            "learning_rate": 0.1,
            "workers": 2,
            "updates": 10,
        },
    ),
    "simulate_staleness": Call(
        cluster.simulate_staleness,
        {
            "objective": BOWL,
            "staleness": cluster.PrescribedStaleness("bounded", 1),
            "learning_rate": 0.1,
            "updates": 10,
        },
    ),
    "PrescribedStaleness": Call(
        cluster.PrescribedStaleness,
        {"kind": "bounded", "amount": 1},
        lambda staleness: cluster.simulate_staleness(BOWL, staleness, learning_rate=0.1, updates=5),
    ),
    "Trace": Call(
        cluster.Trace, {"data": TRACE}, asked("staleness", "update_rate", "check", "system")
    ),
    "Trace.compute_time": Call(cluster.Trace(TRACE).compute_time, {"worker": 0}),
    "Trace.law": Call(cluster.Trace(TRACE).law, {"worker": 0}),
    "Trace.system": Call(cluster.Trace(TRACE).system, {}),
    # theory of delays
    "DelaySystem": Call(
        theory.DelaySystem,
        {"instant": -0.5, "delayed": -1.0, "delays": 1.0, "noise": 0.3},
        ABOUT_DELAYS,
    ),
    "DelaySystem.roots": Call(SYSTEM.roots, {"count": 2}),
    "DelaySystem.fundamental": Call(SYSTEM.fundamental, {"t": 1.0}),
    "DelaySystem.mean": Call(SYSTEM.mean, {"t": 1.0, "history": 1.0}),
    "DelaySystem.variance": Call(SYSTEM.variance, {"t": 1.0}),
    "DelaySystem.covariance": Call(SYSTEM.covariance, {"lag": 1.0}),
    "DelaySystem.spectral_density": Call(SYSTEM.spectral_density, {"frequency": 1.0}),
    "DelaySystem.euler_maruyama": Call(
        SYSTEM.euler_maruyama, {"dt": 0.25}, asked("covariance", "is_stable")
    ),
    "DelaySystem.hitting_time": Call(SYSTEM.hitting_time, {"level": 0.1, "history": 1.0}),
    "DelaySystem.settling_time": Call(SYSTEM.settling_time, {"level": 0.1, "history": 1.0}),
    "with_jumps": Call(theory.with_jumps, {"system": SYSTEM, "rate": 1.0, "size": 0.1}),
    "with_state_dependent_jumps": Call(
        theory.with_state_dependent_jumps, {"system": SYSTEM, "rate": 1.0, "size": 0.1}
    ),
    "jump_cumulants": Call(theory.jump_cumulants, {"system": SYSTEM, "rate": 1.0, "size": 0.1}),
    "mean_hitting_time": Call(
        theory.mean_hitting_time, {"system": SLOW, "level": 0.1, "start": 1.0}
    ),
    "stability_chart": Call(
        theory.stability_chart,
        {"system_of": chart_system, "x_values": [0.1, 0.5], "y_values": [0.5, 1.0, 3.0]},
    ),
    "linearize": Call(theory.linearize, {"problem": NOISY, "x": 0.0}),
    "critical_damping": Call(theory.critical_damping, {"law": 1.0}),
    "stability_limit": Call(theory.stability_limit, {"law": 1.0}),
    "rightmost_roots": Call(theory.rightmost_roots, {"damping": [0.1, 1.0]}),
    # theory of asynchronous SGD
    "AsyncSGD": Call(theory.AsyncSGD, {"eigenvalues": [1.0, 0.5]} | SGD, ABOUT_SGD),
    "AsyncSGD.loss": Call(MODEL.loss, {"t": [0.0, 1.0]}),
    "AsyncSGD.time_to": Call(MODEL.time_to, {"loss": 0.01}),
    "AsyncSGD.mean_hitting_time": Call(
        theory.AsyncSGD([1.0], gradient_noise=0.1, **SGD).mean_hitting_time,
        {"level": 0.1, "start": 1.0},
    ),
    "AsyncSGD.problem": Call(MODEL.problem, {}),
    "SynchronousSGD": Call(
        theory.SynchronousSGD,
        {"eigenvalues": [1.0, 0.5], "method": cluster.KSync(2)} | SGD,
        asked("update_rate", "damping", "rate", "is_stable", "loss_floor", "max_learning_rate"),
    ),
    "EventTriggeredSGD": Call(
        theory.EventTriggeredSGD,
        {"eigenvalue": 1.0, "threshold": 0.1, "gradient_noise": 0.1} | SGD,
        lambda model: model.loss(1.0),
    ),
    "staleness_law": Call(theory.staleness_law, {"law": 1.0, "workers": 4}),
    "poisson_error": Call(theory.poisson_error, {"law": 1.0, "workers": 4}),
    "shared_link": Call(
        theory.shared_link,
        {"workers": 4, "think_time": 1.0, "link_time": scipy.stats.expon(scale=0.1)},
    ),
    "best_damping": Call(theory.best_damping, {"law": 1.0, "condition_number": 4.0}),
    "plan": Call(
        theory.plan,
        {
            "objective": BOWL,
            "system": MACHINES,
            "target_loss": 0.05,
            "learning_rate": 0.05,
            "max_workers": 20,
        },
        lambda plan: plan.explain(),
    ),
    "model_of": Call(
        theory.model_of,
        {"objective": BOWL, "system": MACHINES, "workers": 4, "learning_rate": 0.05},
        ABOUT_SGD,
    ),
    "condense": Call(theory.condense, {"objective": BOWL, "modes": 2}),
    "conditions.check": Call(theory.conditions.check, {"model": MODEL, "target_loss": 0.1}),
    # exact models, published bounds
    "FixedStaleness": Call(
        theory.FixedStaleness,
        {"alpha": 0.1, "staleness": 3},
        asked("rate", "is_stable", "variance"),
    ),
    "IndependentStaleness": Call(
        theory.IndependentStaleness,
        {"alpha": 0.1, "pmf": np.array([0.5, 0.5])},
        asked("rate", "is_stable", "is_mean_square_stable", "variance"),
    ),
    "MemorylessWorkers": Call(
        theory.MemorylessWorkers,
        {"alpha": 0.1, "workers": 4},
        asked("rate", "is_stable", "variance"),
    ),
    "best_k_sync": Call(theory.best_k_sync, {"law": scipy.stats.expon(), "workers": 4}),
    "order_statistic_mean": Call(
        theory.order_statistic_mean, {"law": scipy.stats.expon(), "k": 2, "workers": 4}
    ),
    "speed_up": Call(theory.speed_up, {"law": scipy.stats.expon(), "workers": 4}),
    "time_per_update": Call(
        theory.time_per_update,
        {"law": scipy.stats.expon(), "workers": 4, "k": 2, "variant": "k-sync"},
    ),
    "heterogeneous_time": Call(theory.heterogeneous_time, {"times": [1.0, 2.0]} | TIMES),
    "minibatch_time": Call(theory.minibatch_time, {"times": [1.0, 2.0]} | TIMES),
    "optimal_time": Call(theory.optimal_time, {"times": [1.0, 2.0]} | TIMES),
    "rennala_batch": Call(theory.rennala_batch, {"variance": 0.1, "target": 0.01}),
    "ringmaster_limit": Call(
        theory.ringmaster_limit, {"times": [1.0, 2.0], "variance": 0.1, "target": 0.01}
    ),
    "admissible": Call(theory.admissible, {"growth": "linear", "law": "1/k"}),
    "implicit_momentum": Call(theory.implicit_momentum, {"workers": 4}),
    "momentum_factors": Call(theory.momentum_factors, {"pmf": [0.5, 0.5], "momentum": 0.5}),
    "tail_factors": Call(theory.tail_factors, {"pmf": [0.5, 0.5]}),
    "staleness_error": Call(
        theory.staleness_error, {"rate": inverse_root, "read": one_before, "updates": 50}
    ),
    "escape_factor": Call(theory.escape_factor, {"alpha": 0.1, "staleness": 3}),
    "escape_updates": Call(theory.escape_updates, {"alpha": 0.1, "staleness": 3, "growth": 10.0}),
    "worker_bounds": Call(theory.worker_bounds, {"updates": 1000.0, "batch": 1.0}),
    "CompensatedDelay": Call(
        theory.CompensatedDelay,
        {"damping": 0.5, "quality": 0.5},
        asked("rate", "is_stable", "stability_limit"),
    ),
    "dc_asgd_quality": Call(
        theory.dc_asgd_quality, {"compensation": 0.1, "eigenvalue": 1.0, "noise": 0.1}
    ),
}
METHODS = {
    "AsyncSGD": {}, "SequentialSGD": {}, "Hogwild": {}, "Ringleader": {},
    "ActorLearner": {"k": 2, "budget": 4}, "StalenessBudget": {"budget": 4}, "Synchronous": {},
    "KSync": {"k": 2}, "KBatchSync": {"k": 2}, "KAsync": {"k": 2}, "KBatchAsync": {"k": 2},
    "APSGD": {"batch": 2}, "Rennala": {"batch": 2}, "Malenia": {"batch": 2}, "FedBuff": {"k": 2},
    "StaleSynchronous": {"lead": 2}, "StalenessThreshold": {"limit": 3}, "Ringmaster": {"limit": 3},
    "AgeThreshold": {"age": 3.0}, "RandomThinning": {"keep": 0.5}, "EventTriggered": {"norm": 0.01},
    "Picky": {"distance": 1.0}, "StalenessAware": {}, "DelayAdaptive": {},
    "ConcurrencyCapped": {"smoothness": 1.0}, "FLeet": {}, "TailTau": {}, "MindTheStep": {},
    "StalenessTable": {"weights": [1.0, 0.5]}, "DistanceAdaptive": {"constant": 1.0},
    "DelayCompensated": {"strength": 0.1}, "Composed": {},
}  # fmt: skip
PARTS = {
    "waiting": {"Group": {}, "BalancedGroup": {"size": 2}, "Lead": {"most": 2},
    "GradientTable": {}},
    "admission": {
        "Fresh": {"limit": 3}, "Young": {"age": 3.0}, "Chance": {"keep": 0.5},
        "Large": {"norm": 0.01},
        "Near": {"distance": 1.0},
    },
    "rate": {
        "Inverse": {}, "Adaptive": {}, "Capped": {"smoothness": 1.0}, "Power": {"power": 0.5},
        "Decay": {},
        "Tail": {}, "Table": {"weights": [1.0, 0.5]}, "InverseDistance": {"constant": 1.0},
        "ImplicitMomentum": {"momentum": 0.5},
    },
    "schedule": {
        "Schedule": {"kind": "power"}, "Steps": {"at": (2, 4)}, "Cosine": {"updates": 10},
    },
    "compensation": {"Compensation": {"strength": 0.1}},
    "projection": {"Ball": {"radius": 1.0}, "Box": {"lowest": -1.0, "highest": 1.0}},
    "memory": {"Piecewise": {"blocks": 2}},
}  # fmt: skip
CALLS |= {
    f"cluster.{name}": Call(getattr(cluster, name), given, trained_by)
    for name, given in METHODS.items()
}
CALLS |= {
    name: Call(getattr(cluster, name), given, composed(part))
    for part, members in PARTS.items()
    for name, given in members.items()
}
MODELS: dict[str, dict[str, Any]] = {
    "delayed_ornstein_uhlenbeck": {"rate": 1.0, "delay": 0.5, "noise": 0.1},
    "hayes": {"instant": -0.5, "delayed": -1.0, "delay": 0.5},
    "geometric": {"instant": -0.5, "delayed": -1.0, "delay": 0.5},
    "delayed_oscillator": {"damping": 0.1, "stiffness": 1.0, "delay": 0.5},
}
CALLS |= {
    name: Call(getattr(models, name), MODELS.get(name, {}), solved) for name in models.__all__
}
# Values that the package makes, and errors.
MADE = {
    "Solution", "Equations", "Convergence", "MeasuredOrder", "Multilevel", "Level", "Error",
    "ArgumentError", "CompileError", "SolutionWarning", "Runs", "LiveRun", "StabilityChart",
    "CriticalDamping", "Staleness", "LinkUse", "BestDamping", "Plan", "PlanRow", "Condition",
    "Threshold",
    "TimeBound", "Admissible", "WorkerBounds", "Comparison", "Objective",
}  # fmt: skip
