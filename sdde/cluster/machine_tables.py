"""Systems as numbers: what the event loop reads instead of the values that describe machines.

Laws become tables of quantiles laid end to end, and so do drifts, recorded times and outages. Where
each begins is said in `Machines`. Nothing here runs or draws anything.
"""

from typing import Any

import numpy as np

from sdde import checks
from sdde.cluster.changing import Drifting, Outages, PlannedOutages, Replay
from sdde.cluster.encoding import Floats, Integers, Machines
from sdde.cluster.system import SharedLink, System
from sdde.equation.laws import WEIGHTED, Law, as_law

REPLAYED = 5.0  # kind of a table that is read by the number of the job
_LONGEST_OUTAGE = 1e9  # in computations


def machines_of(system: System, workers: int, *, stationary: bool) -> Machines:
    """Write the laws of a system as tables.

    Parameters
    ----------
    system : System
        The machines.
    workers : int
        How many of them work.
    stationary : bool
        Whether first jobs are already under way.

    Returns
    -------
    Machines

    Raises
    ------
    sdde.ArgumentError
        If laws and workers disagree, or the system has no simple long-run state to start from.
    """
    compute = _one_each(system.compute_laws(workers), workers)
    sources = system.compute_sources(workers)
    drifts = [isinstance(source, Drifting) for source in sources]
    replays = [isinstance(source, Replay) for source in sources]
    own = system.communication_laws(workers)
    links = None if own is None else _one_each(own, workers)
    shared = system.communication if isinstance(system.communication, SharedLink) else None
    update = None if system.update_time is None else as_law(system.update_time, "update_time")
    fixed = not any(drifts + replays) and system.buffer is None and system.outages is None
    if stationary and (shared is not None or update is not None or not fixed):
        raise checks.fail(
            "start", "stationary", "is not possible with this system",
            why="Where workers queue, change or fail, the long-run state has no simple law.",
            remedy='Use start = "together", and leave out the beginning of the records.',
        )  # fmt: skip
    tables = _Tables()
    none = np.full(workers, -1)
    biased, link_biased, share = none, none, np.ones(workers)
    if stationary:
        biased = np.array([tables.add(law, biased=True) for law in compute])
        if links is not None:
            link_biased = np.array([tables.add(law, biased=True) for law in links])
            pairs = zip(compute, links, strict=True)
            share = np.array([c.mean / (c.mean + u.mean) for c, u in pairs])
    where = np.array([
        tables.add_numbers([REPLAYED, len(s.durations), s.then == "repeat", *s.durations])
        if isinstance(s, Replay) else tables.add(law)
        for s, law in zip(sources, compute, strict=True)
    ])  # fmt: skip
    factors = np.array([
        tables.add_numbers([len(s.times), *s.times, *s.factors]) if isinstance(s, Drifting) else -1
        for s in sources
    ])  # fmt: skip
    if isinstance(system.outages, Outages) and not any(drifts + replays):
        _check_progress(system.outages, compute)
    planned, up, down = _outages(system.outages, workers, tables)
    channel = none if links is None else np.array([tables.add(law) for law in links])
    return Machines(
        compute=where, drift=factors, communication=np.where(drifts, -1, channel),
        late_link=np.where(drifts, channel, -1), fixed=fixed,
        buffer=-1 if system.buffer is None else int(system.buffer),
        failing=system.outages is not None, planned=planned, up=up, down=down,
        link=-1 if shared is None else tables.add(as_law(shared.law, "law")),
        capacity=1 if shared is None else int(min(shared.capacity, workers)),
        update=-1 if update is None else tables.add(update), stationary=stationary,
        biased_compute=biased, biased_communication=link_biased, compute_share=share,
        tables=tables.joined(),
    )  # fmt: skip


def _check_progress(outages: Outages, compute: tuple[Law, ...]) -> None:
    """Refuse outages that end every computation: a run without a time limit would never end."""
    laws = outages.laws(len(compute))
    shortest = min(law.mean for law in compute)
    if max(down.mean for _, down in laws) > _LONGEST_OUTAGE * shortest:
        raise checks.fail(
            "outages", outages, f"last {_LONGEST_OUTAGE:g} computations and more",
            why="A clock that has run so long does not feel a computation any more.",
            remedy="For example Outages(up=100.0, down=1.0).",
        )  # fmt: skip
    if all(up.highest <= law.lowest for (up, _), law in zip(laws, compute, strict=True)):
        raise checks.fail(
            "outages", outages, "end every computation",
            why=f"No worker is up for longer than {compute[0].lowest:g}, its shortest computation.",
            remedy="For example Outages(up=100.0, down=1.0).",
        )  # fmt: skip


def _outages(
    outages: Outages | PlannedOutages | None, workers: int, tables: "_Tables"
) -> tuple[Integers, Integers, Integers]:
    """Return for each worker where its planned outages begin, and the laws of its random ones."""
    none = np.full(workers, -1)
    if outages is None:
        return none, none, none
    if isinstance(outages, PlannedOutages):
        given = [np.asarray(pairs) for pairs in outages.intervals]
        if len(given) != workers:
            raise checks.fail("outages", outages, f"lists {len(given)} of {workers} workers")
        lists = [[len(pairs), *pairs.ravel()] for pairs in given]
        return np.array([tables.add_numbers(numbers) for numbers in lists]), none, none
    pairs = outages.laws(workers)
    up, down = (np.array([tables.add(pair[i]) for pair in pairs]) for i in range(2))
    return none, up, down


def _one_each(laws: tuple[Law, ...], workers: int) -> tuple[Law, ...]:
    return laws * workers if len(laws) == 1 else laws


class _Tables:
    """Quantile tables end to end, each law once."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []
        self._laws: list[Law] = []  # kept, so that no other source can get the same id
        self._starts: dict[tuple[int, bool], int] = {}
        self._size = 0

    def add(self, law: Law, *, biased: bool = False) -> int:
        """Return where the table of a law begins, or of the same law weighted by length."""
        name = (id(law.source), biased)
        if name not in self._starts:
            part = _biased_table(law) if biased else law.table()
            self._parts.append(part)
            self._laws.append(law)
            self._starts[name] = self._size
            self._size += len(part)
        return self._starts[name]

    def add_numbers(self, numbers: list[Any]) -> int:
        """Return where a table of other numbers begins."""
        self._parts.append(np.array(numbers, float))
        self._size += len(numbers)
        return self._size - len(numbers)

    def joined(self) -> Floats:
        """Return all tables in one array."""
        return np.concatenate(self._parts)


def _biased_table(law: Law) -> Floats:
    """Return the table of the law weighted by length, as weighted points.

    The points are the quadrature nodes of the law: exact for constants and measurements, and for
    smooth laws the uniform position within the job makes the residual time smooth again.
    """
    values, weights = law.nodes()
    mass = values * weights
    keep = mass > 0
    if not keep.any():
        return law.table()
    cumulative = np.cumsum(mass[keep]) / mass[keep].sum()
    cumulative[-1] = 1.0
    return np.concatenate([[WEIGHTED, float(len(cumulative))], cumulative, values[keep]])
