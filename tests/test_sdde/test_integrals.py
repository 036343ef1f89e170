"""Iterated integrals: the twin, exact laws, Chen's relation."""

import math

import numpy as np
import pytest

from sdde.engine import seeds
from sdde.engine.compile import noise_filler
from sdde.solving.brownian import NOTHING
from tests import reference_integrals as reference

PAIRS = ((-1, 0, 1), (-1, 1, 0), (0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 1))


def rows(seed, steps, lanes, *, lags, pairs=PAIRS, fine=1, terms=2, channels=2, start=0, **more):
    """Rows of noise and integrals, shape (steps, channels + pairs, lanes)."""
    fill = noise_filler(8, "integrals")
    total = channels + len(pairs)
    k0, k1 = seeds.key_of(seed)
    result = np.empty((steps, total, lanes))
    width = 1 if lanes == 1 else 8
    for first in range(0, lanes, width):
        z = np.empty((steps, total * width))
        fill(
            z=z, n=start, steps=steps, first=first, channels=total, k0=k0, k1=k1, fine=fine,
            mirrored=more.get("mirrored", False), recorded=more.get("recorded", NOTHING),
            pairs=np.array(pairs), lags=np.array(lags), terms=terms,
        )  # fmt: skip
        result[:, :, first : first + width] = z.reshape(steps, total, width)
    return result


@pytest.mark.parametrize("terms", [1, 3])
@pytest.mark.parametrize("lanes", [1, 8])
def test_integrals_equal_their_plain_python_twin(terms, lanes):
    """Every coefficient belongs to an address, whatever pair and whatever step reads it."""
    lags = (3, 1)
    got = rows(7, 6, lanes, lags=lags, terms=terms)
    for step in (0, 2, 5):
        for q, (delay, early, late) in enumerate(PAIRS):
            lag = 0 if delay < 0 else lags[delay]
            expected = reference.integral(
                7, lanes - 1, step, lag, early, late, 2, terms, max(delay, 0)
            )
            assert got[step, 2 + q, -1] == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("fine", [2, 5])
def test_integrals_over_coarse_steps_follow_from_fine_ones(fine):
    """Chen's relation: the integral over two intervals is the sum and a product of increments."""
    lags = (2, 4)
    small = rows(3, 4 * fine, 8, lags=tuple(fine * lag for lag in lags), terms=2)
    large = rows(3, 4, 8, lags=lags, fine=fine, terms=2)
    for n in range(4):
        inside = range(n * fine, (n + 1) * fine)
        moves = sum(small[r, :2] for r in inside) / math.sqrt(fine)
        np.testing.assert_allclose(large[n, :2], moves, rtol=1e-12)
        for q, (delay, early, late) in enumerate(PAIRS):
            lag = 0 if delay < 0 else fine * lags[delay]
            total, reached = 0.0, 0.0
            for r in inside:
                total += reached * small[r, late] + small[r, 2 + q]
                reached += small[r - lag, early] if r >= lag else 0.0
            np.testing.assert_allclose(large[n, 2 + q], total / fine, rtol=1e-9, atol=1e-12)


def test_equal_legs_and_opposite_pairs_are_products_of_increments():
    """I_kk = (W^2 - h) / 2 and I_lk + I_kl = W_l W_k, exactly, also for a delay of zero."""
    pairs = ((-1, 0, 1), (-1, 1, 0), (0, 0, 0), (0, 0, 1))
    got = rows(5, 16, 8, lags=(0,), pairs=pairs, fine=3)
    w = got[:, :2]
    np.testing.assert_allclose(got[:, 2] + got[:, 3], w[:, 0] * w[:, 1], atol=1e-12)
    np.testing.assert_allclose(got[:, 4], 0.5 * (w[:, 0] ** 2 - 1.0), atol=1e-12)
    np.testing.assert_allclose(got[:, 5], got[:, 2], atol=1e-12)


def test_moments_of_a_delayed_integral():
    """E I = 0, E I^2 = h^2 / 2, E[I dW dW_tau] = h^2 / 2; 6 standard errors: false alarm 2e-9."""
    got = rows(11, 65, 4000, lags=(1, 3), terms=1)[3:]
    early, late = got[:-1, 1].ravel(), got[1:, 0].ravel()
    area = got[1:, 2 + PAIRS.index((0, 1, 0))].ravel()
    count = math.sqrt(len(area))
    for values, exact in ((area, 0.0), (area**2, 0.5), (area * early * late, 0.5)):
        assert abs(values.mean() - exact) < 6.0 * values.std() / count


@pytest.mark.parametrize("terms", [2, 5])
def test_laws_of_integrals_have_the_exact_characteristic_function(terms):
    """Lévy's area: E cos(u (I_12 - I_21)) = 1 / cosh(u). Two steps: E cos(u I) = cosh(u)^(-1/2).

    Both follow from E exp(-u^2/2 int W^2) = cosh(u)^(-1/2). The cut series has an error of the law
    that falls like terms**-3 (0.008 at u = 3 with one term); 6 standard errors: false alarm 2e-9.
    """
    got = rows(2, 130, 8000, lags=(1, 2), terms=terms)[2:]
    area = (got[:, 2] - got[:, 3]).ravel()
    late = got[:, 2 + PAIRS.index((1, 0, 1))].ravel()
    for u in (0.7, 1.5, 3.0):
        for values, exact in ((area, 1.0 / math.cosh(u)), (late, math.cosh(u) ** -0.5)):
            cosine = np.cos(u * values)
            bound = 6.0 * cosine.std() / math.sqrt(len(values))
            assert abs(cosine.mean() - exact) < bound + 0.012 / terms**3


def test_integrals_with_the_same_leg_are_uncorrelated_but_not_independent():
    """Two integrals that share a leg: E I J = 0, and E I^2 J^2 > E I^2 E J^2 by the shared path.

    Over one step and with independent other legs, I and J given the shared path W are independent
    normals of variance A = int W^2, and E A^2 = 7/12.
    """
    pairs = ((0, 0, 1), (0, 0, 0))
    got = rows(4, 130, 8000, lags=(2,), pairs=pairs, terms=3)[2:]
    one, other = got[:, 2].ravel(), got[:, 3].ravel()
    count = math.sqrt(len(one))
    assert abs(np.mean(one * other)) < 6.0 * np.std(one * other) / count
    squares = one**2 * other**2
    assert abs(squares.mean() - 7.0 / 12.0) < 6.0 * squares.std() / count + 0.01


def test_mirrored_paths_have_the_same_integrals():
    """Both legs change their sign."""
    got = rows(6, 16, 8, lags=(1, 2), fine=2, mirrored=True)
    np.testing.assert_array_equal(got[:, :2, 1::2], -got[:, :2, ::2])
    np.testing.assert_array_equal(got[:, 2:, 1::2], got[:, 2:, ::2])
    plain = rows(6, 16, 8, lags=(1, 2), fine=2)
    np.testing.assert_array_equal(got[:, :, ::2], plain[:, :, ::2])
