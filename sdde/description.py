"""What a user hands to a command: a SYSTEM.toml, a trace of a real run, or nothing.

Each becomes one `Description`: the machines, the objective near its minimum, the learning rate.
Reading a file executes nothing: laws are looked up by name in `scipy.stats`, everything else is
numbers.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdde import checks
from sdde.errors import ArgumentError

MODES = 16  # to which the spectrum of a measured objective is condensed
EXAMPLE = """\
# A description for `sdde plan` and `sdde compare`. Times are in any one unit; here seconds.

learning_rate = 0.02        # optional: the learning rate of your run
target_loss = 0.05          # optional: excess loss (above the minimum) that you want to reach

[system]
workers = 8                 # how many you have
compute_time = { law = "gamma", a = 4.0, scale = 0.25 }   # any scipy.stats law and its parameters,
# compute_time = 1.0                                      # or a number,
# compute_time = [0.9, 1.0, 1.4]                          # or measurements,
# trace = "trace.csv"                                     # or the log of a real run
# communication = 0.1       # optional: a law, on a link of each worker's own

[objective]
eigenvalues = [1.0, 0.5, 0.1]   # of the Hessian at the minimum
noise = 0.3                     # standard deviation of each component of a stochastic gradient
start = 1.0                     # distance from the minimum at the start, per component
"""


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
    """

    name: str
    system: Any
    objective: Any
    training: Any = None
    learning_rate: float | None = None
    target_loss: float | None = None
    workers: int | None = None
    trace: Any = None


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
    from sdde.cluster import Quadratic, System, Trace

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path.name} is not valid TOML: {error}.") from None
    _known(content, ("system", "objective", "learning_rate", "target_loss"), path.name)
    machines, shape = _section(content, "system", path), _section(content, "objective", path)
    _known(machines, ("workers", "compute_time", "communication", "trace"), "[system]")
    _known(shape, ("eigenvalues", "noise", "start"), "[objective]")
    trace = None
    if "trace" in machines:
        trace = Trace.read(path.parent / str(machines["trace"]))
        compute, workers = trace.cycle_time(), machines.get("workers", trace.workers)
    elif "compute_time" in machines:
        compute, workers = _law(machines["compute_time"]), machines.get("workers")
    else:
        raise ArgumentError(f"{path.name}: [system] has neither compute_time nor trace.")
    link = machines.get("communication")
    if "eigenvalues" not in shape:
        raise ArgumentError(f"{path.name}: [objective] has no eigenvalues, for example [1.0, 0.1].")
    return Description(
        name=path.name,
        system=System(compute, workers=workers, communication=None if link is None else _law(link)),
        objective=Quadratic(
            shape["eigenvalues"], noise=shape.get("noise", 0.0), start=shape.get("start", 1.0)
        ),
        workers=None if workers is None else checks.integer("workers", workers, lowest=1),
        learning_rate=_positive(content, "learning_rate"),
        target_loss=_positive(content, "target_loss"),
        trace=trace,
    )


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
