"""Misuse of symbols, models and the cluster: how the message begins, and the call."""

import math

import scipy.stats as st
import sympy

from sdde import cluster, models
from tests.misuse.builders import TAU, R, T, X, Y, problem, simulate, symbolic

TABLE = [
    # SymPy
    ("state = 'x' is not an unknown function of time", lambda: symbolic(state="x")),
    ("state = x is not an unknown function of time", lambda: symbolic(state=X)),
    ("state = x(t + 1) is not an unknown function of time", lambda: symbolic(state=X(T + 1))),
    (
        "state = [x(t), x(t)] does not hold different functions of one time",
        lambda: symbolic(state=[X(T), X(T)]),
    ),
    (
        "state = [x(t), y(r)] does not hold different functions of one time",
        lambda: symbolic(state=[X(T), Y(R)]),
    ),
    ("drift = '-x(t)' is text", lambda: symbolic("-x(t)")),
    ("drift = None is not a SymPy expression", lambda: symbolic(None)),
    ("drift = [-x(t), 1] is not a SymPy expression", lambda: symbolic([-X(T), 1])),
    (
        "drift = -x(t) does not hold one expression for each of 2 states",
        lambda: symbolic(-X(T), state=[X(T), Y(T)]),
    ),
    (
        "drift = [-x(t)] does not hold one expression for each of 2 states",
        lambda: symbolic([-X(T)], state=[X(T), Y(T)]),
    ),
    ("parameters = None gives no value for r", lambda: symbolic(-R * X(T))),
    (
        "parameters = 's' is not a symbol of the equation",
        lambda: symbolic(-R * X(T), parameters={"s": 1.0}),
    ),
    ("parameters = [1.0] is not a mapping", lambda: symbolic(-R * X(T), parameters=[1.0])),
    ("parameters[r] = 'one' is not a number", lambda: symbolic(-R * X(T), parameters={R: "one"})),
    ("drift = x(t - tau) reads the future", lambda: symbolic(-X(T - TAU), parameters={TAU: -1.0})),
    ("drift = x(t + 1) reads the future", lambda: symbolic(-X(T + 1))),
    ("longest = None is missing, and the delay t/2 varies", lambda: symbolic(-X(T / 2))),
    ("longest = None is missing, and the delay x(t) varies", lambda: symbolic(-X(T - X(T)))),
    ("longest = -1.0 is not positive", lambda: symbolic(-X(T / 2), longest=-1.0)),
    (
        "drift = x(t - x(t - 1)) has a delay that depends on more than the present state",
        lambda: symbolic(-X(T - X(T - 1)), longest=1.0),
    ),
    ("drift = y(t) is not a state", lambda: symbolic(-Y(T))),
    (
        "drift = Derivative(x(t), t) holds a derivative or an integral",
        lambda: symbolic(X(T).diff(T)),
    ),
    (
        "drift = Integral(x(t), t) holds a derivative or an integral",
        lambda: symbolic(sympy.Integral(X(T), T)),
    ),
    ("drift = I*x(t) is not a finite real expression", lambda: symbolic(sympy.I * X(T))),
    ("drift = oo*x(t) is not a finite real expression", lambda: symbolic(sympy.oo * X(T))),
    ("drift = zeta(x(t)) holds something without a number", lambda: symbolic(sympy.zeta(X(T)))),
    ("diffusion = 'x' is text", lambda: symbolic(diffusion="x")),
    (
        "diffusion = [1] does not hold one expression for each of 2 states",
        lambda: symbolic([-X(T), -Y(T)], state=[X(T), Y(T)], diffusion=[1], history=[1.0, 1.0]),
    ),
    (
        "drift cannot be read as expressions...",
        lambda: problem(drift=lambda t, x, d: -x if x > 0 else x).to_sympy(),
    ),
    # models
    ("rate = 0.0 is not positive", lambda: models.delayed_ornstein_uhlenbeck(0.0, 1.0, 1.0)),
    ("delay = -1.0 is negative", lambda: models.delayed_ornstein_uhlenbeck(1.0, -1.0, 1.0)),
    ("noise = 'loud' is not a number", lambda: models.delayed_ornstein_uhlenbeck(1.0, 1.0, "loud")),
    ("instant = 'a' is not a number", lambda: models.hayes("a", 1.0, 1.0)),
    ("delay = -1.0 is negative", lambda: models.hayes(1.0, 1.0, -1.0)),
    ("noise = nan is not finite", lambda: models.hayes(1.0, 1.0, 1.0, noise=math.nan)),
    ("delayed = None is not a number", lambda: models.geometric(1.0, None, 1.0)),
    ("stiffness = inf is not finite", lambda: models.delayed_oscillator(1.0, math.inf, 1.0)),
    ("noise = -1.0 is negative", lambda: models.delayed_oscillator(1.0, 1.0, 1.0, noise=-1.0)),
    ("production = 0.0 is not positive", lambda: models.mackey_glass(0.0)),
    ("power = -1.0 is not positive", lambda: models.mackey_glass(power=-1.0)),
    ("strength = 'strong' is not a number", lambda: models.ikeda("strong")),
    ("delay = -1.0 is negative", lambda: models.ikeda(delay=-1.0)),
    ("weights = 'w' is not an array of numbers", lambda: models.neural_loop("w")),
    ("weights = [] is empty", lambda: models.neural_loop([])),
    ("weights = [[1.0]] has 2 dimensions, expected 1", lambda: models.neural_loop([[1.0]])),
    ("capacity = 0.0 is not positive", lambda: models.hutchinson(capacity=0.0)),
    ("births = -1.0 is not positive", lambda: models.nicholson(births=-1.0)),
    ("recovery = 0.0 is not positive", lambda: models.delayed_sir(recovery=0.0)),
    ("turnover = -0.1 is negative", lambda: models.delayed_sir(turnover=-0.1)),
    ("base = 0.0 is not positive", lambda: models.hawkes(base=0.0)),
    ("excitation = 2.0 is not below decay = 1.5", lambda: models.hawkes(excitation=2.0, decay=1.5)),
    ("longest_rate = -1.0 is not positive", lambda: models.hawkes(longest_rate=-1.0)),
    ("learning_rate = 0.0 is not positive", lambda: models.async_sgd(learning_rate=0.0)),
    ("delay = 'slow' is not a law", lambda: models.async_sgd(delay="slow")),
    (
        "delay = ... can take values below 0 (its lowest is -inf)",
        lambda: models.async_sgd(delay=st.norm()),
    ),
    ("arrival_rate = inf is not finite", lambda: models.async_sgd(arrival_rate=math.inf)),
    # the cluster
    ("compute_time = 'fast' is not a law", lambda: cluster.System("fast")),
    (
        "compute_time = -1.0 can take values below 0 (its lowest is -1)",
        lambda: cluster.System(-1.0),
    ),
    (
        "compute_time = ... can take values below 0 (its lowest is -inf)",
        lambda: cluster.System(st.norm()),
    ),
    ("compute_time = None is not a law", lambda: cluster.System(None)),
    ("communication = 'slow' is not a law", lambda: cluster.System(1.0, communication="slow")),
    (
        "update_time = -1.0 can take values below 0 (its lowest is -1)",
        lambda: cluster.System(1.0, update_time=-1.0),
    ),
    ("workers = 0 is below 1", lambda: cluster.System(1.0, workers=0)),
    ("workers = 2.5 is not a whole number", lambda: cluster.System(1.0, workers=2.5)),
    ("law = -1.0 can take values below 0 (its lowest is -1)", lambda: cluster.SharedLink(-1.0)),
    ("eigenvalues = array([], dtype=float64) is empty", lambda: cluster.Quadratic([])),
    ("eigenvalues = [-1.0] holds a value that is not positive", lambda: cluster.Quadratic([-1.0])),
    ("eigenvalues = 'round' is not an array of numbers", lambda: cluster.Quadratic("round")),
    ("noise = -1.0 holds a negative value", lambda: cluster.Quadratic([1.0], noise=-1.0)),
    ("objective = 1.0 is not an objective", lambda: simulate(objective=1.0)),
    ("method = 'async' is not a method", lambda: simulate(method="async")),
    ("system = 1.0 is not a System", lambda: simulate(system=1.0)),
    ("learning_rate = -0.1 is not positive", lambda: simulate(learning_rate=-0.1)),
    ("learning_rate = None is not a number", lambda: simulate(learning_rate=None)),
    ("workers = 0 is below 1", lambda: simulate(workers=0)),
    ("workers = None is not known", lambda: simulate(workers=None)),
    ("updates = -1 is below 1", lambda: simulate(updates=-1)),
    ("updates = None and time and until_loss are not given", lambda: simulate(updates=None)),
    ("runs = 0 is below 1", lambda: simulate(runs=0)),
    ("rng = 'x' is not a seed", lambda: simulate(rng="x")),
    ("k = 0 is below 1", lambda: cluster.KSync(0)),
    ("k = 1.5 is not a whole number", lambda: cluster.KAsync(1.5)),
    ("method = ... waits for 5 of 2 workers", lambda: simulate(method=cluster.KSync(5))),
]
