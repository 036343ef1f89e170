"""Random numbers by address: the same address gives the same number.

A number's address is (seed, stream, path, channel, step). Philox4x32-10, a counter-based generator
[1]_, turns it into bits: the seed becomes the key, the rest the counter. So path i is the same
however many others are computed, and threads and blocks share no state. Two consecutive steps share
one counter: its 128 bits make two uniforms, or two normals by Box and Muller's method [2]_.
`kernels/normals.py` fills whole buffers with the same numbers, many at a time. Nothing here knows
about equations.

Streams, seeds and the room for addresses are in `seeds.py`, which compiles nothing.

References
----------
.. [1] J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
       SC11 (2011).
.. [2] G. Box, M. Muller, "A note on the generation of random normal deviates", Annals of
       Mathematical Statistics 29 (1958).
.. [3] W. Hörmann, "The transformed rejection method for generating Poisson random variables",
       Insurance: Mathematics and Economics 12 (1993).
"""

import numpy as np
from numba import njit

from sdde.engine.kernels.exponential import exp, inline, log1p, log_of_normal
from sdde.engine.kernels.vectorir import bits_of, float_of, floor, horner, sqrt, upper
from sdde.engine.seeds import AREAS as AREAS
from sdde.engine.seeds import ARRIVAL_DELAYS as ARRIVAL_DELAYS
from sdde.engine.seeds import ARRIVALS as ARRIVALS
from sdde.engine.seeds import BRIDGES as BRIDGES
from sdde.engine.seeds import COMMUNICATION as COMMUNICATION
from sdde.engine.seeds import COMPUTE as COMPUTE
from sdde.engine.seeds import DECISIONS as DECISIONS
from sdde.engine.seeds import DELAYED_AREAS as DELAYED_AREAS
from sdde.engine.seeds import GRADIENT as GRADIENT
from sdde.engine.seeds import MARKS as MARKS
from sdde.engine.seeds import MAX_CHANNELS as MAX_CHANNELS
from sdde.engine.seeds import MAX_PATHS as MAX_PATHS
from sdde.engine.seeds import MAX_STEPS as MAX_STEPS
from sdde.engine.seeds import NOISE as NOISE
from sdde.engine.seeds import OUTAGES as OUTAGES
from sdde.engine.seeds import SAMPLING as SAMPLING
from sdde.engine.seeds import SERVER as SERVER
from sdde.engine.seeds import STEP_DELAYS as STEP_DELAYS
from sdde.engine.seeds import key_of as key_of
from sdde.engine.seeds import require_room as require_room
from sdde.engine.seeds import seed_of as seed_of

# sin(pi t) / t and cos(pi t) in t**2, |t| <= 1/2: minimax fits, relative and absolute error
_SIN_PI = (
    3.1415926535897927, -5.167712780049753, 2.5501640398597765, -0.5992645287757161,
    0.08214587825662081, -0.00737036107206093, 0.0004659776180644242, -2.1122954109305016e-05,
)  # fmt: skip
_COS_PI = (
    1.0, -4.934802200544676, 4.058712126416498, -1.3352627688434646, 0.23533063012980837,
    -0.025806888739352957, 0.0019295562835931208, -0.00010456658073600429, 4.1495917001716555e-06,
)  # fmt: skip
# 1/12, -1/360, ...: log(k!) - Stirling's formula, times k, in 1 / k**2
_STIRLING = (
    0.08333333333333333, -0.002777777777777778, 0.0007936507936507937, -0.0005952380952380953,
    0.0008417508417508417,
)  # fmt: skip

_U = np.uint64
_LOW, _32 = _U(0xFFFFFFFF), _U(32)
_M0, _M1 = _U(0xD2511F53), _U(0xCD9E8D57)  # Philox4x32 multipliers
_W0, _W1 = _U(0x9E3779B9), _U(0xBB67AE85)  # and key increments [1]
_1, _12, _28 = _U(1), _U(12), _U(28)
_ONE = _U(0x3FF0000000000000)  # the bits of 1.0
_SIGN = _U(1 << 63)


@inline
def philox(c0, c1, c2, c3, k0, k1):
    """Return the 128 bits of a counter (four 32-bit words) under a key, as two 64-bit words.

    Upper halves of the arguments must be zero; within the rounds they hold rubbish that the next
    multiplication ignores, which saves the masks.
    """
    for _ in range(10):
        p0 = (c0 & _LOW) * _M0
        p1 = (c2 & _LOW) * _M1
        c0 = upper(p1) ^ c1 ^ k0
        c1 = p1
        c2 = upper(p0) ^ c3 ^ k1
        c3 = p0
        k0 = k0 + _W0
        k1 = k1 + _W1
    return (c0 << _32) | (c1 & _LOW), (c2 << _32) | (c3 & _LOW)


@inline
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


@inline
def open_uniform(word):
    """Return (k + 1/2) / 2**52, k the top 52 bits: never 0 or 1, and symmetric about 1/2."""
    return float_of(_ONE | (word >> _12)) - 0.9999999999999999


@inline
def box_muller(a, b):
    """Return two independent normals from two 64-bit words: a radius and an angle."""
    radius = sqrt(-2.0 * log_of_normal(open_uniform(a)))
    # One bit of b picks the sign of the cosine, 52 bits an angle in [-1/2, 1/2) half-turns.
    t = float_of(_ONE | ((b << _1) >> _12)) - 1.5
    z = t * t
    cosine = float_of(bits_of(horner(z, _COS_PI)) ^ (b & _SIGN))
    return radius * cosine, radius * (t * horner(z, _SIN_PI))


@inline
def open_uniforms(a, b):
    """Return two uniforms from two 64-bit words."""
    return open_uniform(a), open_uniform(b)


@inline
def exponentials(a, b):
    """Return two exponentials of mean 1 from two 64-bit words."""
    return -log_of_normal(open_uniform(a)), -log_of_normal(open_uniform(b))


@inline
def uniform_pair(k0, k1, path, pair, channel, stream):
    """Return the uniforms of steps 2 * pair and 2 * pair + 1, in (0, 1)."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(pair), _U(channel), _U(stream))
    return open_uniforms(a, b)


@inline
def normal_pair(k0, k1, path, pair, channel, stream):
    """Return the standard normals of steps 2 * pair and 2 * pair + 1."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(pair), _U(channel), _U(stream))
    return box_muller(a, b)


@inline
def word(k0, k1, path, step, channel, stream):
    """Return the 64 random bits at an address."""
    a, b = words(_U(k0), _U(k1), _U(path), _U(step) >> _1, _U(channel), _U(stream))
    return b if (_U(step) & _1) != _U(0) else a


@inline
def uniform(k0, k1, path, step, channel, stream):
    """Return the uniform number in (0, 1) at an address."""
    return open_uniform(word(k0, k1, path, step, channel, stream))


@inline
def normal(k0, k1, path, step, channel, stream):
    """Return the standard normal number at an address."""
    a, b = normal_pair(k0, k1, path, _U(step) >> _1, channel, stream)
    return b if (_U(step) & _1) != _U(0) else a


@inline
def exponential(k0, k1, path, step, channel, stream):
    """Return the exponential number of mean 1 at an address, -log of the uniform there."""
    return -log_of_normal(uniform(k0, k1, path, step, channel, stream))


@njit(error_model="numpy", fastmath=False)
def poisson_quantile(u, mean):
    """Return the smallest k with P(N <= k) >= u for a Poisson N, by summing from 0; mean <= 700."""
    term = total = exp(-mean)
    before = -1.0
    k = 0
    # Rounded, the sum may stop growing just short of 1, where u may lie.
    while u > total and (total > before or k < mean):
        k += 1
        term *= mean / k
        before = total
        total += term
    return k


@njit(error_model="numpy", fastmath=False)
def poisson(k0, k1, path, step, channel, stream, mean):
    """Return the Poisson count at an address; 0 where the mean is not above 0.

    Below a mean of 10 the count is the quantile of the uniform number at the address. Above, it
    comes from Hörmann's transformed rejection [3]_, which is exact as well; its uniforms have the
    64 bits at the address for a key, so that it may draw as many as it needs. The mean must be
    below 2**53.
    """
    if not mean > 0.0:
        return 0
    if mean < 10.0:
        return poisson_quantile(uniform(k0, k1, path, step, channel, stream), mean)
    key = word(k0, k1, path, step, channel, stream)
    b = 0.931 + 2.53 * sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    attempt = 0
    while True:
        u, v = uniform_pair(key & _LOW, key >> _32, path, attempt, channel, stream)
        attempt += 1
        u -= 0.5
        near = 0.5 - abs(u)
        k = floor((2.0 * a / near + b) * u + mean + 0.43)
        if near >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2.0):
            return int(k)
        if k < 0.0 or (near < 0.013 and v > near):
            continue
        bound = v * inverse_alpha / (a / (near * near) + b)
        if log_of_normal(bound) <= _log_poisson(k, mean):
            return int(k)


@inline
def _log_poisson(k, mean):
    """Return log P(N = k), without the cancellation of k log(mean) - mean - log(k!)."""
    if k < 1.0:
        return -mean
    # Stirling's series is good to 1e-14 from n = 10; from there step down to k.
    n, shift = k, 0.0
    while n < 10.0:
        n += 1.0
        shift += log_of_normal(n / mean)
    share = (mean - n) / n
    stirling = horner(1.0 / (n * n), _STIRLING) / n
    return (
        n * (log1p(share) - share) - stirling - 0.5 * log_of_normal(6.283185307179586 * n) + shift
    )
