"""Traces: quantities, files, the writer, the figure and the packaged run."""

import gzip
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdde
from sdde.cluster import Trace, TraceWriter, packaged_trace, trace_reading, trace_writing

FULL = {
    "worker": [0, 1, 0, 1],
    "read_time": [0.0, 0.0, 1.0, 1.5],
    "apply_time": [1.0, 1.5, 2.0, 3.0],
    "read_version": [0, 0, 1, 2],
    "apply_version": [1, 2, 3, 4],
}


def without(*names, **changes):
    return {k: v for k, v in (FULL | changes).items() if k not in names}


def renewal(draw, workers, cycles, rng):
    """Return the trace of workers that read, compute for `draw(rng, cycles)` and start over."""
    ends = [rng.uniform() + np.cumsum(draw(rng, cycles)) for _ in range(workers)]
    stop = min(end[-1] for end in ends)
    rows = sorted((t, w, k) for w, end in enumerate(ends) for k, t in enumerate(end) if t <= stop)
    read = [(0.0, 0)] * workers
    table = []
    for version, (t, w, _) in enumerate(rows, start=1):
        table.append((w, read[w][0], t, read[w][1], version))
        read[w] = (t, version)
    return Trace(dict(zip(FULL, np.array(table).T, strict=True)))


def exponential(rng, size):
    return rng.exponential(size=size)


# -- quantities ------------------------------------------------------------------------------


def test_staleness_counts_the_updates_that_others_made_meanwhile():
    """Worker 0 reads version 1, worker 1 applies number 2, worker 0 number 3: one missed."""
    assert Trace(FULL).staleness().tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("draw", [exponential, lambda rng, size: rng.uniform(0.5, 1.5, size)])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_mean_staleness_is_workers_minus_one_for_every_law(draw, workers):
    """Each update is missed once by every other worker, except in cycles that the end cuts off."""
    trace = renewal(draw, workers, 400, np.random.default_rng(5))
    last = [np.flatnonzero(trace["worker"] == worker)[-1] for worker in range(workers)]
    cut_off = sum(len(trace) - 1 - row for row in last)
    assert trace.staleness().sum() == len(trace) * (workers - 1) - cut_off


def test_cycles_run_from_read_to_read_and_compute_times_from_start():
    """A cycle holds everything, a compute time only what follows its start."""
    trace = Trace(FULL | {"start_time": [0.25, 0.5, 1.25, 2.0]})
    assert trace.cycle_time().tolist() == [1.0, 1.5]
    assert trace.compute_time().tolist() == [0.75, 1.0, 0.75, 1.0]
    assert trace.compute_time(worker=1).tolist() == [1.0, 1.0]
    assert trace.delay(worker=1).tolist() == [1.5, 1.5]
    assert Trace(FULL).compute_time().tolist() == [1.0, 1.5, 1.0, 1.5]


def test_without_reads_a_cycle_runs_from_application_to_application():
    """Logs of the server alone still tell the cycle time."""
    trace = Trace(without("read_time", "read_version"))
    assert trace.cycle_time().tolist() == [1.0, 1.5]
    assert trace.update_rate() == pytest.approx(3 / 2.0)


def test_rows_are_put_in_the_order_of_time():
    """Logs merged from several files come in any order."""
    shuffled = Trace({name: [column[i] for i in (2, 0, 3, 1)] for name, column in FULL.items()})
    for name, column in FULL.items():
        np.testing.assert_array_equal(shuffled[name], column)


def test_discarded_gradients_and_groups_make_no_updates_of_their_own():
    """A discarded row keeps the version; rows that share a version are one update."""
    dropped = Trace(FULL | {"apply_version": [1, 1, 2, 3], "read_version": [0, 0, 1, 1],
                            "discarded": [False, True, False, False]})  # fmt: skip
    assert dropped.updates == 3
    assert dropped.staleness().tolist() == [0, 0, 1]
    grouped = Trace(FULL | {"apply_version": [1, 1, 2, 2], "read_version": [0, 0, 1, 1]})
    assert grouped.updates == 2
    assert grouped.staleness().tolist() == [0, 0, 0, 0]


def test_a_log_of_durations_tells_a_law_and_nothing_about_staleness():
    """Single columns are accepted for what they can tell; the rest names what is missing."""
    trace = Trace({"compute_time": [1.0, 2.0, 3.0]})
    assert trace.law().mean == 2.0
    assert "mean 2" in repr(trace)
    with pytest.raises(sdde.ArgumentError, match=r"staleness.*\n.*read_version and apply_version"):
        trace.staleness()
    with pytest.raises(sdde.ArgumentError, match="number of workers"):
        _ = trace.workers
    assert all(finding.holds is None for finding in trace.check().findings)


def test_a_log_of_staleness_tells_staleness_only():
    """See above."""
    trace = Trace({"staleness": [3, 4, 5]})
    assert trace.staleness().mean() == 4.0
    with pytest.raises(sdde.ArgumentError, match="cannot tell"):
        trace.cycle_time()
    with pytest.raises(sdde.ArgumentError, match="apply_time"):
        trace.update_rate()


def test_the_system_of_a_trace_has_its_cycles_and_its_workers():
    """This is what the planner and the simulator take."""
    trace = Trace(FULL)
    alike, each = trace.system(), trace.system(alike=False)
    assert (alike.workers, each.workers) == (2, 2)
    assert alike.compute_laws(2)[0].mean == 1.25
    assert [law.mean for law in each.compute_laws(2)] == [1.0, 1.5]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "hold none that is known"),
        ({"reed_time": [1.0]}, "hold none that is known"),
        ({"compute_time": []}, "no gradients"),
        (FULL | {"worker": [0, 1]}, "differ in length"),
        (FULL | {"read_time": [0.0, 2.0, 1.0, 1.5]}, "is after apply_time in row 1"),
        (FULL | {"apply_version": [0, 1, 2, 3]}, "add 1 to apply_version"),
        (FULL | {"read_version": [0, 0.5, 1, 2]}, "is not a whole number"),
        (FULL | {"apply_time": [1.0, 1.5, np.nan, 3.0]}, "is not a time"),
        ({"compute_time": [1.0, -1.0]}, "is negative"),
        ({"compute_time": ["1.0", "fast"]}, "not a column of numbers"),
        ({"compute_time": [[1.0]]}, "one-dimensional"),
    ],
)
def test_rows_that_no_run_can_have_made_are_refused(data, said):
    """A wrong log must not become a wrong plan."""
    with pytest.raises(sdde.ArgumentError, match=said):
        Trace(data)


def test_few_rows_are_refused_by_what_needs_more():
    """One gradient has no rate and no cycle, but a compute time."""
    trace = Trace({name: column[:1] for name, column in FULL.items()})
    assert trace.compute_time().tolist() == [1.0]
    for quantity in (trace.update_rate, trace.cycle_time, trace.law):
        with pytest.raises(sdde.ArgumentError, match="too short"):
            quantity()
    assert trace.check().near_poisson is None


def test_a_trace_cannot_be_changed():
    """It is a value."""
    given_times = np.array(FULL["read_time"])
    trace = Trace(FULL | {"read_time": given_times})
    given_times[0] = -1.0
    assert trace["read_time"][0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        trace["read_time"][0] = 1.0


# -- files -----------------------------------------------------------------------------------


@st.composite
def traces(draw):
    rows = draw(st.integers(1, 12))
    times = st.floats(0.0, 1e6, allow_nan=False)
    reads = np.array(draw(st.lists(times, min_size=rows, max_size=rows)))
    waits = np.array(draw(st.lists(times, min_size=rows, max_size=rows)))
    names = (
        st.sampled_from([0, 3, 17]) if draw(st.booleans()) else st.sampled_from(["a", "b,c", 'd"'])
    )
    data = {
        "worker": draw(st.lists(names, min_size=rows, max_size=rows)),
        "read_time": reads,
        "apply_time": reads + waits,
        "read_version": np.zeros(rows, dtype=int),
        "apply_version": 1 + np.argsort(np.argsort(reads + waits, kind="stable")),
    }
    numbers = st.floats(allow_nan=True, allow_infinity=False)
    if draw(st.booleans()):
        data["loss"] = draw(st.lists(numbers, min_size=rows, max_size=rows))
    if draw(st.booleans()):
        data["discarded"] = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    texts = st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1)
    keys = texts.filter(lambda text: text.split() == [text])
    return Trace(
        data, draw(st.dictionaries(keys, st.text(st.characters(codec="utf-8")), max_size=3))
    )


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.xz", ".jsonl", ".jsonl.gz"])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(trace=traces())
def test_a_file_gives_back_what_was_written(trace, suffix, tmp_path_factory):
    """Bit for bit: floats are written with all their digits."""
    path = tmp_path_factory.mktemp("traces") / f"run{suffix}"
    trace.write(path)
    again = Trace.read(path)
    assert list(again.data) == list(trace.data)
    assert again.header == trace.header
    for name in trace.data:
        if name != "worker":
            np.testing.assert_array_equal(again[name], trace[name])
    labels = [np.array(t.worker_names)[t["worker"]] if t.worker_names else t["worker"]
              for t in (trace, again)]  # fmt: skip
    np.testing.assert_array_equal(labels[0], labels[1])


def test_parquet_gives_back_what_was_written(tmp_path):
    """Only where pyarrow is installed."""
    pytest.importorskip("pyarrow")
    trace = Trace(FULL | {"worker": ["a", "b", "a", "b"]}, {"workers": "2"})
    trace.write(tmp_path / "run.parquet")
    again = Trace.read(tmp_path / "run.parquet")
    assert again.header == trace.header
    for name in FULL:
        np.testing.assert_array_equal(again[name], trace[name])


def test_parquet_without_its_packages_is_refused(tmp_path, monkeypatch):
    """The message names what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(sdde.ArgumentError, match="pip install pyarrow"):
        Trace(FULL).write(tmp_path / "run.parquet")


def test_pieces_of_a_long_file_are_joined(tmp_path, monkeypatch):
    """A file is read piece by piece; a piece with words in it must not disturb the others."""
    monkeypatch.setattr(trace_reading, "PIECE", 3)
    monkeypatch.setattr(trace_writing, "PIECE", 4)
    trace = renewal(exponential, 3, 20, np.random.default_rng(1))
    path = tmp_path / "run.csv"
    trace.write(path)
    lines = path.read_text().splitlines()
    lines[8:8] = ["", "# a remark in the middle"]
    path.write_text("\n".join(lines))
    again = Trace.read(path)
    for name in FULL:
        np.testing.assert_array_equal(again[name], trace[name])


def test_columns_of_other_names_and_other_columns_are_taken_in_stride(tmp_path):
    """Real logs are not made for us."""
    path = tmp_path / "own.csv"
    path.write_text("host,pulled at,used at,note\nb,0.0,1.0,x\na,0.5,2.0,y\nb,1.0,2.5,\n")
    names = {"host": "worker", "pulled at": "read_time", "used at": "apply_time"}
    trace = Trace.read(path, names=names)
    assert trace.workers == 2
    assert trace.cycle_time("b").tolist() == [1.0]
    with pytest.raises(sdde.ArgumentError, match="is not in the trace"):
        trace.compute_time("c")
    with pytest.raises(sdde.ArgumentError, match="no column of a trace"):
        Trace.read(path, names={"host": "machine"})


def test_numbers_and_names_of_workers_do_not_mix(tmp_path, monkeypatch):
    """Numbers beside names are names; after a piece of numbers it is too late."""
    path = tmp_path / "run.csv"
    path.write_text("worker,compute_time\n1,1.0\nx,1.0\n")
    assert Trace.read(path).worker_names == ("1", "x")
    monkeypatch.setattr(trace_reading, "PIECE", 1)
    with pytest.raises(sdde.ArgumentError, match="mixes numbers and names of workers in line 3"):
        Trace.read(path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.txt", "", "suffix"),
        ("run.csv", "", "no column of a trace in line 0"),
        ("run.csv", "1.0\n2.0\n", "must name the columns"),
        ("run.csv", "compute_time\n", "no gradients"),
        ("run.csv", "worker,worker\n1,2\n", "twice"),
        ("run.csv", "compute_time\n1.0\nfast\n", "line 3"),
        ("run.csv", "worker,compute_time\n1,1.0\n2\n3,1.0\n", "1 cells in line 3, not 2"),
        ("run.csv", "staleness,compute_time\n1,1.0\n,1.0\n", "staleness = '' is missing"),
        ("run.jsonl", "{", "no gradients"),
        ("run.jsonl", "{\n", "not JSON in line 1"),
        ("run.jsonl", "[1]\n", "object in line 1"),
    ],
)
def test_files_that_hold_no_trace_are_refused_with_the_line(name, text, said, tmp_path):
    """The reader must find the fault in a file of millions of lines."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(sdde.ArgumentError, match=said):
        Trace.read(path)


def test_a_missing_and_a_damaged_file_are_refused(tmp_path):
    """No traceback of a decompressor."""
    with pytest.raises(sdde.ArgumentError, match="is not a file"):
        Trace.read(tmp_path / "none.csv")
    whole = gzip.compress(b"compute_time\n" + b"1.25\n" * 5000)
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(sdde.ArgumentError, match="cannot be read to its end"):
        Trace.read(path)


# -- the writer ------------------------------------------------------------------------------


def test_the_writer_counts_versions_and_takes_times(tmp_path):
    """What a training loop has to say is read, start and apply."""
    ticks = iter(np.arange(20.0))
    path = tmp_path / "run.jsonl"
    with TraceWriter(path, header={"workers": 2}, clock=lambda: next(ticks)) as log:
        for worker in ("a", "b"):
            log.read(worker)
            log.start(worker)
        log.apply("b", loss=2.0, discarded=False)
        log.apply("a", loss=1.0, discarded=True)
        log.read("a")
        log.start("a")
        log.apply("a", loss=0.5, discarded=False)
    trace = Trace.read(path)
    assert trace.header == {"workers": "2"}
    assert trace["read_time"].tolist() == [2.0, 0.0, 6.0]
    assert trace["start_time"].tolist() == [3.0, 1.0, 7.0]
    assert trace["apply_time"].tolist() == [4.0, 5.0, 8.0]
    assert trace["apply_version"].tolist() == [1, 1, 2]
    assert trace.staleness().tolist() == [0, 0]
    assert trace.worker_names == ("b", "a")


def test_rows_are_in_the_file_before_it_is_closed(tmp_path):
    """A killed run leaves its log, also if the last row was cut in the middle."""
    path = tmp_path / "run.csv"
    log = TraceWriter(path)
    for _ in range(3):
        log.read(0)
        log.apply(0)
    log.flush()
    assert Trace.read(path).updates == 3
    log.close()
    log.close()
    with path.open("a") as out:
        out.write("0,4.0,5.")
    assert Trace.read(path).updates == 3


def test_threads_may_share_a_writer(tmp_path):
    """Each row is whole, and no version is given twice."""
    path = tmp_path / "run.csv"

    def loop(worker):
        for _ in range(100):
            log.read(worker)
            log.apply(worker)

    with TraceWriter(path) as log:
        threads = [threading.Thread(target=loop, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    trace = Trace.read(path)
    assert trace.workers == 4
    assert sorted(trace["apply_version"].tolist()) == list(range(1, 401))


def test_misuse_of_the_writer_is_refused(tmp_path):
    """Each message names the call that is missing."""
    with pytest.raises(sdde.ArgumentError, match="row by row"):
        TraceWriter(tmp_path / "run.parquet")
    with TraceWriter(tmp_path / "run.csv") as log:
        with pytest.raises(sdde.ArgumentError, match="has not read"):
            log.apply(0)
        with pytest.raises(sdde.ArgumentError, match="not known"):
            log.row(speed=1.0)
        log.row(compute_time=1.0)
        with pytest.raises(sdde.ArgumentError, match="differ from those of the first row"):
            log.row(compute_time=1.0, loss=2.0)
    with pytest.raises(sdde.ArgumentError, match="cannot write any more"):
        log.row(compute_time=1.0)


# -- figures and the packaged run ------------------------------------------------------------


@pytest.mark.parametrize("data", [FULL, {"compute_time": [1.0, 2.0]}, {"staleness": [0, 1]}])
def test_a_figure_has_four_panels_whatever_the_log_holds(data):
    """Panels without data say so instead of failing."""
    from matplotlib import pyplot

    axes = Trace(data).plot()
    assert axes.shape == (2, 2)
    again = Trace(data).plot(axes)
    assert again is not None
    with pytest.raises(sdde.ArgumentError, match="number of axes"):
        Trace(data).plot(axes[0])
    pyplot.close("all")


def test_the_packaged_run_is_what_its_header_says():
    """Eight workers, thousands of updates, staleness near seven, and the command that made it."""
    trace = packaged_trace()
    assert trace.workers == 8
    assert trace.updates >= 5000
    assert 6.0 <= trace.staleness().mean() <= 8.0
    assert trace.header["command"].startswith("sdde live --workers 8 ")
    assert float(trace.header["learning_rate"]) > 0
    assert trace.check().in_flight.holds
    file = Path(sdde.__file__).parent / "data" / "live_digits_8_workers.csv.xz"
    assert file.stat().st_size < 300_000
