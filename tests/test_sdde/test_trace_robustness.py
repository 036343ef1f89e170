"""Logs as they are found: incomplete, out of order, merged twice, damaged, or very long."""

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import sdde
from sdde import cluster
from sdde.cluster import Trace, trace_parquet, trace_reading, trace_writing

FULL = {
    "worker": [0, 1, 0, 1],
    "read_time": [0.0, 0.0, 1.0, 1.5],
    "apply_time": [1.0, 1.5, 2.0, 3.0],
    "read_version": [0, 0, 1, 2],
    "apply_version": [1, 2, 3, 4],
}
SUFFIXES = [".csv", ".jsonl", ".parquet"]


def run_of(rows, workers=4, seed=0):
    """Return the log of workers with exponential cycles."""
    rng = np.random.default_rng(seed)
    worker = rng.integers(0, workers, rows)
    apply = np.cumsum(rng.exponential(1.0 / workers, rows))
    read, seen = np.zeros(rows), np.zeros(rows, dtype=int)
    order = np.argsort(worker, kind="stable")
    same = worker[order][1:] == worker[order][:-1]
    read[order[1:][same]] = apply[order[:-1][same]]
    seen[order[1:][same]] = order[:-1][same] + 1
    return Trace({"worker": worker, "read_time": read, "apply_time": apply, "read_version": seen,
                  "apply_version": np.arange(1, rows + 1)})  # fmt: skip


def plan_of(trace):
    return sdde.theory.plan(
        cluster.Quadratic(1.0, noise=0.1), trace.system(), target_loss=1e-2, learning_rate=0.05,
        max_workers=8,
    )  # fmt: skip


# -- what a log holds ------------------------------------------------------------------------


@pytest.mark.parametrize("missing", list(FULL))
def test_a_log_without_one_column_tells_the_rest_and_names_what_is_missing(missing):
    """Each quantity is there, or refused with the column that it needs."""
    trace = Trace({name: column for name, column in FULL.items() if name != missing})
    told, refusals = 0, []
    for quantity in (trace.compute_time, trace.cycle_time, trace.staleness, trace.update_rate,
                     trace.system, trace.delay, lambda: trace.resample(1)):  # fmt: skip
        try:
            quantity()
            told += 1
        except sdde.ArgumentError as error:
            refusals.append(str(error))
    assert told >= 3
    assert all(missing in text or "cannot be resampled" in text for text in refusals)
    assert "4 gradients" in repr(trace)
    assert len(trace.check().findings) == 7


def test_rows_out_of_order_are_put_in_order_of_time_and_version():
    """Ties of a coarse clock are resolved by the version."""
    data = FULL | {"apply_time": [1.0, 2.0, 2.0, 3.0], "read_time": [0.0, 0.0, 1.0, 2.0]}
    for order in ([3, 1, 0, 2], [2, 1, 0, 3], [0, 2, 1, 3]):
        trace = Trace({name: np.array(column)[order] for name, column in data.items()})
        assert trace["apply_version"].tolist() == [1, 2, 3, 4]
        assert trace["worker"].tolist() == [0, 1, 0, 1]


def test_rows_that_stand_twice_are_refused():
    """Cycles of length zero would make workers infinitely fast."""
    data = {name: [*column, column[2]] for name, column in FULL.items()}
    with pytest.raises(sdde.ArgumentError, match=r"1 of them twice.*\n.*worker 0 applied at 2"):
        Trace(data)
    lost = np.array([0.5, np.nan, np.nan, 0.1])
    twice = {name: [*column, column[2]] for name, column in (FULL | {"loss": lost}).items()}
    with pytest.raises(sdde.ArgumentError, match="twice"):
        Trace(twice)


def test_equal_versions_are_one_update_and_equal_times_are_accepted():
    """Groups share a version; a coarse clock gives equal times to different gradients."""
    versions = {"apply_version": [1, 1, 3, 3], "read_version": [0, 0, 1, 1]}
    times = {"apply_time": [1.0, 1.0, 3.0, 3.0], "read_time": [0, 0, 1, 1]}
    trace = Trace(FULL | versions | times)
    assert trace.updates == 2
    assert trace.staleness().tolist() == [0, 0, 1, 1]


def test_several_runs_in_one_log_are_refused():
    """Their versions go back and forth in the order of time."""
    first, second = run_of(100, seed=1), run_of(100, seed=2)
    merged = {name: np.concatenate([first[name], second[name]]) for name in FULL}
    with pytest.raises(sdde.ArgumentError, match="several runs"):
        Trace(merged)
    small = run_of(1000)
    jitter = np.array(small["apply_version"])
    jitter[[500, 501]] = jitter[[501, 500]]  # two rows of a server with several threads
    assert Trace({**small.data, "apply_version": jitter}).updates == 1000


def test_one_worker_alone_makes_a_plan():
    """Nothing is stale, and more workers can still be planned."""
    trace = run_of(200, workers=1)
    assert trace.workers == 1
    assert trace.staleness().max() == 0
    assert trace.check().alike.holds is None
    assert plan_of(trace).workers >= 1
    assert trace.resample(1).staleness().max() == 0


def test_ten_rows_make_a_plan_and_say_what_they_cannot_tell():
    """Verdicts without data would be guesses."""
    trace = run_of(10, workers=2)
    assert plan_of(trace).workers >= 1
    assert sum(finding.holds is None for finding in trace.check().findings) >= 5
    assert len(trace.resample(1)) == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"apply_time": [1.0, 1.5, 2.0, 1e300]}, "apply_time = 1e\\+300 is out of range"),
        ({"read_time": [-1e200, 0.0, 1.0, 1.5]}, "out of range"),
        ({"apply_version": [1, 2, 3, 1e30]}, "out of range"),
        ({"apply_version": np.array([1, 2, 3, 2**60])}, "out of range"),
        ({"apply_version": [1, 2, 3, np.inf]}, "is not a whole number"),
        ({"worker": [0, 1, 0, np.nan]}, "is not a whole number"),
        ({"worker": ["a", "b\nc", "a", "a"]}, "is no name"),
        ({"worker": ["a", " b", "a", "a"]}, "is no name"),
        ({"discarded": [0, 1, 2, 0]}, "whole number"),
    ],
)
def test_numbers_and_names_out_of_range_are_refused(change, said):
    """Before they become an overflow or a line that is not one."""
    with pytest.raises(sdde.ArgumentError, match=said):
        Trace(FULL | change)


def test_names_must_cover_the_workers():
    """Otherwise a file could not be written."""
    with pytest.raises(sdde.ArgumentError, match="no name among 1"):
        Trace(FULL, worker_names=("a",))


# -- files -----------------------------------------------------------------------------------


HARMFUL = ["=1+1", "@SUM(A1)", "__import__('os').system('x')", "${HOME}", "<script>", "'; --", "%s"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_in_a_file_is_text(suffix, tmp_path):
    """Names and headers that would be code elsewhere come back as they are."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    data = {"worker": HARMFUL, "compute_time": np.arange(1.0, len(HARMFUL) + 1.0)}
    trace = Trace(data, {"note": "=cmd|'/c calc'!A1", "html": "<b>"})
    trace.write(tmp_path / f"run{suffix}")
    again = Trace.read(tmp_path / f"run{suffix}")
    assert again.header == trace.header
    assert [again.worker_names[code] for code in again["worker"]] == HARMFUL
    np.testing.assert_array_equal(again["compute_time"], trace["compute_time"])


@pytest.mark.parametrize(
    "cell", ["__import__('os').getpid()", "1+1", "[1]", "{}", "0x10", "1e999", "nan", "1" * 400]
)
def test_a_cell_that_is_no_number_in_range_is_refused(cell, tmp_path):
    """Nothing is evaluated."""
    path = tmp_path / "run.csv"
    path.write_text(f"worker,compute_time\n0,{cell}\n")
    with pytest.raises(sdde.ArgumentError, match="compute_time"):
        Trace.read(path)
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps({"worker": 0, "compute_time": cell}) + "\n")
    with pytest.raises(sdde.ArgumentError, match="compute_time"):
        Trace.read(path)


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"worker": ' * 5000, '{"compute_time": ' + "1" * 5000 + "}", "\x00"]
)
def test_json_made_to_break_a_reader_is_refused(line, tmp_path):
    """Deep nesting and numbers of thousands of digits."""
    path = tmp_path / "run.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(sdde.ArgumentError):
        Trace.read(path)


def test_a_cell_of_a_million_letters_is_refused(tmp_path):
    """The limit of the CSV reader is no traceback."""
    path = tmp_path / "run.csv"
    path.write_text('worker,compute_time\n"' + "x" * 1_000_000 + '",1.0\n')
    with pytest.raises(sdde.ArgumentError, match="is not CSV in line 2"):
        Trace.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_file_is_a_trace_or_refused(suffix, tmp_path):
    """300 files with bytes changed, cut or doubled: never another exception, never a warning."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    rng = np.random.default_rng(3)
    source, path = tmp_path / f"run{suffix}", tmp_path / f"damaged{suffix}"
    named = np.array(["a", "b", "c", "d"])
    whole = run_of(30)
    refused = 0
    for trace in (whole, Trace({**whole.data, "worker": named[whole["worker"]]})):
        trace.write(source)
        content = source.read_bytes()
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(rng.integers(1, 6)):
                place = int(rng.integers(len(damaged)))
                kind = rng.integers(3)
                if kind == 0:
                    damaged[place] = int(rng.choice([rng.integers(256), *b',"\n-.e#{}0\x00']))
                elif kind == 1:
                    del damaged[place : place + int(rng.integers(1, 20))]
                else:
                    damaged[place:place] = damaged[place : place + int(rng.integers(1, 40))]
            path.write_bytes(bytes(damaged))
            try:
                Trace.read(path)
            except sdde.ArgumentError:
                refused += 1
    assert refused > 100


def test_parquet_holds_what_other_programs_write(tmp_path):
    """Text for workers, whole numbers as decimals, small types; dates and lists are refused."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "other.parquet"
    table = {"host": arrow.array(["x", "y", "x"], arrow.large_string()),
             "took": arrow.array([1.0, 2.0, 3.0], arrow.float32()),
             "staleness": arrow.array([0.0, 1.0, 2.0]), "note": ["a", "b", "c"]}  # fmt: skip
    parquet.write_table(arrow.table(table), path)
    trace = Trace.read(path, names={"host": "worker", "took": "compute_time"})
    assert trace.worker_names == ("x", "y")
    assert trace.staleness().tolist() == [0, 1, 2]
    assert trace.cycle_time("x").tolist() == [1.0, 3.0]
    for column in (
        arrow.array([1, 2], arrow.timestamp("s")), arrow.array([[1.0], [2.0]]),
        arrow.array(["1", "2"]), arrow.array([1.0, None]),
    ):  # fmt: skip
        parquet.write_table(arrow.table({"compute_time": column}), path)
        with pytest.raises(sdde.ArgumentError, match="compute_time"):
            Trace.read(path)
    parquet.write_table(arrow.table({"note": [1.0]}), path)
    with pytest.raises(sdde.ArgumentError, match="none that is known"):
        Trace.read(path)
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(sdde.ArgumentError, match="cannot be read"):
        Trace.read(path)


# -- long logs -------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reading_needs_the_memory_of_the_columns_and_little_more(suffix, tmp_path, monkeypatch):
    """Two columns of overlap while parts are joined, and one piece of text."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    rows, piece = 40_000, 2_000
    path = tmp_path / f"run{suffix}"
    run_of(rows).write(path)
    for module in (trace_reading, trace_parquet, trace_writing):
        monkeypatch.setattr(module, "PIECE", piece)
    if suffix == ".parquet":
        Trace.read(path)  # what pyarrow keeps when it is first used
    tracemalloc.start()
    trace = Trace.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(trace) == rows
    columns = sum(column.nbytes for column in trace.data.values())
    assert columns == 40 * rows
    assert peak < 1.8 * columns + 1200 * piece


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ten_million_rows_are_read_in_less_than_two_gigabytes(suffix, tmp_path):
    """In a process of its own, whose largest memory the system knows."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"run{suffix}"
    run_of(10_000_000, workers=32).write(path)
    code = (
        "import resource, sys\n"
        "from sdde.cluster import Trace\n"
        "trace = Trace.read(sys.argv[1])\n"
        "assert len(trace) == 10_000_000\n"
        "repr(trace), trace.check(), trace.system()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True
    )
    kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 2_000_000
