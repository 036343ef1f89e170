"""Schemes: how one time step is written, each family in a file of its own."""
