"""No tabulated answer is left without a test."""

import importlib

import pytest

from tests.case_tables import table

HOMES = {
    "sdde.json": (
        "tests.test_sdde.test_cases",
        "tests.test_sdde.test_case_methods",
        "tests.test_theory.test_delay_cases",
    ),
    "async_sgd.json": ("tests.test_theory.test_delay_cases", "tests.test_theory.test_async_cases"),
}


def used(module):
    """Return the ids of the cases that a module's tests are parametrised by."""
    found = set()
    for test in vars(importlib.import_module(module)).values():
        for mark in getattr(test, "pytestmark", ()):
            rows = mark.args[1] if mark.name == "parametrize" else ()
            values = [value for row in rows for value in getattr(row, "values", ())]
            found |= {value["id"] for value in values if isinstance(value, dict)}
    return found


@pytest.mark.parametrize("file", HOMES)
def test_every_case_is_a_test(file):
    """Each id is a parameter of some test, in the solver's tests, the theory's or both."""
    ids = {case["id"] for case in table(file)}
    missing = ids - set().union(*(used(module) for module in HOMES[file]))
    assert not missing
