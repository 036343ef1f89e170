"""The benchmark measures what it says: its C program, its contenders and its verdicts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import c_reference, cluster, peers_numpy, scaling, timing
from experiments.benchmarks.contenders import contenders, disagreements, solver
from experiments.benchmarks.workloads import DENSE, WORKLOADS
from sdde.engine import streams

ROOT = Path(__file__).resolve().parents[2]
NAMED = {work.name: work for work in WORKLOADS}
gcc = pytest.mark.skipif(not c_reference.available(), reason="needs gcc")


def by_the_formula(work, seed):
    """Every state of a few paths, from Python functions and scalar random numbers."""
    drift, diffusion = work.rule(np)
    shape = (work.dim,) if work.dim else ()
    key = streams.key_of(seed)
    paths = []
    for path in range(work.paths):
        x = [np.full(shape, work.start)] * (work.lag + 1)
        for n in range(work.steps):
            now, past = x[-1], x[n][None]
            z = [
                streams.normal(*key, path, n, channel, streams.NOISE)
                for channel in range(work.dim or 1)
            ]
            z = np.array(z) if work.dim else z[0]
            g = diffusion(0.0, now, past) if callable(diffusion) else diffusion
            x.append(now + (drift(0.0, now, past) * work.dt + g * (np.sqrt(work.dt) * z)))
        paths.append(x[work.lag :])
    return np.moveaxis(np.array(paths), 0, -1)


@gcc
@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4", "N3", "T3"])
def test_the_c_reference_solves_the_equation_it_claims(name):
    """A measure must be right before it is fast; paths beyond a block of lanes are included."""
    work = NAMED[name]
    paths = 1 if work.paths == 1 else 3
    work = replace(work, paths=paths, steps=41, lag=7, every=41 if work.every > 1 else 1)
    run = c_reference.prepare(work)
    exact = by_the_formula(work, seed=5)
    np.testing.assert_allclose(c_reference.final(work, run(5)), exact[-1], rtol=1e-11, atol=1e-13)
    if name == "W1":
        np.testing.assert_allclose(run(5), exact, rtol=1e-11, atol=1e-13)


@gcc
@pytest.mark.parametrize("name", ["W2", "W4"])
def test_the_c_reference_has_other_forms_with_the_same_result(name):
    """Threads and BLAS are for speed; the last bits may differ where products are fused."""
    work = replace(NAMED[name], paths=150, steps=50, lag=9, every=50)
    one = c_reference.prepare(work)(1)
    np.testing.assert_array_equal(c_reference.prepare(work, threads=2)(1), one)
    if name == "W4":
        np.testing.assert_allclose(c_reference.prepare(work, blas=True)(1), one, rtol=1e-12)


@gcc
@pytest.mark.parametrize("name", ["W1", "W2", "W3", "G3", "D1", "D2", "J1"])
def test_the_solver_and_c_agree_path_by_path(name):
    """They share the addresses of random bits and no code; numbers may differ by rounding."""
    work = NAMED[name]
    work = replace(work, paths=min(work.paths, 70), steps=300, lag=50, every=300)
    x = c_reference.final(work, c_reference.prepare(work)(3))
    np.testing.assert_allclose(solver(work)(3), x, rtol=0.0, atol=1e-12)


def mean_after_kicks(work):
    """Mean of the kicked state, from m' = -rate kick m(t - delay) by the method of steps."""
    a, delay = work.rate * work.kick, work.lag * work.dt
    t, total, term, k = work.span[1], 1.0, 1.0, 1
    while t - (k - 1) * delay > 0.0:
        term = (-a) ** k * (t - (k - 1) * delay) ** k / np.prod(np.arange(1.0, k + 1))
        total, k = total + term, k + 1
    return work.start * total


@gcc
def test_the_kicks_in_c_have_the_mean_of_the_delay_equation():
    """False-alarm rate 1e-6: the mean of 20 000 independent paths, z below 4.9."""
    work = replace(NAMED["W5"], paths=20_000, steps=400, every=400)
    x = c_reference.prepare(work)(11)
    assert abs(x.mean() - mean_after_kicks(work)) < 4.9 * x.std() / np.sqrt(work.paths)


def test_the_kicks_of_the_solver_have_the_mean_of_the_delay_equation():
    """False-alarm rate 1e-6, as for C, with arrivals followed one by one."""
    work = replace(NAMED["W5"], paths=20_000, steps=400, every=400)
    x = solver(work)(11)
    assert abs(x.mean() - mean_after_kicks(work)) < 4.9 * x.std() / np.sqrt(work.paths)


@gcc
def test_everybody_here_solves_the_same_equations():
    """The check before every measurement finds nothing among right ones, and finds a wrong one."""
    work = replace(NAMED["W2"].short(), paths=500)
    runs = contenders(work)
    assert disagreements(work, runs) == []
    wrong = peers_numpy.prepare(replace(work, start=0.8))
    assert len(disagreements(work, {**runs, "wrong": wrong})) == 1


def test_ratios_are_taken_within_rounds():
    """A processor that slows down in one round must not change the ratio."""
    slow = timing.Times(np.array([2.0, 20.0, 2.2]), 1.0)
    fast = timing.Times(np.array([1.0, 10.0, 1.0]), 1.0)
    assert slow.over(fast) == pytest.approx((2.0, 2.0, 2.2))


def test_the_verdict_counts_what_was_measured():
    """A missed target fails; one that could not be measured is named."""
    met, missed = timing.Target("a", 1.0, 1.25), timing.Target("b", 3.0, 5.0, at_least=True)
    unknown = timing.Target("c", None, 1.0)
    assert timing.verdict([met]) == (True, "PASS: 1 of 1 targets met")
    assert timing.verdict([met, missed])[0] is False
    assert timing.verdict([met, unknown]) == (True, "PASS: 1 of 1 targets met; not measured: c")
    assert timing.verdict([unknown])[0] is False


def test_a_section_of_the_page_is_replaced_and_the_rest_kept(tmp_path, monkeypatch):
    """Tables are written again and again into a page that people edit."""
    page = tmp_path / "benchmarks.md"
    page.write_text(timing.DOCS.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(timing, "DOCS", page)
    names = ("engine", "start", "scaling", "features")
    for name in names:
        timing.write_section(name, "a table that is out of date")
        timing.write_section(name, f"table of {name}")
    text = page.read_text(encoding="utf-8")
    assert "a table that is out of date" not in text
    assert all(f"table of {name}" in text for name in names)
    assert text.startswith("# Benchmarks")


def test_every_size_of_the_scaling_study_is_positive():
    """Sizes are computed; a run of nothing would divide by zero."""
    for quick in (True, False):
        for values in scaling.cases(quick=quick).values():
            assert all(work.units > 0 and threads >= 1 for work, threads in values.values())


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("engine", ["--only", "W2"]),
        ("start", []),
        ("scaling", ["--figure", "FIGURE"]),
        ("features", []),
    ],
)
def test_each_script_runs_quickly_and_ends_in_a_verdict(script, options, tmp_path):
    """Numbers from a small run are not judged here: the machine may be busy."""
    figure = tmp_path / "scaling.png"
    options = [str(figure) if option == "FIGURE" else option for option in options]
    command = [sys.executable, "-m", f"experiments.benchmarks.{script}", "--quick", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].startswith(("PASS: ", "FAIL: ")), done.stderr
    assert "disagree" not in done.stdout
    assert done.returncode == (0 if done.stdout.splitlines()[-1].startswith("PASS") else 1)
    assert figure.exists() == (script == "scaling")


def test_the_dense_workload_is_stable():
    """Numbers that grow without bound would cost more than others."""
    assert np.abs(np.linalg.eigvals(DENSE)).max() < np.pi / 2 / (100 * 0.01)


@gcc
def test_the_c_program_of_a_cluster_agrees_with_the_package():
    """The same compute times must give the same parameter, end and staleness."""
    assert cluster.disagreement(3000) == ""


def test_simpy_and_the_gradients_alone_do_the_same_work():
    """The parameter falls by about the rate in each update; gradients have the right shape."""
    assert cluster.in_simpy(500)(1) == pytest.approx(1.0 - 500 * cluster.RATE, abs=1e-10)
    both = [run(2) for run in cluster.gradients(7).values()]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9, atol=1e-12)
