"""The study of losses that are not quadratic runs, and its committed numbers hold."""

from experiments import non_quadratic


def test_the_quick_study_finds_its_committed_numbers(capsys):
    """Numbers within five standard errors of independent runs; false alarms about one in 1e5."""
    assert non_quadratic.main(["--quick", "--seed", "2"]) == 0
    assert "no plan misled without a warning" in capsys.readouterr().out
