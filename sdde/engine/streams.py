"""Random numbers by number: every draw has an address, and the same address gives the same draw.

A draw's address is (seed, stream, path, channel, step). Philox4x32-10, a counter-based generator,
turns it into bits: the seed becomes the key, the rest the counter, so paths, threads and blocks never
share a state and path i is the same however many others are computed. Two consecutive steps share
one counter: 128 bits make two uniforms, or two normals by Box-Muller. `kernels/normals.py` fills whole
buffers with the same numbers eight at a time. Nothing here knows about equations.

Room: 2**61 steps, 2**44 paths, 2**20 channels and 16 streams; `require_room` refuses more.

References
----------
.. [1] J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011).
.. [2] G. Box, M. Muller, "A note on the generation of random normal deviates", Ann. Math. Stat. 29 (1958).
"""

import math
from typing import Any

import numpy as np
from numba import njit

from sdde.checks import fail
from sdde.engine.kernels.vectorir import bits_of, float_of, fma

NOISE = 0
ARRIVALS = 1
ARRIVAL_DELAYS = 2
MARKS = 3
COMPUTE = 4
COMMUNICATION = 5
GRADIENT = 6
SAMPLING = 7
DECISIONS = 8
SERVER = 9

MAX_STEPS = 1 << 61
MAX_PATHS = 1 << 44
MAX_CHANNELS = 1 << 20

_inline = njit(forceinline=True, error_model="numpy", fastmath=False)
_U = np.uint64
_LOW, _32 = _U(0xFFFFFFFF), _U(32)
_M0, _M1 = _U(0xD2511F53), _U(0xCD9E8D57)  # Philox4x32 multipliers
_W0, _W1 = _U(0x9E3779B9), _U(0xBB67AE85)  # and key increments [1]
_ONE, _1, _12, _28, _52 = _U(0x3FF0000000000000), _U(1), _U(12), _U(28), _U(52)
_SIGN = _U(1 << 63)


def seed_of(rng: Any) -> int:
    """Return the whole number that reproduces `rng`, as SPEC 7 reads the argument.

    Parameters
    ----------
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None asks the system for a fresh seed. An int is its own seed, and so is a `SeedSequence` made
        from one; a spawned `SeedSequence` gives a number derived from its state. A `Generator` is asked
        for a number and thereby advances.

    Returns
    -------
    int
        A seed >= 0; passing it back as `rng` repeats the numbers.

    Raises
    ------
    sdde.ArgumentError
        If `rng` is negative or anything else.

    Examples
    --------
    >>> seed_of(7), seed_of(np.random.SeedSequence(7))
    (7, 7)
    >>> seed_of(np.random.default_rng(7)) == seed_of(np.random.default_rng(7))
    True
    """
    if rng is None:
        rng = np.random.SeedSequence()
        return _derived(rng)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(1 << 63, dtype=np.uint64))
    if isinstance(rng, np.random.SeedSequence):
        plain = rng.pool_size == 4 and not rng.spawn_key
        return int(rng.entropy) if plain and isinstance(rng.entropy, int) else _derived(rng)
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if rng >= 0:
            return int(rng)
        fault = "is negative"
    else:
        fault = "is not a seed"
    raise fail(
        "rng",
        rng,
        fault,
        why="rng is None, a whole number >= 0, a numpy SeedSequence or a numpy Generator.",
        remedy="For example rng = 1, or rng = numpy.random.default_rng(1).",
    )


def _derived(sequence: np.random.SeedSequence) -> int:
    """Return 63 bits of `sequence`: enough for a 64-bit key, and they fit an int64 in a file."""
    return int(sequence.generate_state(1, np.uint64)[0] >> _1)


def key_of(seed: int) -> tuple[int, int]:
    """Return the Philox key of `seed`: two 32-bit numbers, unrelated for neighbouring seeds."""
    first, second = np.random.SeedSequence(seed).generate_state(2, np.uint32)
    return int(first), int(second)


def require_room(*, paths: int = 0, steps: int = 0, channels: int = 0) -> None:
    """Refuse a run that needs addresses beyond the counter (all are numbers one past the last)."""
    asked = (("paths", paths, MAX_PATHS), ("steps", steps, MAX_STEPS))
    for name, value, most in (*asked, ("channels", channels, MAX_CHANNELS)):
        if value > most:
            raise fail(
                name,
                value,
                f"is more than the random numbers have addresses for ({most})",
                why="Numbers would repeat.",
                remedy=f"Use at most {name} = {most} with one seed, and further seeds beyond.",
            )


@_inline
def philox(c0, c1, c2, c3, k0, k1):
    """Return the 128 bits of a counter (four 32-bit words) under a key, as two 64-bit words.

    Upper halves of the arguments must be zero; within the rounds they hold rubbish that the next
    multiplication ignores, which saves the masks.
    """
    for _ in range(10):
        p0 = (c0 & _LOW) * _M0
        p1 = (c2 & _LOW) * _M1
        c0 = (p1 >> _32) ^ c1 ^ k0
        c1 = p1
        c2 = (p0 >> _32) ^ c3 ^ k1
        c3 = p0
        k0 = k0 + _W0
        k1 = k1 + _W1
    return (c0 << _32) | (c1 & _LOW), (c2 << _32) | (c3 & _LOW)


@_inline
def words(k0, k1, path, pair, channel, stream):
    """Return the two 64-bit words at an address: the counter packs 60 + 44 + 20 + 4 bits."""
    return philox(
        pair & _LOW,
        path & _LOW,
        (pair >> _32) | (stream << _28),
        (path >> _32) | (channel << _12),
        k0,
        k1,
    )


@_inline
def open_uniform(word):
    """Return (k + 1/2) / 2**52 for the top 52 bits k of a word: never 0 or 1, symmetric about 1/2."""
    return float_of(_ONE | (word >> _12)) - 0.9999999999999999


@_inline
def log_of_uniform(u):
    """Return log(u) for a normal u in (0, 1): no special cases."""
    bits = bits_of(u)
    # Exponent e and fraction in [sqrt(1/2), sqrt(2)); adding moves the seam from 1 to sqrt(1/2).
    biased = (bits + _U(0x00095F619980C433)) >> _52
    e = float_of(_U(0x4330000000000000) | biased) - 4503599627371519.0  # 2**52 + 1023
    f = float_of(bits - (biased << _52) + _ONE) - 1.0
    p = 0.03081756372437806
    p = fma(p, f, -0.06618773009678613)
    p = fma(p, f, 0.07000691047584312)
    p = fma(p, f, -0.0630658816887405)
    p = fma(p, f, 0.06495252735766224)
    p = fma(p, f, -0.07112464720648483)
    p = fma(p, f, 0.0770509701696896)
    p = fma(p, f, -0.08336500776029371)
    p = fma(p, f, 0.09090397053862845)
    p = fma(p, f, -0.09999843911504927)
    p = fma(p, f, 0.111111220155228)
    p = fma(p, f, -0.12500003956286007)
    p = fma(p, f, 0.14285714172623884)
    p = fma(p, f, -0.16666666618490816)
    p = fma(p, f, 0.20000000000466495)
    p = fma(p, f, -0.2500000000022147)
    p = fma(p, f, 0.3333333333333285)
    p = fma(p, f, -0.49999999999999833)
    return fma(e, 0.6931471805599453, fma(p, f * f, f))


@_inline
def box_muller(a, b):
    """Return two independent normals from two 64-bit words: one radius, one angle."""
    radius = math.sqrt(-2.0 * log_of_uniform(open_uniform(a)))
    # b: 1 bit picks the half plane of the cosine, 52 bits an angle in [-1/2, 1/2) half-turns.
    t = float_of(_ONE | ((b << _1) >> _12)) - 1.5
    w = t * t
    s = -2.113362735205297e-05
    s = fma(s, w, 0.0004659870158043378)
    s = fma(s, w, -0.0073703643265304155)
    s = fma(s, w, 0.08214587881631043)
    s = fma(s, w, -0.599264528825224)
    s = fma(s, w, 2.5501640398618677)
    s = fma(s, w, -5.1677127800497855)
    s = fma(s, w, 3.1415926535897927)
    c = 4.149564353942586e-06
    c = fma(c, w, -0.00010456655338748738)
    c = fma(c, w, 0.0019295562724817132)
    c = fma(c, w, -0.025806888737002202)
    c = fma(c, w, 0.23533063012953284)
    c = fma(c, w, -1.335262768843447)
    c = fma(c, w, 4.058712126416497)
    c = fma(c, w, -4.934802200544676)
    c = fma(c, w, 1.0)
    cosine = float_of(bits_of(c) ^ (b & _SIGN))
    return radius * cosine, radius * (s * t)


@_inline
def uniform_pair(k0, k1, path, pair, channel, stream):
    """Return the uniforms of steps 2 * pair and 2 * pair + 1, in (0, 1)."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(pair), _U(channel), _U(stream))
    return open_uniform(a), open_uniform(b)


@_inline
def normal_pair(k0, k1, path, pair, channel, stream):
    """Return the standard normals of steps 2 * pair and 2 * pair + 1."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(pair), _U(channel), _U(stream))
    return box_muller(a, b)


@_inline
def uniform(k0, k1, path, step, channel, stream):
    """Return the uniform number in (0, 1) at an address."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(step) >> _1, _U(channel), _U(stream))
    return open_uniform(b if _U(step) & _1 else a)


@_inline
def normal(k0, k1, path, step, channel, stream):
    """Return the standard normal number at an address."""
    a, b = normal_pair(k0, k1, path, _U(step) >> _1, channel, stream)
    return b if _U(step) & _1 else a


@_inline
def exponential(k0, k1, path, step, channel, stream):
    """Return the exponential number of mean 1 at an address, -log of the uniform there."""
    return -log_of_uniform(uniform(k0, k1, path, step, channel, stream))
