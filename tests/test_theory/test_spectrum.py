"""Characteristic roots against an independent discretisation: right, and none missed."""

import numpy as np
import pytest
import scipy.stats as st
from sdde.theory.spectrum import Spectrum

from sdde.equation.laws import as_law
from sdde.theory import DelaySystem

SHIFT = 0.7183  # any number that is no root


def generator_eigenvalues(instant, delayed, delays, degree=30):
    """Return eigenvalues of the generator, collocated on one Chebyshev piece between two delays.

    Written with NumPy's Chebyshev series and a generalised eigenproblem: coefficients c of
    x(theta) on each piece satisfy x' = s x at interior points, continuity at the joints, and
    x'(0) = s x(0) = A0 x(0) + sum Aj x(-tau_j). Shares no code with the package.
    """
    cheb = np.polynomial.chebyshev
    dim, joints = len(instant), np.concatenate([[0.0], np.sort(delays)])
    pieces, size = len(delays), degree + 1
    points = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)

    def row(theta):
        piece = min(np.searchsorted(joints, -theta, side="left"), pieces)
        piece = max(piece, 1) - 1
        left, right = -joints[piece + 1], -joints[piece]
        out = np.zeros(pieces * size)
        out[piece * size : (piece + 1) * size] = cheb.chebvander(
            np.clip(2.0 * (theta - left) / (right - left) - 1.0, -1.0, 1.0), degree
        )
        return out

    slope = np.stack([cheb.chebval(points, cheb.chebder(c)) for c in np.eye(size)], axis=1)
    value = cheb.chebvander(points, degree)
    a, b = [np.kron(row(0.0), instant)], [np.kron(row(0.0), np.eye(dim))]
    for matrix, delay in zip(delayed, delays, strict=True):
        a[0] = a[0] + np.kron(row(-delay), matrix)
    for k in range(pieces):
        width = joints[k + 1] - joints[k]
        block = np.zeros((degree, pieces * size))
        block[:, k * size : (k + 1) * size] = 2.0 / width * slope
        a.append(np.kron(block, np.eye(dim)))
        block = np.zeros((degree, pieces * size))
        block[:, k * size : (k + 1) * size] = value
        b.append(np.kron(block, np.eye(dim)))
        if k:
            joint = np.zeros((1, pieces * size))
            joint[0, (k - 1) * size : k * size] = cheb.chebvander(-1.0, degree)
            joint[0, k * size : (k + 1) * size] = -cheb.chebvander(1.0, degree)
            a.append(np.kron(joint, np.eye(dim)))
            b.append(np.zeros((dim, pieces * size * dim)))
    a, b = np.concatenate(a), np.concatenate(b)
    inverse = np.linalg.eigvals(np.linalg.solve(a - SHIFT * b, b))  # continuity rows give zeros
    values = SHIFT + 1.0 / inverse[np.abs(inverse) > 1e-6]
    return values[np.argsort(-values.real)]


def random_system(rng):
    """Return matrices and delays of a random system, about half of them stable."""
    dim, count = rng.integers(1, 7), rng.integers(1, 4)
    instant = rng.normal(size=(dim, dim)) * rng.choice([0.3, 1.0, 3.0]) / np.sqrt(dim)
    instant -= rng.choice([0.0, 1.0, 3.0]) * np.eye(dim)
    size = rng.choice([0.3, 1.0, 2.0], size=count) / np.sqrt(dim)
    delayed = [s * rng.normal(size=(dim, dim)) for s in size]
    return instant, delayed, list(rng.uniform(0.1, 3.0, size=count))


@pytest.mark.parametrize("part", range(10))
def test_roots_of_random_systems_are_right_and_complete(part):
    """200 systems of dimension 1 to 6 with 1 to 3 delays: a missed root hides an instability."""
    rng = np.random.default_rng([20, part])
    stable = 0
    for _ in range(20):
        instant, delayed, delays = random_system(rng)
        roots = DelaySystem(instant, delayed, delays).roots(4)
        assert len(roots) == 4
        stable += roots[0].real < 0.0
        expected = generator_eigenvalues(instant, delayed, delays)
        for root in roots:
            assert np.abs(expected - root).min() < 1e-10 * (1.0 + abs(root))
        line = roots[-1].real + 1e-6
        inside = expected[expected.real > line]
        assert len(inside) == (roots.real > line).sum()
        for value in inside:
            assert np.abs(roots - value).min() < 1e-10 * (1.0 + abs(value))
    assert 0 < stable < 20


@pytest.mark.parametrize("line", [-0.5, 0.0])
def test_every_root_of_a_half_plane_is_returned(line):
    """The count by the argument principle and the list of roots are independent."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        instant, delayed, delays = random_system(rng)
        laws = tuple(as_law(delay, "delay") for delay in delays)
        found = Spectrum(instant, tuple(delayed), laws).right_of(line)
        expected = generator_eigenvalues(instant, delayed, delays)
        assert len(found) == (expected.real > line).sum()


@pytest.mark.parametrize("shape", [1, 2, 4])
def test_an_erlang_delay_equals_its_chain_of_compartments(shape):
    """The linear chain trick turns the random delay into an ordinary system of shape + 1."""
    law = st.gamma(shape, scale=1.0 / shape)
    chain = np.diag([-0.2, *[-float(shape)] * shape])
    chain[0, -1] = -1.5
    chain[np.arange(1, shape + 1), np.arange(shape)] = shape
    expected = np.linalg.eigvals(chain)
    for root in DelaySystem(-0.2, -1.5, law).roots(2):
        assert np.abs(expected - root).min() < 1e-12


def test_a_double_root_is_counted_twice():
    """At critical damping two roots coincide; the matrix route must not lose one of them."""
    system = DelaySystem(np.zeros((1, 1)), [[[-np.exp(-1.0)]]], [1.0])
    spectrum = system.spectrum.rightmost(3)
    np.testing.assert_allclose(spectrum[:2], [-1.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(system.roots(3), spectrum, atol=1e-6)


def test_a_multiple_root_of_a_decoupled_system_is_repeated():
    """Two equal scalar equations side by side have every root twice."""
    alone = DelaySystem(0.0, -1.0, 1.0).roots(2)
    both = DelaySystem(np.zeros((2, 2)), -np.eye(2), 1.0).roots(4)
    np.testing.assert_allclose(
        np.sort_complex(both), np.sort_complex(np.repeat(alone, 2)), atol=1e-9
    )


def test_a_system_without_delay_has_its_eigenvalues():
    """The limit of the ordinary differential equation."""
    matrix = np.array([[0.0, 1.0], [-2.0, -0.4]])
    for system in (DelaySystem(matrix, [], []), DelaySystem(matrix - np.eye(2), np.eye(2), 0.0)):
        found = np.sort_complex(system.roots(5))
        np.testing.assert_allclose(found, np.sort_complex(np.linalg.eigvals(matrix)), atol=1e-13)


def test_a_nilpotent_coupling_has_finitely_many_roots():
    """A chain that only feeds forward keeps the roots of its parts, fewer than asked for."""
    system = DelaySystem([[-0.2, 1.0], [0.0, -1.0]], [[0.0, 1.5], [0.0, 0.0]], 1.0)
    np.testing.assert_allclose(system.roots(5), [-0.2, -1.0], atol=1e-12)
