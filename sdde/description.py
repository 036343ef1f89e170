"""What a user hands to a command: a SYSTEM.toml, a trace of a real run, or nothing.

Each becomes one `Description`: the machines, the objective near its minimum, the learning rate.
Reading a file executes nothing: laws are looked up by name in `scipy.stats`, everything else is
numbers.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdde import checks, description_objective
from sdde.errors import ArgumentError

MODES = 16  # to which the spectrum of a measured objective is condensed
_COMPUTE = ("compute_time", "compute_times", "trace")
_LINKS = ("communication", "shared_link")
_LIMITS = (
    "max_workers", "margin", "methods", "max_transfer_rate", "cost_per_worker_time", "max_cost",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Description:
    """Machines, objective and learning rate, as a command needs them.

    Attributes
    ----------
    name : str
        Where it came from, for titles.
    system : sdde.cluster.System
    objective : sdde.cluster.Quadratic
        Curvature and gradient noise near the minimum.
    training : sdde.cluster.Softmax or None
        The objective itself, where it is not only described by constants.
    learning_rate, target_loss : float or None
    workers : int or None
        How many workers there are now; the plan may use more.
    trace : sdde.cluster.Trace or None
    limits : dict
        What the plan is held to, as keywords of `sdde.theory.plan`.
    """

    name: str
    system: Any
    objective: Any
    training: Any = None
    learning_rate: float | None = None
    target_loss: float | None = None
    workers: int | None = None
    trace: Any = None
    limits: dict[str, Any] = field(default_factory=dict)


def target_of(description: Description, asked: float | None) -> float:
    """Return the target loss: as asked, as described, or 2 % of the loss at the start."""
    if asked is not None:
        return checks.positive("target_loss", asked, example=0.01)
    if description.target_loss is not None:
        return description.target_loss
    return 0.02 * description.objective.initial_loss


def describe(source: str | None) -> Description:
    """Read a description from a path (``.toml``, or a trace in any format), or the packaged trace.

    Raises
    ------
    sdde.ArgumentError
        If the file is missing or does not say what is needed.
    """
    if source is None:
        from sdde.cluster import packaged_trace

        return of_trace(packaged_trace(), "the recorded run of eight workers on digits")
    path = Path(source)
    if not path.is_file():
        raise ArgumentError(f"{source} is not a file. Give a SYSTEM.toml or a trace, or nothing.")
    if path.suffix == ".toml":
        return _from_toml(path)
    from sdde.cluster import Trace

    return of_trace(Trace.read(path), path.name)


def of_trace(trace: Any, name: str) -> Description:
    """Return the description of a traced run on the digits: its system and measured objective."""
    from sdde.cluster import Softmax, System
    from sdde.theory import condense

    header = trace.header
    training = Softmax.digits(
        batch=int(header.get("batch", 64)),
        regularisation=float(header.get("regularisation", 0.01)),
    )
    rate = header.get("learning_rate")
    return Description(
        name=name,
        system=System(trace.cycle_time()),
        workers=trace.workers if "worker" in trace else None,
        objective=condense(training.quadratic(), MODES),
        training=training,
        learning_rate=None if rate is None else float(rate),
        trace=trace,
    )


def _from_toml(path: Path) -> Description:
    from sdde.cluster import SharedLink, System, Trace
    from sdde.theory import condense

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path.name} is not valid TOML: {error}.") from None
    _known(content, ("system", "objective", "limits", "learning_rate", "target_loss"), path.name)
    machines, shape = _section(content, "system", path), _section(content, "objective", path)
    _known(machines, ("workers", *_COMPUTE, *_LINKS, "update_time"), "[system]")
    _known(shape, description_objective.KNOWN, "[objective]")
    source = _only(machines, _COMPUTE, path.name)
    trace, workers = None, machines.get("workers")
    if source == "trace":
        trace = Trace.read(path.parent / str(machines["trace"]))
        compute, workers = trace.cycle_time(), machines.get("workers", trace.workers)
    elif source == "compute_times":
        compute = _laws("compute_times", machines["compute_times"])
    elif source == "compute_time":
        compute = _law(machines["compute_time"])
    else:
        raise ArgumentError(f"{path.name}: [system] has neither compute_time nor trace.")
    link = _only(machines, _LINKS, path.name)
    communication = None
    if link == "communication":
        communication = _law(machines[link])
    elif link == "shared_link":
        entry = machines[link]
        if not isinstance(entry, dict) or "time" not in entry:
            raise checks.fail(
                "shared_link", entry, "does not say how long a transfer takes",
                remedy="For example shared_link = { time = 0.01, capacity = 1 }.",
            )  # fmt: skip
        _known(entry, ("time", "capacity"), "shared_link")
        communication = SharedLink(_law(entry["time"]), capacity=entry.get("capacity", 1))
    server = machines.get("update_time")
    return Description(
        name=path.name,
        system=System(
            compute, workers=workers, communication=communication,
            update_time=None if server is None else _law(server),
        ),
        objective=condense(description_objective.quadratic_of(shape, path.name), MODES),
        workers=None if workers is None else checks.integer("workers", workers, lowest=1),
        learning_rate=_positive(content, "learning_rate"),
        target_loss=_positive(content, "target_loss"),
        trace=trace,
        limits=_limits(content.get("limits", {})),
    )  # fmt: skip


def _only(section: dict[str, Any], names: tuple[str, ...], where: str) -> str | None:
    """Return which of some entries is there, at most one of which may be."""
    given = [name for name in names if name in section]
    if len(given) > 1:
        raise ArgumentError(f"{where}: [system] has {given[0]} and {given[1]}; give one of them.")
    return given[0] if given else None


def _limits(section: Any) -> dict[str, Any]:
    """Return the section [limits] as keywords of the plan."""
    if not isinstance(section, dict):
        raise checks.fail("limits", section, "is not a section", remedy="Write [limits].")
    _known(section, _LIMITS, "[limits]")
    limits = dict(section)
    if "methods" in limits:
        limits["methods"] = methods_named(limits["methods"])
    return limits


def methods_named(names: Any) -> Any:
    """Return the methods that names mean, for a plan: ``"all"``, ``"k-sync:4"``, or ``"k-sync"``,
    whose number the plan finds.

    Raises
    ------
    sdde.ArgumentError
        If a name is not known.
    """
    from sdde.cluster.method_names import method_named
    from sdde.theory.plan_methods import NAMES

    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise checks.fail(
            "methods", names, "is not a list of names", remedy='methods = ["async", "sync"]'
        )
    if names == ["all"]:
        return "all"
    return [name if name in NAMES else method_named(name) for name in names]


def _positive(content: dict[str, Any], name: str) -> float | None:
    return checks.positive(name, content[name], example=0.01) if name in content else None


def _section(content: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    section = content.get(name)
    if not isinstance(section, dict):
        raise ArgumentError(
            f"{path.name} has no section [{name}]. `sdde plan --example` prints a file that works."
        )
    return section


def _known(section: dict[str, Any], allowed: tuple[str, ...], where: str) -> None:
    for key in section:
        if key not in allowed:
            raise ArgumentError(
                f"{where} has an unknown entry {key!r}. Known: {', '.join(allowed)}."
            )


def _laws(name: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise checks.fail(
            name, values, "is not a list of laws, one for each worker",
            remedy=f"For example {name} = [1.0, 1.0, 2.0].",
        )  # fmt: skip
    return [_law(value) for value in values]


def _law(value: Any) -> Any:
    """Turn a TOML value into a law: a number, measurements, or {law = name, parameters}."""
    import numpy as np

    if isinstance(value, list):
        return np.asarray(value)
    if not isinstance(value, dict):
        return value
    import scipy.stats

    parameters = dict(value)
    name = parameters.pop("law", None)
    family = getattr(scipy.stats, name, None) if isinstance(name, str) else None
    if not isinstance(family, scipy.stats.rv_continuous | scipy.stats.rv_discrete):
        raise checks.fail(
            "law", name, "is not a law of scipy.stats", remedy='For example law = "gamma".'
        )
    try:
        return family(**{key: checks.number(key, number) for key, number in parameters.items()})
    except TypeError as error:
        raise ArgumentError(f"law = {name!r}: {error}.") from None
