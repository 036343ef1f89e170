"""PyTorch modules as objectives: the same numbers as the built-in network and softmax."""

import pickle

import numpy as np
import pytest
import scipy.stats

from sdde import ArgumentError, cluster

torch = pytest.importorskip("torch")

SYSTEM = cluster.System(scipy.stats.expon(), workers=4)


def data(samples=80, features=5, classes=3):
    rng = np.random.default_rng(0)
    centres = 2.0 * rng.normal(size=(classes, features))
    labels = rng.integers(classes, size=samples)
    return centres[labels] + rng.normal(size=(samples, features)), labels


def module_of(net):
    """Return a float64 module with the parameters of a network of one hidden layer."""
    inner, outer = net.layers(net.start)
    model = torch.nn.Sequential(
        torch.nn.Linear(*inner[0].shape), torch.nn.Tanh(), torch.nn.Linear(*outer[0].shape)
    ).double()
    with torch.no_grad():
        for layer, (weights, bias) in ((model[0], inner), (model[2], outer)):
            layer.weight.copy_(torch.from_numpy(weights.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    return model


@pytest.fixture(scope="module")
def pair():
    inputs, labels = data()
    kept = (inputs[60:], labels[60:])
    net = cluster.Network(inputs[:60], labels[:60], hidden=(6,), batch=4, rng=2, test=kept)
    own = cluster.Objective.from_torch(
        module_of(net), torch.nn.functional.cross_entropy, inputs[:60], labels[:60], batch=4,
        test=kept,
    )  # fmt: skip
    return net, own


def test_a_module_trains_like_the_network_that_it_is(pair):
    """Same events, same samples: losses and accuracies agree to rounding."""
    options = {"learning_rate": 0.2, "updates": 150, "rng": 3, "records": 11, "runs": 2}
    theirs, ours = (cluster.simulate(o, cluster.AsyncSGD(), SYSTEM, **options) for o in pair)
    np.testing.assert_array_equal(ours.t, theirs.t)
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-9)
    assert list(ours.measures) == ["accuracy", "test_loss", "test_accuracy"]
    for name, values in theirs.measures.items():
        np.testing.assert_allclose(ours.measures[name], values, rtol=1e-9)


def test_the_module_itself_is_not_changed():
    """Parameters are put in from outside."""
    model = torch.nn.Linear(5, 3)
    before = [p.detach().clone() for p in model.parameters()]
    inputs, labels = data()
    own = cluster.Objective.from_torch(model, torch.nn.functional.cross_entropy, inputs, labels)
    runs = cluster.simulate(
        own, cluster.AsyncSGD(), SYSTEM, learning_rate=0.1, updates=40, rng=1, records=2
    )
    assert runs.loss[0, -1] < runs.loss[0, 0]
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.equal(old, new)
    again = cluster.simulate(
        own, cluster.AsyncSGD(), SYSTEM, learning_rate=0.1, updates=40, rng=1, records=2, threads=1
    )
    np.testing.assert_array_equal(again.loss, runs.loss)


def test_a_regression_records_no_accuracy():
    """Targets that are not classes."""
    inputs, _ = data()
    own = cluster.Objective.from_torch(
        torch.nn.Linear(5, 1), torch.nn.functional.mse_loss, inputs, inputs[:, :1]
    )
    runs = cluster.simulate(
        own, cluster.AsyncSGD(), SYSTEM, learning_rate=0.01, updates=60, rng=1, records=2
    )
    assert runs.measures == {}
    assert runs.loss[0, -1] < runs.loss[0, 0]


def test_bad_modules_are_refused_by_name():
    """Before anything runs."""
    inputs, labels = data()
    good = {
        "module": torch.nn.Linear(5, 3), "loss": torch.nn.functional.cross_entropy,
        "inputs": inputs, "targets": labels,
    }  # fmt: skip
    frozen = torch.nn.Linear(5, 3).requires_grad_(False)
    for name, wrong in (
        ("module", {"module": 3}), ("module", {"module": frozen}), ("loss", {"loss": 3}),
        ("inputs", {"targets": labels[1:]}), ("inputs", {"inputs": inputs[:0], "targets": []}),
        ("test", {"test": inputs}), ("batch", {"batch": 0}),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=rf"^{name} = "):
            cluster.Objective.from_torch(**(good | wrong))


def test_an_objective_travels_to_other_processes(pair):
    """Live workers get a copy: the same gradient and the same measures after pickling."""
    own = pair[1]
    copied = pickle.loads(pickle.dumps(own))
    rows = np.array([1, 5, 5])
    x = own.start + 0.1
    np.testing.assert_array_equal(copied.gradient_function(x, rows), own.gradient_function(x, rows))
    assert copied.measures["test_accuracy"](x) == own.measures["test_accuracy"](x)


def test_a_module_measures_like_the_network_that_it_is(pair):
    """Differentiating twice and the formula give one spectrum, one noise, one start."""
    net, own = pair
    theirs, ours = (cluster.measure(o, o.start, start=0.9 * o.start, leading=4) for o in (net, own))
    np.testing.assert_allclose(ours.leading, theirs.leading, rtol=1e-9)
    np.testing.assert_allclose(ours.trailing, theirs.trailing, rtol=1e-9)
    np.testing.assert_allclose(ours.leading_noise, theirs.leading_noise, rtol=1e-6)
    assert ours.noise_trace == pytest.approx(theirs.noise_trace, rel=1e-9)
    assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-9)
    assert ours.product_error < 1e-12


def test_single_precision_and_losses_without_curvature_are_measured_too():
    """The products of a float32 module are float32, which the measurement says; a linear loss has
    a Hessian of zeros.
    """
    inputs, labels = data()
    model = torch.nn.Linear(5, 3)
    objective = cluster.Objective.from_torch(
        model, torch.nn.functional.cross_entropy, inputs, labels, batch=4
    )
    found = cluster.measure(objective, objective.start)
    assert 1e-9 < found.product_error < 1e-4
    linear = cluster.Objective.from_torch(
        torch.nn.Linear(5, 1), lambda out, _: out.mean(), inputs, labels
    )
    assert cluster.measure(linear, linear.start).hessian_trace == 0.0
