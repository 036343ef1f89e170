"""The command line: each command does its job, and misuse is one line with exit status 2."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

import sdde
from sdde import cluster, theory
from sdde.cli import main
from sdde.cluster import LiveRun
from sdde.cluster.method_names import NAMES, method_named, name_of
from sdde.engine.methods import METHODS

mpl.use("Agg")

ROOT = Path(__file__).resolve().parents[2]
PROBLEM = """
import sdde
problem = sdde.Problem(lambda t, x, delayed: -delayed[0], 0.3, delays=[1.0], history=1.0)
other = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(PROBLEM)
    (tmp_path / "bad.toml").write_text("[system\n")
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "noshape.toml").write_text("[system]\ncompute_time = 1.0\n[objective]\n")
    (tmp_path / "law.toml").write_text(
        "[system]\ncompute_time = {law = 'os.system'}\n[objective]\neigenvalues = [1.0]\n"
    )
    (tmp_path / "typo.toml").write_text(
        "[system]\ncompute_tiem = 1.0\n[objective]\neigenvalues = [1.0]\n"
    )
    (tmp_path / "negative.toml").write_text(
        "[system]\ncompute_time = -1.0\n[objective]\neigenvalues = [1.0]\n"
    )
    (tmp_path / "text.csv").write_text("a,b\n1,2\n")
    return tmp_path


MISUSE = [
    [],
    ["fly"],
    ["compare", "--bad"],
    ["compare", "missing.toml"],
    ["compare", "bad.toml"],
    ["compare", "empty.toml"],
    ["compare", "text.csv"],
    ["plan", "noshape.toml"],
    ["plan", "law.toml"],
    ["plan", "typo.toml"],
    ["plan", "negative.toml"],
    ["plan", "--target-loss", "-1"],
    ["plan", "--target-loss", "none"],
    ["plan", "--max-workers", "0"],
    ["plan", "--methods", "fast"],
    ["plan", "--margin", "2"],
    ["plan", "--cost", "-1"],
    ["plan", "--out", "no/folder/plan.html"],
    ["compare", "law.toml", "--live"],
    ["solve", "model.py", "--t-span", "0", "1", "--dt", "0.1"],
    ["solve", "gone.py:problem", "--t-span", "0", "1", "--dt", "0.1"],
    ["solve", "no_such_module:problem", "--t-span", "0", "1", "--dt", "0.1"],
    ["solve", "model.py:other", "--t-span", "0", "1", "--dt", "0.1"],
    ["solve", "model.py:problem", "--t-span", "1", "0", "--dt", "0.1"],
    ["solve", "model.py:problem", "--t-span", "0", "1", "--dt", "0"],
    ["solve", "model.py:problem", "--t-span", "0", "1", "--dt", "0.1", "--paths", "0"],
    ["solve", "model.py:problem", "--t-span", "0", "1", "--dt", "0.1", "--method", "magic"],
    ["solve", "model.py:problem", "--t-span", "0", "1", "--dt", "0.1", "--plot", "x.unknown"],
    ["solve", "model.py:problem", "--t-span", "0", "1", "--dt", "0.1", "--out", "x.unknown"],
    ["trace", "missing.csv"],
    ["trace", "text.csv"],
    ["live", "--workers", "0"],
    ["live", "--updates", "0"],
    ["live", "--learning-rate", "-1"],
    ["live", "--target-loss", "0"],
    ["live", "--method", "fast"],
    ["live", "--method", "k-sync"],
    ["live", "--method", "k-sync:many"],
    ["live", "--method", "k-sync:0"],
    ["live", "--method", "k-sync:4", "--workers", "2"],
    ["live", "--method", "sync:2"],
    ["live", "--method", "tail-tau:7"],
    ["live", "--checkpoint", "no/folder/run.npz"],
    ["live", "--resume", "missing.npz"],
    ["live", "--resume", "text.csv"],
    ["live", "--out", "trace.unknown"],
    ["live", "--out", "no/folder/trace.csv"],
]


@pytest.fixture
def no_processes(monkeypatch):
    monkeypatch.setattr("sdde.cluster.live_run.connect", None)


@pytest.mark.usefixtures("no_processes")
@pytest.mark.parametrize("arguments", MISUSE, ids=[" ".join(a) or "nothing" for a in MISUSE])
def test_misuse_is_one_line_and_status_two(arguments, capsys):
    """People read one line; scripts read the status."""
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    message = capsys.readouterr().err.strip().splitlines()
    message = [line for line in message if line.startswith("sdde")]
    assert status == 2
    assert len(message) == 1
    assert "Traceback" not in message[0]


def test_solve_writes_paths_and_a_figure(folder, capsys):
    """A problem in a file needs no script."""
    span = ["--t-span", "0", "5", "--dt", "0.05"]
    arguments = ["solve", "model.py:problem", *span, "--paths", "7"]
    assert main([*arguments, "--out", "x.npz", "--plot", "x.png"]) == 0
    assert "written: x.npz" in capsys.readouterr().out
    assert (folder / "x.png").stat().st_size > 5000
    assert sdde.Solution.load("x.npz").x.shape == (7, 101)


def test_the_printed_example_can_be_planned_and_compared(folder, capsys):
    """What `--example` prints is a file that works; with --json nothing else is on stdout."""
    assert main(["plan", "--example"]) == 0
    (folder / "SYSTEM.toml").write_text(capsys.readouterr().out)
    assert main(["plan", "SYSTEM.toml", "--json", "--out", "plan.png"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert captured.err.strip() == "figure: plan.png"
    assert answer["workers"] >= 1
    assert np.isfinite(answer["time_to_target"])
    assert main(["compare", "SYSTEM.toml", "--quick", "--json", "--out", "page.html"]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out)
    assert answer["passed"]
    assert [verdict["agrees"] for verdict in answer["verdicts"]] == [True] * 5
    assert (folder / "page.html").stat().st_size > 20_000


def test_a_plan_is_written_as_a_page_with_its_command(folder, capsys):
    """The page tells how to make it again."""
    main(["plan", "--example"])
    (folder / "a<b>.toml").write_text(capsys.readouterr().out)
    command = ["plan", "a<b>.toml", "--max-workers", "5", "--methods", "async,k-sync:2"]
    assert main([*command, "--out", "plan.html"]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1].startswith("report: ")
    text = (folder / "plan.html").read_text()
    shown = "sdde plan &#x27;a&lt;b&gt;.toml&#x27; --max-workers 5 --methods async,k-sync:2"
    assert shown in text
    assert "KSync(k=2)" in text
    assert "a<b>" not in text


def test_the_packaged_trace_is_described(folder, capsys):
    """`sdde trace` without arguments shows the recorded run, for people and for scripts."""
    assert main(["trace", "--plot", "t.png"]) == 0
    assert "workers        8" in capsys.readouterr().out
    assert (folder / "t.png").stat().st_size > 10_000
    assert main(["trace", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    trace = cluster.packaged_trace()
    assert (content["workers"], content["updates"]) == (trace.workers, trace.updates)
    assert content["cycle_time"]["mean"] == pytest.approx(float(trace.cycle_time().mean()))
    assert len(content["findings"]) == 7


def test_a_log_of_durations_leaves_what_it_cannot_tell_empty(folder, capsys):
    """null in JSON, not an error."""
    (folder / "times.csv").write_text("compute_time\n1.0\n2.0\n1.5\n")
    assert main(["trace", "times.csv", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["workers"] is None
    assert content["staleness"] is None
    assert content["compute_time"]["mean"] == 1.5


def test_compare_without_arguments_ends_with_the_page(folder, capsys):
    """The README's first command, with fewer runs."""
    status = main(["compare", "--quick"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert printed.strip().splitlines()[-1].startswith("report: ")
    assert (folder / "report.html").is_file()


def test_a_live_run_is_compared_with_its_plan(folder, capsys):
    """Two real workers, steps from the plan to the run, and words for each difference."""
    pytest.importorskip("dask.distributed")
    pytest.importorskip("sklearn")
    from sdde.theory.live_account import account

    training = cluster.Softmax.digits(batch=64, regularisation=0.01)
    objective = theory.condense(training.quadratic(), 16)
    plan = theory.plan(
        objective, cluster.System(0.01), target_loss=0.3, learning_rate=0.1, max_workers=2,
        methods="async",
    )  # fmt: skip
    found = sdde.compare(plan, runs=4, paths=4, workers=[2], rng=1, training=training, live=True)
    live = found.live
    assert live.run.status == "done"
    assert [step.name for step in live.steps] == list(live.curves)
    plan_step, machines, _, order, real = live.steps
    assert plan_step.update_rate == pytest.approx(200.0)
    assert machines.update_rate == pytest.approx(real.update_rate, rel=0.2)
    assert order.update_rate == pytest.approx(real.update_rate, rel=0.2)
    assert len(live.words) >= 5
    assert 0.0 < live.overlap <= 1.0
    page = found.to_html(folder / "live.html").read_text()
    assert "A real run, and why it differs" in page
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["live"]["steps"]
    again = account(
        live.run, theory.model_of(objective, plan.system, workers=2, learning_rate=0.1), objective,
        target=0.3, seed=np.random.SeedSequence(1),
    )  # fmt: skip
    assert again.steps[0] == plan_step


def test_a_live_run_that_is_lost_fails(folder, capsys, monkeypatch):
    """Scripts see it in the status; the log is kept."""
    trace = cluster.packaged_trace()
    run = LiveRun(
        trace=trace, updates=np.array([0, 5]), t=np.array([0.0, 1.0]), loss=np.array([1.0, np.nan]),
        x=np.zeros(2), status="lost", lost_workers=(1,), objective=None, workers=2, batch=8, seed=1,
        learning_rate=0.05,
    )  # fmt: skip
    monkeypatch.setattr(cluster, "live", lambda **_: run, raising=False)
    assert main(["live", "--workers", "2", "--json", "--out", "lost.csv"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["excess_loss"] == [1.0, None]
    assert "the run was lost" in captured.err
    assert (folder / "lost.csv").is_file()
    monkeypatch.setattr(cluster, "live", lambda **_: replace(run, status="interrupted"))
    assert main(["live", "--workers", "2", "--out", "lost.csv"]) == 130


def test_help_names_every_method_and_describes_every_option(capsys):
    """What can be chosen is on the screen; no option goes without a word."""
    known = {"solve": METHODS, "live": NAMES}
    for command in ("compare", "plan", "solve", "trace", "live"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        shown = " ".join(capsys.readouterr().out.split()).replace("- ", "-")  # broken words
        for name in known.get(command, ()):
            assert f" {name}" in shown
        _, options = shown.split("options:")
        for option in options.split(" --")[1:]:
            assert len(option.split()) >= 3, option


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("async", cluster.AsyncSGD()), ("sync", cluster.Synchronous()),
        ("k-sync:2", cluster.KSync(2)), ("k-batch-sync:2", cluster.KBatchSync(2)),
        ("k-async:3", cluster.KAsync(3)), ("k-batch-async:4", cluster.KBatchAsync(4)),
        ("staleness-threshold:16", cluster.StalenessThreshold(16)),
        ("dc-asgd:0.5", cluster.DelayCompensated(0.5)), ("tail-tau", cluster.TailTau()),
        ("tail-tau:0.25", cluster.TailTau(0.25)), ("staleness-aware", cluster.StalenessAware()),
        ("delay-adaptive", cluster.DelayAdaptive()), ("delay-adaptive:5", cluster.DelayAdaptive(5)),
    ],
)  # fmt: skip
def test_names_of_methods_go_both_ways(text, method):
    """The name in the header of a log must give the method again."""
    assert method_named(text) == method
    assert name_of(method) == text


def test_methods_without_a_short_name_have_none():
    """Their run is then written down as Python."""
    for method in (
        cluster.DelayCompensated(0.5, decay=0.9), cluster.TailTau(window=(1, 3)),
        cluster.StalenessThreshold(4, stop=True), cluster.Composed(momentum=0.5),
    ):  # fmt: skip
        assert name_of(method) is None


def test_a_live_run_of_another_method_is_continued(folder, capsys):
    """Twelve updates by pairs of gradients, then eight more: one log, and the command in it."""
    pytest.importorskip("dask.distributed")
    pytest.importorskip("sklearn")
    chosen = ["--method", "k-batch-async:2", "--workers", "2", "--batch", "16"]
    first = ["live", *chosen, "--updates", "12", "--checkpoint", "run.npz"]
    assert main([*first, "--target-loss", "1e-9"]) == 0
    assert "LiveRun: done, 12 updates" in capsys.readouterr().out
    assert main(["live", *chosen, "--updates", "20", "--resume", "run.npz", "--out", "b.csv"]) == 0
    capsys.readouterr()
    one, both = cluster.Trace.read("trace.csv"), cluster.Trace.read("b.csv")
    np.testing.assert_array_equal(both["apply_version"], np.repeat(np.arange(1, 21), 2))
    np.testing.assert_array_equal(both["apply_time"][:24], one["apply_time"])
    assert one.header["command"] == (
        "sdde live --workers 2 --updates 12 --learning-rate 0.05 --batch 16 --seed 1 "
        "--target-loss 1e-09 --method k-batch-async:2"
    )
    assert both.header["command"].endswith("--method k-batch-async:2 --resume run.npz")
    other = ["live", "--workers", "2", "--updates", "20", "--resume", "run.npz"]
    assert main(other) == 2
    assert "was made with method = KBatchAsync(k=2), not AsyncSGD()" in capsys.readouterr().err


def test_a_reader_that_stops_reading_is_no_error():
    """As in `sdde plan --example | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sdde", "plan", "--example"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, env=environment
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
