"""SYSTEM.toml: everything it may say becomes the system and the objective that it means."""

import re

import numpy as np
import pytest
import scipy.stats as st

import sdde
from sdde import cluster, theory
from sdde.description import describe, methods_named, target_of
from sdde.description_example import EXAMPLE
from sdde.equation.laws import as_law

SYSTEM = "[system]\ncompute_time = 1.0\n"
OBJECTIVE = "[objective]\neigenvalues = [1.0, 0.5]\n"


@pytest.fixture
def described(tmp_path):
    def read(text):
        path = tmp_path / "SYSTEM.toml"
        path.write_text(text)
        return describe(str(path))

    return read


def test_every_line_of_the_example_is_true(described):
    """What is commented out works too, one alternative at a time."""
    described(EXAMPLE)
    for line in EXAMPLE.splitlines():
        entry = re.match(r"# (\w+) = (.*?)(\s+#.*)?,?$", line)
        if entry is None or entry[1] == "trace":
            continue
        key, value = entry[1], entry[2].rstrip(",")
        text = EXAMPLE
        replaced = {
            "compute_time": "compute_time", "compute_times": "compute_time",
            "noise_trace": "noise", "initial_loss": "start",
        }  # fmt: skip
        if key in ("largest", "smallest", "density", "parameters"):
            text = re.sub(r"(?m)^eigenvalues.*$", "", text)
            if not value.startswith("[["):
                text = text.replace("[objective]", "[objective]\nlargest = 2.0\nsmallest = 0.5")
            text = re.sub(rf"(?m)^{key} = .*\n", "", text)
        if key in replaced:
            text = re.sub(rf"(?m)^{replaced[key]} = .*$", "", text)
        if key == "compute_times":
            text = re.sub(r"(?m)^workers.*$", "", text)
        section = text.index(_section_of(line))
        at = text.index("\n", section) + 1
        found = described(f"{text[:at]}{key} = {value}\n{text[at:]}")
        assert found.objective.dim >= 1, line


def _section_of(line):
    before = EXAMPLE[: EXAMPLE.index(line)]
    return "[" + before.rpartition("\n[")[2].split("]")[0] + "]"


def test_laws_links_and_servers_are_read(described):
    """Numbers, measurements, scipy laws, unequal workers, shared links, a busy server."""
    found = described(
        "[system]\ncompute_times = [1.0, { law = 'expon', scale = 2.0 }]\n"
        "shared_link = { time = 0.1, capacity = 2 }\n" + OBJECTIVE
    )
    means = [as_law(law, "law").mean for law in found.system.compute_time]
    assert means == [1.0, 2.0]
    assert found.system.communication == cluster.SharedLink(0.1, capacity=2)
    found = described("[system]\ncompute_time = [1.0, 3.0]\nupdate_time = 0.2\n" + OBJECTIVE)
    assert as_law(found.system.compute_time, "law").mean == 2.0
    assert found.system.update_time == 0.2


def test_a_trace_gives_the_cycles_and_the_workers(described, tmp_path):
    """Measured machines under a described objective."""
    trace = cluster.packaged_trace()
    trace.write(tmp_path / "log.csv")
    found = described("[system]\ntrace = 'log.csv'\n" + OBJECTIVE)
    assert found.workers == trace.workers
    assert as_law(found.system.compute_time, "law").mean == pytest.approx(trace.cycle_time().mean())


def test_a_density_has_the_loss_of_the_directions_it_stands_for(described):
    """A thousand directions, listed and as a density: the same expected loss at all times."""
    listed = ", ".join(f"{value:.12g}" for value in np.geomspace(0.01, 1.0, 1000))
    one = described(SYSTEM + f"[objective]\neigenvalues = [{listed}]\nnoise = 0.02\nstart = 0.1\n")
    other = described(
        SYSTEM + "[objective]\nlargest = 1.0\nsmallest = 0.01\nparameters = 1000\n"
        "noise = 0.02\nstart = 0.1\n"
    )
    assert other.objective.dim <= 16
    assert other.objective.initial_loss == pytest.approx(one.objective.initial_loss, rel=0.02)
    times = np.array([5.0, 20.0, 80.0])
    losses = [
        theory.AsyncSGD(
            found.objective.eigenvalues, learning_rate=0.05, workers=4, compute_time=st.expon(),
            gradient_noise=found.objective.noise, arrivals="exact",
        ).loss(times, found.objective.start)
        for found in (one, other)
    ]  # fmt: skip
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.03)


def test_a_measured_density_weighs_its_eigenvalues(described):
    """Shares are of the directions; squares of starts and noises of equal directions add."""
    found = described(
        SYSTEM + "[objective]\ndensity = [[1.0, 1.0], [0.1, 3.0]]\nparameters = 40\n"
        "noise_trace = 0.4\ninitial_loss = 2.0\n"
    ).objective
    np.testing.assert_allclose(found.eigenvalues, [1.0, 0.1])
    np.testing.assert_allclose(found.noise**2, [0.1, 0.3])
    assert found.start[1] ** 2 / found.start[0] ** 2 == pytest.approx(3.0)
    assert found.initial_loss == pytest.approx(2.0)


def test_limits_are_keywords_of_the_plan(described):
    """Names of methods become methods, or families whose number is found."""
    found = described(
        SYSTEM + OBJECTIVE + "[limits]\nmax_workers = 9\nmax_cost = 3.0\n"
        "methods = ['async', 'k-sync', 'k-batch-async:4']\n"
    )
    assert found.limits == {
        "max_workers": 9, "max_cost": 3.0, "methods": ["async", "k-sync", cluster.KBatchAsync(4)],
    }  # fmt: skip
    assert methods_named("all") == "all"


def test_the_target_is_as_asked_as_described_or_two_per_cent(described):
    """In that order."""
    found = described("target_loss = 0.1\n" + SYSTEM + OBJECTIVE)
    assert (target_of(found, 0.2), target_of(found, None)) == (0.2, 0.1)
    found = described(SYSTEM + OBJECTIVE)
    assert target_of(found, None) == pytest.approx(0.02 * 0.75)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SYSTEM + "[objective]\n", "has neither eigenvalues"),
        (SYSTEM + "[objective]\nlargest = 1.0\n", "no smallest eigenvalue"),
        (SYSTEM + "[objective]\nlargest = 1.0\nsmallest = 2.0\n", "is above largest = 1"),
        (SYSTEM + OBJECTIVE + "largest = 1.0\n", "has eigenvalues and largest"),
        (SYSTEM + OBJECTIVE + "noise = 1.0\nnoise_trace = 1.0\n", "has noise and noise_trace"),
        (SYSTEM + OBJECTIVE + "start = 1.0\ninitial_loss = 1.0\n", "start and initial_loss"),
        (SYSTEM + "[objective]\ndensity = [[1.0]]\n", "is not a list of pairs"),
        (SYSTEM + "[objective]\ndensity = [[1.0, -1.0]]\n", "is not a list of pairs"),
        (SYSTEM + "[objective]\ndensity = [[1.0, 1.0]]\nlargest = 1.0\n", "largest or smallest"),
        (SYSTEM + "[objective]\ndensity = 'bell'\nlargest = 1.0\nsmallest = 1.0\n", "density"),
        ("[system]\ncompute_time = 1.0\ncompute_times = [1.0]\n" + OBJECTIVE, "give one of them"),
        ("[system]\ncompute_times = []\n" + OBJECTIVE, "is not a list of laws"),
        (SYSTEM + "shared_link = 0.1\n" + OBJECTIVE, "how long a transfer takes"),
        (SYSTEM + "shared_link = { time = 0.1, speed = 2 }\n" + OBJECTIVE, "unknown entry 'speed'"),
        (SYSTEM + OBJECTIVE + "[limits]\nmethods = 'fast'\n", "'fast' is not known"),
        (SYSTEM + OBJECTIVE + "[limits]\nmethods = 3\n", "is not a list of names"),
        (SYSTEM + OBJECTIVE + "[limits]\nworkers = 3\n", "unknown entry 'workers'"),
        ("limits = 3\n" + SYSTEM + OBJECTIVE, "is not a section"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(described, text, message):
    """One sentence that names the entry."""
    with pytest.raises(sdde.ArgumentError, match=message):
        described(text)
