"""The command line: each command does its job, and misuse is one line with exit status 2."""

import json

import matplotlib as mpl
import numpy as np
import pytest

from sdde.cli import main

mpl.use("Agg")

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
]


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
    import sdde

    assert sdde.Solution.load("x.npz").x.shape == (7, 101)


def test_the_printed_example_can_be_planned_and_compared(folder, capsys):
    """What `--example` prints is a file that works."""
    assert main(["plan", "--example"]) == 0
    (folder / "SYSTEM.toml").write_text(capsys.readouterr().out)
    assert main(["plan", "SYSTEM.toml", "--json", "--out", "plan.png"]) == 0
    text = capsys.readouterr().out
    answer = json.loads(text[: text.rindex("}") + 1])
    assert answer["workers"] >= 1
    assert np.isfinite(answer["time_to_target"])
    assert main(["compare", "SYSTEM.toml", "--quick", "--out", "page.html"]) == 0
    assert (folder / "page.html").stat().st_size > 20_000


def test_the_packaged_trace_is_described(folder, capsys):
    """`sdde trace` without arguments shows the recorded run."""
    assert main(["trace", "--plot", "t.png"]) == 0
    assert "workers        8" in capsys.readouterr().out
    assert (folder / "t.png").stat().st_size > 10_000


def test_compare_without_arguments_ends_with_the_page(folder, capsys):
    """The README's first command, with fewer runs."""
    status = main(["compare", "--quick"])
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert printed.strip().splitlines()[-1].startswith("report: ")
    assert (folder / "report.html").is_file()
