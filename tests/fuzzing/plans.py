"""Right calls of plans, sweeps and measurements, for fuzzing to spoil."""

import numpy as np
import scipy.stats

import sdde
from sdde import cluster, theory
from tests.fuzzing.calls import BOWL, SGD, Call, asked


def pulled(t, x, delayed, rate):
    return -rate * x


def problem_at(rate):
    return sdde.Problem(pulled, history=1.0, args=(rate,))


LOGGED = cluster.System(scipy.stats.gamma(4.0).rvs(200, random_state=1))
PLANNED = {"target_loss": 0.05, "learning_rate": 0.05}
ACTORS = cluster.ActorLearner(2, budget=4)
PIPELINE = cluster.System(scipy.stats.expon(), update_time=0.1, workers=4)

CALLS = {
    "sweep": Call(
        sdde.sweep,
        {
            "problem_of": problem_at,
            "parameters": {"rate": [0.5, 1.0]},
            "t_span": (0.0, 0.3),
            "dt": 0.1,
        },
    ),
    "measure": Call(
        cluster.measure,
        {"objective": BOWL, "x": np.zeros(2), "gradients": 50, "probes": 2},
        asked("explain", "quadratic"),
    ),
    "CompensatedSGD": Call(
        theory.CompensatedSGD,
        {"plain": theory.AsyncSGD([1.0], **SGD), "method": cluster.DelayCompensated(0.1)},
        asked("loss_floor", "is_stable"),
    ),
    "plan_interval": Call(
        theory.plan_interval,
        {"objective": BOWL, "system": LOGGED, "resamples": 2, "max_workers": 10} | PLANNED,
    ),
    "plan_pipeline": Call(
        theory.plan_pipeline,
        {
            "objective": BOWL,
            "system": PIPELINE,
            "generators": [2, 4],
            "results": [2],
            "budgets": (0, 4),
        }
        | PLANNED,
        asked("explain"),
    ),
    "pipeline_flow": Call(
        theory.pipeline_flow,
        {"system": PIPELINE, "method": ACTORS, "generators": 4, "results": 1000},
    ),
    "DiscardingBias": Call(
        theory.DiscardingBias,
        {"generation_time": scipy.stats.expon(), "generators": 4, "method": ACTORS},
    ),
}
MADE = {
    "StoreError",
    "Measurement",
    "ParetoRow",
    "Sensitivity",
    "PlanInterval",
    "Checked",
    "CheckedLimit",
    "SimulatedTime",
    "PipelinePlan",
    "PipelineRow",
    "PipelineFlow",
}
