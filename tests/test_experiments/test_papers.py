"""The paper experiments repeat their committed numbers, and notice when numbers are wrong."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import reporting
from experiments.reporting import Claim, Number, Result, Table

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("paper_*.py"))
SLOWER = {"paper_sdde", "paper_tail_tau", "paper_dc_asgd"}  # quarter of a minute each, and more


def run(name, arguments):
    module = importlib.import_module(f"experiments.{name}")
    return reporting.main(module.__file__, module.study, module.draw, arguments)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOWER else n for n in NAMES]
)
def test_the_quick_study_repeats_its_committed_numbers(name, tmp_path, capsys):
    """Runs are the same bits on one instruction set; elsewhere they may differ within chance."""
    figure = tmp_path / "figure.png"
    assert run(name, ["--quick", "--figure", str(figure)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASS: ")
    assert figure.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper_apsgd", "paper_dasgd"])
def test_other_random_numbers_pass_too(name, capsys):
    """False-alarm rate about 1e-3: some forty numbers, five standard errors each."""
    assert run(name, ["--quick", "--seed", "23"]) == 0, capsys.readouterr().out


def test_there_are_five_papers():
    """One experiment for each founding paper."""
    assert len(NAMES) == 5


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_committed_numbers(name):
    """Tables in the documentation are those of the committed full study, and the figure exists."""
    committed = json.loads((ROOT / "experiments" / f"{name}.json").read_text(encoding="utf-8"))
    page = reporting.page_of(name).read_text(encoding="utf-8")
    assert Result.read(committed["full"]).markdown() in page
    assert set(committed) == {"full", "quick"}
    figure = reporting.figure_of(name)
    assert figure.name in page
    assert 10_000 < figure.stat().st_size < 400_000


TABLE = Table("times", ["workers", "mean", "told"], [["4", Number(2.0, 0.1), "yes"]])
RESULT = Result([TABLE], [Claim("faster", "reproduced", "by half")])


def with_row(*cells):
    return replace(RESULT, tables=[replace(TABLE, rows=[list(cells)])])


def test_a_result_survives_being_written_and_read():
    """Committed numbers come back with their errors and what is shown in their place."""
    again = Result.read(json.loads(json.dumps(RESULT.plain())))
    assert again.markdown() == RESULT.markdown()
    assert list(reporting.differences(again, RESULT)) == []
    shown = with_row("4", Number(np.inf, 0.0, "never"), "no")
    again = Result.read(json.loads(json.dumps(shown.plain())))
    assert str(again.tables[0].rows[0][1]) == "never"
    assert list(reporting.differences(again, shown)) == []


@pytest.mark.parametrize(
    "other",
    [
        with_row("4", Number(2.8, 0.1), "yes"),  # 5.7 standard errors of the difference
        with_row("4", Number(2.0, 0.1), "no"),
        with_row("4", Number(np.inf), "yes"),
        with_row("5", Number(2.0, 0.1), "yes"),
        replace(RESULT, tables=[]),
        replace(RESULT, tables=[replace(TABLE, rows=[])]),
        replace(RESULT, claims=[Claim("faster", "not reproduced", "by half")]),
    ],
)
def test_a_changed_result_is_noticed(other):
    """Numbers beyond chance, words, missing tables and verdicts."""
    assert len(list(reporting.differences(other, RESULT))) == 1


def test_chance_is_not_a_difference():
    """Five standard errors of the difference are allowed, and rounding where there are none."""
    assert Number(2.0, 0.1).agrees(Number(2.6, 0.1))
    assert Number(1.0).agrees(Number(1.0 + 1e-8))
    assert not Number(1.0).agrees(Number(1.001))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Number(12.345, 0.67), "12.35 ± 0.67"),
        (Number(1234.5, 67.0), "1234 ± 67"),
        (Number(0.25), "0.25"),
        (Number(1.5e-7, 2e-8), "(1.50 ± 0.20)e-7"),
        (Number(np.inf), "∞"),
    ],
)
def test_numbers_are_shown_to_two_digits_of_their_error(number, text):
    """What cannot be known is not printed."""
    assert str(number) == text


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """An exact identity."""
    data = np.random.default_rng(3).normal(size=(30, 1))
    direct, leaving = reporting.mean(data[:, 0]), reporting.jackknife(np.mean, data)
    assert leaving.value == pytest.approx(direct.value)
    assert leaving.error == pytest.approx(direct.error)


def test_runs_that_never_arrive_count_with_their_budget():
    """And the text says how many arrive."""

    class Runs:
        loss = np.array([[1.0, 0.5, 0.1], [1.0, 0.9, 0.8]])
        t = np.array([[0.0, 1.0, 2.0], [0.0, 1.5, 3.0]])

    number, times = reporting.time_to(Runs, 0.5, 9.0)
    assert times.tolist() == [1.0, 9.0]
    assert number.value == 5.0
    assert "(1 of 2)" in str(number)
    assert str(reporting.time_to(Runs, 0.01, 9.0)[0]) == "never"
    assert reporting.time_to(Runs, 0.5, 9.0, np.array([0, 10, 20]))[1].tolist() == [10.0, 9.0]
