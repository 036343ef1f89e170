"""Runs that go to a store, mistreated: killed, interrupted, damaged, out of room, two at once.

``python -m experiments.kill_study`` kills a stored run 50 times with SIGKILL at random moments,
each time in another store, and lets the same call end it; the result must be that of a run that
nobody touched, bit for bit. Then it does the same with Ctrl-C, with files of a store altered, cut
short or removed, with a file system that is too small, and with two processes on one store.
``--quick`` does a tenth of it. It prints what it saw, and PASS or FAIL.
"""

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import sdde
from sdde.solving import storing
from sdde.solving.identity import hash_of
from sdde.solving.stores import Store

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("paths", "moments", "watched")
LATE = 3  # exit status of a process that was refused a store in use


def drift(t, x, delayed, rate):
    """Return the drift of a delayed oscillator."""
    return np.array([x[1], -rate * delayed[0, 0] - 0.2 * x[1]])


def energy(t, x, delayed, rate):
    """Return a number of the state."""
    return x[0] * x[0] + x[1] * x[1]


def run(kind: str, place: Path | None = None, steps: int = 600_000) -> sdde.Solution:
    """Solve one of the problems, in some fifty blocks of at most so many path-steps."""
    storing._STEPS = steps
    problem = sdde.Problem(
        drift, [0.0, 0.3], delays=0.7, history=[1.0, 0.0], args=(1.3,),
        jumps=sdde.Jump(0.5, lambda t, x, delayed, mark, rate: -0.1 * x),
    )  # fmt: skip
    more = {
        "paths": {"save": 100},
        "moments": {"save": sdde.Moments(200, [0.1, 0.9], covariance=True)},
        "watched": {
            "save": "final", "until": sdde.Hit(lambda t, x, delayed, rate: x[0] + 1.5),
            "functionals": {"energy": sdde.Functional(energy, "integral")},
        },
    }[kind]  # fmt: skip
    return sdde.solve(
        problem, (0.0, 20.0), dt=0.01, paths=8000, rng=11, threads=1, store=place, **more
    )  # fmt: skip


def digest(solution: sdde.Solution) -> str:
    """Return the hash of every number of a solution."""
    parts = [np.asarray(solution.x), solution.end_time, solution.hit_time]
    parts += [solution.status.astype("S"), *solution.functionals.values()]
    if (kept := solution.moments) is not None:
        parts += [kept.mean, kept.var, kept.quantiles]
        parts += [] if kept.covariance is None else [kept.covariance]
    return hash_of(*parts)


def child(kind: str, place: Path) -> int:
    """Be the process that is mistreated."""
    print("ready", flush=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sdde.SolutionWarning)
            solution = run(kind, place)
    except sdde.StoreError as error:
        print(f"{error}", flush=True)
        return LATE
    print(digest(solution), flush=True)
    return 0


def started(kind: str, place: Path) -> subprocess.Popen[str]:
    """Start a child, and wait until it is about to solve."""
    command = [sys.executable, "-m", "experiments.kill_study", "--child", kind, str(place)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


class Study:
    """The references, how long a run takes, and what was seen."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bad = folder, 0
        self.truth = {kind: digest(run(kind)) for kind in KINDS}
        begin = time.perf_counter()
        started("paths", folder / "whole.zarr").communicate()
        self.seconds = time.perf_counter() - begin
        self.chance = random.Random(2026)

    def ends_well(self, kind: str, place: Path) -> bool:
        """Let the same call end the run, and compare."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sdde.SolutionWarning)  # of damage, which is meant
            good = digest(run(kind, place)) == self.truth[kind]
        self.bad += not good
        shutil.rmtree(place)
        return good

    def stopped(self, kind: str, place: Path, how: signal.Signals) -> bool:
        """Stop a run at a random moment, or soon after a random block; return whether it did."""
        process = started(kind, place)
        if self.chance.random() < 0.5:
            time.sleep(self.chance.uniform(0.0, self.seconds))
        else:
            wanted = self.chance.randrange(blocks_in(place) or 60)
            while process.poll() is None and blocks_in(place, ends=True) < wanted:
                time.sleep(0.001)
            time.sleep(self.chance.uniform(0.0, 0.02))
        process.send_signal(how)
        process.communicate()
        return process.returncode == (-how if how is signal.SIGKILL else 0)

    def stops(self, how: signal.Signals, times: int) -> str:
        """Stop runs, and let each end."""
        left, good = [], 0
        while len(left) < times:
            kind = KINDS[len(left) % len(KINDS)]
            place = self.folder / f"{how.name}{len(left)}.zarr"
            if self.stopped(kind, place, how):
                left.append(blocks_in(place))
                good += self.ends_well(kind, place)
            else:  # it had ended before
                shutil.rmtree(place)
        return f"{times} times {how.name} after {sorted(left)} blocks: {good} ended as if untouched"

    def many_kills(self, times: int) -> str:
        """Kill the same run again and again."""
        place = self.folder / "again.zarr"
        count = sum(self.stopped("paths", place, signal.SIGKILL) for _ in range(times))
        return f"one store killed {count} times: {self.ends_well('paths', place)}"

    def damage(self, times: int) -> str:
        """Alter, cut or remove a random file of a complete store."""
        good = refused = 0
        for number in range(times):
            kind, place = KINDS[number % len(KINDS)], self.folder / f"damage{number}.zarr"
            run(kind, place)
            file = self.chance.choice(sorted(f for f in place.rglob("*") if f.is_file()))
            content = bytearray(file.read_bytes())
            at = self.chance.randrange(len(content))
            how = self.chance.choice(("alter", "cut", "remove"))
            if how == "remove":
                file.unlink()
            else:
                content[at] ^= 1 << self.chance.randrange(8)
                file.write_bytes(content if how == "alter" else content[:at])
            try:
                good += self.ends_well(kind, place)
            except sdde.Error:
                refused += 1
                self.bad += file != place / "zarr.json"  # the one that says whose it is
        return f"{times} damaged files: {good} runs ended as if untouched, {refused} refused"

    def full(self) -> str:
        """Store on a file system that is too small, then make room and go on."""
        with small_file_system(self.folder / "small") as small:
            if small is None:
                return "no small file system can be made here (that needs to be root)"
            ballast = small / "ballast"
            ballast.write_bytes(bytes(1_500_000))
            place = small / "a.zarr"
            try:
                run("paths", place)
            except sdde.StoreError as error:
                said = str(error).partition("\n")[0]
            else:
                self.bad += 1
                said = "nothing was said"
            before = blocks_in(place)
            ballast.unlink()
            return f"full disk: {said!r}; {before} blocks kept; {self.ends_well('paths', place)}"

    def two_at_once(self) -> str:
        """Two processes on one store (and, as always here, on one cache)."""
        place = self.folder / "two.zarr"
        both = [started("paths", place) for _ in range(2)]
        said = [process.communicate()[0].strip() for process in both]
        codes = sorted(process.returncode for process in both)
        ended = [text for text in said if text == self.truth["paths"]]
        self.bad += codes not in ([0, LATE], [0, 0]) or not ended
        return f"two at once: exit {codes}, {len(ended)} right; {self.ends_well('paths', place)}"


def blocks_in(place: Path, *, ends: bool = False) -> int:
    """Return how many blocks a store has; with `ends`, a quick count of what says so."""
    if ends:
        return sum(1 for _ in place.glob("digests/c/*"))
    try:
        return len(Store.for_reading(place).written())
    except (sdde.Error, OSError):
        return 0


@contextlib.contextmanager
def small_file_system(place: Path) -> Iterator[Path | None]:
    """Give a file system of 4 MB, or None."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)


def main() -> int:
    """Run the study."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--quick", action="store_true")
    reader.add_argument("--kills", type=int)
    reader.add_argument("--child", nargs=2)
    given = reader.parse_args()
    if given.child:
        return child(given.child[0], Path(given.child[1]))
    share = 10 if given.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder))
        print(f"an untouched run takes {study.seconds:.1f} s", flush=True)
        print(study.stops(signal.SIGKILL, given.kills or 50 // share), flush=True)
        print(study.many_kills(max(3, 10 // share)), flush=True)
        print(study.stops(signal.SIGINT, max(2, 10 // share)), flush=True)
        print(study.damage(50 // share), flush=True)
        print(study.full(), flush=True)
        print(study.two_at_once(), flush=True)
    print(f"FAIL: {study.bad} went wrong" if study.bad else "PASS: every result was the same bits")
    return int(study.bad > 0)


if __name__ == "__main__":
    sys.exit(main())
