"""The kinds of objectives that can be simulated, and the check that a value is one of them."""

from typing import Any

from sdde import checks
from sdde.cluster.dense_quadratic import DenseQuadratic
from sdde.cluster.factorisation import MatrixFactorisation
from sdde.cluster.logistic import Logistic
from sdde.cluster.network import Network
from sdde.cluster.objective import Objective
from sdde.cluster.quadratic import Quadratic
from sdde.cluster.softmax import Softmax

MEASURES = ("accuracy", "test_loss", "test_accuracy")  # in the order of the compiled losses
KINDS = (
    Quadratic, DenseQuadratic, Logistic, Softmax, Network, MatrixFactorisation, Objective,
)  # fmt: skip
_CLASSIFIERS = Logistic | Softmax | Network


def check_objective(objective: Any) -> None:
    """Refuse what is not an objective.

    Raises
    ------
    sdde.ArgumentError
        If `objective` is none of the kinds.
    """
    if not isinstance(objective, KINDS):
        raise checks.fail(
            "objective",
            objective,
            "is not an objective",
            remedy="For example Quadratic([1.0, 10.0]).",
        )


def measures_of(objective: Any) -> tuple[str, ...]:
    """Return what is recorded beside the loss: accuracy, and test results where rows are kept."""
    if isinstance(objective, Objective):
        return tuple(objective.measures)
    if not isinstance(objective, _CLASSIFIERS):
        return ()
    return MEASURES if len(objective.samples.test_inputs) else MEASURES[:1]


def check_owners(objective: Any, workers: int) -> None:
    """Refuse data that are shared out among another number of workers.

    Raises
    ------
    sdde.ArgumentError
        If the rows of the objective belong to more or fewer than `workers`.
    """
    owners = getattr(getattr(objective, "samples", None), "workers", None)
    if owners is not None and owners != workers:
        raise checks.fail(
            "workers", workers, f"does not fit data shared out among {owners} workers",
            remedy=f"workers = {owners}, or objective.split({workers}).",
        )  # fmt: skip
