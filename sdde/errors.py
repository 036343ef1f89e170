"""Errors and warnings of the package.

Misuse raises; numerical trouble (a path that blows up) is data and never raises. Every error
derives from `Error` and from the built-in class that people already catch.
"""


class Error(Exception):
    """Base class of all errors raised by `sdde`."""


class ArgumentError(Error, ValueError):
    """An argument that cannot be used: what was given, why it fails, a value that would work."""


class CompileError(Error, TypeError):
    """A function that cannot be compiled: which function, which line, and the cause."""


class StoreError(Error, OSError):
    """A store that cannot be used: full, damaged beyond its blocks, or in use by another run."""


class SolutionWarning(UserWarning):
    """A solve that finished with something the reader of its numbers should know."""
