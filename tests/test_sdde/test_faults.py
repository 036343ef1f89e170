"""Faults that happen to processes and disks while a run is being stored, for real.

`experiments/kill_study.py` does the same many times at random moments.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import sdde
from sdde.solving import storing
from sdde.solving.stores import Store

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import os, signal, sys
import sdde
from sdde.solving import storing

{before}

storing._STEPS = 64 * 20

def drift(t, x, delayed):
    return -delayed[0]

problem = sdde.Problem(drift, 0.5, delays=1.0, history=1.0)
print("ready", flush=True)
try:
    solution = sdde.solve(problem, (0.0, 2.0), dt=0.1, paths=3000, rng=5, store=sys.argv[1])
except sdde.StoreError as error:
    print(error, flush=True)
    sys.exit(3)
print(sum(solution.status == "done"), flush=True)
"""


def drift(t, x, delayed):
    return -delayed[0]


def solve(store=None):
    problem = sdde.Problem(drift, 0.5, delays=1.0, history=1.0)
    return sdde.solve(problem, (0.0, 2.0), dt=0.1, paths=3000, rng=5, store=store)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(storing, "_STEPS", 64 * 20)


def start(place, before="", **options):
    command = [sys.executable, "-W", "ignore", "-c", CHILD.format(before=before), str(place)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


KILL = """
from zarr.storage import LocalStore
put, count = LocalStore.set, [0]

async def put_some(self, key, value):
    count[0] += 1
    if count[0] == {number}:
        half = self.root / (key + ".0.partial")
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(bytes(value.to_bytes()[: len(value) // 2]))
        os.kill(os.getpid(), signal.SIGKILL)
    await put(self, key, value)

LocalStore.set = put_some
LocalStore.set_sync = None
"""


@pytest.mark.parametrize("number", [2, 7, 60, 118])
def test_a_run_that_is_killed_in_the_middle_of_a_write_goes_on(tmp_path, number):
    """SIGKILL while the header, an array, a later block is written; half of the file is there."""
    place = tmp_path / "a.zarr"
    process = start(place, KILL.format(number=number))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    whole, resumed = solve(), solve(place)
    assert np.array_equal(resumed.x, whole.x)
    assert np.array_equal(resumed.end_time, whole.end_time)
    assert not list(place.rglob("*.partial"))


def test_blocks_are_trusted_only_because_their_digests_come_last(tmp_path, monkeypatch):
    """The control: a store that wrote digests first would take a lost block for a good one.

    With digests that do not look at numbers (so that only their being there counts), a block whose
    digests were written and whose states were not is nan in the result.
    """
    solve(tmp_path / "a.zarr")
    for file in (tmp_path / "a.zarr" / "x" / "c" / "1").rglob("*"):
        if file.is_file():
            file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_is_good", lambda self, block: True)
        patch.setattr("sdde.solving.stores._digest", lambda values: np.zeros(32, dtype=np.uint8))
        patch.setattr(Store, "_digests_of", lambda self, b: np.zeros((len(self.names), 32), "u1"))
        assert np.isnan(solve(tmp_path / "a.zarr").x).any()
    with pytest.warns(sdde.SolutionWarning, match="damaged"):
        assert np.array_equal(solve(tmp_path / "a.zarr").x, solve().x)


def test_ctrl_c_ends_a_stored_run_in_good_order(tmp_path):
    """It returns what is whole, and the same call goes on."""
    place = tmp_path / "a.zarr"
    slow = (
        "import time\n"
        "from sdde.solving.stores import Store\n"
        "put = Store.put\n"
        "def slowly(self, block, arrays):\n"
        "    put(self, block, arrays)\n"
        "    time.sleep(0.05)\n"
        "Store.put = slowly\n"
    )
    process = start(place, slow)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    until = time.monotonic() + 60.0
    while len(list(place.glob("digests/c/*"))) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 0
    done = int(said)
    assert 3 * 64 <= done < 3000
    assert len(Store.for_reading(place).written()) * 64 == done
    assert np.array_equal(solve(place).x, solve().x)


def no_large_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))


def test_without_its_handling_a_full_disk_would_be_a_bare_error(tmp_path):
    """The control: the same child where nobody puts the system's errors into words."""
    blind = (
        "import contextlib\n"
        "from sdde.solving import store_files, stores, storing\n"
        "for home in (store_files, stores, storing):\n"
        "    if hasattr(home, 'refusals'):\n"
        "        home.refusals = lambda *said: contextlib.nullcontext()\n"
    )
    process = start(tmp_path / "a.zarr", blind, preexec_fn=no_large_files)
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said == "ready\n"


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path):
    """The system's own refusal (of files above 4 kB), said with what to do; then it goes on."""
    place = tmp_path / "a.zarr"
    sdde.solve(sdde.Problem(drift, 0.5, delays=1.0, history=1.0), (0.0, 2.0), dt=0.1, paths=3000)
    process = start(place, preexec_fn=no_large_files)
    said, _ = process.communicate()
    assert process.returncode == 3
    assert "is full: File too large" in said
    assert "make the same call again: it goes on from there" in said
    assert np.array_equal(solve(place).x, solve().x)


def test_of_two_runs_on_one_store_one_is_refused(tmp_path):
    """The other ends as if alone. The control, without the lock, lets both in."""
    place = tmp_path / "a.zarr"
    both = [start(place), start(place)]
    said = [process.communicate()[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 3], [0, 0])  # [0, 0]: one had ended before the other began
    assert any("3000" in text for text in said)
    assert np.array_equal(solve(place).x, solve().x)


def test_without_the_lock_two_runs_would_write_at_once(tmp_path, monkeypatch):
    """So it is the lock that refuses."""
    opened = []

    def open_again(self):
        if not opened:
            opened.append(True)
            opened.append(solve(tmp_path / "a.zarr"))
        return missing(self)

    missing = Store.missing
    monkeypatch.setattr(Store, "missing", open_again)
    with pytest.raises(sdde.StoreError, match="being written by another run"):
        solve(tmp_path / "a.zarr")
    opened.clear()
    monkeypatch.setattr("sdde.solving.locking.Lock.__init__", _no_lock)
    assert np.array_equal(solve(tmp_path / "a.zarr").x, solve().x)
    assert len(opened) == 2  # equal runs write equal blocks, so even this did no harm


def _no_lock(self, folder, name):
    self.descriptor = None


@pytest.mark.slow
def test_the_study_of_kills_passes():
    """50 kills and the rest of it take several minutes."""
    run = [sys.executable, "-m", "experiments.kill_study", "--kills", "50", "--quick"]
    done = subprocess.run(run, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS: ")
