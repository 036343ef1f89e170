"""Zeros of many functions at once: against SciPy's one at a time."""

import numpy as np
from sdde.theory.bracket import rising_zeros, root_between


def test_zeros_found_together_are_zeros_found_alone():
    rng = np.random.default_rng(3)
    slope, bend, shift = rng.uniform(0.1, 3.0, (3, 40))
    pole = -1.0 - 10.0 ** rng.uniform(-6.0, 0.0, 40)
    calls = []

    def functions(z):
        calls.append(z)
        return slope * z + bend * z**3 + shift - 0.01 * shift / (z - pole)

    low = -np.ones(40)
    none = functions(low) > 0.0
    calls.clear()
    found = rising_zeros(functions, low, np.zeros(40))
    assert len(calls) < 40
    for i in np.flatnonzero(~none):

        def alone(z, i=i):
            return functions(z)[i]

        one = root_between(alone, -1.0, 0.0)
        np.testing.assert_allclose(found[i], one, rtol=1e-10)
    np.testing.assert_array_equal(found[none], -1.0)
    assert 0 < none.sum() < 40


def test_flat_and_steep_functions_end_too():
    def functions(z):
        return np.array([z[0] ** 3 + 1e-9, 1.0 - 1e6 * np.exp(-50.0 * (z[1] + 1.0)), 1.0, z[3] + 1])

    found = rising_zeros(functions, -np.ones(4), np.zeros(4))
    expected = [-1e-3, np.log(1e6) / 50.0 - 1.0, -1.0, -1.0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
