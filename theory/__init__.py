"""Theory of delay systems and of asynchronous SGD: closed forms and quadrature.

Imports numpy, scipy and sympy only, and neither numba nor the simulator, so that it is an
independent witness of what the simulator measures.
"""
