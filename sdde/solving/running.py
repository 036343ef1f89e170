"""Blocks of paths: a run as plain values, and the arrays that its paths fill.

A run is what every process must know to compute any of its paths; ready to run it has machine code
besides. A block holds what neighbouring paths leave, as arrays alone, so that it may be computed
elsewhere and sent. All paths may be one block.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdde.engine import seeds
from sdde.engine.compile import compile_model, compiled_driver, compiled_noise
from sdde.engine.kernels.signatures import AHEAD, DONE, HIT, INTERRUPTED
from sdde.engine.methods import Method, series_terms
from sdde.equation.problem import Problem
from sdde.solving.bounds import Fault, fault_error
from sdde.solving.brownian import NOTHING, Brownian
from sdde.solving.checkpoint import Checkpoint, kept_step
from sdde.solving.execute import Progress, cut, run_jobs
from sdde.solving.known import known
from sdde.solving.moments import Columns, Moments
from sdde.solving.plan import Plan
from sdde.solving.reducing import Accumulator, cut_groups
from sdde.solving.saving import SavedTimes, room_for, steps_between
from sdde.solving.watching import Watched
from sdde.solving.wording import LIMIT

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
_NOT_BEGUN = -1
_NO_KINDS = np.empty(0, dtype=np.int64)
_GROUP = 32  # steps of noise made at a time
_LONG_GROUP = 512  # the same for a single path


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Run:
    """What decides the numbers of all paths.

    Attributes
    ----------
    problem, plan, saves, method, noise, watched
        As `sdde.solve` has checked them.
    times : (float, float, float)
        Start, end and time step.
    seed, paths : int
    fine : int
        Finest steps of the noise in one step.
    content : bytes or None
        Hash of the problem's functions.
    request, columns
        The moments asked for, if any, and their places among the times computed.
    begin : int
        Grid index at which paths begin.
    done : int
        Saved times that an earlier run has left.
    is_stored : bool
        Whether blocks go to a store one by one; then no end is kept for a longer run.
    lanes : int
        How many paths run side by side; 0 leaves that to their number. No bit depends on it.
    """

    problem: Problem
    plan: Plan
    saves: SavedTimes
    times: tuple[float, float, float]
    method: Method
    seed: int
    paths: int
    noise: Brownian | None
    fine: int
    watched: Watched
    content: bytes | None
    request: Moments | None = None
    columns: Columns | None = None
    begin: int = 0
    done: int = 0
    is_stored: bool = False
    lanes: int = 0

    @property
    def computed(self) -> SavedTimes:
        """The times that are computed: those saved, or those that moments are made of."""
        return self.saves if self.columns is None else self.columns.all

    @property
    def dim(self) -> int:
        """The number of components."""
        return math.prod(self.plan.state_shape)

    @property
    def kept(self) -> int:
        """Numbers kept of each path."""
        return 0 if self.request is not None else len(self.saves) * self.dim


@dataclass(eq=False)
class Block:
    """What the paths from `first` to `end` leave: a row for each path, or for `width` of them."""

    first: int
    end: int
    x: Floats
    codes: NDArray[np.int8]
    ended: Floats
    hit_times: Floats
    results: Floats
    checkpoint: Checkpoint
    moments: Accumulator | None
    width: int

    @property
    def is_whole(self) -> bool:
        """Whether no path was interrupted."""
        return not np.any((self.codes == _NOT_BEGUN) | (self.codes == INTERRUPTED))

    @property
    def is_sound(self) -> bool:
        """Whether every path reached the end or a hit."""
        return bool(np.all((self.codes == DONE) | (self.codes == HIT)))

    def _rows(self) -> Arrays:
        """Return the arrays with a row for each path or `width` of them."""
        rows: Arrays = {"x": self.x} if len(self.x) else {}
        if len(self.hit_times):
            rows["hit_times"] = self.hit_times
        if self.results.shape[1]:
            rows["results"] = self.results
        if self.checkpoint.is_kept:
            kept = self.checkpoint
            rows |= {"marks": kept.marks, "numbers": kept.numbers, "tail": kept.tail}
        # Written last: a path with a code is there.
        return rows | {"ended": self.ended, "codes": self.codes}

    def arrays(self) -> Arrays:
        """Return everything as arrays by name, for `take`."""
        return self._rows() | ({} if self.moments is None else self.moments.arrays())

    def take(self, first: int, end: int, arrays: Arrays) -> None:
        """Take the `arrays` of a block inside this one, in any order."""
        if self.moments is not None:
            self.moments.take(first, end - first, arrays)
        part = slice(first - self.first, end - self.first)
        blocks = slice(part.start // self.width, -(-part.stop // self.width))
        for name, rows in self._rows().items():
            rows[blocks if name == "tail" else part] = arrays[name]

    def close(self) -> None:
        """Settle the paths that nobody computed, after an interruption."""
        never = self.codes == _NOT_BEGUN
        if self.moments is not None:  # moments are those of the paths up to a gap
            never[self.moments.taken - self.first :] = True
        self.codes[never] = INTERRUPTED
        if len(self.x) == len(self.codes):
            self.x[never] = np.nan


class Ready:
    """A run with its machine code, in this process.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        plan, watched, problem, brownian = run.plan, run.watched, run.problem, run.noise
        shape = (plan.state_shape, plan.channels, run.method, run.lanes or run.paths)
        model = self.model = known(
            problem, "model", (run.content, *shape),
            lambda: compile_model(problem, *shape, run.content),
        )  # fmt: skip
        self.drive, self.observe = compiled_driver(), model.chunk
        if watched.functions:
            from sdde.engine.observing import compile_observer

            self.observe = compile_observer(
                problem, model.layout, watched.functions, watched.shapes
            )
        self.width = width = model.layout.width
        self.kinds = watched.kinds if watched.functionals else _NO_KINDS
        self.pairs = np.array(model.layout.pairs, dtype=np.int64).reshape(-1, 3)
        kind = "plain" if brownian is None else brownian.kind
        self.noise = compiled_noise(width, "integrals" if len(self.pairs) else kind)
        drawn = len(self.pairs) > 0 and kind != "recorded"
        self.terms = series_terms(plan.delays, run.times[2] / run.fine) if drawn else 0
        self.row = (plan.past.shape[2] + model.layout.kept) * width
        own = seeds.key_of(run.seed)
        keys = own + (own if brownian is None else seeds.key_of(brownian.seed))
        self.keys = np.array(keys, dtype=np.uint64)
        # Whether a checkpoint is kept depends on all paths, wherever they are computed.
        self.shape = self._checkpoint_shape(run.paths)
        self.keep_at = -1 if run.is_stored else kept_step(
            steps_between(*run.times)[0], *self.shape, most=run.kept * run.paths
        )  # fmt: skip

    def _checkpoint_shape(self, paths: int) -> tuple[int, int, int, int, int, int]:
        plan = self.run.plan
        blocks = -(-paths // self.width)
        return paths, blocks, plan.deepest + 2, self.row, len(plan.rates), len(self.kinds)

    def with_past(self, past: Floats) -> "Ready":
        """Return the same with other histories, of which path p has row p modulo their number."""
        other = copy.copy(self)
        other.run = replace(self.run, plan=replace(self.run.plan, past=past))
        return other

    def room(self, first: int, end: int, *, with_states: bool = True) -> Block:
        """Return a block that nobody has filled; `first` is a multiple of the width."""
        run, paths = self.run, end - first
        moments = None
        if run.request is not None and run.columns is not None:
            moments = Accumulator(run.request, run.columns, run.dim, run.done, first)
        kept = paths if with_states and run.request is None else 0
        return Block(
            first, end, x=room_for(kept, len(run.saves), run.dim),
            codes=np.full(paths, _NOT_BEGUN, dtype=np.int8),
            ended=np.full(paths, run.times[0]),
            hit_times=np.full(paths if run.watched.hits else 0, np.nan),
            results=np.full((paths, len(self.kinds)), np.nan),
            checkpoint=Checkpoint.empty(self.keep_at, *self._checkpoint_shape(paths)),
            moments=moments, width=self.width,
        )  # fmt: skip

    def fill(
        self, block: Block, *, threads: int, stop: NDArray[np.int64] | None = None,
        progress: Progress = False,
    ) -> bool:  # fmt: skip
        """Run the paths of a block; return False if Ctrl-C stopped it.

        Parameters
        ----------
        block : Block
        threads : int
            How many at a time.
        stop : array of one int, optional
            Set to 1 from elsewhere to make it return soon.
        progress : bool or callable
            As in `sdde.solve`.

        Raises
        ------
        sdde.ArgumentError
            If a delay or a rate leaves its bounds.
        """
        run = self.run
        stop = np.zeros(1, dtype=np.int64) if stop is None else stop
        faults: list[Fault] = []
        saves = run.computed
        first, end, steps = block.first, block.end, run.plan.n_steps

        def keep(start: int, last: int) -> None:
            self._drive(block, start, last, block.x[start - first : last - first], stop, faults)

        def reduce(start: int, last: int) -> None:
            out = np.empty((last - start, len(saves), run.dim))
            out[:, : run.done] = 0.0
            self._drive(block, start, last, out, stop, faults)
            if stop[0] == 0 and block.moments is not None:
                block.moments.add(start, out)

        if block.moments is None:
            jobs = [(first + a, first + b) for a, b in cut(end - first, self.width, steps, threads)]
            work = keep
        else:
            jobs, work = cut_groups(first, end, steps, len(saves) * run.dim), reduce
        going = run_jobs(jobs, work, steps=steps, threads=threads, stop=stop, progress=progress)
        if faults:
            raise fault_error(run.problem, min(faults))
        return going and stop[0] == 0

    def _drive(
        self, block: Block, first: int, last: int, out: Floats, stop: NDArray[np.int64],
        faults: list[Fault],
    ) -> None:  # fmt: skip
        """Run the compiled loop for the paths from `first` to `last`."""
        run, model, kept, width = self.run, self.model, block.checkpoint, self.width
        plan, watched, saves, brownian = run.plan, run.watched, run.computed, run.noise
        t0, t1, dt = run.times
        whole, beyond = steps_between(t0, t1, dt)
        span, index, column = saves.place_after(run.begin) if run.begin > 0 else (0, 0, 0)
        group = _LONG_GROUP if width == 1 else _GROUP
        slots = max(plan.deepest + 3 + (group if watched.functions else 0), group + 2)
        jumps, outputs = len(plan.rates), watched.hits + len(self.kinds)
        channels = model.layout.channels + len(self.pairs)
        recorded = NOTHING if brownian is None or brownian.recorded is None else brownian.recorded
        flags = np.zeros(4, dtype=np.int64)
        part = slice(first - block.first, last - block.first)
        blocks = slice(part.start // width, -(-part.stop // width))
        self.drive(
            chunk=model.chunk.address, observe=self.observe.address, noise=self.noise.address,
            ring=_aligned(slots, self.row), z=_aligned(group, max(channels, 1) * width),
            values=_aligned(group + 1 if outputs else 0, outputs * width),
            upcoming=np.empty((jumps, width)), gaps=np.empty((jumps * width, AHEAD)),
            counts=np.empty((jumps, width), dtype=np.int64),
            totals=np.empty((len(self.kinds), width)),
            ended_at=np.empty(width, dtype=np.int64), hit_at=np.empty(width, dtype=np.int64),
            hit_share=np.zeros(width), stopped=np.empty(self.row), led_to=np.empty(self.row),
            first=first, last=last, channels=channels, n_steps=plan.n_steps,
            t0=t0, t1=t1, dt=dt, limit=LIMIT,
            delays=plan.delays, lags=plan.lags, shares=plan.shares, p=model.parameters,
            past=plan.past, keys=self.keys, rates=plan.rates, tables=plan.tables,
            starts=plan.starts, save_spans=saves.spans, save_shares=saves.shares,
            out=out, codes=block.codes[part], ended=block.ended[part], stop=stop, flags=flags,
            fine=run.fine, mirrored=brownian is not None and brownian.antithetic,
            recorded=recorded, pairs=self.pairs, terms=self.terms,
            hits=watched.hits, direction=0 if watched.until is None else watched.until.direction,
            whole=whole, beyond=beyond, kinds=self.kinds, results=block.results[part],
            hit_times=block.hit_times[part],
            begin=run.begin, keep_at=kept.step, span=span, index=index, column=column,
            tail=kept.tail[blocks], marks=kept.marks[part], numbers=kept.numbers[part],
        )  # fmt: skip
        if flags[0] != 0:
            faults.append(Fault.of(flags))
            stop[0] = 1


def _aligned(rows: int, columns: int) -> Floats:
    """Return zeros that begin at a whole number of 64 bytes, as vectors like it."""
    raw = np.zeros(rows * columns + 8)
    skip = (-(raw.ctypes.data // 8)) % 8
    return raw[skip : skip + rows * columns].reshape(rows, columns)
