"""The study of losses that are not quadratic runs, and says where plans mislead."""

import json

from experiments import non_quadratic
from experiments.reporting import Result


def test_the_quick_study_finds_good_plans_near_the_minimum_and_warnings_elsewhere():
    """Regrets within five standard errors; no plan misleads without a warning."""
    table, silent = non_quadratic.study(True, 2).tables
    far, near = table.rows
    at = {name: i for i, name in enumerate(table.head)}
    assert near[at["regret"]].value < 0.1 + 5.0 * near[at["regret"]].error
    assert int(far[at["warnings"]]) >= 3
    assert silent.rows[0][1].value == 0.0


def test_the_committed_study_holds_every_case():
    """Three objectives, two starts each, none misled in silence."""
    known = json.loads(non_quadratic.NUMBERS.read_text(encoding="utf-8"))
    table, silent = Result.read(known["full"]).tables
    assert len(table.rows) == 6
    assert silent.rows[0][1].value == 0.0
    assert Result.read(known["full"]).markdown() in non_quadratic.PAGE.read_text(encoding="utf-8")
