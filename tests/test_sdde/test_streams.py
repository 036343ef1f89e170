"""Random numbers: known answers, slow twins, bit equality of all forms, statistics.

Every statistical check has a false-alarm rate of at most 1e-6 and a fixed seed.
"""

import numpy as np
import pytest
from scipy import stats

import sdde
from sdde.engine import streams
from sdde.engine.kernels import normals
from tests import reference_streams as reference

FALSE_ALARM = 1e-6
KEY = streams.key_of(20)


def bound(comparisons: int) -> float:
    """How many standard deviations a normal statistic may be off, for a family of tests."""
    return float(stats.norm.isf(FALSE_ALARM / 2 / comparisons))


def normals_of(key, steps, channels, paths, *, first_step=0, first_path=0, stream=streams.NOISE):
    z = np.empty((steps, channels, paths))
    normals.fill(z, first_step, first_path, *key, stream)
    return z


# ---------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, answer):
    """The vectors of the Random123 distribution, for the kernel and for its twin."""
    first, second = streams.philox(*map(np.uint64, (*counter, *key)))
    got = (first >> 32, first & 0xFFFFFFFF, second >> 32, second & 0xFFFFFFFF)
    assert got == answer
    assert reference.philox4x32(counter, key) == answer


ADDRESSES = [
    (0, 0, 0, streams.NOISE),
    (1, 1, 0, streams.ARRIVALS),
    (4321, 77, 3, streams.MARKS),
    ((1 << 32) - 1, (1 << 33) - 1, 5, streams.COMPUTE),
    (1 << 32, 1 << 33, 1 << 19, streams.SERVER),
    (streams.MAX_PATHS - 1, streams.MAX_STEPS - 1, streams.MAX_CHANNELS - 1, 15),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_scalar_functions_agree_with_their_slow_twins(address):
    """Uniforms are exact; the others err by a few units in the last place of their size."""
    assert streams.uniform(*KEY, *address) == float(reference.uniform(KEY, *address))
    exact = reference.exponential(KEY, *address)
    assert abs(streams.exponential(*KEY, *address) - exact) <= 2.0**-51 * exact
    exact, radius = reference.normal(KEY, *address)
    assert abs(streams.normal(*KEY, *address) - exact) <= 4.0 * 2.0**-52 * radius


def test_normals_stay_close_to_their_exact_values():
    """The same for a few thousand addresses, which meet every part of the polynomials."""
    z = normals_of(KEY, 40, 1, 40)
    for step in range(40):
        for path in range(40):
            exact, radius = reference.normal(KEY, path, step, 0, streams.NOISE)
            assert abs(z[step, 0, path] - exact) <= 4.0 * 2.0**-52 * radius


def test_compiled_normals_have_the_bits_of_exact_fused_arithmetic():
    """No compiler may contract or reorder: the same source in Python gives the same bits."""
    box_muller = reference.in_python(streams.box_muller)
    for path in range(200):
        words = reference.words(KEY, path, 0, 0, streams.NOISE)
        expected = box_muller(*map(np.uint64, words))
        assert streams.normal_pair(*KEY, path, 0, 0, streams.NOISE) == expected


@pytest.mark.parametrize("first_path", [0, 3, (1 << 32) - 20])
@pytest.mark.parametrize(
    ("first_step", "steps", "channels", "paths"),
    [(0, 2, 1, 8), (7, 4, 2, 40), ((1 << 33) - 3, 5, 1, 72), (6, 1, 3, 64)],
)
def test_a_buffer_holds_the_bits_of_the_scalar_functions(
    first_path, first_step, steps, channels, paths
):
    """Whatever the block and wherever it begins: odd steps, a carry into the upper word."""
    size = steps * channels * paths
    room = np.full(size + 128, np.nan)
    z = room[:size].reshape(steps, channels, paths)
    for fill, scalar in (
        (normals.fill, streams.normal),
        (normals.fill_uniforms, streams.uniform),
    ):
        fill(z, first_step, first_path, *KEY, streams.NOISE)
        expected = [
            [
                [
                    scalar(*KEY, first_path + i, first_step + g, c, streams.NOISE)
                    for i in range(paths)
                ]
                for c in range(channels)
            ]
            for g in range(steps)
        ]
        np.testing.assert_array_equal(z, expected)
        assert np.isnan(room[size:]).all()


@pytest.mark.parametrize("first_step", [0, 5, (1 << 33) - 9])
@pytest.mark.parametrize(("steps", "channels"), [(1, 1), (16, 1), (48, 1), (130, 1), (77, 3)])
def test_a_single_path_has_the_bits_of_the_scalar_functions(first_step, steps, channels):
    """A path computed alone, many steps at a time, is the path computed among others."""
    room = np.full(steps * channels + 128, np.nan)
    z = room[: steps * channels].reshape(steps, channels)
    for fill, scalar in (
        (normals.fill_steps, streams.normal),
        (normals.fill_uniform_steps, streams.uniform),
    ):
        fill(z, first_step, 4321, *KEY, streams.MARKS)
        expected = [
            [scalar(*KEY, 4321, first_step + g, c, streams.MARKS) for c in range(channels)]
            for g in range(steps)
        ]
        np.testing.assert_array_equal(z, expected)
        assert np.isnan(room[steps * channels :]).all()


def test_every_bit_of_an_address_matters():
    """Fields of the counter must not overlap, nor lose their upper bits."""
    addresses = [(0, 0, 0, 0)]
    addresses += [(1 << i, 0, 0, 0) for i in range(44)]
    addresses += [(0, 1 << i, 0, 0) for i in range(1, 61)]
    addresses += [(0, 0, 1 << i, 0) for i in range(20)]
    addresses += [(0, 0, 0, 1 << i) for i in range(4)]
    drawn = {streams.word(*KEY, *address) for address in addresses}
    assert len(drawn) == len(addresses)


def test_streams_have_numbers_of_their_own():
    """Two purposes under one number would share their randomness."""
    numbers = [
        streams.NOISE, streams.ARRIVALS, streams.ARRIVAL_DELAYS, streams.MARKS, streams.COMPUTE,
        streams.COMMUNICATION, streams.GRADIENT, streams.SAMPLING, streams.DECISIONS,
        streams.SERVER,
    ]  # fmt: skip
    assert sorted(numbers) == list(range(10))


# --------------------------------------------------------------------------------------- seeds


def test_the_seed_of_a_number_is_the_number():
    """SPEC 7: what is recorded must repeat the run."""
    assert streams.seed_of(7) == 7
    assert streams.seed_of(np.int64(7)) == 7
    assert streams.seed_of(1 << 100) == 1 << 100
    assert streams.seed_of(np.random.SeedSequence(7)) == 7


def test_seeds_from_nothing_differ_and_fit_a_file():
    """A fresh seed is recorded, also in formats whose integers have 64 bits."""
    seeds = {streams.seed_of(None) for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_a_generator_gives_a_new_seed_each_time_and_repeats_from_its_own_seed():
    """Two solves with one Generator must not share noise, and a script must be repeatable."""
    generator = np.random.default_rng(7)
    first, second = streams.seed_of(generator), streams.seed_of(generator)
    assert first != second
    again = np.random.default_rng(7)
    assert [streams.seed_of(again), streams.seed_of(again)] == [first, second]


def test_spawned_seed_sequences_differ_from_their_parent_and_each_other():
    """SeedSequence.spawn is how parallel programs get independent streams."""
    children = [streams.seed_of(child) for child in np.random.SeedSequence(7).spawn(50)]
    assert len({7, *children}) == 51
    assert children == [streams.seed_of(child) for child in np.random.SeedSequence(7).spawn(50)]


@pytest.mark.parametrize("rng", [-1, 1.0, "1", True, None.__class__, np.random.RandomState(1)])
def test_anything_else_is_refused(rng):
    """A misspelt seed must not run with some other randomness."""
    with pytest.raises(sdde.ArgumentError, match=r"^rng = "):
        streams.seed_of(rng)


def test_neighbouring_seeds_have_unrelated_keys():
    """Half of the 64 bits differ on average, with the spread of coin tosses."""
    keys = [streams.key_of(seed) for seed in range(2000)]
    assert len(set(keys)) == 2000
    bits = np.array([(k0 << 32) | k1 for k0, k1 in keys], dtype=np.uint64)
    differing = np.array([int(b).bit_count() for b in bits[1:] ^ bits[:-1]])
    assert abs(differing.mean() - 32.0) < bound(1) * 4.0 / np.sqrt(1999)


def test_runs_beyond_the_counter_are_refused():
    """Numbers would repeat silently."""
    streams.require_room(paths=1 << 44, steps=1 << 61, channels=1 << 20)
    for name, most in (("paths", 44), ("steps", 61), ("channels", 20)):
        with pytest.raises(sdde.ArgumentError, match=rf"^{name} = "):
            streams.require_room(**{name: (1 << most) + 1})


# ---------------------------------------------------------------------------------- statistics


def score(a, b):
    """z-score of the correlation of two arrays with mean 0 and variance 1."""
    return float(np.vdot(a, b)) / np.sqrt(a.size)


@pytest.mark.parametrize("seed", [1, 2, 12345])
def test_normals_have_the_moments_and_the_law_of_a_normal(seed):
    """Two million numbers: four moments, the whole distribution, the tail."""
    z = normals_of(streams.key_of(seed), 2000, 1, 1000).ravel()
    n = z.size
    scores = {
        "mean": z.mean() * np.sqrt(n),
        "variance": ((z**2).mean() - 1.0) * np.sqrt(n / 2.0),
        "skewness": (z**3).mean() * np.sqrt(n / 15.0),
        "kurtosis": ((z**4).mean() - 3.0) * np.sqrt(n / 96.0),
    }
    assert all(abs(value) < bound(4) for value in scores.values()), scores
    cells = np.clip((stats.norm.cdf(z) * 1000).astype(int), 0, 999)
    p = stats.chisquare(np.bincount(cells, minlength=1000)).pvalue
    assert FALSE_ALARM < p < 1.0 - FALSE_ALARM
    assert stats.kstest(z, "norm").pvalue > FALSE_ALARM
    beyond = int(np.count_nonzero(np.abs(z) > 4.5))
    assert stats.binomtest(beyond, n, 2.0 * stats.norm.sf(4.5)).pvalue > FALSE_ALARM


@pytest.mark.parametrize("seed", [3, 77])
def test_normals_at_different_addresses_are_uncorrelated(seed):
    """Within a Box-Muller pair, between steps, lanes, paths, channels, streams and keys."""
    z = normals_of(streams.key_of(seed), 1000, 2, 1024)
    other_key = normals_of(streams.key_of(seed + 1), 1000, 2, 1024)
    other_stream = normals_of(streams.key_of(seed), 1000, 2, 1024, stream=streams.ARRIVALS)
    far = normals_of(streams.key_of(seed), 1000, 2, 1024, first_path=1 << 32, first_step=1 << 33)
    pairs = {
        "within pairs": (z[0::2], z[1::2]),
        "between pairs": (z[1:-1:2], z[2::2]),
        "two steps on": (z[:-2], z[2:]),
        "next path": (z[..., :-1], z[..., 1:]),
        "8 lanes on": (z[..., :-8], z[..., 8:]),
        "32 lanes on": (z[..., :-32], z[..., 32:]),
        "next step and path": (z[:-1, :, :-1], z[1:, :, 1:]),
        "channels": (z[:, 0], z[:, 1]),
        "keys": (z, other_key),
        "streams": (z, other_stream),
        "upper words": (z, far),
    }
    scores = {name: score(a, b) for name, (a, b) in pairs.items()}
    squares = {name: score(a**2 - 1.0, b**2 - 1.0) / 2.0 for name, (a, b) in pairs.items()}
    limit = bound(2 * len(pairs))
    assert all(abs(value) < limit for value in [*scores.values(), *squares.values()]), (
        scores,
        squares,
    )


@pytest.mark.parametrize("lag", [1, 2])
def test_uniforms_fill_the_unit_square_evenly(lag):
    """Pairs of numbers, within one counter and of neighbouring counters."""
    u = np.empty((2000, 1, 512))
    normals.fill_uniforms(u, 0, 0, *streams.key_of(5), streams.ARRIVALS)
    first = (u[:-lag:2] * 32.0).astype(int)
    second = (u[lag::2][: len(first)] * 32.0).astype(int)
    p = stats.chisquare(np.bincount((32 * first + second).ravel(), minlength=1024)).pvalue
    assert FALSE_ALARM < p < 1.0 - FALSE_ALARM


@pytest.mark.parametrize("mean", [0.05, 1.0, 9.9, 10.0, 10.1, 37.5, 1e4, 1e9])
def test_poisson_counts_follow_their_law(mean):
    """Both methods on both sides of their seam, and means up to a thousand million."""
    n = 40_000
    counts = np.array([streams.poisson(*KEY, i, 9, 1, streams.ARRIVALS, mean) for i in range(n)])
    edges = np.unique(stats.poisson.ppf(np.linspace(0.01, 0.99, 40), mean))
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(edges) + 1)
    expected = n * np.diff([0.0, *stats.poisson.cdf(edges, mean), 1.0])
    assert expected.min() > 20.0  # so that the statistic has its chi-square law
    assert stats.chisquare(observed, expected).pvalue > FALSE_ALARM
    assert abs(counts.mean() - mean) < bound(1) * np.sqrt(mean / n)


def test_a_small_poisson_count_is_the_quantile_of_its_uniform():
    """Thinning and coupling rely on monotonicity in the uniform number."""
    for step in range(200):
        u = streams.uniform(*KEY, 1, step, 0, streams.ARRIVALS)
        expected = int(stats.poisson.ppf(u, 3.5))
        assert streams.poisson(*KEY, 1, step, 0, streams.ARRIVALS, 3.5) == expected
        assert streams.poisson_quantile(u, 3.5) == expected


@pytest.mark.parametrize("mean", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_positive_brings_no_arrivals(mean):
    """Rates are functions of the state and may touch zero."""
    assert streams.poisson(*KEY, 0, 0, 0, streams.ARRIVALS, mean) == 0


def test_the_extreme_uniforms_have_finite_poisson_quantiles():
    """A sum of rounded probabilities may stop short of the largest uniform."""
    assert streams.poisson_quantile(2.0**-53, 0.5) == 0
    assert 10 <= streams.poisson_quantile(1.0 - 2.0**-53, 1.0) <= 20
