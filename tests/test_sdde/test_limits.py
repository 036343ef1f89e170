"""Requests that cannot fit are refused with what to change; counts cannot overflow."""

import numpy as np
import pytest

import sdde
from sdde.engine import compile as compiling
from sdde.solving import fitting, memory, running
from sdde.solving.memory import in_words, require_memory


def problem(delay=1.0, **changes):
    made = {"delays": delay, "history": 1.0, **changes}
    return sdde.Problem(lambda t, x, delayed: -delayed[0], made.pop("diffusion", 0.5), **made)


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes are free."""

    def set_free(size):
        monkeypatch.setattr(memory, "available_memory", lambda: int(size))

    return set_free


@pytest.fixture
def nothing_compiles(monkeypatch):
    """Refusals come before the compiler."""

    def refuse(*args, **options):
        pytest.fail("something was compiled")

    monkeypatch.setattr(running, "compile_model", refuse)
    monkeypatch.setattr(compiling, "compile_model", refuse)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"paths": 100_000}, r"paths = 100000 with 1001 saved times .* 801 MB for the states; "
         r"200 MB are free\.\n  Save less: save=\"final\".*\n  Or give store="),
        ({"paths": 4_000_000, "save": "final"}, r"212 MB for how each path ended.*\n  Give fewer"),
        ({"paths": 50_000, "save": sdde.Moments("all", quantiles=0.5)}, "for the moments.*\n  Ask"),
        ({"paths": 1 << 44, "save": sdde.Moments()}, "for how each path ended"),
        ({"paths": 1 << 62}, "is more than the random numbers have addresses for"),
        ({"paths": 1 << 70}, "is above 4611686018427387904"),
    ],
)  # fmt: skip
def test_what_cannot_fit_is_refused_before_anything_is_compiled(
    free, nothing_compiles, options, said
):
    """With the largest part and what to change. The control is the next test."""
    free(200e6)
    with pytest.raises(sdde.ArgumentError, match=said):
        sdde.solve(problem(), (0.0, 10.0), dt=0.01, rng=1, threads=1, **options)


def test_the_same_request_passes_where_there_is_room(free, monkeypatch):
    """So it is the memory that decides: the compiler is reached."""
    reached = []

    def stop(*args, **options):
        reached.append(True)
        raise InterruptedError

    monkeypatch.setattr(running, "compile_model", stop)
    free(2e9)
    with pytest.raises(InterruptedError):
        sdde.solve(problem(), (0.0, 10.0), dt=0.01, rng=1, paths=100_000)
    assert reached


def test_a_store_makes_room_for_what_memory_does_not_hold(free, tmp_path):
    """The remedy that the refusal names works."""
    free(100e6)
    options = {"dt": 0.01, "rng": 1, "paths": 20_000, "threads": 1}
    with pytest.raises(sdde.ArgumentError, match="store="):
        sdde.solve(problem(), (0.0, 10.0), **options)
    stored = sdde.solve(problem(), (0.0, 10.0), store=tmp_path / "a.zarr", **options)
    assert stored.x.shape == (20_000, 1001)
    assert not isinstance(stored.x, np.ndarray)
    first = sdde.solve(problem(), (0.0, 10.0), dt=0.01, rng=1, paths=5)
    assert np.array_equal(stored.x[:5], first.x)


@pytest.mark.parametrize(
    ("span", "dt", "save", "said"),
    [
        ((0.0, 2.0**62), 1.0, "final", "is too small for t_span"),
        ((0.0, 1e300), 1e-300, "final", "is too small for t_span"),
        ((0.0, 2.0**60), 1.0, "all", "1152921504606846977 times needs .* of memory"),
        ((0.0, 2.0**60), 1.0, sdde.Moments("all"), "times needs .* of memory"),
        ((0.0, 2.0**40), 1.0, 2, "549755813889 times needs .* of memory"),
    ],
)
def test_counts_of_steps_cannot_overflow(nothing_compiles, span, dt, save, said):
    """There are addresses for 2^61 steps; more are refused, and so are times without room."""
    with pytest.raises(sdde.ArgumentError, match=said):
        sdde.solve(problem(), span, dt=dt, rng=1, save=save)


def test_a_span_of_many_steps_costs_no_planning():
    """Nothing is laid out for each step; 2^60 of them are planned at once."""
    from sdde.solving.solve import run_of

    delay = sdde.TimeDelay(lambda t: 0.5, longest=1.0)
    late = problem(delay, history=(np.array([-0.6, 0.0]), np.array([1.0, 1.0])))
    run = run_of(late, (0.0, 2.0**60), dt=1.0, paths=1 << 20, rng=1, save="final")
    assert run.plan.n_steps == 1 << 60


@pytest.mark.parametrize(
    "delay",
    [1e10, 1e15, 2.0**62, 1e300, sdde.TimeDelay(lambda t: 0.5, longest=1e12),
     sdde.RandomDelay(1.0, longest=1e13)],
    ids=["1e10", "1e15", "2^62", "1e300", "of time", "drawn"],
)  # fmt: skip
def test_a_delay_whose_past_cannot_be_kept_is_refused_by_name(nothing_compiles, delay):
    """With a dt that would do."""
    with pytest.raises(
        sdde.ArgumentError, match=r"^delays\[0\] = (.*\n){2}.*larger dt, for example"
    ):
        sdde.solve(problem(delay), (0.0, 1.0), dt=1e-5, rng=1)


def test_the_dt_that_the_refusal_names_works(free):
    """It can be pasted."""
    free(1e8)
    with pytest.raises(sdde.ArgumentError) as info:
        sdde.solve(problem(100.0), (0.0, 1.0), dt=1e-6, rng=1)
    dt = float(str(info.value).partition("for example dt = ")[2].partition(",")[0])
    assert sdde.solve(problem(100.0), (0.0, 1e-3), dt=dt, rng=1, save="final").status[0] == "done"


@pytest.mark.parametrize(
    ("memory_free", "threads", "lanes"),
    [(2e9, 4, 0), (3.5e8, 2, 0), (1.2e8, 4, 8), (1.5e7, 4, 1)],
)
def test_a_long_past_takes_fewer_threads_then_fewer_paths_side_by_side(
    free, memory_free, threads, lanes
):
    """A ring of 300,000 rows takes 154 MB for 64 paths, 19 MB for 8, 2.4 MB for one."""
    free(memory_free)
    run = running_of(300_000)
    fitted, most = fitting.fitted(run, 4)
    assert fitted.lanes == lanes
    assert most == threads
    free(2e6)
    with pytest.raises(sdde.ArgumentError, match=r"Delays reach back 300001 steps"):
        fitting.fitted(run, 4)


def running_of(steps):
    from sdde.solving.solve import run_of

    return run_of(problem(steps * 0.001), (0.0, 1.0), dt=0.001, paths=100, rng=1, save="final")


def test_fewer_paths_side_by_side_change_no_bit(free, monkeypatch):
    """Which is why it may be done without asking."""
    options = {"dt": 0.01, "paths": 100, "rng": 2, "threads": 1}
    wide = sdde.solve(problem(), (0.0, 2.0), **options)
    used = []
    ready = running.Ready.__init__

    def noted(self, run):
        ready(self, run)
        used.append(self.width)

    monkeypatch.setattr(running.Ready, "__init__", noted)
    monkeypatch.setattr(fitting, "_SMALL", 0)
    for lanes in (64, 8, 1):
        monkeypatch.setattr(fitting, "_LANES", (lanes,))
        narrow = sdde.solve(problem(), (0.0, 2.0), **options)
        assert np.array_equal(narrow.x, wide.x)
        assert np.array_equal(narrow.extend(3.0).x, wide.extend(3.0).x)
    assert {64, 8, 1} <= set(used)


# ---- what is free


def test_what_is_free_is_the_least_of_machine_groups_and_limits(tmp_path, monkeypatch):
    """Files as Linux shows them, for both kinds of control groups."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    (proc / "self" / "cgroup").write_text("4:cpu,memory:/box/inner\n0::/pod/job\n")
    (proc / "self" / "statm").write_text("100 50 0 0 0 0 0\n")
    monkeypatch.setattr(memory, "_PROC", proc)
    monkeypatch.setattr(memory, "_GROUPS", groups)
    assert memory.available_memory() == 5_120_000
    outer, inner = groups / "pod", groups / "pod" / "job"
    inner.mkdir(parents=True)
    for group, most, used in ((inner, "max", 1), (outer, "3000000", 1_000_000)):
        (group / "memory.max").write_text(most)
        (group / "memory.current").write_text(str(used))
        (group / "memory.stat").write_text("anon 5\ninactive_file 200000\n")
    assert memory.available_memory() == 2_200_000
    box = groups / "memory" / "box"
    box.mkdir(parents=True)
    (box / "memory.limit_in_bytes").write_text("1500000\n")
    (box / "memory.usage_in_bytes").write_text("1000000\n")
    (box / "memory.stat").write_text("total_inactive_file 100000\n")
    assert memory.available_memory() == 600_000
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda what: (500_000, resource.RLIM_INFINITY))
    assert memory.available_memory() == 500_000 - 100 * resource.getpagesize()
    (proc / "meminfo").write_text("nonsense")
    assert memory.available_memory() < 100_000


def test_refusals_name_the_largest_need():
    """And give the remedy for that."""
    huge = 1 << 70
    with pytest.raises(sdde.ArgumentError, match=r"n = 3 needs .* for b; .* are free\.\n  less b"):
        require_memory({"a": 1, "b": huge}, "n = 3", {"a": "less a", "b": "less b"})
    require_memory({"a": 1}, "n = 3", {"a": "less a"})
    assert in_words(1_500_000) == "1.5 MB"


# ---- clusters


def simulate(**options):
    given = {"learning_rate": 0.05, "updates": 10, "workers": 2, "rng": 1, **options}
    return sdde.cluster.simulate(
        sdde.cluster.Quadratic(1.0), sdde.cluster.AsyncSGD(), sdde.cluster.System(1.0), **given
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"runs": 1 << 62}, r"^runs = .* addresses for.*\n.*\n.*At most runs = 17592186044416"),
        ({"runs": 1 << 44}, r"^runs = 17592186044416 with 11 records .* for the records"),
        ({"runs": 1 << 44, "records": 2, "workers": 100}, "for the counts of each worker"),
        ({"workers": 1 << 62}, r"^workers = .* addresses for"),
        ({"updates": 1 << 70}, "updates = .* is above"),
        ({"records": 1 << 50, "updates": 1 << 62}, "for the records"),
        ({"records": 1 << 50, "updates": None, "time": 1.0}, "for the records"),
    ],
)
def test_counts_of_a_cluster_are_refused_before_anything_is_compiled(monkeypatch, options, said):
    """Tables of laws are made for each worker, and records for each run."""
    monkeypatch.setattr("sdde.cluster.simulation.machines_of", lambda *a, **k: pytest.fail("made"))
    with pytest.raises(sdde.ArgumentError, match=said):
        simulate(**options)
