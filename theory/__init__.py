"""Theory of delay systems and of asynchronous SGD: closed forms and quadrature.

Imports numpy, scipy and sympy only, and neither numba nor the simulator, so that it is an
independent witness of what the simulator measures. Public names are loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import conditions, symbolic, theorems
    from .async_sgd import AsyncSGD
    from .characteristic import (
        CriticalDamping,
        critical_damping,
        rightmost_roots,
        stability_limit,
    )
    from .chart import StabilityChart, stability_chart
    from .comparison import Comparison, compare
    from .compensated_sgd import CompensatedSGD
    from .compensation import CompensatedDelay, dc_asgd_quality
    from .condensing import condense
    from .conditions import Condition
    from .delay_system import DelaySystem
    from .event_triggered import EventTriggeredSGD
    from .hitting import mean_hitting_time
    from .jumps import jump_cumulants, with_jumps, with_state_dependent_jumps
    from .linearization import linearize
    from .links import LinkUse, shared_link
    from .pipeline_bias import DiscardingBias
    from .pipeline_flows import PipelineFlow, pipeline_flow
    from .pipeline_planning import PipelinePlan, PipelineRow, plan_pipeline
    from .plan_checking import Checked, CheckedLimit
    from .plan_cost import ParetoRow
    from .plan_search import PlanRow, model_of
    from .plan_sensitivity import Sensitivity
    from .plan_uncertainty import PlanInterval, plan_interval
    from .planning import Plan, plan
    from .runtimes import best_k_sync, order_statistic_mean, speed_up, time_per_update
    from .saddles import WorkerBounds, escape_factor, escape_updates, worker_bounds
    from .schedules import (
        Admissible,
        admissible,
        implicit_momentum,
        momentum_factors,
        staleness_error,
        tail_factors,
    )
    from .simulated_times import SimulatedTime
    from .staleness import Staleness, poisson_error, staleness_law
    from .staleness_models import FixedStaleness, IndependentStaleness, MemorylessWorkers
    from .synchronous import SynchronousSGD
    from .time_bounds import (
        Threshold,
        TimeBound,
        heterogeneous_time,
        minibatch_time,
        optimal_time,
        rennala_batch,
        ringmaster_limit,
    )
    from .worker_limits import BestDamping, best_damping

_HOMES = {
    # delay systems
    "DelaySystem": "delay_system",
    "jump_cumulants": "jumps",
    "mean_hitting_time": "hitting",
    "StabilityChart": "chart",
    "stability_chart": "chart",
    "linearize": "linearization",
    "with_jumps": "jumps",
    "with_state_dependent_jumps": "jumps",
    "CriticalDamping": "characteristic",
    "critical_damping": "characteristic",
    "rightmost_roots": "characteristic",
    "stability_limit": "characteristic",
    # asynchronous SGD
    "AsyncSGD": "async_sgd",
    "BestDamping": "worker_limits",
    "LinkUse": "links",
    "Staleness": "staleness",
    "best_damping": "worker_limits",
    "poisson_error": "staleness",
    "shared_link": "links",
    "staleness_law": "staleness",
    "Condition": "conditions",
    "Plan": "planning",
    "PlanRow": "plan_search",
    "ParetoRow": "plan_cost",
    "Sensitivity": "plan_sensitivity",
    "PlanInterval": "plan_uncertainty",
    "plan_interval": "plan_uncertainty",
    "CompensatedSGD": "compensated_sgd",
    "plan": "planning",
    # other exact models, published methods and their bounds
    "FixedStaleness": "staleness_models",
    "IndependentStaleness": "staleness_models",
    "MemorylessWorkers": "staleness_models",
    "best_k_sync": "runtimes",
    "order_statistic_mean": "runtimes",
    "speed_up": "runtimes",
    "time_per_update": "runtimes",
    "Threshold": "time_bounds",
    "TimeBound": "time_bounds",
    "heterogeneous_time": "time_bounds",
    "minibatch_time": "time_bounds",
    "optimal_time": "time_bounds",
    "rennala_batch": "time_bounds",
    "ringmaster_limit": "time_bounds",
    "Admissible": "schedules",
    "admissible": "schedules",
    "implicit_momentum": "schedules",
    "momentum_factors": "schedules",
    "staleness_error": "schedules",
    "tail_factors": "schedules",
    "WorkerBounds": "saddles",
    "escape_factor": "saddles",
    "escape_updates": "saddles",
    "worker_bounds": "saddles",
    "CompensatedDelay": "compensation",
    "dc_asgd_quality": "compensation",
    "model_of": "plan_search",
    "SynchronousSGD": "synchronous",
    "EventTriggeredSGD": "event_triggered",
    # pipelines of generators and a learner
    "DiscardingBias": "pipeline_bias",
    "PipelineFlow": "pipeline_flows",
    "PipelinePlan": "pipeline_planning",
    "PipelineRow": "pipeline_planning",
    "pipeline_flow": "pipeline_flows",
    "plan_pipeline": "pipeline_planning",
}
_HOMES |= {
    # theory against the simulator
    "Checked": "plan_checking",
    "CheckedLimit": "plan_checking",
    "Comparison": "comparison",
    "SimulatedTime": "simulated_times",
    "compare": "comparison",
    "condense": "condensing",
}
_MODULES = ("conditions", "symbolic", "theorems")

__all__ = [
    "DelaySystem", "with_jumps", "with_state_dependent_jumps", "jump_cumulants",
    "mean_hitting_time", "stability_chart", "StabilityChart", "linearize", "symbolic",
    "CriticalDamping", "critical_damping", "rightmost_roots", "stability_limit",
    "AsyncSGD", "Staleness", "staleness_law", "poisson_error", "LinkUse", "shared_link",
    "BestDamping", "best_damping", "plan", "Plan", "PlanRow", "Condition", "conditions",
    "FixedStaleness", "IndependentStaleness", "MemorylessWorkers", "best_k_sync",
    "order_statistic_mean", "speed_up", "time_per_update", "Threshold", "TimeBound",
    "heterogeneous_time", "minibatch_time", "optimal_time", "rennala_batch",
    "ringmaster_limit", "Admissible", "admissible", "implicit_momentum", "momentum_factors",
    "staleness_error", "tail_factors", "WorkerBounds", "escape_factor", "escape_updates",
    "worker_bounds", "CompensatedDelay", "dc_asgd_quality", "model_of", "theorems",
    "SynchronousSGD", "EventTriggeredSGD", "CompensatedSGD", "ParetoRow", "Sensitivity",
    "PlanInterval", "plan_interval",
    "compare", "Comparison", "condense", "Checked", "CheckedLimit",
    "SimulatedTime",
    "plan_pipeline", "PipelinePlan", "PipelineRow", "pipeline_flow", "PipelineFlow",
    "DiscardingBias",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde.theory' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
