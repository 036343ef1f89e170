"""Misuse of solving and of what comes out: how the message begins, and the call."""

import math

import numpy as np

import sdde
from tests.misuse.builders import (
    SEEING,
    decay,
    jump,
    levels,
    problem,
    recorded,
    solution,
    solve,
    study,
)

TABLE = [
    # solve
    ("problem = ... is not an sdde.Problem", lambda: sdde.solve(decay, (0.0, 1.0), dt=0.1)),
    ("problem = None is not an sdde.Problem", lambda: sdde.solve(None, (0.0, 1.0), dt=0.1)),
    ("t_span = 1.0 is not a pair (start, end)", lambda: solve(t_span=1.0)),
    ("t_span = (0.0, 1.0, 2.0) is not a pair (start, end)", lambda: solve(t_span=(0.0, 1.0, 2.0))),
    ("t_span = (1.0, 1.0) does not go forward", lambda: solve(t_span=(1.0, 1.0))),
    ("t_span = (1.0, 0.0) does not go forward", lambda: solve(t_span=(1.0, 0.0))),
    ("t_span[1] = inf is not finite", lambda: solve(t_span=(0.0, math.inf))),
    ("t_span[0] = '0' is not a number", lambda: solve(t_span=("0", 1.0))),
    ("t_span = '01' is not a pair (start, end)", lambda: solve(t_span="01")),
    ("t_span = None is not a pair (start, end)", lambda: solve(t_span=None)),
    ("dt = 0.0 is not positive", lambda: solve(dt=0.0)),
    ("dt = -0.1 is not positive", lambda: solve(dt=-0.1)),
    ("dt = nan is not finite", lambda: solve(dt=math.nan)),
    ("dt = None is not a number", lambda: solve(dt=None)),
    ("dt = '0.1' is not a number", lambda: solve(dt="0.1")),
    ("dt = [0.1] is not a number", lambda: solve(dt=[0.1])),
    ("dt = True is not a number", lambda: solve(dt=True)),
    ("paths = 0 is below 1", lambda: solve(paths=0)),
    ("paths = -3 is below 1", lambda: solve(paths=-3)),
    ("paths = 2.0 is not a whole number", lambda: solve(paths=2.0)),
    ("paths = 'many' is not a whole number", lambda: solve(paths="many")),
    ("paths = None is not a whole number", lambda: solve(paths=None)),
    ("paths = True is not a whole number", lambda: solve(paths=True)),
    (
        "paths = 1125899906842624 is more than the random numbers have addresses for (175921...",
        lambda: solve(paths=1 << 50),
    ),
    ("rng = 'seven' is not a seed", lambda: solve(rng="seven")),
    ("rng = -1 is negative", lambda: solve(rng=-1)),
    ("rng = 1.5 is not a seed", lambda: solve(rng=1.5)),
    (
        "rng = RandomState(MT19937) at ... is not a seed",
        lambda: solve(rng=np.random.RandomState(1)),
    ),
    ("rng = True is not a seed", lambda: solve(rng=True)),
    ("method = 'rk4' is not known", lambda: solve(method="rk4")),
    ("method = None is not known", lambda: solve(method=None)),
    ("method = ['euler-maruyama'] is not known", lambda: solve(method=["euler-maruyama"])),
    (
        "method = 'euler-maruyama' does not follow calculus = \"stratonovich\"",
        lambda: solve({"diffusion": lambda t, x, d: x, "calculus": "stratonovich"}),
    ),
    (
        "method = 'euler-heun' does not follow calculus = \"ito\"",
        lambda: solve({"diffusion": lambda t, x, d: x}, method="euler-heun"),
    ),
    ("save = 'some' is not known", lambda: solve(save="some")),
    ("save = None is not a way to save", lambda: solve(save=None)),
    ("save = 0 is below 1", lambda: solve(save=0)),
    ("save = -2 is below 1", lambda: solve(save=-2)),
    ("save = True is not a way to save", lambda: solve(save=True)),
    ("save = [] is not a way to save", lambda: solve(save=[])),
    ("save = [0.5, 0.2] does not increase", lambda: solve(save=[0.5, 0.2])),
    ("save = [0.5, 0.5] does not increase", lambda: solve(save=[0.5, 0.5])),
    ("save = [0.5, 2.0] leaves t_span = (0, 1)", lambda: solve(save=[0.5, 2.0])),
    ("save = [-0.5, 1.0] leaves t_span = (0, 1)", lambda: solve(save=[-0.5, 1.0])),
    ("save = [0.5, nan] is not a way to save", lambda: solve(save=[0.5, math.nan])),
    ("save = ... is not a way to save", lambda: solve(save=sdde.Moments)),
    ("save = 'some' is not known", lambda: solve(save=sdde.Moments("some"))),
    ("save = [0.5, 2.0] leaves t_span = (0, 1)", lambda: solve(save=sdde.Moments([0.5, 2.0]))),
    ("times = ... are moments", lambda: sdde.Moments(sdde.Moments())),
    ("threads = 0 is below 1", lambda: solve(threads=0)),
    ("threads = 1.5 is not a whole number", lambda: solve(threads=1.5)),
    ("threads = 'all' is not a whole number", lambda: solve(threads="all")),
    ("progress = 'bar' is neither True nor False", lambda: solve(progress="bar")),
    ("progress = 1 is neither True nor False", lambda: solve(progress=1)),
    ("noise = 1 is not an sdde.Brownian", lambda: solve(noise=1)),
    (
        "noise = array([1., 1., 1., 1., 1., 1., 1., 1., 1., 1.]) is not an sdde.Brownian",
        lambda: solve(noise=np.ones(10)),
    ),
    (
        "dt = 0.1 is not a whole multiple of finest = 0.03 (it holds 3.33333)",
        lambda: solve(noise=sdde.Brownian(1, 0.03)),
    ),
    (
        "dt = 0.1 is not a whole multiple of finest = 0.2 (it holds 0.5)",
        lambda: solve(noise=sdde.Brownian(1, 0.2)),
    ),
    (
        "noise = ... holds 5 steps, and the run needs 10",
        lambda: solve({"diffusion": 1.0}, noise=recorded(1, 5, 1)),
    ),
    (
        "noise = ... holds 1 paths, and the run needs 2",
        lambda: solve({"diffusion": 1.0}, paths=2, noise=recorded(1, 10, 1)),
    ),
    (
        "noise = ... holds 1 Wiener processes, and the run needs 2",
        lambda: solve({"diffusion": 1.0, "history": [1.0, 2.0]}, noise=recorded(1, 10, 1)),
    ),
    (
        "paths = 5 differs from the 3 paths of the earlier solution",
        lambda: solve({"history": solution()}, paths=5, t_span=(1.0, 2.0)),
    ),
    (
        "paths = 1000000000 with 1000001 saved times needs 8 PB of memory, of which 8 PB for t...",
        lambda: solve(paths=10**9, save="all", t_span=(0.0, 1e5)),
    ),
    ("dt = 1e-300 is too small for t_span = (0, 1)", lambda: solve(dt=1e-300, t_span=(0.0, 1.0))),
    # Brownian
    ("rng = 'x' is not a seed", lambda: sdde.Brownian("x", 0.1)),
    ("finest = 0.0 is not positive", lambda: sdde.Brownian(1, 0.0)),
    ("finest = None is not a number", lambda: sdde.Brownian(1, None)),
    (
        "antithetic = 'yes' is neither True nor False",
        lambda: sdde.Brownian(1, 0.1, antithetic="yes"),
    ),
    (
        "increments = array([1., 1., 1.]) has shape (3,), expected (paths, steps, channels)",
        lambda: sdde.Brownian.from_increments(np.ones(3), 0.1),
    ),
    (
        "increments = array([[[nan], [nan]]]) holds a value that is not finite",
        lambda: sdde.Brownian.from_increments(np.full((1, 2, 1), math.nan), 0.1),
    ),
    ("dt = -0.1 is not positive", lambda: sdde.Brownian.from_increments(np.ones((1, 2, 1)), -0.1)),
    (
        "dt = 0.25 is not a whole multiple of finest = 0.1 (it holds 2.5)",
        lambda: sdde.Brownian(1, 0.1).increments(0.25, 4),
    ),
    ("steps = -4 is below 0", lambda: sdde.Brownian(1, 0.1).increments(0.1, -4)),
    ("paths = 0 is below 1", lambda: sdde.Brownian(1, 0.1).increments(0.1, 4, paths=0)),
    (
        "channels = 1.5 is not a whole number",
        lambda: sdde.Brownian(1, 0.1).increments(0.1, 4, channels=1.5),
    ),
    ("t = -1.0 is negative", lambda: sdde.Brownian(1, 0.1).path(-1.0)),
    ("t = 'now' is not an array of numbers", lambda: sdde.Brownian(1, 0.1).path("now")),
    # Solution
    ("q = 1.5 is not between 0 and 1", lambda: solution().quantile(1.5)),
    ("q = 'median' is not an array of numbers", lambda: solution().quantile("median")),
    ("i = 3 is above 2", lambda: solution().path(3)),
    ("i = 0.5 is not a whole number", lambda: solution().path(0.5)),
    ("t = 2 is not covered by the solution", lambda: solution()(2.0)),
    ("t = 'now' is not an array of numbers", lambda: solution()("now")),
    ("t = nan holds a value that is not finite", lambda: solution()(math.nan)),
    ("path = 'paths.txt' has no known suffix", lambda: solution().save("paths.txt")),
    (
        "path = 'no/such/folder/paths.npz' cannot be written...",
        lambda: solution().save("no/such/folder/paths.npz"),
    ),
    ("path = 'missing.npz' is not a file", lambda: sdde.Solution.load("missing.npz")),
    (
        "path = ... is not a solution written by Solution.save",
        lambda: sdde.Solution.load(__file__),
    ),
    # convergence
    ("problem = ... is not an sdde.Problem", lambda: study(problem=decay)),
    ("method = 'rk4' is not known", lambda: study(methods="rk4")),
    ("methods = [] does not name a method", lambda: study(methods=[])),
    ("methods = None does not name a method", lambda: study(methods=None)),
    ("method = 'best' is not known", lambda: study(methods=["euler-maruyama", "best"])),
    (
        "method = 'euler-heun' does not follow calculus = \"ito\"",
        lambda: study(methods="euler-heun", problem=problem(diffusion=lambda t, x, d: x)),
    ),
    ("dts = 0.1 has 0 dimensions, expected 1", lambda: study(dts=0.1)),
    ("dts = [0.1] holds less than two different time steps", lambda: study(dts=[0.1])),
    ("dts = [0.1, 0.1] holds less than two different time steps", lambda: study(dts=[0.1, 0.1])),
    ("dts[1] = np.float64(-0.1) is not positive", lambda: study(dts=[0.1, -0.1])),
    (
        "dt = 0.1 is not a whole multiple of finest = 0.004375 (it holds 22.8571)",
        lambda: study(dts=[0.1, 0.07]),
    ),
    ("dts = 'fine' is not an array of numbers", lambda: study(dts="fine")),
    ("t_span = 1.0 is not a pair (start, end)", lambda: study(t_span=1.0)),
    ("paths = 10 is below 64", lambda: study(paths=10)),
    ("rng = 'x' is not a seed", lambda: study(rng="x")),
    ("level = 1.0 is not between 0 and 1", lambda: study(level=1.0)),
    ("level = 95 is not between 0 and 1", lambda: study(level=95)),
    ("finest = 0.05 is not below the smallest of dts = 0.05", lambda: study(finest=0.05)),
    (
        "dt = 0.1 is not a whole multiple of finest = 0.03 (it holds 3.33333)",
        lambda: study(finest=0.03),
    ),
    ("functional = 'mean' cannot be called", lambda: study(functional="mean")),
    (
        "functional(x) = array(1.) is no array of numbers of shape (2,)",
        lambda: study(functional=lambda x: x.mean()),
    ),
    ("functional failed: IndexError...", lambda: study(functional=lambda x: x[:, 5])),
    ("functional failed: AttributeError...", lambda: study(functional=lambda x: x.state)),
    ("reference = 'exact' is not known", lambda: study(reference="exact")),
    ("exact = 1.0 cannot be called", lambda: study(exact=1.0)),
    (
        "reference = 'euler-maruyama' is given, and so is exact",
        lambda: study(exact=lambda noise, paths: np.zeros(paths), reference="euler-maruyama"),
    ),
    (
        "exact(noise, paths) = array([0., 0., 0.]) has shape (3,), expected (2000,)",
        lambda: study(exact=lambda noise, paths: np.zeros(3)),
    ),
    (
        "exact(noise, paths) = 'x' is not an array of numbers",
        lambda: study(exact=lambda noise, paths: "x"),
    ),
    (
        "drift failed at t = 0: IndexError...",
        lambda: study(problem=problem(drift=lambda t, x, d: d[0])),
    ),
    # multilevel
    ("problem = 3 is not an sdde.Problem", lambda: levels(problem=3)),
    ("tolerance = 0.0 is not positive", lambda: levels(tolerance=0.0)),
    ("tolerance = None is not a number", lambda: levels(tolerance=None)),
    ("functional = 2.0 cannot be called", lambda: levels(functional=2.0)),
    (
        "functional(x) = array(1.) is no array of numbers of shape (2,)",
        lambda: levels(functional=lambda x: 1.0),
    ),
    ("functional failed: IndexError...", lambda: levels(functional=lambda x: x["a"])),
    (
        "functional(x) = array(['a', 'a'], dtype='<U1') is no array of numbers of shape (2,)",
        lambda: levels(functional=lambda x: np.array(["a"] * len(x))),
    ),
    ("dt = -0.1 is not positive", lambda: levels(dt=-0.1)),
    ("t_span = (1.0, 0.0) does not go forward", lambda: levels(t_span=(1, 0))),
    ("method = 'rk4' is not known", lambda: levels(method="rk4")),
    ("max_levels = 2 is below 3", lambda: levels(max_levels=2)),
    ("max_levels = 4.0 is not a whole number", lambda: levels(max_levels=4.0)),
    ("pilot = 10 is below 64", lambda: levels(pilot=10)),
    ("save = 'some' is not known", lambda: levels(save="some")),
    ("save = [0.5, 7.0] leaves t_span = (0, 1)", lambda: levels(save=[0.5, 7.0])),
    ("rng = 'x' is not a seed", lambda: levels(rng="x")),
    # hits, functionals, moments, longer runs
    ("function = 1.0 cannot be called", lambda: sdde.Hit(1.0)),
    ("direction = 2 is above 1", lambda: sdde.Hit(lambda t, x, d: x, direction=2)),
    ("direction = 'up' is not a whole number", lambda: sdde.Hit(lambda t, x, d: x, direction="up")),
    ("kind = 'mean' is not known", lambda: sdde.Functional(lambda t, x, d: x, "mean")),
    ("function = 'x' cannot be called", lambda: sdde.Functional("x", "last")),
    ("kind = None is not known", lambda: sdde.Functional(lambda t, x, d: x, None)),
    ("until = ... is not an sdde.Hit", lambda: solve(until=lambda t, x, d: x)),
    ("until = 1.0 is not an sdde.Hit", lambda: solve(until=1.0)),
    ("until.function failed at t = 0: TypeError...", lambda: solve(until=sdde.Hit(lambda t, x: x))),
    (
        "until.function = ... returned array([1., 1.]) at t = 0",
        lambda: solve(until=sdde.Hit(lambda t, x, d: [x, x])),
    ),
    (
        "until.function = ... returned array(nan) at t = 0, which is not finite",
        lambda: solve(until=sdde.Hit(lambda t, x, d: math.nan)),
    ),
    (
        "until.function failed at t = 0: IndexError...",
        lambda: solve(until=sdde.Hit(lambda t, x, d: d[0])),
    ),
    (
        "functionals['a'] = ... returned array(nan) at t = 0, which is not finite",
        lambda: solve(functionals={"a": sdde.Functional(lambda t, x, d: np.log(x - 2.0), "last")}),
    ),
    ("functionals = [1.0] is not a dictionary of names", lambda: solve(functionals=[1.0])),
    (
        "functionals = ... is not a dictionary of names",
        lambda: solve(functionals=sdde.Functional(lambda t, x, d: x, "last")),
    ),
    (
        "functionals['a'] = ... is not an sdde.Functional",
        lambda: solve(functionals={"a": lambda t, x, d: x}),
    ),
    (
        "functionals = 1 is not a name",
        lambda: solve(functionals={1: sdde.Functional(lambda t, x, d: x, "last")}),
    ),
    (
        "functionals['a'] failed at t = 0: TypeError...",
        lambda: solve(functionals={"a": sdde.Functional(lambda t, x: x, "last")}),
    ),
    (
        "functionals['a'] = ... returned array(None, dtype=object) at t = 0",
        lambda: solve(functionals={"a": sdde.Functional(lambda t, x, d: None, "last")}),
    ),
    (
        "functionals['a'] = ... returned array([[1.]]) at t = 0",
        lambda: solve(functionals={"a": sdde.Functional(lambda t, x, d: [[x]], "last")}),
    ),
    ("quantiles = 1.5 are not probabilities between 0 and 1", lambda: sdde.Moments("final", 1.5)),
    ("quantiles = 'median' is not an array of numbers", lambda: sdde.Moments("final", "median")),
    (
        "quantiles = [[0.5]] are not probabilities between 0 and 1",
        lambda: sdde.Moments("final", [[0.5]]),
    ),
    ("covariance = 1 is neither True nor False", lambda: sdde.Moments(covariance=1)),
    ("lags = -1.0 are not positive", lambda: sdde.Moments(lags=-1.0)),
    ("lags = 'one' is not an array of numbers", lambda: sdde.Moments(lags="one")),
    ("lags = 0.0 are not positive", lambda: sdde.Moments(lags=0.0)),
    (
        "lags = [5.0] lead from every time beyond the end at t = 1",
        lambda: solve(save=sdde.Moments("all", lags=5.0)),
    ),
    ("lag = -1.0 is negative", lambda: solution().autocovariance(-1.0)),
    ("lag = 'one' is not a number", lambda: solution().autocovariance("one")),
    ("t1 = 0.5 is not after the end at t = 1", lambda: solution().extend(0.5)),
    ("t1 = 1.0 is not after the end at t = 1", lambda: solution().extend(1.0)),
    ("t1 = 'later' is not a number", lambda: solution().extend("later")),
    ("save = [1.5] adds to the rule save = 'all'", lambda: solution().extend(2.0, save=[1.5])),
    ("threads = 0 is below 1", lambda: solution().extend(2.0, threads=0)),
    # what methods need
    (
        "dt = 0.1 does not divide delays[0] = 0.25 (it holds 2.5 steps)",
        lambda: solve(SEEING, method="milstein"),
    ),
    (
        "dt = 0.1 does not divide delays[0] = 0.03 (it holds 0.3 steps)",
        lambda: solve(SEEING | {"delays": 0.03}, method="milstein"),
    ),
    (
        "delays[0] = 0.0 is zero where the noise sees it",
        lambda: solve(SEEING | {"delays": 0.0, "calculus": "stratonovich"}, method="milstein"),
    ),
    (
        "method = 'milstein' takes constant delays, and delays[0] is not one",
        lambda: solve(SEEING | {"delays": sdde.TimeDelay(lambda t: 0.2, 1.0)}, method="milstein"),
    ),
    (
        "method = 'milstein' needs the derivative of diffusion, which cannot be read",
        lambda: solve({"diffusion": lambda t, x, d: x if x > 0 else -x}, method="milstein"),
    ),
    (
        "method = 'milstein' does not take jumps together with this diffusion",
        lambda: solve({"diffusion": lambda t, x, d: x, "jumps": jump()}, method="milstein"),
    ),
    (
        "method = 'theta' needs the derivative of drift, which cannot be read",
        lambda: solve({"drift": lambda t, x, d: x if x > 0 else -x}, method="theta"),
    ),
    (
        "method = 'implicit-euler' needs the derivative of drift, which cannot be read",
        lambda: solve({"drift": lambda t, x, d: x if x > 0 else -x}, method="implicit-euler"),
    ),
    (
        "method = 'euler-heun' does not follow calculus = \"ito\"",
        lambda: solve(
            {"diffusion": lambda t, x, d: x}, method="euler-heun", noise=sdde.Brownian(1, 0.1)
        ),
    ),
    (
        "method = 'heun' does not follow calculus = \"stratonovich\"",
        lambda: solve({"diffusion": lambda t, x, d: x, "calculus": "stratonovich"}, method="heun"),
    ),
    (
        "method = 'theta' does not follow calculus = \"stratonovich\"",
        lambda: solve({"diffusion": lambda t, x, d: x, "calculus": "stratonovich"}, method="theta"),
    ),
    (
        "diffusion returned shape (2,) at t = 0, expected ()",
        lambda: solve({"diffusion": lambda t, x, d: (x, x), "noise": "scalar"}),
    ),
    (
        "diffusion returned shape (2,) at t = 0, expected (2, m)",
        lambda: solve(
            {"diffusion": lambda t, x, d: x, "noise": "commutative", "history": [1.0, 2.0]}
        ),
    ),
    (
        "dt = 0.1 does not divide delays[0] = 0.25 (it holds 2.5 steps)",
        lambda: study(problem=problem(**SEEING), methods="milstein"),
    ),
    (
        "dt = 0.25 is not a whole multiple of finest = 0.1 (it holds 2.5)",
        lambda: study(
            problem=problem(**SEEING), reference="milstein", dts=[0.25, 0.125], finest=0.1
        ),
    ),
    (
        "dt = 0.1 does not divide delays[0] = 0.25 (it holds 2.5 steps)",
        lambda: levels(problem=problem(**SEEING), method="milstein"),
    ),
]
