"""The study of the renewal theory's accuracy: its small version."""

from experiments import renewal_accuracy


def test_the_small_study_passes(capsys):
    """Two laws; bounds hold a blunder, as the simulations are short."""
    assert renewal_accuracy.main(["--quick"]) == 0
    said = capsys.readouterr().out
    assert said.rstrip().endswith("PASS")
    assert "limit of 40 workers: 2 numbers" in said
