"""The discrete system that the SDDE approximates: workers, a server, staleness, event by event.

Public names are loaded when first used, so that plain values can be read without numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdde.cluster.changing import Drifting, Outages, PlannedOutages, Replay
    from sdde.cluster.dense_quadratic import DenseQuadratic
    from sdde.cluster.dropping_methods import (
        AgeThreshold,
        EventTriggered,
        Picky,
        RandomThinning,
        Ringmaster,
        StalenessThreshold,
    )
    from sdde.cluster.factorisation import MatrixFactorisation
    from sdde.cluster.live_run import LiveRun, live
    from sdde.cluster.logistic import Logistic
    from sdde.cluster.measurement import Measurement
    from sdde.cluster.measuring import measure
    from sdde.cluster.methods import (
        APSGD,
        AsyncSGD,
        FedBuff,
        Hogwild,
        KAsync,
        KBatchAsync,
        KBatchSync,
        KSync,
        Malenia,
        Rennala,
        Ringleader,
        SequentialSGD,
        StaleSynchronous,
        Synchronous,
    )
    from sdde.cluster.network import Network
    from sdde.cluster.objective import Objective
    from sdde.cluster.pipeline_methods import ActorLearner, StalenessBudget
    from sdde.cluster.prescribed import PrescribedStaleness, simulate_staleness
    from sdde.cluster.projections import Ball, Box
    from sdde.cluster.quadratic import Quadratic
    from sdde.cluster.ready_objectives import log_well, rosenbrock, star_well, strict_saddle
    from sdde.cluster.rules import (
        BalancedGroup,
        Chance,
        Composed,
        Fresh,
        GradientTable,
        Group,
        Large,
        Lead,
        Near,
        Piecewise,
        Young,
    )
    from sdde.cluster.runs import Runs
    from sdde.cluster.simulation import simulate
    from sdde.cluster.softmax import Softmax
    from sdde.cluster.system import SharedLink, System
    from sdde.cluster.trace_log import Trace
    from sdde.cluster.trace_reading import packaged_trace
    from sdde.cluster.trace_writing import TraceWriter
    from sdde.cluster.weighted_methods import (
        ConcurrencyCapped,
        DelayAdaptive,
        DelayCompensated,
        DistanceAdaptive,
        FLeet,
        MindTheStep,
        StalenessAware,
        StalenessTable,
        TailTau,
    )
    from sdde.cluster.weights import (
        Adaptive,
        Capped,
        Compensation,
        Cosine,
        Decay,
        ImplicitMomentum,
        Inverse,
        InverseDistance,
        Power,
        Schedule,
        Steps,
        Table,
        Tail,
    )

_HOMES = {
    "Quadratic": "quadratic",
    "Network": "network",
    "Objective": "objective",
    "PrescribedStaleness": "prescribed",
    "simulate_staleness": "prescribed",
    "DenseQuadratic": "dense_quadratic",
    "Logistic": "logistic",
    "MatrixFactorisation": "factorisation",
    "measure": "measuring",
    "Measurement": "measurement",
    "rosenbrock": "ready_objectives",
    "strict_saddle": "ready_objectives",
    "log_well": "ready_objectives",
    "star_well": "ready_objectives",
    "Runs": "runs",
    "SharedLink": "system",
    "Softmax": "softmax",
    "System": "system",
    "Trace": "trace_log",
    "TraceWriter": "trace_writing",
    "LiveRun": "live_run",
    "live": "live_run",
    "packaged_trace": "trace_reading",
    "simulate": "simulation",
    "AsyncSGD": "methods",
    "Synchronous": "methods",
    "SequentialSGD": "methods",
    "Hogwild": "methods",
    "Piecewise": "rules",
    "Ringleader": "methods",
    "ActorLearner": "pipeline_methods",
    "StalenessBudget": "pipeline_methods",
    "Steps": "weights",
    "Cosine": "weights",
    "KSync": "methods",
    "KBatchSync": "methods",
    "KAsync": "methods",
    "KBatchAsync": "methods",
    "APSGD": "methods",
    "Rennala": "methods",
    "Malenia": "methods",
    "FedBuff": "methods",
    "StaleSynchronous": "methods",
    "StalenessThreshold": "dropping_methods",
    "Ringmaster": "dropping_methods",
    "AgeThreshold": "dropping_methods",
    "RandomThinning": "dropping_methods",
    "EventTriggered": "dropping_methods",
    "Picky": "dropping_methods",
    "StalenessAware": "weighted_methods",
    "DelayAdaptive": "weighted_methods",
    "ConcurrencyCapped": "weighted_methods",
    "FLeet": "weighted_methods",
    "TailTau": "weighted_methods",
    "MindTheStep": "weighted_methods",
    "StalenessTable": "weighted_methods",
    "DistanceAdaptive": "weighted_methods",
    "DelayCompensated": "weighted_methods",
    "Composed": "rules",
    "Group": "rules",
    "BalancedGroup": "rules",
    "Lead": "rules",
    "GradientTable": "rules",
    "Drifting": "changing",
    "Replay": "changing",
    "Outages": "changing",
    "PlannedOutages": "changing",
    "Fresh": "rules",
    "Young": "rules",
    "Chance": "rules",
    "Large": "rules",
    "Near": "rules",
    "Inverse": "weights",
    "Adaptive": "weights",
    "Capped": "weights",
    "Power": "weights",
    "Decay": "weights",
    "Tail": "weights",
    "Table": "weights",
    "InverseDistance": "weights",
    "Schedule": "weights",
    "Compensation": "weights",
    "ImplicitMomentum": "weights",
    "Ball": "projections",
    "Box": "projections",
}

__all__ = [
    "System", "SharedLink", "Drifting", "Replay", "Outages", "PlannedOutages",
    "Quadratic", "DenseQuadratic", "Logistic", "Softmax", "Network",
    "MatrixFactorisation", "Objective", "rosenbrock", "strict_saddle", "log_well", "star_well",
    "measure", "Measurement",
    "simulate", "simulate_staleness", "PrescribedStaleness", "Runs",
    "Trace", "TraceWriter", "packaged_trace", "live", "LiveRun",
    "AsyncSGD", "SequentialSGD", "Hogwild", "Ringleader", "ActorLearner", "StalenessBudget",
    "Synchronous", "KSync", "KBatchSync", "KAsync", "KBatchAsync", "APSGD",
    "Rennala", "Malenia", "FedBuff", "StaleSynchronous", "StalenessThreshold", "Ringmaster",
    "AgeThreshold", "RandomThinning", "EventTriggered", "Picky",
    "StalenessAware", "DelayAdaptive", "ConcurrencyCapped", "FLeet", "TailTau",
    "MindTheStep", "StalenessTable", "DistanceAdaptive", "DelayCompensated",
    "Composed", "Group", "BalancedGroup", "GradientTable", "Lead", "Fresh", "Young", "Chance",
    "Large", "Near", "Piecewise",
    "Inverse", "Adaptive", "Capped", "Power", "Decay", "Tail", "Table", "InverseDistance",
    "Schedule", "Steps", "Cosine", "Compensation", "ImplicitMomentum", "Ball", "Box",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"sdde.cluster.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sdde.cluster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
