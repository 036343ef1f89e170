"""Seeds, keys and streams: what a random number's address is made of, in plain Python.

`streams.py` says how an address becomes a number. There is room for 2**61 steps, 2**44 paths,
2**20 channels and 16 streams; `require_room` refuses more. Nothing here compiles, so that a solve
whose machine code is cached need not load a compiler.
"""

from typing import Any

import numpy as np

from sdde.checks import fail

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
STEP_DELAYS = 10
OUTAGES = 11
BRIDGES = 12
DELAYED_AREAS = 13
AREAS = 14

MAX_STEPS = 1 << 61
MAX_PATHS = 1 << 44
MAX_CHANNELS = 1 << 20


def seed_of(rng: Any) -> int:
    """Return the whole number that reproduces `rng`, as SPEC 7 reads the argument.

    Parameters
    ----------
    rng : None, int, numpy.random.SeedSequence or numpy.random.Generator
        None asks the system for a fresh seed. An int is its own seed, and so is a `SeedSequence`
        made from one; a spawned `SeedSequence` gives a number derived from its state. A `Generator`
        is asked for a number and thereby advances.

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
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool | np.timedelta64):
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
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


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
