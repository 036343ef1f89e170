"""Misuse of problems, delays and jumps: how the message begins, and the call."""

import math

import numpy as np
import scipy.stats as st

import sdde
from tests.misuse.builders import T, X, jump, problem, solve, symbolic

TABLE = [
    # Problem
    ("drift = 1.0 cannot be called", lambda: problem(drift=1.0)),
    ("drift = None cannot be called", lambda: problem(drift=None)),
    ("drift = '-x' cannot be called", lambda: problem(drift="-x")),
    ("delays = -1.0 is negative", lambda: problem(delays=-1.0)),
    ("delays[1] = -2.0 is negative", lambda: problem(delays=(1.0, -2.0))),
    ("delays[1] = nan is not finite", lambda: problem(delays=(1.0, math.nan))),
    ("delays = inf is not finite", lambda: problem(delays=math.inf)),
    ("delays = 'long' is not a number", lambda: problem(delays="long")),
    ("delays = None is not a number", lambda: problem(delays=None)),
    ("delays = True is not a number", lambda: problem(delays=True)),
    ("delays = 1j is not a number", lambda: problem(delays=1j)),
    ("delays[0] = [1.0] is a law, which may mean two things", lambda: problem(delays=[[1.0]])),
    (
        "delays = array([[1.]]) is a law, which may mean two things",
        lambda: problem(delays=np.array([[1.0]])),
    ),
    ("delays[1] = np.float64(-1.0) is negative", lambda: problem(delays=np.array([1.0, -1.0]))),
    ("history = None is not a state", lambda: problem(history=None)),
    ("history = '1' is not a state", lambda: problem(history="1")),
    ("history = inf is not a state", lambda: problem(history=math.inf)),
    ("history = [1.0, nan] is not a state", lambda: problem(history=[1.0, math.nan])),
    ("history = [] is not a state", lambda: problem(history=[])),
    ("history = [[1.0, 2.0]] is not a state", lambda: problem(history=[[1.0, 2.0]])),
    ("history = 1j is not a state", lambda: problem(history=1j)),
    (
        "history[0] = [0.0, -1.0] does not increase",
        lambda: problem(history=([0.0, -1.0], [1.0, 2.0])),
    ),
    (
        "history[1] = [1.0] has shape (1,), expected (2,) or (2, dim)",
        lambda: problem(history=([-1.0, 0.0], [1.0])),
    ),
    (
        "history[0] = [-1.0, nan] holds a value that is not finite",
        lambda: problem(history=([-1.0, math.nan], [1.0, 2.0])),
    ),
    (
        "history[1] = [1.0, inf] holds a value that is not finite",
        lambda: problem(history=([-1.0, 0.0], [1.0, math.inf])),
    ),
    (
        "history[0] = [-1.0, -1.0] does not increase",
        lambda: problem(history=([-1.0, -1.0], [1.0, 1.0])),
    ),
    (
        "history[1] = array([[[0., 0.], [0., 0.]], [[0., 0.], [0., 0.]]]) has shape (2, 2, 2...",
        lambda: problem(history=([-1.0, 0.0], np.zeros((2, 2, 2)))),
    ),
    (
        "history[1] = ['a', 'b'] is not an array of numbers",
        lambda: problem(history=([-1.0, 0.0], ["a", "b"])),
    ),
    ("args = 2.0 is not a tuple", lambda: problem(args=2.0)),
    ("args = array([1., 1.]) is not a tuple", lambda: problem(args=np.ones(2))),
    (
        "args[0] = 'text' is neither a number nor an array of numbers",
        lambda: problem(args=("text",)),
    ),
    ("args[0] = None is neither a number nor an array of numbers", lambda: problem(args=(None,))),
    (
        "args[0] = {'rate': 1.0} is neither a number nor an array of numbers",
        lambda: problem(args=({"rate": 1.0},)),
    ),
    (
        "args[0] = [[1.0], [1.0, 2.0]] is neither a number nor an array of numbers",
        lambda: problem(args=([[1.0], [1.0, 2.0]],)),
    ),
    ("args[0] = 1j is neither a number nor an array of numbers", lambda: problem(args=(1j,))),
    ("noise = 'white' is not known", lambda: problem(noise="white")),
    ("noise = None is not known", lambda: problem(noise=None)),
    ("noise = 1 is not known", lambda: problem(noise=1)),
    ("calculus = 'backward' is not known", lambda: problem(calculus="backward")),
    ("calculus = None is not known", lambda: problem(calculus=None)),
    ("diffusion = '0.1' is not an array of numbers", lambda: problem(diffusion="0.1")),
    (
        "diffusion = [[1.0]] has shape (1, 1), expected () or (dim,)",
        lambda: problem(diffusion=[[1.0]]),
    ),
    ("diffusion = nan holds a value that is not finite", lambda: problem(diffusion=math.nan)),
    ("diffusion = [0.1, None] is not an array of numbers", lambda: problem(diffusion=[0.1, None])),
    (
        "diffusion = 0.1 has shape (), expected (dim, m) or (m,)",
        lambda: problem(diffusion=0.1, noise="general"),
    ),
    ("jumps = 3.0 does not hold sdde.Jump values", lambda: problem(jumps=3.0)),
    ("jumps = [3.0] does not hold sdde.Jump values", lambda: problem(jumps=[3.0])),
    ("jumps = None does not hold sdde.Jump values", lambda: problem(jumps=None)),
    ("argument = 'delay' is not known", lambda: problem().replace(delay=1.0)),
    ("delays = -1.0 is negative", lambda: problem().replace(delays=-1.0)),
    ("argument = 'past' is not known", lambda: problem().replace(past=1.0)),
    # Problem, functions tried at the start
    ("drift(x, t) cannot be called with 3 arguments", lambda: solve({"drift": lambda x, t: -x})),
    (
        "drift(u, h, p, t) cannot be called with 3 arguments",
        lambda: solve({"drift": lambda u, h, p, t: -u}),
    ),
    (
        "drift(t, x, d, a) cannot be called with 3 arguments",
        lambda: solve({"drift": lambda t, x, d, a: -x}),
    ),
    (
        "drift(t, x, d) cannot be called with 4 arguments",
        lambda: solve({"drift": lambda t, x, d: -x, "args": (1.0,)}),
    ),
    (
        "drift returned shape (2,) at t = 0, expected ()",
        lambda: solve({"drift": lambda t, x, d: [1.0, 2.0]}),
    ),
    (
        "drift returned shape (1,) at t = 0, expected ()",
        lambda: solve({"drift": lambda t, x, d: [x]}),
    ),
    (
        "drift returned shape (1,) at t = 0, expected (2,)",
        lambda: solve({"drift": lambda t, x, d: [1.0], "history": [1.0, 2.0]}),
    ),
    (
        "drift returned shape () at t = 0, expected (2,)",
        lambda: solve({"drift": lambda t, x, d: 1.0, "history": [1.0, 2.0]}),
    ),
    (
        "drift failed at t = 0: ZeroDivisionError...",
        lambda: solve({"drift": lambda t, x, d: 1.0 / (x - 1.0)}),
    ),
    (
        "drift returned np.float64(-inf) at t = 0, which is not finite",
        lambda: solve({"drift": lambda t, x, d: np.log(x - 1.0)}),
    ),
    (
        "drift returned np.float64(nan) at t = 0, which is not finite",
        lambda: solve({"drift": lambda t, x, d: np.log(x - 2.0)}),
    ),
    (
        "drift returned None at t = 0, expected numbers",
        lambda: solve({"drift": lambda t, x, d: None}),
    ),
    (
        "drift returned 'x' at t = 0, expected numbers",
        lambda: solve({"drift": lambda t, x, d: "x"}),
    ),
    (
        "drift returned 1j at t = 0, expected numbers",
        lambda: solve({"drift": lambda t, x, d: 1j * x}),
    ),
    ("drift failed at t = 0: IndexError...", lambda: solve({"drift": lambda t, x, d: d[0]})),
    ("drift failed at t = 0: TypeError...", lambda: solve({"drift": lambda t, x, d: x[0]})),
    (
        "drift failed at t = 0: IndexError...",
        lambda: solve({"drift": lambda t, x, d: d[2], "delays": (1.0, 2.0)}),
    ),
    (
        "drift returned ([1.0], [1.0, 2.0]) at t = 0, expected numbers",
        lambda: solve({"drift": lambda t, x, d: ([1.0], [1.0, 2.0])}),
    ),
    (
        "drift failed at t = 0: NameError...",
        lambda: solve({"drift": lambda t, x, d: not_defined * x}),  # noqa: F821
    ),
    (
        "diffusion returned shape (2,) at t = 0, expected ()",
        lambda: solve({"diffusion": lambda t, x, d: [x, x]}),
    ),
    (
        "diffusion(t, x) cannot be called with 3 arguments",
        lambda: solve({"diffusion": lambda t, x: x}),
    ),
    (
        "diffusion returned nan at t = 0, which is not finite",
        lambda: solve({"diffusion": lambda t, x, d: math.nan}),
    ),
    (
        "diffusion = array([0.1, 0.2]) has shape (2,), expected ()",
        lambda: solve({"diffusion": [0.1, 0.2]}),
    ),
    (
        "diffusion = array([0.1, 0.2, 0.3]) has shape (3,), expected (2,)",
        lambda: solve({"diffusion": [0.1, 0.2, 0.3], "history": [1.0, 1.0]}),
    ),
    (
        "diffusion returned shape (2,) at t = 0, expected (2, m)",
        lambda: solve({"diffusion": lambda t, x, d: x, "history": [1.0, 1.0], "noise": "general"}),
    ),
    (
        "diffusion = array([[1., 1.], [1., 1.], [1., 1.]]) has shape (3, 2), expected (2, m)",
        lambda: solve({"diffusion": np.ones((3, 2)), "history": [1.0, 1.0], "noise": "general"}),
    ),
    (
        "history = ... failed at t = 0 (<lambda>.<locals>.<lambda>() takes 0 positional argu...",
        lambda: solve({"history": lambda: 1.0}),
    ),
    (
        "history(0) = 'one' is not a finite number or vector",
        lambda: solve({"history": lambda t: "one"}),
    ),
    (
        "history(0) = nan is not a finite number or vector",
        lambda: solve({"history": lambda t: math.nan}),
    ),
    (
        "history = (array([-1., 0.]), array([1., 1.])) begins at t = -1, but states are read...",
        lambda: solve({"history": ([-1.0, 0.0], [1.0, 1.0]), "delays": 2.0}),
    ),
    (
        "history = (array([-2., -1.]), array([1., 1.])) ends at t = -1, before the start at...",
        lambda: solve({"history": ([-2.0, -1.0], [1.0, 1.0])}),
    ),
    (
        "jumps[0].effect(t, x, d) cannot be called with 4 arguments",
        lambda: solve({"jumps": jump(effect=lambda t, x, d: 1.0)}),
    ),
    (
        "jumps[0].effect returned shape (2,) at t = 0, expected ()",
        lambda: solve({"jumps": jump(effect=lambda t, x, d, m: [1.0, 2.0])}),
    ),
    (
        "jumps[0].effect returned inf at t = 0, which is not finite",
        lambda: solve({"jumps": jump(effect=lambda t, x, d, m: math.inf)}),
    ),
    (
        "jumps[0].rate returned 5 at t = 0, expected between 0 and longest_rate = 2",
        lambda: solve({"jumps": jump(rate=lambda t, x, d: 5.0, longest_rate=2.0)}),
    ),
    (
        "jumps[0].rate returned -1 at t = 0, expected between 0 and longest_rate = 2",
        lambda: solve({"jumps": jump(rate=lambda t, x, d: -1.0, longest_rate=2.0)}),
    ),
    (
        "jumps[0].rate(t, x) cannot be called with 3 arguments",
        lambda: solve({"jumps": jump(rate=lambda t, x: 1.0, longest_rate=2.0)}),
    ),
    (
        "jumps[0].rate returned shape (1,) at t = 0, expected ()",
        lambda: solve({"jumps": jump(rate=lambda t, x, d: [1.0], longest_rate=2.0)}),
    ),
    # delays that are no numbers
    ("delays = ... is a function without a bound", lambda: problem(delays=lambda t: 1.0)),
    ("delays = ... is a law, which may mean two things", lambda: problem(delays=st.expon())),
    ("function = 1.0 cannot be called", lambda: sdde.TimeDelay(1.0, 2.0)),
    ("longest = 0.0 is not positive", lambda: sdde.TimeDelay(lambda t: 1.0, 0.0)),
    ("longest = None is not a number", lambda: sdde.TimeDelay(lambda t: 1.0, None)),
    ("function = 'x' cannot be called", lambda: sdde.StateDelay("x", 2.0)),
    ("longest = inf is not finite", lambda: sdde.StateDelay(lambda t, x: x, math.inf)),
    ("law = 'slow' is not a law", lambda: sdde.RandomDelay("slow")),
    ("law = ... can take values below 0 (its lowest is -inf)", lambda: sdde.RandomDelay(st.norm())),
    (
        "longest = 1.0 is exceeded by a share 0.37 of the law",
        lambda: sdde.RandomDelay(st.expon(), longest=1.0),
    ),
    ("longest = -1.0 is not positive", lambda: sdde.RandomDelay(st.expon(), longest=-1.0)),
    (
        "longest = None is missing, and kernel is a function",
        lambda: sdde.DistributedDelay(lambda s: 1.0),
    ),
    (
        "longest = 'far' is not a number",
        lambda: sdde.DistributedDelay(lambda s: 1.0, longest="far"),
    ),
    (
        "kernel = ... can take values below 0 (its lowest is -inf)",
        lambda: sdde.DistributedDelay(st.norm()),
    ),
    (
        "longest = 2.0 is exceeded by a share 0.14 of the law",
        lambda: sdde.DistributedDelay(st.expon(), longest=2.0),
    ),
    ("kernel = 'box' is not a law", lambda: sdde.DistributedDelay("box")),
    (
        "delays[0] is 3 at t = 0, expected between 0 and longest = 2",
        lambda: solve({"delays": sdde.TimeDelay(lambda t: 3.0, 2.0)}),
    ),
    (
        "delays[0] is -1 at t = 0, expected between 0 and longest = 2",
        lambda: solve({"delays": sdde.TimeDelay(lambda t: -1.0, 2.0)}),
    ),
    (
        "delays[0].function(t, x) cannot be called with 1 argument",
        lambda: solve({"delays": sdde.TimeDelay(lambda t, x: 1.0, 2.0)}),
    ),
    (
        "delays[0].function(t) cannot be called with 2 arguments",
        lambda: solve({"delays": sdde.StateDelay(lambda t: 1.0, 2.0)}),
    ),
    (
        "delays[0].function returned shape (2,) at t = 0, expected ()",
        lambda: solve({"delays": sdde.StateDelay(lambda t, x: [1.0, 2.0], 2.0)}),
    ),
    (
        "delays[0].function returned nan at t = 0, which is not finite",
        lambda: solve({"delays": sdde.StateDelay(lambda t, x: math.nan, 2.0)}),
    ),
    (
        "delays[0].function failed at t = 0: ZeroDivisionError...",
        lambda: solve({"delays": sdde.StateDelay(lambda t, x: 1.0 / (x - 1.0), 2.0)}),
    ),
    (
        "kernel = ... is not finite at age 0.00130467",
        lambda: solve({"delays": sdde.DistributedDelay(lambda s: math.nan, 2.0)}),
    ),
    (
        "kernel = ... failed (ValueError...",
        lambda: solve({"delays": sdde.DistributedDelay(lambda s: "x", 2.0)}),
    ),
    (
        "kernel = ... failed (TypeError...",
        lambda: solve({"delays": sdde.DistributedDelay(lambda: 1.0, 2.0)}),
    ),
    (
        "history = (array([-1., 0.]), array([1., 1.])) begins at t = -1, but states are read...",
        lambda: solve(
            {
                "history": ([-1.0, 0.0], [1.0, 1.0]),
                "delays": sdde.DistributedDelay(st.uniform(0, 2)),
            }
        ),
    ),
    ("leaping = 'yes' is neither True nor False", lambda: jump(leaping="yes")),
    (
        "longest_rate = 2.0 is given, but leaping needs no bound",
        lambda: jump(leaping=True, longest_rate=2.0),
    ),
    ("delays = ... is not a law", lambda: jump(delays=lambda t: 1.0)),
    (
        "delays = ... is a function without a bound",
        lambda: symbolic(-X(T)).replace(delays=sdde.TimeDelay),
    ),
    # Jump and laws
    ("rate = -1.0 is negative", lambda: jump(rate=-1.0)),
    ("rate = nan is not finite", lambda: jump(rate=math.nan)),
    ("rate = 'often' is not a number", lambda: jump(rate="often")),
    ("rate = None is not a number", lambda: jump(rate=None)),
    (
        "longest_rate = None is missing, and rate is a function",
        lambda: jump(rate=lambda t, x, d: 1.0),
    ),
    (
        "longest_rate = 0.0 is not positive",
        lambda: jump(rate=lambda t, x, d: 1.0, longest_rate=0.0),
    ),
    ("longest_rate = 2.0 is given, but rate is a number", lambda: jump(rate=1.0, longest_rate=2.0)),
    ("effect = 1.0 cannot be called", lambda: jump(effect=1.0)),
    ("effect = None cannot be called", lambda: jump(effect=None)),
    ("delays = -1.0 can take values below 0 (its lowest is -1)", lambda: jump(delays=-1.0)),
    ("delays = 'long' is not a law", lambda: jump(delays="long")),
    ("delays = ... can take values below 0 (its lowest is -inf)", lambda: jump(delays=st.norm())),
    (
        "delays[1] = ... can take values below 0 (its lowest is -inf)",
        lambda: jump(delays=[1.0, st.norm()]),
    ),
    ("delays = ... lacks its shape parameters", lambda: jump(delays=st.gamma)),
    (
        "delays = array([ 1. , -0.5]) can take values below 0 (its lowest is -0.5)",
        lambda: jump(delays=np.array([1.0, -0.5])),
    ),
    ("delays = array([], dtype=float64) is empty", lambda: jump(delays=np.array([]))),
    (
        "delays = array([[1., 1.], [1., 1.]]) has 2 dimensions, expected 1",
        lambda: jump(delays=np.ones((2, 2))),
    ),
    ("delays = ... has mean inf", lambda: jump(delays=st.pareto(0.5))),
    ("mark = 'normal' is not a law", lambda: jump(mark="normal")),
    ("mark = ... has mean nan", lambda: jump(mark=st.cauchy())),
    ("mark[1] = 'x' is not a law", lambda: jump(mark=[st.norm(), "x"])),
    ("mark = ... is not a law", lambda: jump(mark=lambda: 1.0)),
    ("mark = ... has mean nan", lambda: jump(mark=st.gamma(-1.0))),
    ("rate = -1.0 is negative", lambda: jump().replace(rate=-1.0)),
]
